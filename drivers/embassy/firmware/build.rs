//! Puts the memory layout where the linker finds it, and the settings of the build into the image.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::Path;
use std::{env, fs};

fn main() {
    let out = env::var("OUT_DIR").expect("cargo sets it");
    let out = Path::new(&out);
    fs::copy("memory.x", out.join("memory.x")).expect("memory.x is next to build.rs");
    println!("cargo:rustc-link-search={}", out.display());
    println!("cargo:rustc-link-arg-bins=-Tlink.x");
    println!("cargo:rerun-if-changed=memory.x");
    fs::write(out.join("settings.rs"), settings()).expect("OUT_DIR is writable");
}

/// Constants for `src/settings.rs`, from the environment of the build.
fn settings() -> String {
    let upstream: SocketAddrV4 = parse("STRAIT_FIRMWARE_UPSTREAM", "10.0.2.2:10250");
    let port: u16 = parse("STRAIT_FIRMWARE_PORT", "8080");
    let address = match setting("STRAIT_FIRMWARE_ADDRESS", "dhcp").as_str() {
        "dhcp" => "None".to_owned(),
        fixed => {
            let (address, prefix) = fixed.split_once('/').expect("STRAIT_FIRMWARE_ADDRESS is ADDRESS/PREFIX");
            let address: Ipv4Addr = address.parse().expect("STRAIT_FIRMWARE_ADDRESS is ADDRESS/PREFIX");
            let prefix: u8 = prefix.parse().expect("STRAIT_FIRMWARE_ADDRESS is ADDRESS/PREFIX");
            assert!(prefix <= 32, "STRAIT_FIRMWARE_ADDRESS has a prefix of at most 32 bits");
            let router: Ipv4Addr = parse("STRAIT_FIRMWARE_ROUTER", "10.0.2.2");
            format!("Some(({}, {prefix}, {}))", ipv4(address), ipv4(router))
        }
    };
    format!(
        "pub(crate) const UPSTREAM: SocketAddrV4 = SocketAddrV4::new({}, {});\n\
         pub(crate) const PORT: u16 = {port};\n\
         pub(crate) const ADDRESS: Option<(Ipv4Addr, u8, Ipv4Addr)> = {address};\n",
        ipv4(*upstream.ip()),
        upstream.port(),
    )
}

fn ipv4(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("Ipv4Addr::new({a}, {b}, {c}, {d})")
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(name: &str, default: &str) -> T {
    let value = setting(name, default);
    value.parse().unwrap_or_else(|error| panic!("{name}={value}: {error}"))
}

fn setting(name: &str, default: &str) -> String {
    println!("cargo:rerun-if-env-changed={name}");
    env::var(name).unwrap_or_else(|_| default.to_owned())
}
