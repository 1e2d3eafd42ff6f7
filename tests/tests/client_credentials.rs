//! Who a client of the command line is: exec plugins, token files and service accounts, in front of a node that speaks TLS and asks.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};
use strait_tests::{Finished, Running, Server, missing, strait};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(30);
const TOKEN: &str = "a-token-of-the-test";

/// Files of one test: a CA, what it has signed, plugins, kubeconfigs.
struct Room {
    directory: TempDir,
    issuer: Issuer<'static, KeyPair>,
    ca: String,
}

impl Room {
    fn new() -> Self {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "a CA of the test");
        let ca = params.self_signed(&key).expect("a certificate").pem();
        Self { directory: tempfile::tempdir().expect("a directory"), issuer: Issuer::new(params, key), ca }
    }

    fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }

    fn script(&self, name: &str, text: &str) -> PathBuf {
        let path = self.write(name, &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("permissions");
        path
    }

    /// A certificate and its key, as PEM.
    fn sign(&self, purpose: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().expect("a key");
        let mut params = CertificateParams::new(vec!["127.0.0.1".into()]).expect("an address");
        params.extended_key_usages = vec![purpose];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        (certificate.pem(), key.serialize_pem())
    }

    /// A node that speaks TLS, with these arguments besides.
    fn node(&self, arguments: &[&str]) -> Server {
        let (certificate, key) = self.sign(ExtendedKeyUsagePurpose::ServerAuth);
        let (certificate, key) = (self.write("server.pem", &certificate), self.write("server.key", &key));
        let tls = ["--tls-cert-file", text(&certificate), "--tls-private-key-file", text(&key)];
        Server::node_with(&[&tls, arguments].concat())
    }

    fn node_with_token(&self) -> Server {
        let token = self.write("token", TOKEN);
        self.node(&["--token-file", text(&token)])
    }

    /// A kubeconfig whose only user is this one.
    fn kubeconfig(&self, node: &Server, user: &str) -> PathBuf {
        let (url, ca) = (node.url(), BASE64.encode(&self.ca));
        self.write(
            "kubeconfig",
            &format!(
                "current-context: here
clusters: [{{name: c, cluster: {{server: '{url}', certificate-authority-data: {ca}}}}}]
contexts: [{{name: here, context: {{cluster: c, user: u}}}}]
users: [{{name: u, user: {user}}}]
"
            ),
        )
    }

    fn exec(&self, node: &Server, user: &str) -> Finished {
        let kubeconfig = self.kubeconfig(node, user);
        let mut command = Command::new(strait());
        command.env_clear().env("HOME", "/nonexistent").env("PATH", "/usr/bin:/bin");
        command.args(["exec", "--kubeconfig", text(&kubeconfig), "demo", "--", "echo", "inside"]);
        Running::start(command.stdin(Stdio::null()), SOON).finish()
    }
}

fn text(path: &Path) -> &str {
    path.to_str().expect("a path of the test's own")
}

/// The user whose credentials this program tells.
fn plugin(program: &str) -> String {
    format!(
        "{{exec: {{apiVersion: client.authentication.k8s.io/v1, command: '{program}', interactiveMode: Never,
          env: [{{name: SECRET, value: {TOKEN}}}], args: [one, two]}}}}"
    )
}

/// What a plugin prints, with this status.
fn credential(status: &str) -> String {
    format!(
        r#"{{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{{{status}}}}}"#
    )
}

#[track_caller]
fn is_let_in(finished: &Finished) {
    assert!(finished.status.success() && finished.text() == "inside\n", "{finished:?}");
}

#[track_caller]
fn is_kept_out(finished: &Finished, why: &str) {
    assert_eq!((finished.status.code(), &*finished.text()), (Some(1), ""), "{finished:?}");
    assert!(finished.stderr.contains(why), "{why:?} is not said: {finished:?}");
}

#[test]
fn an_exec_plugin_tells_the_token() {
    let room = Room::new();
    let node = room.node_with_token();
    let print = |token: &str| format!("cat <<END\n{}\nEND", credential(&format!(r#""token":"{token}""#)));
    // Its arguments and its environment are those of the kubeconfig.
    let good = room.script("good", &format!(r#"[ "$*" = "one two" ] || exit 9; {}"#, print("$SECRET")));
    is_let_in(&room.exec(&node, &plugin(text(&good))));
    let other = room.script("other", &print("another"));
    is_kept_out(&room.exec(&node, &plugin(text(&other))), "Unauthorized");
    let failing = room.script("failing", "echo no account >&2; exit 7");
    is_kept_out(&room.exec(&node, &plugin(text(&failing))), "failing");
    is_kept_out(&room.exec(&node, &plugin("/no/such/plugin")), "/no/such/plugin");
    let silly = room.script("silly", "echo nonsense");
    is_kept_out(&room.exec(&node, &plugin(text(&silly))), "silly");
}

#[test]
fn an_exec_plugin_tells_the_certificate() {
    let room = Room::new();
    let ca = room.write("ca.pem", &room.ca);
    let node = room.node(&["--client-ca-file", text(&ca)]);
    let (certificate, key) = room.sign(ExtendedKeyUsagePurpose::ClientAuth);
    let (certificate, key) = (certificate.replace('\n', "\\n"), key.replace('\n', "\\n"));
    let status = format!(r#""clientCertificateData":"{certificate}","clientKeyData":"{key}""#);
    let good = room.script("good", &format!("cat <<'END'\n{}\nEND", credential(&status)));
    is_let_in(&room.exec(&node, &plugin(text(&good))));
    let out = room.exec(&node, "{}");
    assert_eq!((out.status.code(), &*out.text()), (Some(1), ""), "{out:?}");
}

#[test]
fn a_token_file_of_the_kubeconfig_is_read() {
    let room = Room::new();
    let node = room.node_with_token();
    let token = room.write("client-token", &format!("{TOKEN}\n"));
    is_let_in(&room.exec(&node, &format!("{{tokenFile: '{}'}}", token.display())));
    is_let_in(&room.exec(&node, &format!("{{token: {TOKEN}}}")));
    is_kept_out(&room.exec(&node, "{tokenFile: /no/such/token}"), "/no/such/token");
    is_kept_out(&room.exec(&node, r#"{token: "two\nlines"}"#), "bytes that HTTP does not allow");
    is_kept_out(&room.exec(&node, "{}"), "Unauthorized");
}

/// In a mount namespace of its own, because the place of a service account's files cannot be chosen.
#[test]
fn in_a_cluster_the_service_account_is_used() {
    let namespace = ["unshare", "--map-root-user", "--user", "--mount"];
    let can = Command::new(namespace[0])
        .args(&namespace[1..])
        .args(["mount", "-t", "tmpfs", "none", "/run"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !can {
        return missing::<()>("no mount namespace can be made (unshare)").unwrap_or_default();
    }
    let room = Room::new();
    let node = room.node_with_token();
    let (ca, strait) = (room.write("ca.pem", &room.ca), strait());
    let (host, port) =
        node.url().strip_prefix("https://").and_then(|address| address.split_once(':')).expect("an address");
    let account = "/run/secrets/kubernetes.io/serviceaccount";
    let run = |token: &str, variables: bool| {
        let script = format!(
            "mount -t tmpfs none /run && mkdir -p {account} && cd {account} &&
             printf '%s' '{token}' > token && printf default > namespace && cp '{}' ca.crt &&
             exec '{}' exec demo -- echo inside",
            ca.display(),
            strait.display()
        );
        let mut command = Command::new(namespace[0]);
        command.args(&namespace[1..]).args(["sh", "-c", &script]);
        command.env_clear().env("HOME", "/nonexistent").env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
        if variables {
            command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
        }
        Running::start(command.stdin(Stdio::null()), SOON).finish()
    };
    is_let_in(&run(TOKEN, true));
    is_kept_out(&run("another", true), "Unauthorized");
    is_kept_out(&run(TOKEN, false), "not a pod of a cluster");
}
