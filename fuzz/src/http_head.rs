use strait::http::{Body, HeadError, HeadScanner, HeadWriter, Header, Request, Response, Version};

use crate::pieces::Cuts;

/// A head, scanned whole and cut, parsed as request and as response, and written again.
///
/// # Panics
/// If the scans differ, or if what was parsed and written does not say the same.
pub fn http_head(data: &[u8]) {
    let &[limit, cuts, ref wire @ ..] = data else { return };
    let limit = [8192, 64, 512, 512 * 1024][usize::from(limit % 4)];
    let scanned = HeadScanner::new(limit).scan(wire);
    assert_eq!(scan_cut(limit, &mut Cuts::new(cuts), wire), scanned, "whole and cut");
    let Ok(Some(end)) = scanned else {
        // What is no head for the scanner is none for the parser, limits aside.
        assert!(matches!(scanned, Err(HeadError::TooLarge { .. })) || Request::<64>::parse(wire).is_err());
        return;
    };
    assert!(end <= limit && wire[..end].ends_with(b"\r\n\r\n"));
    if let Ok(request) = Request::<64>::parse(&wire[..end]) {
        check_request(&request);
    }
    if let Ok(response) = Response::<64>::parse(&wire[..end]) {
        check_response(&response);
    }
    if let (Ok(few), Ok(many)) = (Request::<4>::parse(&wire[..end]), Request::<64>::parse(&wire[..end])) {
        assert_eq!(few.headers.len(), many.headers.len());
    }
}

fn scan_cut(limit: usize, cuts: &mut Cuts, wire: &[u8]) -> Result<Option<usize>, HeadError> {
    let mut scanner = HeadScanner::new(limit);
    let mut received = 0;
    loop {
        let result = scanner.scan(&wire[..received]);
        if result != Ok(None) || received == wire.len() {
            return result;
        }
        received = cuts.end(received, wire.len());
    }
}

fn check_request(request: &Request<'_>) {
    assert!(request.target.starts_with(request.path()));
    assert_ne!(request.body(), Body::UntilClose, "a request ends where its head says");
    assert!(!(request.wants_upgrade() && request.version == Version::Http10));
    let _ = request.keeps_alive();
    if request.version == Version::Http10 {
        return;
    }
    let mut buffer = vec![0; 600_000];
    let head = HeadWriter::request(&mut buffer, request.method, request.target);
    let length = write(head, request.headers.iter());
    let again = Request::<64>::parse(&buffer[..length]).expect("what was written is a request");
    assert_eq!((again.method, again.target), (request.method, request.target));
    assert!(again.headers.iter().eq(request.headers.iter()));
    assert_eq!(again.body(), request.body());
    assert_eq!(again.wants_upgrade(), request.wants_upgrade());
}

fn check_response(response: &Response<'_>) {
    assert!((100..=999).contains(&response.status));
    for method in ["GET", "HEAD", "CONNECT"] {
        let _ = response.body(method);
    }
    let _ = response.keeps_alive();
    if response.version == Version::Http10 {
        return;
    }
    let mut buffer = vec![0; 600_000];
    let head = HeadWriter::response(&mut buffer, response.status, response.reason);
    let length = write(head, response.headers.iter());
    let again = Response::<64>::parse(&buffer[..length]).expect("what was written is a response");
    assert_eq!((again.status, again.reason), (response.status, response.reason));
    assert!(again.headers.iter().eq(response.headers.iter()));
    assert_eq!(again.body("GET"), response.body("GET"));
}

fn write<'a>(head: HeadWriter<'_>, headers: impl Iterator<Item = Header<'a>>) -> usize {
    let head = headers.fold(head, |head, Header { name, value }| head.header(name, value));
    head.finish().expect("what was parsed can be written")
}
