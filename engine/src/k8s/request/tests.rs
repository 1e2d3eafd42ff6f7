use super::*;
use crate::text::{any_text, text_of};
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

const OUTPUT: StreamSet = StreamSet { stdin: false, stdout: true, stderr: true, tty: false };
const TTY: StreamSet = StreamSet { stdin: true, stdout: true, stderr: false, tty: true };
const POD: Pod<'_> = Pod { namespace: "default", name: "x", container: Some("c") };

fn written(write: impl FnOnce(&mut [u8]) -> Result<usize, RequestError>) -> Result<String, RequestError> {
    let mut out = std::vec![0; 64 * 1024];
    let length = write(&mut out)?;
    out.truncate(length);
    Ok(String::from_utf8(out).unwrap())
}

fn kubelet(target: &str) -> Result<String, RequestError> {
    let target = Target::parse(target)?;
    written(|out| target.write_kubelet(out))
}

fn api(query: &str) -> Target<'static> {
    let text = std::format!("/api/v1/namespaces/ns/pods/p/exec?{query}");
    Target::parse(text.leak()).unwrap()
}

fn command(target: Target<'_>) -> Vec<Vec<u8>> {
    target.command().map(|argument| argument.bytes().collect()).collect()
}

#[test]
fn the_go_clients_targets_are_written_byte_for_byte() {
    let exec = ["sh", "-c", "echo ok; exit 3"];
    assert_eq!(
        written(|out| POD.write_exec(exec, OUTPUT, out)).unwrap(),
        "/api/v1/namespaces/default/pods/x/exec?command=sh&command=-c&command=echo+ok%3B+exit+3&container=c&stderr=true\
         &stdout=true"
    );
    assert_eq!(
        written(|out| POD.write_attach(StreamSet { stderr: true, ..TTY }, out)).unwrap(),
        "/api/v1/namespaces/default/pods/x/attach?container=c&stdin=true&stdout=true&tty=true"
    );
    let plain = "/api/v1/namespaces/default/pods/x/portforward";
    assert_eq!(written(|out| POD.write_port_forward(&[], out)).unwrap(), plain);
    let ports = written(|out| POD.write_port_forward(&[8080, 9090], out)).unwrap();
    assert_eq!(ports, std::format!("{plain}?ports=8080&ports=9090"));
    let nameless = Pod { container: None, ..POD };
    assert_eq!(
        written(|out| nameless.write_exec(["date"], OUTPUT, out)).unwrap(),
        "/api/v1/namespaces/default/pods/x/exec?command=date&stderr=true&stdout=true"
    );
}

#[test]
fn targets_of_the_api_server_become_those_of_the_kubelet() {
    for (from, to) in [
        (
            "/api/v1/namespaces/default/pods/x/exec?command=sh&command=-c&command=echo+ok%3b+%22a%26b%22&container=c\
             &stderr=true&stdout=true",
            "/exec/default/x/c?command=sh&command=-c&command=echo+ok%3b+%22a%26b%22&error=1&output=1",
        ),
        (
            "/api/v1/namespaces/default/pods/x/exec?container=c&stdin=true&stdout=true&stderr=true&tty=true&command=sh",
            "/exec/default/x/c?command=sh&input=1&output=1&tty=1",
        ),
        (
            "/api/v1/namespaces/default/pods/x/attach?container=c&stdin=true&stdout=false&stderr=1&command=ignored",
            "/attach/default/x/c?error=1&input=1",
        ),
        ("/api/v1/namespaces/default/pods/x/portforward", "/portForward/default/x"),
        (
            "/api/v1/namespaces/default/pods/x/portforward?ports=8080&ports=9090",
            "/portForward/default/x?port=8080,9090",
        ),
        ("/api/v1/namespaces/default/pods/x/portforward?ports=1%2C2,3", "/portForward/default/x?port=1,2,3"),
        ("/exec/default/x/uid-1/c?output=1&command=", "/exec/default/x/uid-1/c?command=&output=1"),
        ("/portForward/default/x/uid-1?port=1&port=2", "/portForward/default/x/uid-1?port=1,2"),
    ] {
        assert_eq!(kubelet(from).as_deref(), Ok(to), "{from}");
    }
}

#[test]
fn every_path_of_every_server_is_known() {
    let table: &[(&str, Server, Verb, [&str; 5])] = &[
        ("/api/v1/namespaces/n/pods/p/exec", Server::Api, Verb::Exec, ["n", "p", "", "", ""]),
        (
            "/api/v1/namespaces/n/pods/p/attach?container=c",
            Server::Api,
            Verb::Attach,
            ["n", "p", "", "c", ""],
        ),
        ("/api/v1/namespaces/n/pods/p/portforward", Server::Api, Verb::PortForward, ["n", "p", "", "", ""]),
        ("/exec/n/p/c", Server::Kubelet, Verb::Exec, ["n", "p", "", "c", ""]),
        ("/exec/n/p/u/c", Server::Kubelet, Verb::Exec, ["n", "p", "u", "c", ""]),
        ("/attach/n/p/c", Server::Kubelet, Verb::Attach, ["n", "p", "", "c", ""]),
        ("/attach/n/p/u/c", Server::Kubelet, Verb::Attach, ["n", "p", "u", "c", ""]),
        ("/portForward/n/p", Server::Kubelet, Verb::PortForward, ["n", "p", "", "", ""]),
        ("/portForward/n/p/u", Server::Kubelet, Verb::PortForward, ["n", "p", "u", "", ""]),
        ("/exec/Ab-_12", Server::Cri, Verb::Exec, ["", "", "", "", "Ab-_12"]),
        ("/attach/t", Server::Cri, Verb::Attach, ["", "", "", "", "t"]),
        ("/portforward/t", Server::Cri, Verb::PortForward, ["", "", "", "", "t"]),
    ];
    for (text, server, verb, names) in table {
        let target = Target::parse(text).unwrap();
        let optional = [target.uid, target.container, target.token].map(Option::unwrap_or_default);
        let [uid, container, token] = optional;
        assert_eq!((target.server, target.verb), (*server, *verb), "{text}");
        assert_eq!([target.namespace, target.pod, uid, container, token], *names, "{text}");
    }
}

#[test]
fn other_paths_are_not_found() {
    for text in [
        "",
        "exec/t",
        "/",
        "//",
        "/exec",
        "/exec/n/p/u/c/x",
        "/portForward/t",
        "/portforward/n/p",
        "/Exec/t",
        "/exec/n/p",
        "/api/v1/namespaces/n/pods/p/log",
        "/api/v1/namespaces/n/pods/p/portForward",
        "/api/v1/namespaces/n/pods/p/exec/",
        "/api/v1/namespaces/n/pods/p/exec/a/b",
        "/api/v2/namespaces/n/pods/p/exec",
        "http://host/exec/t",
    ] {
        assert_eq!(Target::parse(text), Err(RequestError::NotFound), "{text}");
    }
    assert_eq!(RequestError::NotFound.status(), 404);
}

#[test]
fn a_name_can_never_become_another_path() {
    for bad in ["", ".", "..", "%2e%2e", "a%2Fb", "a%00", "a:b", "a\\b", "*", &"a".repeat(254)] {
        for (parameter, text) in [
            ("namespace", std::format!("/exec/{bad}/p/c?output=1")),
            ("pod", std::format!("/exec/n/{bad}/c?output=1")),
            ("uid", std::format!("/exec/n/p/{bad}/c?output=1")),
            ("container", std::format!("/exec/n/p/{bad}?output=1")),
            ("token", std::format!("/exec/{bad}")),
            ("container", std::format!("/api/v1/namespaces/n/pods/p/exec?container={bad}&stdout=1")),
        ] {
            let parsed = Target::parse(&text).map(|target| target.container);
            if bad.is_empty() && text.starts_with("/api") {
                assert_eq!(parsed, Ok(None));
            } else {
                assert_eq!(parsed, Err(RequestError::InvalidName { parameter }), "{text}");
            }
        }
    }
    let mut target = Target::parse("/api/v1/namespaces/n/pods/p/exec?stdout=1").unwrap();
    target.container = Some("../../../portForward/n/p");
    let bad = RequestError::InvalidName { parameter: "container" };
    assert_eq!(written(|out| target.write_kubelet(out)), Err(bad));
    let pod = Pod { name: "a?b", ..POD };
    assert_eq!(
        written(|out| pod.write_attach(TTY, out)),
        Err(RequestError::InvalidName { parameter: "pod" })
    );
    assert_eq!(bad.status(), 400);
}

#[test]
fn bytes_that_break_a_request_line_or_a_query_are_refused() {
    for (text, at) in [
        ("/exec/t?a b", 9),
        ("/exec/t\r\n", 7),
        ("/exec/t#x", 7),
        ("/exec/é", 6),
        ("/exec/n/p/c?command=%", 20),
        ("/exec/n/p/c?command=%zz", 20),
        ("/exec/n/p/c?a;b=%", 13),
    ] {
        assert_eq!(Target::parse(text), Err(RequestError::Malformed { at }), "{text}");
    }
}

#[test]
fn flags_of_the_api_server_are_false_only_if_they_say_so() {
    for set in [
        "stdin=true",
        "stdin=1",
        "stdin=True",
        "stdin=yes",
        "stdin=",
        "stdin",
        "std%69n=tr%75e",
        "stdin=1&stdin=0",
    ] {
        assert_eq!(api(set).streams(), Ok(StreamSet { stdin: true, ..StreamSet::default() }), "{set}");
    }
    for clear in [
        "",
        "stdin=false",
        "stdin=0",
        "stdin=False",
        "stdin=FALSE",
        "stdin=0&stdin=1",
        "input=1",
        "Stdin=1",
        "tty=1",
        "stderr=1&tty=1",
    ] {
        assert_eq!(api(clear).streams(), Err(RequestError::NoStreams), "{clear}");
    }
    // What the Python client sends.
    let target = api("command=ls&stderr=True&stdin=False&stdout=True&tty=False");
    assert_eq!(target.streams(), Ok(OUTPUT));
}

#[test]
fn flags_of_the_kubelet_are_exactly_one() {
    let streams = |query: &str| Target::parse(&std::format!("/exec/n/p/c?{query}")).unwrap().streams();
    assert_eq!(streams("error=1&output=1"), Ok(OUTPUT));
    assert_eq!(streams("input=1&output=1&error=1&tty=1"), Ok(TTY));
    for none in [
        "output=true",
        "output=",
        "output=01",
        "output",
        "stdout=1",
        "output=0&output=1",
        "tty=1",
        "error=1&tty=1",
        "error=1&tty=1",
    ] {
        assert_eq!(streams(none), Err(RequestError::NoStreams), "{none}");
    }
    let error = RequestError::NoStreams;
    assert_eq!(error.status(), 400);
    assert_eq!(std::format!("{error}"), "you must specify at least 1 of stdin, stdout, stderr");
}

#[test]
fn a_command_keeps_its_order_and_every_byte() {
    let target = api("command=sh&x=1&command=-c&&command=a+b%2Bc%26d%3D%00%FF&stdout=1&command=&command");
    assert_eq!(command(target), [&b"sh"[..], b"-c", b"a b+c&d=\0\xff", b"", b""]);
    let argument = target.command().nth(2).unwrap();
    let mut out = [0; 10];
    assert_eq!(argument.decode(&mut out), Ok(10));
    assert_eq!(&out, b"a b+c&d=\0\xff");
    assert_eq!(argument.decode(&mut out[1..]), Err(Full));
}

#[test]
fn a_kubelet_gets_the_ports_as_a_list() {
    let api = "/api/v1/namespaces/n/pods/p/portforward?ports=";
    assert_eq!(
        kubelet(&std::format!("{api}8080&ports=1,65535")).as_deref(),
        Ok("/portForward/n/p?port=8080,1,65535")
    );
    assert_eq!(kubelet(&std::format!("{api}0")), Err(RequestError::InvalidPort));
    assert_eq!(written(|out| POD.write_port_forward(&[1, 0], out)), Err(RequestError::InvalidPort));
}

#[test]
fn what_the_kubelet_needs_must_be_known() {
    let target = "/api/v1/namespaces/n/pods/p/exec?command=ls";
    assert_eq!(kubelet(target), Err(RequestError::NoContainer));
    assert_eq!(kubelet(&std::format!("{target}&container=c")), Err(RequestError::NoStreams));
    assert_eq!(kubelet("/exec/token?output=1"), Err(RequestError::NotFound));
    let text = std::format!("{target}&stdout=1");
    let mut named = Target::parse(&text).unwrap();
    named.container = Some("main");
    assert_eq!(written(|out| named.write_kubelet(out)).as_deref(), Ok("/exec/n/p/main?command=ls&output=1"));
}

#[test]
fn a_target_fits_whole_or_not_at_all() {
    let whole = written(|out| POD.write_exec(["a"], OUTPUT, out)).unwrap();
    for room in 0..whole.len() {
        let mut out = std::vec![0; room];
        assert_eq!(POD.write_exec(["a"], OUTPUT, &mut out), Err(RequestError::TooLong));
    }
    assert_eq!(POD.write_exec(["a"], OUTPUT, &mut std::vec![0; whole.len()]), Ok(whole.len()));
    assert_eq!(RequestError::TooLong.status(), 414);
}

fn streams() -> impl Strategy<Value = StreamSet> {
    any::<[bool; 4]>().prop_map(|[stdin, stdout, stderr, tty]| StreamSet { stdin, stdout, stderr, tty })
}

/// Pieces of queries, and others.
fn piece() -> impl Strategy<Value = String> {
    static WORDS: &[&str] =
        &["command", "stdin", "output", "port", "tty", "=", "&", "%2", "1", "0", ",", "true", "/", ".", "+"];
    prop_oneof![15 => prop::sample::select(WORDS).prop_map(String::from), 1 => any_text()]
}

proptest! {
    #[test]
    fn requests_survive_both_hops(
        argv: Vec<Vec<u8>>,
        streams in streams().prop_filter("one stream at least", |streams| streams.is_any()),
        names in prop::array::uniform3(text_of("az09-.", 1..22).prop_filter("a name", |name| !name.starts_with('.'))),
    ) {
        let [namespace, name, container] = &names;
        let pod = Pod { namespace, name, container: Some(container) };
        let api = written(|out| pod.write_exec(&argv, streams, out)).unwrap();
        let kubelet = kubelet(&api).unwrap();
        for (text, server) in [(&api, Server::Api), (&kubelet, Server::Kubelet)] {
            let target = Target::parse(text).unwrap();
            prop_assert_eq!((target.server, target.verb), (server, Verb::Exec));
            prop_assert_eq!((target.namespace, target.pod), (namespace.as_str(), name.as_str()));
            prop_assert_eq!(target.container, Some(container.as_str()));
            prop_assert_eq!(target.streams(), Ok(streams.without_stderr_of_tty()));
            prop_assert_eq!(command(target), argv.clone());
        }
    }

    #[test]
    fn arbitrary_targets_never_leave_the_request_line(
        path in prop::sample::select(&["/exec/n/p/c?", "/portForward/n/p?", "/api/v1/namespaces/n/pods/p/exec?container=c&", "/"][..]),
        rest in prop::collection::vec(piece(), 0..12),
    ) {
        let text = std::format!("{path}{}", rest.concat());
        if let Ok(target) = Target::parse(&text) {
            let _ = (target.streams(), target.ports().count(), command(target));
            if let Ok(kubelet) = written(|out| target.write_kubelet(out)) {
                prop_assert!(kubelet.bytes().all(|byte| byte.is_ascii_graphic()));
                let again = Target::parse(&kubelet).unwrap();
                prop_assert_eq!(command(again).len(), if target.verb == Verb::Exec { command(target).len() } else { 0 });
                prop_assert_eq!(again.streams(), target.streams());
                prop_assert_eq!(again.server, Server::Kubelet);
            }
        }
    }

    #[test]
    fn arbitrary_text_is_survived(text in any_text()) {
        let _ = Target::parse(&text);
    }
}
