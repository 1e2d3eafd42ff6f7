//! What is said of each failure, to the word: logs and clients show it.

use std::fmt::Display;

use strait::bridge::Outcome;
use strait::gateway::GateError;
use strait::http::{HeadError, WriteError, reason};
use strait::k8s::{Channel, Refused, RequestError, StatusError};
use strait::leg::LegError;
use strait::spdy::{self, FrameError, GoawayStatus, HeaderBlockError, OpenError, RstStatus, StreamId};
use strait::upgrade::{Refusal, Transport, Upgrade, UpgradeError};
use strait::ws::{Opcode, ProtocolError};

#[track_caller]
fn assert_says<T: Display>(messages: impl IntoIterator<Item = (T, &'static str)>) {
    for (value, expected) in messages {
        assert_eq!(value.to_string(), expected);
    }
}

#[test]
fn heads() {
    assert_says([
        (HeadError::TooLarge { limit: 8 }, "head is larger than 8 bytes"),
        (HeadError::TooManyHeaders { limit: 64 }, "more than 64 headers"),
        (HeadError::LeadingEmptyLine, "empty line before the start line"),
        (HeadError::StartLine { at: 3 }, "not an HTTP/1 start line (byte 3)"),
        (HeadError::UnsupportedVersion, "HTTP version is neither 1.0 nor 1.1"),
        (HeadError::TargetForm, "request target is not a path (origin form)"),
        (HeadError::StatusCode { code: 7 }, "status code 007 is not valid"),
        (HeadError::BareLf { at: 4 }, "LF without CR (byte 4)"),
        (HeadError::BareCr { at: 5 }, "CR without LF (byte 5)"),
        (HeadError::ObsoleteFold { at: 6 }, "folded header line (byte 6)"),
        (HeadError::EmptyName { at: 7 }, "header without a name (byte 7)"),
        (HeadError::NameByte { at: 8, byte: 0x28 }, "byte 0x28 in a header name (byte 8)"),
        (HeadError::SpaceBeforeColon { at: 9 }, "whitespace before the colon of a header (byte 9)"),
        (HeadError::MissingColon { at: 10 }, "header line without a colon (byte 10)"),
        (HeadError::ValueByte { at: 11, byte: 7 }, "byte 0x07 in a header value (byte 11)"),
        (HeadError::Duplicate { name: "Host" }, "more than one Host header"),
        (HeadError::NotAscii { name: "Origin" }, "Origin header is not ASCII"),
        (HeadError::MissingHost, "no Host header"),
        (HeadError::InvalidHost, "Host header is not a host and port"),
        (HeadError::ContentLength, "Content-Length is not a decimal number"),
        (HeadError::TwoLengths, "both Content-Length and Transfer-Encoding"),
        (HeadError::TransferCoding, "Transfer-Encoding is not chunked"),
        (HeadError::TransferEncodingInHttp10, "Transfer-Encoding in HTTP/1.0"),
        (HeadError::CloseAndUpgrade, "Connection has both close and upgrade"),
        (HeadError::NotOneHead { length: 12 }, "12 bytes are not exactly one head"),
    ]);
    assert_says([
        (WriteError::Full { needed: 9 }, "head needs 9 bytes"),
        (WriteError::Method, "method is not a token"),
        (WriteError::Target, "request target is not visible ASCII"),
        (WriteError::Status { code: 99 }, "status code 99 has not three digits"),
        (WriteError::Reason, "reason phrase has control or non-ASCII bytes"),
        (WriteError::Name { header: 2 }, "name of header 2 is not a token"),
        (WriteError::Value { header: 3 }, "value of header 3 has forbidden bytes"),
    ]);
    assert_eq!(WriteError::Method.status(), 500);
}

/// The words of RFC 9110 section 15.
#[test]
fn reasons() {
    let words = [
        (101, "Switching Protocols"),
        (200, "OK"),
        (201, "Created"),
        (204, "No Content"),
        (400, "Bad Request"),
        (401, "Unauthorized"),
        (403, "Forbidden"),
        (404, "Not Found"),
        (405, "Method Not Allowed"),
        (406, "Not Acceptable"),
        (408, "Request Timeout"),
        (409, "Conflict"),
        (411, "Length Required"),
        (413, "Content Too Large"),
        (414, "URI Too Long"),
        (415, "Unsupported Media Type"),
        (426, "Upgrade Required"),
        (429, "Too Many Requests"),
        (431, "Request Header Fields Too Large"),
        (500, "Internal Server Error"),
        (501, "Not Implemented"),
        (502, "Bad Gateway"),
        (503, "Service Unavailable"),
        (504, "Gateway Timeout"),
        (505, "HTTP Version Not Supported"),
    ];
    for (status, word) in words {
        assert_eq!(reason(status), word);
    }
    assert_eq!(reason(299), "");
}

#[test]
fn frames_of_a_websocket() {
    assert_says([
        (ProtocolError::ReservedBits(0xc2), "reserved bits set in first byte 0xc2 of a frame"),
        (ProtocolError::UnknownOpcode(3), "reserved opcode 3"),
        (ProtocolError::FragmentedControl(Opcode::Ping), "Ping frame without FIN"),
        (ProtocolError::LongControl(Opcode::Close), "Close frame with more than 125 bytes of payload"),
        (ProtocolError::LengthNotMinimal(5), "frame length 5 written in too many bytes"),
        (ProtocolError::LengthTopBit(1 << 63), "frame length 0x8000000000000000 is 2^63 or more"),
        (ProtocolError::Unmasked, "frame from a client is not masked"),
        (ProtocolError::Masked, "frame from a server is masked"),
        (ProtocolError::UnexpectedContinuation, "continuation frame outside of a message"),
        (ProtocolError::UnfinishedMessage(Opcode::Text), "Text frame inside an unfinished message"),
        (ProtocolError::HalfCloseCode, "Close frame with one byte of payload"),
        (ProtocolError::FrameTooLarge(9), "frame of 9 bytes is larger than allowed"),
    ]);
    assert_says([
        (LegError::WebSocket(ProtocolError::Masked), "WebSocket: frame from a server is masked"),
        (LegError::CloseSignal { len: 3, channel: Some(9) }, "v5 CLOSE message of 3 bytes names channel 9"),
        (LegError::CloseSignal { len: 1, channel: None }, "v5 CLOSE message of 1 bytes names no channel"),
        (LegError::Base64, "WebSocket: message is not base64"),
        (LegError::Text, "WebSocket: text message in a tunnel"),
    ]);
}

#[test]
fn frames_of_spdy() {
    assert_says([
        (FrameError::StreamId { id: 0 }, "0 is no stream id"),
        (FrameError::Length { kind: 3, length: 9 }, "length 9 is wrong for control frame type 3"),
        (FrameError::Flags { kind: 1, flags: 8 }, "control frame type 1 has no flags 0x08"),
        (
            FrameError::RstStatusZero { stream: StreamId::new(5).unwrap() },
            "RST_STREAM of stream 5 with status 0",
        ),
        (FrameError::PingIdZero, "PING with id 0"),
        (FrameError::SettingsCount { count: 3, length: 12 }, "SETTINGS announces 3 entries in 12 bytes"),
        (
            FrameError::HeaderBlock(HeaderBlockError::NotFlushed),
            "header block: does not end with a sync flush",
        ),
    ]);
    assert_says([
        (HeaderBlockError::CompressedTooLong { length: 9, limit: 8 }, "9 compressed bytes are more than 8"),
        (HeaderBlockError::ZlibHeader { bytes: [0x78, 0x21] }, "78 21 is no zlib header"),
        (HeaderBlockError::Dictionary { id: 0xab }, "unknown zlib dictionary 000000ab"),
        (HeaderBlockError::Corrupt, "corrupt deflate data, or a reference beyond the window"),
        (HeaderBlockError::StreamEnded, "the deflate stream was ended"),
        (HeaderBlockError::InflatedTooLong { limit: 4096 }, "inflates to more than 4096 bytes"),
        (HeaderBlockError::TooManyHeaders { count: 65, limit: 64 }, "65 headers are more than 64"),
        (
            HeaderBlockError::HeaderTooLong { header: 1, length: 9, limit: 8 },
            "header 1: a name or value of 9 bytes is longer than 8",
        ),
        (HeaderBlockError::Truncated { header: 2 }, "ends within header 2"),
        (HeaderBlockError::Trailing { bytes: 3 }, "3 bytes behind the last header"),
    ]);
    assert_says([
        (spdy::WriteError::NoRoom { needed: 9 }, "the frame needs 9 bytes of room"),
        (spdy::WriteError::TooLong { length: 70_000 }, "70000 bytes of headers do not fit a frame"),
        (spdy::WriteError::NameNotLowerCase, "a header name is not lower-case ASCII"),
    ]);
    assert_says([
        (OpenError::TableFull, "too many open streams"),
        (OpenError::IdsExhausted, "no stream ids are left"),
        (OpenError::GoingAway, "the connection is going away"),
    ]);
    assert_says([
        (spdy::Refusal::IdInUse, "the stream id was used before"),
        (spdy::Refusal::TableFull, "too many open streams"),
        (spdy::Refusal::GoingAway, "the connection is going away"),
    ]);
    assert_eq!(StreamId::new(7).unwrap().to_string(), "7");
}

/// The numbers are those of the SPDY/3.1 draft, sections 2.6.3 and 2.6.6.
#[test]
fn statuses_of_spdy() {
    let names = [
        "PROTOCOL_ERROR",
        "INVALID_STREAM",
        "REFUSED_STREAM",
        "UNSUPPORTED_VERSION",
        "CANCEL",
        "INTERNAL_ERROR",
        "FLOW_CONTROL_ERROR",
        "STREAM_IN_USE",
        "STREAM_ALREADY_CLOSED",
        "INVALID_CREDENTIALS",
        "FRAME_TOO_LARGE",
        "status 12",
    ];
    for (number, name) in (1..).zip(names) {
        assert_eq!(RstStatus(number).to_string(), name);
    }
    for (number, name) in (0..).zip(["OK", "PROTOCOL_ERROR", "INTERNAL_ERROR", "status 3"]) {
        assert_eq!(GoawayStatus(number).to_string(), name);
    }
}

#[test]
fn texts_of_kubernetes() {
    const FRONT: &str = "error stream protocol error: ";
    let statuses = [
        (StatusError::Empty, "connection closed before the exit status was received"),
        (StatusError::NotUtf8 { at: 1 }, "status is not UTF-8 at offset 1"),
        (StatusError::NotJson { at: 2 }, "status is not JSON at offset 2"),
        (StatusError::Truncated, "status is cut off"),
        (StatusError::WrongType { at: 3 }, "value of the wrong type at offset 3"),
        (StatusError::UnknownStatus, "unknown status"),
        (StatusError::NoDetails, "details must be set"),
        (StatusError::NoExitCode, "no cause with the reason ExitCode"),
        (StatusError::InvalidExitCode, "invalid exit code value"),
    ];
    for (error, message) in statuses {
        assert_eq!(error.to_string(), format!("{FRONT}{message}"));
        assert_eq!(error.code(), 500);
    }
    assert_says([
        (Refused::Missing, "no subprotocol is offered"),
        (Refused::NoItem, "the offer of subprotocols is empty"),
        (Refused::OnlyBearer, "missing additional subprotocol"),
        (Refused::NothingInCommon, "unable to negotiate protocol"),
    ]);
    assert_says([
        (RequestError::NotFound, "404 page not found"),
        (RequestError::Malformed { at: 4 }, "malformed request target at offset 4"),
        (RequestError::InvalidName { parameter: "pod" }, "invalid pod name"),
        (RequestError::NoStreams, "you must specify at least 1 of stdin, stdout, stderr"),
        (RequestError::NoContainer, "a container name must be specified"),
        (RequestError::NoPorts, "query parameter \"port\" is required"),
        (RequestError::InvalidPort, "ports must be numbers from 1 to 65535"),
        (RequestError::TooManyPorts { limit: 128 }, "more than 128 ports"),
        (RequestError::TooLong, "request target is too long"),
    ]);
    for (number, name) in (0..).zip(["stdin", "stdout", "stderr", "error", "resize", "unknown"]) {
        assert_eq!(Channel::new(number).to_string(), name);
    }
    assert_eq!(Channel::CLOSE.to_string(), "close");
}

#[test]
fn upgrades() {
    assert_says([
        (Refusal::Request(RequestError::NotFound), "404 page not found"),
        (Refusal::UnknownUpgrade, "unable to upgrade: only WebSocket and SPDY/3.1 are known here"),
        (Refusal::NotGet, "bad method"),
        (Refusal::NotWebSocket, "not websocket protocol"),
        (Refusal::NoKey, "mismatch challenge/response"),
        (Refusal::WebSocketVersion, "missing or bad WebSocket Version"),
        (Refusal::NotSpdy, "unable to upgrade: missing upgrade headers in request"),
        (
            Refusal::Protocols { upgrade: Upgrade::Spdy, refused: Refused::NothingInCommon, known: &[] },
            "unable to negotiate protocol",
        ),
        (Refusal::NoTunnelProtocol, "unable to upgrade: no tunneling spdy protocols provided"),
        (Refusal::NoLength, "a body of unknown length is not passed on: send Content-Length"),
        (
            Refusal::CannotPass(WriteError::Full { needed: 9 }),
            "the request cannot be passed on: head needs 9 bytes",
        ),
    ]);
    assert_eq!(Refusal::CannotPass(WriteError::Method).status(), 500);
    assert_says([
        (UpgradeError::Redirect { status: 302 }, "redirect not allowed: upstream answered 302"),
        (UpgradeError::Status { status: 200 }, "invalid upgrade response: status code 200"),
        (UpgradeError::NotUpgraded, "unable to upgrade: missing upgrade headers in response"),
        (UpgradeError::Accept, "unable to upgrade: wrong Sec-WebSocket-Accept in response"),
        (UpgradeError::NoProtocol, "unable to upgrade: upstream chose no protocol"),
    ]);
    assert_says([
        (Transport::Fallback, "WebSocket, then SPDY"),
        (Transport::WebSocket, "WebSocket"),
        (Transport::Spdy, "SPDY"),
    ]);
    assert_says([
        (GateError::NoValue { name: "A" }, "A has no value: NAME=true or NAME=false"),
        (GateError::Value { name: "A", value: "1" }, "A is true or false, not 1"),
    ]);
}

#[test]
fn ends_of_sessions() {
    assert_says([
        (Outcome::Completed, "completed"),
        (Outcome::Refused, "refused by upstream"),
        (Outcome::ClientClosed, "closed by the client"),
        (Outcome::ClientLost, "lost the client"),
        (Outcome::UpstreamLost, "lost upstream"),
        (Outcome::StreamCreationTimeout, "upstream did not accept the streams in time"),
        (Outcome::ClientError(LegError::Base64), "client error: WebSocket: message is not base64"),
        (Outcome::UpstreamError(LegError::Text), "upstream error: WebSocket: text message in a tunnel"),
        (Outcome::ClientSilent, "the client did not answer"),
        (Outcome::UpstreamSilent, "upstream did not answer"),
        (Outcome::Idle, "idle for too long"),
        (Outcome::Shutdown, "shut down"),
    ]);
}
