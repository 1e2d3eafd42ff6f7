use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use anyhow::{Context as _, Result, ensure};

/// Longest head that anybody sends here.
const LONGEST: usize = 16 * 1024;

/// The head of a request or of a response, and what came behind it.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) text: String,
    pub(crate) behind: Vec<u8>,
}

impl Head {
    pub(crate) fn read(mut stream: &TcpStream) -> Result<Self> {
        let (mut bytes, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            let count = stream.read(&mut piece).context("no head")?;
            ensure!(count > 0 && bytes.len() < LONGEST, "no whole head");
            bytes.extend_from_slice(&piece[..count]);
            if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
                let behind = bytes.split_off(end + 4);
                return Ok(Self { text: String::from_utf8(bytes)?, behind });
            }
        }
    }

    /// Sends a request, and reads an answer that has to be 101.
    pub(crate) fn ask(mut stream: &TcpStream, request: &str) -> Result<Self> {
        stream.write_all(request.as_bytes())?;
        let head = Self::read(stream)?;
        ensure!(head.text.starts_with("HTTP/1.1 101"), "no upgrade: {}", head.text);
        Ok(head)
    }
}
