use std::env;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// The binary `strait`, built once in the profile and target directory of the running test.
///
/// `cargo test` has given its build lock back when tests run, so a build from within cannot lock up.
pub fn strait() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| env::var_os("STRAIT_BINARY").map_or_else(build, PathBuf::from))
}

/// The program that is the gateway: [`strait()`], unless `STRAIT_GATEWAY` names another one.
pub fn gateway() -> PathBuf {
    env::var_os("STRAIT_GATEWAY").map_or_else(|| strait().to_owned(), PathBuf::from)
}

fn build() -> PathBuf {
    let (target_directory, profile) = whereabouts();
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| env!("CARGO").into()));
    cargo.args(["build", "--bin=strait", "--message-format=json-render-diagnostics"]);
    // Beside tests, as `cargo test --workspace` has already built it: features of another choice of packages would build all
    // dependencies again. Only an example brings the features in that tests have. What is measured has those of a user's build.
    cargo.args(if profile == "dev" {
        &["--workspace", "--example=gateway"][..]
    } else {
        &["--package=strait-cli"]
    });
    cargo.arg("--profile").arg(profile).arg("--target-dir").arg(target_directory);
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).stdin(Stdio::null()).stderr(Stdio::inherit());
    // What cargo tells a test about its package would look like a changed environment to some build scripts.
    for (name, _) in env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(name);
        }
    }
    let output = cargo.output().unwrap_or_else(|error| panic!("cannot run {cargo:?}: {error}"));
    assert!(output.status.success(), "{cargo:?} ended with {}", output.status);
    executable(&output.stdout).unwrap_or_else(|| panic!("{cargo:?} names no executable"))
}

/// Where peers are kept: `peers` in the target directory.
pub fn peers() -> PathBuf {
    whereabouts().0.join("peers")
}

/// The target directory and the profile, from where cargo put this test: `TARGET/PROFILE/deps/TEST`.
pub(crate) fn whereabouts() -> (PathBuf, String) {
    let test = env::current_exe().expect("the path of the running test");
    let directory = test.ancestors().nth(2).expect("the directory of the profile");
    let target_directory = directory.parent().expect("the target directory").to_owned();
    let profile = match directory.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    (target_directory, profile.into())
}

/// The executable among cargo's messages, one JSON object a line.
fn executable(messages: &[u8]) -> Option<PathBuf> {
    let messages = messages.split(|byte| *byte == b'\n');
    messages
        .filter_map(|line| serde_json::from_slice::<serde_json::Value>(line).ok())
        .filter(|message| message["target"]["name"] == "strait")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}
