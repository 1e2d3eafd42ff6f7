use strait::http::{Body, HeadScanner, Request, Response, Version};

use crate::http_reference::{Head, Length, Start, end, parse};

/// A head, read by the engine and by a second strict parser: both take and refuse the same, and read the same.
///
/// The second one is the project's own (`http_reference.rs`): the crates that parse HTTP/1 for Rust are lenient where the
/// engine is strict, and the strict one among them is what the engine's parser is made of.
///
/// | difference | why |
/// |---|---|
/// | the engine refuses before the head is whole | it sees the first impossible byte |
/// | a reason that is not ASCII is empty | it is for people, and no text is made of it |
///
/// # Panics
/// If they differ in another way.
pub fn http_differential(wire: &[u8]) {
    let scanned = HeadScanner::new(usize::MAX).scan(wire);
    let Some(end) = end(wire) else {
        assert!(!matches!(scanned, Ok(Some(_))), "an end where there is no blank line");
        return;
    };
    let theirs = parse(&wire[..end]);
    match scanned {
        Ok(Some(at)) => assert_eq!(at, end, "the head's end"),
        Ok(None) => panic!("a blank line is not seen"),
        Err(error) => {
            assert_eq!(theirs, None, "only the engine refuses: {error}");
            return;
        }
    }
    match (Request::<64>::parse(&wire[..end]), Response::<64>::parse(&wire[..end]), theirs) {
        (Ok(request), Err(_), Some(head)) => check_request(&request, &head),
        (Err(_), Ok(response), Some(head)) => check_response(&response, &head),
        (Err(_), Err(_), None) => {}
        (Ok(_), Ok(_), _) => panic!("a request and a response"),
        (Ok(_), _, None) => panic!("only the engine takes this request"),
        (_, Ok(_), None) => panic!("only the engine takes this response"),
        (Err(request), Err(response), Some(head)) => {
            panic!("only the engine refuses {head:?}: {request}, {response}")
        }
    }
}

fn check_request(request: &Request<'_>, head: &Head) {
    let (method, target) = (request.method.to_owned(), request.target.to_owned());
    assert_eq!(head.start, Start::Request { method, target });
    check(request.version, request.headers.iter().map(|header| (header.name, header.value)), head);
    assert_eq!(request.body(), body(head.length, Body::None));
    assert_eq!(request.keeps_alive(), keeps_alive(head));
    let wants_upgrade =
        head.is_11 && head.connection_has("upgrade") && request.headers.tokens("Upgrade").next().is_some();
    assert_eq!(request.wants_upgrade(), wants_upgrade);
}

fn check_response(response: &Response<'_>, head: &Head) {
    let Start::Response { status, reason } = &head.start else { panic!("a response that is none") };
    let reason = str::from_utf8(reason).ok().filter(|reason| reason.is_ascii()).unwrap_or_default();
    assert_eq!((response.status, response.reason), (*status, reason));
    check(response.version, response.headers.iter().map(|header| (header.name, header.value)), head);
    let has_none = matches!(status, 100..=199 | 204 | 304);
    let expected = if has_none { Body::None } else { body(head.length, Body::UntilClose) };
    assert_eq!(response.body("GET"), expected);
    assert_eq!(response.body("HEAD"), Body::None);
    assert_eq!(response.keeps_alive(), keeps_alive(head));
}

fn check<'a>(version: Version, headers: impl Iterator<Item = (&'a str, &'a [u8])>, head: &'a Head) {
    assert_eq!(version == Version::Http11, head.is_11);
    assert!(headers.eq(head.headers.iter().map(|(name, value)| (&name[..], &value[..]))), "{head:?}");
}

fn body(length: Length, unsaid: Body) -> Body {
    match length {
        Length::Unsaid => unsaid,
        Length::Bytes(0) => Body::None,
        Length::Bytes(count) => Body::Length(count),
        Length::Chunked => Body::Chunked,
    }
}

fn keeps_alive(head: &Head) -> bool {
    !head.connection_has("close") && (head.is_11 || head.connection_has("keep-alive"))
}
