//! kube-rs with a command line like kubectl's: --server=URL VERB [-i] [-t] POD [:PORT] [-- COMMAND].

use std::error::Error;
use std::process::exit;

use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Status;
use kube::api::{Api, AttachParams, AttachedProcess, TerminalSize};
use kube::{Client, Config};
use rustix::termios::{OptionalActions, tcgetattr, tcgetwinsize, tcsetattr};
use tokio::io::{AsyncWriteExt as _, copy, copy_bidirectional, stderr, stdin, stdout};
use tokio::net::{TcpListener, TcpStream};
use tokio::signal::unix::{SignalKind, signal};

type Outcome<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() {
    match run().await {
        Ok(code) => exit(code),
        Err(error) => {
            eprintln!("error: {error}");
            exit(1)
        }
    }
}

async fn run() -> Outcome<i32> {
    let mut words: Vec<String> = std::env::args().skip(1).collect();
    let end = words.iter().position(|word| word == "--");
    let command = end.map_or_else(Vec::new, |end| words.split_off(end));
    let flag = |letter| {
        words.iter().any(|word| !word.starts_with("--") && word.starts_with('-') && word.contains(letter))
    };
    let (input, tty) = (flag('i'), flag('t'));
    let server = words.iter().find_map(|word| word.strip_prefix("--server=")).ok_or("no --server")?;
    let rest: Vec<&String> = words.iter().filter(|word| !word.starts_with('-')).collect();
    let pods: Api<Pod> = Api::namespaced(Client::try_from(Config::new(server.parse()?))?, "default");
    let asked = AttachParams { stdin: input, stdout: true, stderr: !tty, tty, ..AttachParams::default() };
    let asked = asked.container("main");
    match *rest {
        [verb, pod] if verb == "exec" => session(pods.exec(pod, &command[1..], &asked).await?).await,
        [verb, pod] if verb == "attach" => session(pods.attach(pod, &asked).await?).await,
        [verb, pod, port] if verb == "port-forward" => forward(pods, pod.clone(), port[1..].parse()?).await,
        _ => Err("no such verb".into()),
    }
}

async fn session(mut process: AttachedProcess) -> Outcome<i32> {
    let status = process.take_status().ok_or("no status")?;
    if let Some(mut remote) = process.stdin() {
        tokio::spawn(async move {
            let _ = copy(&mut stdin(), &mut remote).await;
            let _ = remote.shutdown().await;
        });
    }
    let before = tcgetattr(rustix::stdio::stdin()).ok();
    if let Some(mut sizes) = process.terminal_size() {
        let mut raw = before.clone().ok_or("no terminal")?;
        raw.make_raw();
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &raw)?;
        let mut changes = signal(SignalKind::window_change())?;
        tokio::spawn(async move {
            while let Ok(size) = tcgetwinsize(rustix::stdio::stdin()) {
                let _ = sizes.try_send(TerminalSize { width: size.ws_col, height: size.ws_row });
                changes.recv().await;
            }
        });
    }
    let (remote_out, remote_err) = (process.stdout(), process.stderr());
    let out = async {
        if let Some(mut remote) = remote_out {
            copy(&mut remote, &mut stdout()).await?;
        }
        stdout().flush().await
    };
    let err = async {
        if let Some(mut remote) = remote_err {
            copy(&mut remote, &mut stderr()).await?;
        }
        Ok(())
    };
    let (_, _, status) = tokio::try_join!(out, err, async { Ok(status.await) })?;
    if let Some(before) = before {
        tcsetattr(rustix::stdio::stdin(), OptionalActions::Now, &before)?;
    }
    end(status.ok_or("the session ended without a status")?)
}

fn end(status: Status) -> Outcome<i32> {
    if status.status.as_deref() == Some("Success") {
        return Ok(0);
    }
    let causes = status.details.and_then(|details| details.causes).unwrap_or_default();
    let code = causes.iter().find(|cause| cause.reason.as_deref() == Some("ExitCode"));
    match code.and_then(|cause| cause.message.as_deref()) {
        Some(code) => {
            eprintln!("command terminated with exit code {code}");
            Ok(code.parse()?)
        }
        None => Err(status.message.unwrap_or_default().into()),
    }
}

async fn forward(pods: Api<Pod>, pod: String, port: u16) -> Outcome<i32> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("Forwarding from {} -> {port}", listener.local_addr()?);
    loop {
        let (local, _) = listener.accept().await?;
        let (pods, pod) = (pods.clone(), pod.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(pods, &pod, port, local).await {
                eprintln!("error: {error}");
            }
        });
    }
}

async fn connection(pods: Api<Pod>, pod: &str, port: u16, mut local: TcpStream) -> Outcome<()> {
    let mut forwarder = pods.portforward(pod, &[port]).await?;
    let told = forwarder.take_error(port).ok_or("no error channel")?;
    let mut remote = forwarder.take_stream(port).ok_or("no data channel")?;
    tokio::spawn(async move {
        if let Some(told) = told.await {
            eprintln!("error: {told}");
        }
    });
    copy_bidirectional(&mut local, &mut remote).await?;
    drop(remote);
    Ok(forwarder.join().await?)
}
