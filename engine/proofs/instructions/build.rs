//! Puts the memory map of the board where the linker finds it.

use std::{env, fs, path::Path};

fn main() {
    let folder = env::var("OUT_DIR").expect("cargo names the folder");
    fs::write(Path::new(&folder).join("memory.x"), include_str!("memory.x")).expect("the folder can be written");
    println!("cargo:rustc-link-search={folder}");
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
}
