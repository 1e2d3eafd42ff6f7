//! `strait exec` and `strait attach`, with a node directly and through a gateway.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use strait_tests::{
    Checksum, Finished, Random, Running, Server, Shores, Terminal, checksum_of, eventually, strait,
};

/// What a transfer may take.
const TRANSFER: Duration = Duration::from_mins(2);
/// What anything else may take.
const SOON: Duration = Duration::from_secs(30);
const BIG: usize = 300_000_000;

fn client(url: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(strait());
    // Neither the user's kubeconfig nor his proxies.
    command
        .env_clear()
        .env("HOME", "/nonexistent")
        .args(&arguments[..1])
        .args(["--server", url])
        .args(&arguments[1..]);
    command
}

#[track_caller]
fn run(url: &str, arguments: &[&str]) -> Finished {
    Running::start(client(url, arguments).stdin(Stdio::null()), SOON).finish()
}

/// A node directly, and through a gateway that translates.
fn ways() -> (Shores, [(&'static str, String); 2]) {
    let shores = Shores::start(&[]);
    let urls = [("node", shores.node.url().to_owned()), ("gateway", shores.gateway.url().to_owned())];
    (shores, urls)
}

#[test]
fn output_errors_and_every_exit_code_arrive() {
    let (_shores, urls) = ways();
    for (way, url) in &urls {
        for code in [0, 1, 2, 7, 126, 127, 128, 137, 255] {
            let finished = run(
                url,
                &["exec", "demo", "--", "sh", "-c", &format!("echo out; echo err >&2; exit {code}")],
            );
            assert_eq!(finished.status.code(), Some(code), "{way}: {finished:?}");
            assert_eq!(finished.text(), "out\n", "{way}");
            let said =
                if code == 0 { String::new() } else { format!("command terminated with exit code {code}\n") };
            assert_eq!(finished.stderr, format!("err\n{said}"), "{way}");
        }
        let finished = run(url, &["exec", "-q", "pod/demo", "--", "sh", "-c", "exit 3"]);
        assert_eq!((finished.status.code(), &*finished.stderr), (Some(3), ""), "{way}");
        let finished = run(url, &["exec", "demo", "--", "/no/such/program"]);
        assert!(
            finished.status.code() == Some(1) && finished.stderr.contains("/no/such/program"),
            "{way}: {finished:?}"
        );
    }
}

#[test]
fn what_cannot_be_found_is_said() {
    let (_shores, urls) = ways();
    let (_, url) = &urls[1];
    for (arguments, expected) in [
        (&["exec", "other", "--", "date"][..], "NotFound"),
        (&["exec", "demo", "-c", "side", "--", "date"], "container side not found"),
        (&["exec", "deploy/demo", "--", "date"], "only pods are"),
        (&["attach", "other"], "NotFound"),
    ] {
        let finished = run(url, arguments);
        assert_eq!(finished.status.code(), Some(1), "{finished:?}");
        assert!(finished.stderr.contains(expected), "{finished:?}");
    }
    let nowhere = run("http://127.0.0.1:1", &["exec", "demo", "--", "date"]);
    assert!(nowhere.stderr.contains("cannot connect to 127.0.0.1:1"), "{nowhere:?}");
}

#[test]
fn the_environment_chooses_the_protocol_and_requests_are_logged_without_secrets() {
    let (_shores, urls) = ways();
    let (_, url) = &urls[1];
    for (value, expected) in
        [("false", "(SPDY)"), ("FALSE", "(SPDY)"), ("no", "(WebSocket)"), ("", "(WebSocket)")]
    {
        let mut command = client(url, &["exec", "-v=7", "--token", "topsecret", "demo", "--", "date"]);
        command.env("KUBECTL_REMOTE_COMMAND_WEBSOCKETS", value).stdin(Stdio::null());
        let finished = Running::start(&mut command, SOON).finish();
        assert!(finished.status.success() && finished.stderr.contains(expected), "{value:?}: {finished:?}");
        assert!(finished.stderr.to_lowercase().contains("authorization: <masked>"), "{}", finished.stderr);
        assert!(!finished.stderr.contains("topsecret"), "{}", finished.stderr);
    }
}

#[test]
fn each_level_of_the_log_shows_more_and_none_shows_secrets() {
    let node = Server::node();
    let log = |level: u32| {
        let level = format!("-v={level}");
        let arguments = ["exec", &level, "--token", "topsecret", "demo", "--", "date"];
        let finished = run(node.url(), &arguments);
        assert!(finished.status.success() && !finished.stderr.contains("topsecret"), "{finished:?}");
        finished.stderr
    };
    let [nothing, requests, heads, same, all] = [5, 6, 7, 8, 9].map(log);
    assert_eq!(nothing, "");
    for expected in [
        format!("GET {}/api/v1/namespaces/default/pods/demo", node.url()),
        "200 OK GET".into(),
        "101 Switching Protocols GET".into(),
    ] {
        assert!(requests.contains(&expected), "{expected:?} is not in {requests}");
    }
    assert!(!requests.contains("User-Agent"), "{requests}");
    for log in [&heads, &same, &all] {
        assert!(log.contains("User-Agent: strait/"), "{log}");
        assert!(log.to_lowercase().contains("authorization: <masked>"), "{log}");
    }
}

#[test]
fn three_hundred_megabytes_go_each_way_and_the_end_of_input_arrives() {
    let (_shores, urls) = ways();
    for (way, url) in &urls {
        let mut sender = Running::start(
            client(url, &["exec", "-i", "demo", "--", "sha256sum"]).stdin(Stdio::piped()),
            TRANSFER,
        );
        let (mut random, mut expected) = (Random::of_this_run(), Checksum::new());
        let mut stdin = sender.stdin.take().expect("standard input is a pipe");
        let mut buffer = vec![0; 1_000_000];
        for _ in 0..BIG / buffer.len() {
            random.fill(&mut buffer);
            expected.write_all(&buffer).expect("sha256sum takes input");
            stdin.write_all(&buffer).expect("strait takes input");
        }
        drop(stdin);
        let finished = sender.finish();
        assert!(finished.status.success(), "{way}: {finished:?}");
        assert_eq!(finished.text(), expected.finish(), "{way}");

        let command = ["exec", "demo", "--", "head", "-c", "300000000", "/dev/zero"];
        let mut receiver = Running::start(client(url, &command).stdin(Stdio::null()), TRANSFER);
        let sum = Checksum::of(receiver.stdout.take().expect("standard output is a pipe")).finish();
        let finished = receiver.finish();
        assert!(finished.status.success(), "{way}: {finished:?}");
        assert_eq!(sum, checksum_of("head -c 300000000 /dev/zero"), "{way}");
    }
}

#[test]
fn files_are_read_and_written_in_place_and_a_closed_reader_ends_it() {
    let (_shores, urls) = ways();
    let room = tempfile::tempdir().expect("a directory");
    let (from, to) = (room.path().join("from"), room.path().join("to"));
    std::fs::write(&from, "some input").expect("a file");
    for (way, url) in &urls {
        let mut command = client(url, &["exec", "-i", "demo", "--", "sh", "-c", "cat; exit 5"]);
        command.stdin(File::open(&from).expect("a file")).stdout(File::create(&to).expect("a file"));
        let mut child = command.stderr(Stdio::null()).spawn().expect("strait starts");
        let status = eventually(SOON, || child.try_wait().ok().flatten().ok_or("it runs on"));
        assert_eq!(status.code(), Some(5), "{way}");
        assert_eq!(std::fs::read(&to).expect("a file"), b"some input", "{way}");

        let mut yes = Running::start(client(url, &["exec", "demo", "--", "yes"]).stdin(Stdio::null()), SOON);
        let mut first = [0; 2];
        yes.stdout.take().expect("standard output is a pipe").read_exact(&mut first).expect("output");
        assert_eq!(yes.finish().status.code(), Some(128 + 13), "{way}");
    }
}

#[test]
fn a_server_that_is_killed_is_an_error_and_never_a_success() {
    let mut node = Server::node();
    let mut session = Running::start(
        client(node.url(), &["exec", "demo", "--", "sh", "-c", "echo up; sleep 100"]).stdin(Stdio::null()),
        SOON,
    );
    let mut up = [0; 3];
    session.stdout.as_mut().expect("standard output is a pipe").read_exact(&mut up).expect("output");
    node.kill();
    let finished = session.finish();
    assert_eq!(finished.status.code(), Some(1), "{finished:?}");
    assert!(finished.stderr.contains("connection"), "{finished:?}");
}

/// `strait` in a shell that says what became of the terminal.
fn on_terminal(before: &str, url: &str, arguments: &str) -> Terminal {
    let strait = strait().display();
    let (verb, rest) = arguments.split_once(' ').expect("a command and its arguments");
    let inner = format!("echo pid=$$; exec {strait} {verb} --server {url} {rest}");
    let script = format!("{before} HOME=/nonexistent sh -c '{inner}'; echo code=$?; stty -a; echo done");
    Terminal::shell(&script, (30, 100))
}

#[track_caller]
fn is_restored(mut terminal: Terminal, code: &str) {
    terminal.reads(&format!("code={code}"));
    let modes = terminal.reads("done");
    assert!(modes.contains(" icanon") && modes.contains(" echo ") && modes.contains("isig "), "{modes}");
    assert!(!terminal.is_raw());
    assert!(terminal.finish().status.success());
}

fn pid(terminal: &mut Terminal) -> Pid {
    terminal.reads("pid=");
    let digits = terminal.reads("\r\n");
    Pid::from_raw(digits.trim().parse().expect("a process id")).expect("a process id")
}

#[test]
fn a_terminal_is_used_raw_with_its_size_and_restored_behind_the_exit() {
    let (_shores, urls) = ways();
    for (_, url) in &urls {
        let mut terminal = on_terminal("", url, "exec -it demo -- sh");
        pid(&mut terminal);
        terminal
            .types("until [ \"$(stty size)\" = '30 100' ]; do sleep 0.05; done; stty size; echo re''ady\r");
        terminal.reads("30 100");
        terminal.reads("ready");
        assert!(terminal.is_raw());
        terminal.resize(40, 120);
        eventually(SOON, || {
            terminal.types("stty size; echo en''d\r");
            let shown = terminal.reads("end");
            if shown.contains("40 120") { Ok(()) } else { Err(shown) }
        });
        // Ctrl-C is the process's.
        terminal.types("sleep 100\r");
        std::thread::sleep(Duration::from_millis(300));
        terminal.types("\x03");
        terminal.types("echo af''ter; exit 3\r");
        terminal.reads("after");
        is_restored(terminal, "3");
    }
}

#[test]
fn a_terminal_is_restored_behind_an_error_a_signal_and_a_panic() {
    let mut node = Server::node();
    for (signal, code) in
        [(Signal::INT, "130"), (Signal::TERM, "143"), (Signal::HUP, "129"), (Signal::QUIT, "131")]
    {
        let mut terminal = on_terminal("", node.url(), "exec -it demo -- sh -c \"echo ready; sleep 100\"");
        let pid = pid(&mut terminal);
        terminal.reads("ready");
        assert!(terminal.is_raw());
        kill_process(pid, signal).expect("it runs");
        is_restored(terminal, code);
    }
    if cfg!(debug_assertions) {
        let terminal = on_terminal("STRAIT_TEST_PANIC=1", node.url(), "exec -it demo -- sh");
        is_restored(terminal, "101");
    }
    let mut terminal = on_terminal("", node.url(), "exec -it demo -- sh -c \"echo ready; sleep 100\"");
    pid(&mut terminal);
    terminal.reads("ready");
    node.kill();
    is_restored(terminal, "1");
}

#[test]
fn attach_joins_the_main_process_and_keys_leave_it() {
    let node = Server::node_with(&["--main", "sh -i", "--main-tty"]);
    let gateway = Server::gateway(node.url(), &[]);
    for url in [node.url(), gateway.url()] {
        let mut terminal = on_terminal("", url, "attach -it demo");
        terminal.reads("If you don");
        terminal.types("echo at''tached; stty size\r");
        terminal.reads("attached");
        terminal.reads("30 100");
        assert!(terminal.is_raw());
        terminal.types("echo one\x10\x11");
        terminal.reads("detached");
        is_restored(terminal, "0");
    }
    // Without a terminal, and to the end of the process.
    let node = Server::node_with(&[
        "--main",
        "while read -r line; do [ \"$line\" = end ] && exit 6; echo \"<$line>\"; done",
    ]);
    let mut attached =
        Running::start(client(node.url(), &["attach", "-i", "demo"]).stdin(Stdio::piped()), SOON);
    attached.write(b"word\n");
    let mut answer = [0; 7];
    attached.stdout.as_mut().expect("standard output is a pipe").read_exact(&mut answer).expect("output");
    assert_eq!(&answer, b"<word>\n");
    attached.write(b"end\n");
    assert_eq!(attached.finish().status.code(), Some(6));
}
