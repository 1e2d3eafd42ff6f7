//! Which web pages may speak to a server.
//!
//! Browsers let any page open a WebSocket to any address that the browser's host can reach, loopback included, and say
//! in `Origin` where the page came from (RFC 6454 section 7). Other clients send none, or, as Python's, the origin of the server
//! itself.

use core::net::{Ipv4Addr, Ipv6Addr};

use super::Request;

/// Checks the `Origin` of a request. `tls` is how the request came, `allowed` are the origins of pages that may speak to this
/// server; `*` allows all.
///
/// The server's own origin is what `Host` says. Without TLS that is not enough: a page whose name was pointed at this
/// host's address (DNS rebinding) has the same origin. So the name has to be one that nobody else can have, an address or
/// `localhost`.
pub fn is_allowed<const H: usize>(request: &Request<'_, H>, tls: bool, allowed: &[impl AsRef<str>]) -> bool {
    let Some(origin) = request.headers.get("Origin") else { return true };
    let Ok(origin) = str::from_utf8(origin) else { return false };
    let mut allowed = allowed.iter().map(AsRef::as_ref);
    if allowed.any(|allowed| allowed == "*" || allowed.eq_ignore_ascii_case(origin)) {
        return true;
    }
    // What searches for a text is more code than all the rest here.
    let Some((scheme, rest)) = origin.split_once(':') else { return false };
    let Some(authority) = rest.strip_prefix("//") else { return false };
    let (own_scheme, default_port) = if tls { ("https", ":443") } else { ("http", ":80") };
    let Some(host) = request.headers.get_str("Host") else { return false };
    let [authority, own] =
        [authority, host].map(|authority| authority.strip_suffix(default_port).unwrap_or(authority));
    scheme.eq_ignore_ascii_case(own_scheme)
        && authority.eq_ignore_ascii_case(own)
        && (tls || is_unambiguous(host))
}

/// True for a `Host` that means this host to every resolver: an address, or `localhost`.
pub fn is_unambiguous(host: &str) -> bool {
    if let Some(rest) = host.strip_prefix('[') {
        return rest.split_once(']').is_some_and(|(address, _)| address.parse::<Ipv6Addr>().is_ok());
    }
    let name = host.split_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.parse::<Ipv4Addr>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::format;

    fn allowed(host: &str, origin: &str, tls: bool, list: &[&str]) -> bool {
        let head = format!("GET / HTTP/1.1\r\nHost: {host}\r\nOrigin: {origin}\r\n\r\n");
        let request: Request = Request::parse(head.as_bytes()).unwrap();
        is_allowed(&request, tls, list)
    }

    #[test]
    fn a_request_without_an_origin_is_from_no_page() {
        let request: Request = Request::parse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        assert!(is_allowed(&request, false, &[""; 0]));
    }

    #[test]
    fn the_servers_own_origin_is_allowed() {
        assert!(allowed("127.0.0.1:8001", "http://127.0.0.1:8001", false, &[]));
        assert!(allowed("127.0.0.1:80", "http://127.0.0.1", false, &[]));
        assert!(allowed("[::1]:8001", "http://[::1]:8001", false, &[]));
        assert!(allowed("LocalHost:8001", "http://localhost:8001", false, &[]));
        assert!(allowed("gateway.example:443", "https://gateway.example", true, &[]));
    }

    #[test]
    fn other_origins_are_refused() {
        for (host, origin, tls) in [
            ("127.0.0.1:8001", "http://evil.example", false),
            ("127.0.0.1:8001", "http://127.0.0.1:8002", false),
            ("127.0.0.1:8001", "https://127.0.0.1:8001", false),
            ("127.0.0.1:8001", "http://127.0.0.1", false),
            ("127.0.0.1:8001", "null", false),
            ("127.0.0.1:8001", "", false),
            ("127.0.0.1:8001", "127.0.0.1:8001", false),
            ("gateway.example", "http://gateway.example", true),
        ] {
            assert!(!allowed(host, origin, tls, &[]), "{host} {origin} {tls}");
        }
    }

    #[test]
    fn a_name_that_was_pointed_at_this_host_is_not_its_own() {
        assert!(!allowed("evil.example:8001", "http://evil.example:8001", false, &[]));
        assert!(!allowed("127.0.0.1.evil.example", "http://127.0.0.1.evil.example", false, &[]));
    }

    #[test]
    fn allowed_origins_are_compared_whole() {
        let list = ["https://console.example"];
        assert!(allowed("127.0.0.1:8001", "https://Console.example", false, &list));
        assert!(!allowed("127.0.0.1:8001", "https://console.example.evil", false, &list));
        assert!(!allowed("127.0.0.1:8001", "http://console.example", false, &list));
        assert!(allowed("127.0.0.1:8001", "null", false, &["*"]));
    }
}
