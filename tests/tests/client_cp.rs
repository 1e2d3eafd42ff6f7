//! `strait cp`: trees and files both ways, and copies that are interrupted.

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use strait_tests::{
    Checksum, Finished, Proxy, Random, Running, Server, Shores, eventually, long_tests_are_wanted, strait,
};

/// What a copy may take.
const TRANSFER: Duration = Duration::from_mins(4);

fn copy(url: &str, arguments: &[&str]) -> Running {
    let mut command = Command::new(strait());
    command.env_clear().env("HOME", "/nonexistent").args(["cp", "--server", url]).args(arguments);
    Running::start(command.stdin(Stdio::null()), TRANSFER)
}

#[track_caller]
fn copies(url: &str, arguments: &[&str]) -> Finished {
    let finished = copy(url, arguments).finish();
    assert!(finished.status.success(), "{arguments:?}: {finished:?}");
    finished
}

fn remote(path: &Path) -> String {
    format!("demo:{}", path.display())
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

fn random_file(path: &Path, len: usize) {
    let mut bytes = vec![0; len];
    Random::of_this_run().fill(&mut bytes);
    fs::write(path, bytes).expect("a file");
}

fn sum(path: &Path) -> String {
    Checksum::of(fs::File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))).finish()
}

#[track_caller]
fn are_equal(one: &Path, other: &Path) {
    let diff =
        Command::new("diff").args(["-r", "--no-dereference"]).args([one, other]).output().expect("diff runs");
    assert!(diff.status.success(), "{}", String::from_utf8_lossy(&diff.stdout));
}

#[test]
fn a_tree_comes_and_goes_as_it_is() {
    let shores = Shores::start(&[]);
    let count = if long_tests_are_wanted("20,000 files each way") { 20_000 } else { 1_000 };
    let room = tempfile::tempdir().expect("a directory");
    let (tree, there, back) = (room.path().join("tree"), room.path().join("there"), room.path().join("back"));
    for number in 0..count {
        let directory = tree.join(format!("d{}/e{}", number % 7, number % 31));
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join(format!("file {number}")), number.to_string().repeat(number % 50))
            .expect("a file");
    }
    let odd = tree.join("odd\nname\\ with spaces");
    fs::write(&odd, "odd").expect("a file");
    fs::set_permissions(&odd, fs::Permissions::from_mode(0o741)).expect("permissions");
    std::os::unix::fs::symlink("odd", tree.join("link")).expect("a link");
    fs::create_dir(tree.join("empty")).expect("a directory");
    for (from, to) in [(text(&tree).to_owned(), remote(&there)), (remote(&there), text(&back).to_owned())] {
        copies(shores.gateway.url(), &[&from, &to]);
    }
    are_equal(&tree, &there);
    are_equal(&tree, &back);
    let (before, after) = (
        fs::metadata(&odd).expect("a file"),
        fs::metadata(back.join(odd.file_name().expect("a name"))).expect("a file"),
    );
    assert_eq!((before.mode(), before.mtime()), (after.mode(), after.mtime()));
    // Into a directory that is there it goes under its name.
    copies(shores.node.url(), &[&remote(&tree.join("d1")), text(&back)]);
    are_equal(&tree.join("d1"), &back.join("d1"));
}

/// Upstream may speak an older protocol than the gateway in front of it, and not hear that the input has ended.
#[test]
fn a_tree_arrives_where_the_end_of_input_cannot_be_told() {
    let node = Server::node_with(&["--websocket-protocols", "v4.channel.k8s.io"]);
    let shores = Shores::behind_gateway(node, &["--upstream-protocol", "websocket"]);
    let room = tempfile::tempdir().expect("a directory");
    let [tree, there, back] = ["tree", "there", "back"].map(|name| room.path().join(name));
    let long = tree.join("long ".repeat(30)).join("names ".repeat(20));
    fs::create_dir_all(&long).expect("a directory");
    for (number, size) in [0, 1, 511, 512, 513, 100_000].into_iter().enumerate() {
        random_file(&long.join(number.to_string()), size);
    }
    std::os::unix::fs::symlink("x".repeat(200), tree.join("link")).expect("a link");
    copies(shores.gateway.url(), &[text(&tree), &remote(&there)]);
    copies(shores.gateway.url(), &["--no-preserve", &remote(&there), text(&back)]);
    are_equal(&tree, &there);
    are_equal(&tree, &back);
}

#[test]
fn a_file_keeps_its_content_permissions_and_time_and_goes_through_pipes() {
    let shores = Shores::start(&[]);
    let room = tempfile::tempdir().expect("a directory");
    let [from, there, back, piped] = ["from", "there", "back", "piped"].map(|name| room.path().join(name));
    random_file(&from, 5_000_001);
    fs::set_permissions(&from, fs::Permissions::from_mode(0o604)).expect("permissions");
    let url = shores.gateway.url();
    let said = copies(url, &[text(&from), &remote(&there)]).stderr;
    assert!(said.starts_with(text(&there)) && said.contains("4.77 MiB in "), "{said:?}");
    let said = copies(url, &["-q", &remote(&there), text(&back)]).stderr;
    assert_eq!(said, "");
    assert_eq!((sum(&there), sum(&back)), (sum(&from), sum(&from)));
    let attributes =
        |path: &Path| fs::metadata(path).map(|data| (data.mode(), data.mtime())).expect("a file");
    assert_eq!((attributes(&there), attributes(&back)), (attributes(&from), attributes(&from)));

    let script = format!(
        "{0} cp -q -s {url} {1} - | {0} cp -q -s {url} - {2}",
        strait().display(),
        remote(&from),
        remote(&piped)
    );
    let status =
        Command::new("sh").args(["-c", &script]).env("HOME", "/nonexistent").status().expect("sh runs");
    assert!(status.success());
    assert_eq!(sum(&piped), sum(&from));
    let names = fs::read_dir(room.path()).expect("a directory").count();
    assert_eq!(names, 4, "nothing is left beside them");

    let empty = room.path().join("empty");
    fs::write(&empty, "").expect("a file");
    copies(url, &[text(&empty), &remote(&room.path().join("empty2"))]);
    copies(url, &[&remote(&empty), text(&room.path().join("empty3"))]);
    let missing = copy(url, &[&remote(&room.path().join("missing")), "x"]).finish();
    assert!(missing.status.code() == Some(1) && missing.stderr.contains("no such file"), "{missing:?}");
}

/// A wire to a node that is cut in the middle of the copy, each way: a clear error, nothing that looks complete, and a resumed copy that is right.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_copy_is_an_error_and_is_resumed() {
    let node = Server::node();
    let proxy = Proxy::start(node.address()).await;
    let room = tempfile::tempdir().expect("a directory");
    let [from, there, back] = ["from", "there", "back"].map(|name| room.path().join(name));
    let size = if long_tests_are_wanted("a file of 2 GiB, cut each way") { 2 << 30 } else { 120 << 20 };
    let mut command = Command::new("head");
    let file = fs::File::create(&from).expect("a file");
    assert!(
        command
            .args(["-c", &size.to_string(), "/dev/urandom"])
            .stdout(file)
            .status()
            .expect("head runs")
            .success()
    );
    for (source, target, partial, word) in [
        (text(&from).to_owned(), remote(&there), room.path().join(".there.strait-partial"), "stdin=true"),
        (remote(&there), text(&back).to_owned(), room.path().join(".back.strait-partial"), "command=exec"),
    ] {
        let url = proxy.url();
        let running = copy(&url, &[&source, &target]);
        eventually(TRANSFER, || match fs::metadata(&partial) {
            Ok(data) if data.len() > 10 << 20 => Ok(()),
            other => Err(format!("{other:?}, {}", running.stderr())),
        });
        let _ = word;
        proxy.cut("/exec?");
        let finished = tokio::task::spawn_blocking(move || running.finish()).await.expect("it ends");
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(
            finished.stderr.contains("--resume") && finished.stderr.contains("connection"),
            "{finished:?}"
        );
        let done = fs::metadata(&partial).expect("what has come").len();
        assert!(done < size, "it was complete already");
        let resumed =
            tokio::task::spawn_blocking(move || copies(&url, &["--resume", &source, &target])).await;
        let resumed = resumed.expect("it ends");
        assert!(!resumed.stderr.contains("starting again"), "{resumed:?}");
        assert!(!partial.exists());
    }
    assert_eq!((sum(&there), sum(&back)), (sum(&from), sum(&from)));
}

/// A server that is away for a while, and a user who has better things to do.
#[test]
fn a_copy_with_retries_goes_on_by_itself() {
    let mut node = Server::node();
    let (listen, url) = (node.address().to_string(), node.url().to_owned());
    let room = tempfile::tempdir().expect("a directory");
    let [from, there, back] = ["from", "there", "back"].map(|name| room.path().join(name));
    random_file(&from, 40_000_000);
    for (source, target, partial) in [
        (text(&from).to_owned(), remote(&there), room.path().join(".there.strait-partial")),
        (remote(&there), text(&back).to_owned(), room.path().join(".back.strait-partial")),
    ] {
        let running = copy(&url, &["--retries", "30", &source, &target]);
        eventually(TRANSFER, || match fs::metadata(&partial) {
            Ok(data) if data.len() > 1_000_000 => Ok(()),
            other => Err(format!("{other:?}, {}", running.stderr())),
        });
        node.kill();
        // The first attempt finds nobody.
        eventually(TRANSFER, || {
            let said = running.stderr();
            if said.contains("cannot connect") { Ok(()) } else { Err(said) }
        });
        node = Server::spawn(&["node", "--listen", &listen, "--drain-timeout", "0"]);
        let finished = running.finish();
        assert!(finished.status.success(), "{finished:?}");
        assert!(finished.stderr.contains("resuming"), "{finished:?}");
        assert!(!finished.stderr.contains("starting again"), "{finished:?}");
        assert!(!partial.exists());
    }
    assert_eq!((sum(&there), sum(&back)), (sum(&from), sum(&from)));
}

#[test]
fn what_is_not_the_beginning_of_the_file_is_not_resumed() {
    let node = Server::node();
    let room = tempfile::tempdir().expect("a directory");
    let [from, there, back] = ["from", "there", "back"].map(|name| room.path().join(name));
    random_file(&from, 100_000);
    for beside in [".there.strait-partial", ".back.strait-partial"] {
        fs::write(room.path().join(beside), "something else").expect("a file");
    }
    for (source, target) in
        [(text(&from).to_owned(), remote(&there)), (remote(&from), text(&back).to_owned())]
    {
        let finished = copies(node.url(), &["--resume", &source, &target]);
        assert!(finished.stderr.contains("starting again"), "{finished:?}");
    }
    assert_eq!((sum(&there), sum(&back)), (sum(&from), sum(&from)));
}

#[test]
fn a_node_that_ends_in_the_middle_of_a_tree_is_an_error() {
    let node = Server::node();
    let room = tempfile::tempdir().expect("a directory");
    let tree = room.path().join("tree");
    fs::create_dir(&tree).expect("a directory");
    for number in 0..20 {
        random_file(&tree.join(number.to_string()), 10_000_000);
    }
    let back = room.path().join("back");
    let running = copy(node.url(), &[&remote(&tree), text(&back)]);
    eventually(TRANSFER, || if back.join("0").exists() { Ok(()) } else { Err(running.stderr()) });
    node.signal(Signal::KILL);
    let finished = running.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("not complete"), "{finished:?}");
}
