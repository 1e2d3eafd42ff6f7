//! A gateway without an async runtime. It takes the arguments that `strait gateway` takes, as far as it knows them:
//! `gateway --listen HOST:PORT --upstream http://HOST:PORT [--upstream-protocol auto|spdy|websocket]`.

use std::io::{self, Write};
use std::net::TcpListener;

use strait::gateway::UpstreamProtocol;
use strait_std::{Gateway, Stop};

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).map(String::as_str)
    };
    let (Some(listen), Some(upstream)) = (value("--listen"), value("--upstream")) else {
        return Err(io::Error::other("usage: gateway --listen HOST:PORT --upstream http://HOST:PORT"));
    };
    let protocol = match value("--upstream-protocol") {
        Some("auto") => UpstreamProtocol::Auto,
        Some("websocket") => UpstreamProtocol::WebSocket,
        _ => UpstreamProtocol::Spdy,
    };
    let listener = TcpListener::bind(listen)?;
    writeln!(io::stdout(), "ready http://{}", listener.local_addr()?)?;
    let upstream = upstream.trim_start_matches("http://").trim_end_matches('/');
    Gateway::new(upstream).with_upstream_protocol(protocol).serve(&listener, &Stop::new())
}
