use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use tokio_tungstenite::tungstenite::client::{IntoClientRequest as _, client};
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Where the node's pod takes commands.
pub const EXEC_PATH: &str = "/api/v1/namespaces/default/pods/demo/exec";

const PATIENCE: Duration = Duration::from_secs(10);

/// The upgrade to a session over `v5.channel.k8s.io`. `query` as it stands in the request target.
pub fn exec_request(server: SocketAddr, query: &str) -> Request {
    let url = format!("ws://{server}{EXEC_PATH}?{query}");
    let mut request = url.into_client_request().expect("a request");
    request.headers_mut().insert("sec-websocket-protocol", HeaderValue::from_static("v5.channel.k8s.io"));
    request
}

/// One whole session without a kubectl: `echo WORD` prints the word, succeeds, and the server closes with 1000.
#[track_caller]
pub fn exec_prints(server: SocketAddr, word: &str) {
    let socket = TcpStream::connect(server).expect("the server accepts");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time-out");
    let request = exec_request(server, &format!("command=echo&command={word}&stdout=true"));
    let (mut socket, _) = client(request, socket).expect("the upgrade succeeds");
    let (mut printed, mut status, mut code) = (Vec::new(), Vec::new(), None);
    loop {
        match socket.read() {
            Ok(Message::Binary(message)) => match message.split_first() {
                Some((1, output)) => printed.extend_from_slice(output),
                Some((3, json)) => status.extend_from_slice(json),
                other => panic!("an unexpected message: {other:?}"),
            },
            Ok(Message::Close(frame)) => code = frame.map(|frame| u16::from(frame.code)),
            // On a busy machine it may take longer than a heartbeat.
            Ok(Message::Ping(_) | Message::Pong(_)) => {}
            Ok(other) => panic!("an unexpected message: {other:?}"),
            Err(Error::ConnectionClosed) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert_eq!(String::from_utf8_lossy(&printed), format!("{word}\n"));
    let status: serde_json::Value = serde_json::from_slice(&status).expect("a status is JSON");
    assert_eq!((status["status"].as_str(), code), (Some("Success"), Some(1000)), "{status}");
}
