use super::{HeadError, METHOD_BYTES, is_token_byte, is_value_byte};

/// Finds the end of a head that arrives in pieces, and refuses it as soon as it is certain that it is none.
///
/// Line structure is checked byte by byte as in RFC 9112 section 2.2, without its leniencies: a line
/// ends with CRLF and nothing else, the first line is the start line, no line is folded. So binary bytes
/// (TLS on a plain-text port, say) are refused with the first byte that no HTTP/1 message can have.
#[derive(Debug, Clone)]
pub struct HeadScanner {
    limit: usize,
    scanned: usize,
    state: State,
    /// Where the head ends, or why there is none.
    end: Option<Result<usize, HeadError>>,
}

// It has no fields: it is in a register for each byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// First word of the start line: a method, or the version of a status line.
    FirstWord,
    /// Request line after the method.
    Target,
    /// Status line after the version.
    StatusLine,
    /// After the CR of the start line.
    StartLineEnd,
    /// First byte of a header line or of the blank line.
    LineStart,
    /// In a header name.
    Name,
    /// After the colon of a header line.
    Value,
    /// After the CR of a header line.
    LineEnd,
    /// After the CR of the blank line.
    HeadEnd,
    /// After the head.
    Done,
}

impl HeadScanner {
    /// A scanner for heads of at most `limit` bytes, from the first byte of the start line to the last
    /// one of the blank line.
    pub const fn new(limit: usize) -> Self {
        Self { limit, scanned: 0, state: State::FirstWord, end: None }
    }

    /// Looks for the end of the head in `received`: all bytes of the connection so far, beginning with
    /// the first byte of the head.
    ///
    /// `Ok(Some(n))`: the head is `received[..n]`; what is behind it belongs to the caller and was not
    /// looked at. `Ok(None)`: call again when there are more bytes. Bytes that were seen by an earlier
    /// call are not scanned again (the start line is looked at once more, when it is whole). Once there is
    /// a result, or an error, it stays.
    pub fn scan(&mut self, received: &[u8]) -> Result<Option<usize>, HeadError> {
        let within_limit = received.get(..self.limit).unwrap_or(received);
        for &byte in within_limit.get(self.scanned..).unwrap_or_default() {
            if self.end.is_some() {
                break;
            }
            match next(self.state, byte, self.scanned, received) {
                Ok(state) => self.state = state,
                Err(error) => self.end = Some(Err(error)),
            }
            self.scanned += 1;
            if self.state == State::Done {
                self.end = Some(Ok(self.scanned));
            }
        }
        match self.end {
            Some(end) => end.map(Some),
            None if self.scanned == self.limit => Err(HeadError::TooLarge { limit: self.limit }),
            None => Ok(None),
        }
    }
}

/// The state after `byte`, which stands at offset `at` of the head.
fn next(state: State, byte: u8, at: usize, received: &[u8]) -> Result<State, HeadError> {
    match (state, byte) {
        (State::StartLineEnd, b'\n') => {
            check_start_line(received.get(..at.saturating_sub(1)).unwrap_or_default())?;
            Ok(State::LineStart)
        }
        (State::LineEnd, b'\n') => Ok(State::LineStart),
        (State::HeadEnd, b'\n') => Ok(State::Done),
        (State::StartLineEnd | State::LineEnd | State::HeadEnd, _) => {
            Err(HeadError::BareCr { at: at.saturating_sub(1) })
        }
        (_, b'\n') => Err(HeadError::BareLf { at }),
        (State::FirstWord, _) => first_word(byte, at, received),
        (State::Target | State::StatusLine, b'\r') => Ok(State::StartLineEnd),
        (State::Target, b' '..=b'~') => Ok(State::Target),
        (State::StatusLine, _) if is_value_byte(byte) => Ok(State::StatusLine),
        (State::Target | State::StatusLine, _) => Err(HeadError::StartLine { at }),
        (State::LineStart | State::Name, _) => name(state, byte, at),
        (State::Value, b'\r') => Ok(State::LineEnd),
        (State::Value, _) if is_value_byte(byte) => Ok(State::Value),
        (State::Value, _) => Err(HeadError::ValueByte { at, byte }),
        (State::Done, _) => Ok(state),
    }
}

fn first_word(byte: u8, at: usize, received: &[u8]) -> Result<State, HeadError> {
    match byte {
        b'\r' if at == 0 => Err(HeadError::LeadingEmptyLine),
        b' ' if at > 0 && received.starts_with(b"HTTP/") => Ok(State::StatusLine),
        b' ' if at > 0 => Ok(State::Target),
        _ if at < METHOD_BYTES && (is_token_byte(byte) || byte == b'/') => Ok(State::FirstWord),
        _ => Err(HeadError::StartLine { at }),
    }
}

fn name(state: State, byte: u8, at: usize) -> Result<State, HeadError> {
    match (state, byte) {
        (State::LineStart, b'\r') => Ok(State::HeadEnd),
        (State::LineStart, b' ' | b'\t') => Err(HeadError::ObsoleteFold { at }),
        (State::LineStart, b':') => Err(HeadError::EmptyName { at }),
        (_, b'\r') => Err(HeadError::MissingColon { at }),
        (_, b' ' | b'\t') => Err(HeadError::SpaceBeforeColon { at }),
        (_, b':') => Ok(State::Value),
        _ if is_token_byte(byte) => Ok(State::Name),
        _ => Err(HeadError::NameByte { at, byte }),
    }
}

/// The three words of a start line: between single blanks, which the last one may have in it. Those that are missing are empty.
fn words(line: &[u8]) -> [&[u8]; 3] {
    let mut rest = line;
    let [first, second] = [(); 2].map(|()| {
        let end = rest.iter().position(|&byte| byte == b' ').unwrap_or(rest.len());
        let (word, behind) = rest.split_at(end);
        rest = behind.get(1..).unwrap_or_default();
        word
    });
    [first, second, rest]
}

/// Checks the start line, without its CRLF, as soon as it is whole.
fn check_start_line(line: &[u8]) -> Result<(), HeadError> {
    let malformed = HeadError::StartLine { at: line.len() };
    let [first, second, last] = words(line);
    if line.starts_with(b"HTTP/") {
        check_version(first, malformed)?;
        let is_code = second.len() == 3 && second.iter().all(u8::is_ascii_digit);
        return if is_code { Ok(()) } else { Err(malformed) };
    }
    check_version(last, malformed)?;
    if second.is_empty() || first.contains(&b'/') { Err(malformed) } else { Ok(()) }
}

fn check_version(word: &[u8], malformed: HeadError) -> Result<(), HeadError> {
    match word.strip_prefix(b"HTTP/") {
        Some(b"1.0" | b"1.1") => Ok(()),
        Some(number @ [b'0'..=b'9', ..]) if number.iter().all(|byte| matches!(byte, b'0'..=b'9' | b'.')) => {
            Err(HeadError::UnsupportedVersion)
        }
        _ => Err(malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::tests::{EXEC_OVER_SPDY, EXEC_OVER_WEBSOCKET};
    use proptest::prelude::*;

    /// Heads and non-heads that end the scan in every state that it has.
    const CORPUS: [&[u8]; 18] = [
        EXEC_OVER_WEBSOCKET.as_bytes(),
        EXEC_OVER_SPDY.as_bytes(),
        b"HTTP/1.1 200 OK\r\nDate: Tue, 01 Jul 2025 10:00:00 GMT\r\n\r\nbody\r\n\r\n",
        b"HTTP/1.0 200\r\n\r\n\x00\xff",
        b"GET / HTTP/1.1\r\nA: b\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET /\r\n\r\n",
        b"GET / HTTP/1.1\nA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\rA: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n fold\r\n\r\n",
        b"GET / HTTP/1.1\r\n: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA : b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA\r\n\r\n",
        b"GET / HTTP/1.1\r\nA(: b\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: \x00\r\n\r\n",
        b"GET / HTTP/1.1\r\nA: b\r\n\r \n",
        b"GET /\xc3\xa9 HTTP/1.1\r\n\r\n",
    ];

    fn scan(received: &[u8]) -> Result<Option<usize>, HeadError> {
        HeadScanner::new(8192).scan(received)
    }

    /// The result after `received` came in pieces that end at `ends`, and then as a whole.
    fn scan_pieces(
        limit: usize,
        received: &[u8],
        ends: impl IntoIterator<Item = usize>,
    ) -> Result<Option<usize>, HeadError> {
        let mut scanner = HeadScanner::new(limit);
        for end in ends {
            let result = scanner.scan(&received[..end]);
            if result != Ok(None) {
                assert_eq!(scanner.scan(received), result, "a result stays");
            }
        }
        scanner.scan(received)
    }

    #[test]
    fn the_head_ends_behind_its_blank_line_and_the_rest_is_the_callers() {
        let received = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\x81\x80\r\n\r\n";
        assert_eq!(scan(received), Ok(Some(27)));
        assert_eq!(scan(b"HTTP/1.1 101\r\n\r\n\x80\x03"), Ok(Some(16)));
    }

    #[test]
    fn every_split_gives_the_same_result() {
        for received in CORPUS {
            let whole = scan(received);
            for at in 0..=received.len() {
                assert_eq!(scan_pieces(8192, received, [at]), whole, "{} at {at}", received.escape_ascii());
            }
            assert_eq!(scan_pieces(8192, received, 0..received.len()), whole);
        }
    }

    #[test]
    fn bytes_that_were_seen_are_not_scanned_again() {
        let mut received = *b"GET / HTTP/1.1\r\nHost: a\r\nAccept: b\r\n\r\n";
        let mut scanner = HeadScanner::new(100);
        assert_eq!(scanner.scan(&received[..30]), Ok(None));
        received[..30].fill(0);
        assert_eq!(scanner.scan(&received), Ok(Some(received.len())));
    }

    #[test]
    fn a_head_of_exactly_the_limit_is_accepted_and_one_byte_more_is_not() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
        let too_large = Err(HeadError::TooLarge { limit: 26 });
        for at in 0..=head.len() {
            assert_eq!(scan_pieces(27, head, [at]), Ok(Some(27)));
            assert_eq!(scan_pieces(26, head, [at]), too_large);
        }
        assert_eq!(HeadScanner::new(26).scan(&head[..26]), too_large, "certain before byte 27 is there");
        assert_eq!(HeadError::TooLarge { limit: 26 }.status(), 431);
    }

    #[test]
    fn binary_garbage_is_refused_with_its_first_impossible_byte() {
        let tls_client_hello = b"\x16\x03\x01\x02\x00\x01";
        assert_eq!(scan(tls_client_hello), Err(HeadError::StartLine { at: 0 }));
        assert_eq!(scan(b"GET /\x00"), Err(HeadError::StartLine { at: 5 }));
        assert_eq!(scan(b"GET /\xc3"), Err(HeadError::StartLine { at: 5 }));
        assert_eq!(scan(b"GET\t"), Err(HeadError::StartLine { at: 3 }));
        assert_eq!(scan(b" "), Err(HeadError::StartLine { at: 0 }));
        assert_eq!(scan(b"HTTP/1.1 200 \x07"), Err(HeadError::StartLine { at: 13 }));
    }

    #[test]
    fn a_first_word_longer_than_any_method_is_refused_early() {
        let longest = [b'A'; METHOD_BYTES];
        assert_eq!(scan(&longest), Ok(None));
        assert_eq!(scan(&[&longest[..], b" "].concat()), Ok(None));
        assert_eq!(scan(&[&longest[..], b"A"].concat()), Err(HeadError::StartLine { at: METHOD_BYTES }));
    }

    #[test]
    fn a_first_line_of_another_protocol_is_refused_when_it_ends() {
        for line in [
            "SSH-2.0-OpenSSH_9.9\r\n",
            "EHLO mail\r\n",
            "GET /\r\n",
            "GET  HTTP/1.1\r\n",
            "GET  / HTTP/1.1\r\n",
            "GET / HTTP/1.1 \r\n",
            "GET / a HTTP/1.1\r\n",
            "GET / http/1.1\r\n",
            "GET / HTTP/\r\n",
            "GET / HTTP/1.1x\r\n",
            "A/B / HTTP/1.1\r\n",
            "HTTP/1.1\r\n",
            "HTTP/1.1 20 OK\r\n",
            "HTTP/1.1 2000\r\n",
            "HTTP/1.1 -20 OK\r\n",
            "HTTP/1.1  200 OK\r\n",
            "HTTP/x 200 OK\r\n",
        ] {
            let result = scan(line.as_bytes());
            assert!(matches!(result, Err(HeadError::StartLine { .. })), "{line:?}: {result:?}");
        }
    }

    #[test]
    fn other_versions_are_refused_with_505() {
        for head in [
            "PRI * HTTP/2.0\r\n",
            "GET / HTTP/2\r\n",
            "GET / HTTP/3.0\r\n",
            "GET / HTTP/0.9\r\n",
            "GET / HTTP/1.2\r\n",
            "HTTP/2 200\r\n",
        ] {
            assert_eq!(scan(head.as_bytes()), Err(HeadError::UnsupportedVersion), "{head:?}");
        }
        assert_eq!(HeadError::UnsupportedVersion.status(), 505);
    }

    #[test]
    fn an_empty_line_before_the_start_line_is_refused() {
        assert_eq!(scan(b"\r"), Err(HeadError::LeadingEmptyLine));
        assert_eq!(scan(b"\n"), Err(HeadError::BareLf { at: 0 }));
    }

    #[test]
    fn bare_lf_is_refused_wherever_it_stands() {
        assert_eq!(scan(b"GET\n"), Err(HeadError::BareLf { at: 3 }));
        assert_eq!(scan(b"GET / HTTP/1.1\n"), Err(HeadError::BareLf { at: 14 }));
        assert_eq!(scan(b"HTTP/1.1 200 OK\n"), Err(HeadError::BareLf { at: 15 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\n\n"), Err(HeadError::BareLf { at: 16 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA\n"), Err(HeadError::BareLf { at: 17 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA: b\n"), Err(HeadError::BareLf { at: 20 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA: b\r\n\n"), Err(HeadError::BareLf { at: 22 }));
    }

    #[test]
    fn bare_cr_is_refused_wherever_it_stands() {
        assert_eq!(scan(b"GET / HTTP/1.1\rA"), Err(HeadError::BareCr { at: 14 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\r\n"), Err(HeadError::BareCr { at: 14 }));
        assert_eq!(scan(b"HTTP/1.1 200 \rX"), Err(HeadError::BareCr { at: 13 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA: b\rc"), Err(HeadError::BareCr { at: 20 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA: b\r\n\rc"), Err(HeadError::BareCr { at: 22 }));
    }

    #[test]
    fn a_folded_line_is_refused() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\n A"), Err(HeadError::ObsoleteFold { at: 16 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA: b\r\n\t"), Err(HeadError::ObsoleteFold { at: 22 }));
    }

    #[test]
    fn whitespace_before_the_colon_is_refused() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA : b"), Err(HeadError::SpaceBeforeColon { at: 17 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nA\t: b"), Err(HeadError::SpaceBeforeColon { at: 17 }));
    }

    #[test]
    fn an_empty_name_and_a_line_without_a_colon_are_refused() {
        assert_eq!(scan(b"GET / HTTP/1.1\r\n:"), Err(HeadError::EmptyName { at: 16 }));
        assert_eq!(scan(b"GET / HTTP/1.1\r\nAB\r\n"), Err(HeadError::MissingColon { at: 18 }));
    }

    #[test]
    fn exactly_the_bytes_of_tokens_are_allowed_in_names() {
        for byte in 0..=u8::MAX {
            let is_token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            if b"\r\n \t:".contains(&byte) {
                continue;
            }
            let expected = if is_token { Ok(None) } else { Err(HeadError::NameByte { at: 16, byte }) };
            assert_eq!(scan(&[b"GET / HTTP/1.1\r\n", &[byte][..]].concat()), expected);
            let expected = if is_token { Ok(None) } else { Err(HeadError::NameByte { at: 17, byte }) };
            assert_eq!(scan(&[b"GET / HTTP/1.1\r\nA", &[byte][..]].concat()), expected);
        }
    }

    #[test]
    fn control_bytes_in_values_are_refused() {
        for byte in (0..=u8::MAX).filter(|byte| !b"\r\n".contains(byte)) {
            let allowed = byte == b'\t' || (byte >= b' ' && byte != 0x7f);
            let expected = if allowed { Ok(None) } else { Err(HeadError::ValueByte { at: 18, byte }) };
            assert_eq!(scan(&[b"GET / HTTP/1.1\r\nA:", &[byte][..]].concat()), expected);
        }
    }

    proptest! {
        #[test]
        fn any_pieces_of_a_damaged_head_give_the_same_result(
            index in 0..CORPUS.len(),
            damage in prop::option::of((any::<prop::sample::Index>(), any::<u8>())),
            mut ends in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
            limit in 0_usize..600,
        ) {
            let mut received = CORPUS[index].to_vec();
            if let Some((at, byte)) = damage {
                let at = at.index(received.len());
                received[at] = byte;
            }
            ends.sort_by_key(|end| end.index(received.len() + 1));
            let ends = ends.iter().map(|end| end.index(received.len() + 1));
            let whole = HeadScanner::new(limit).scan(&received);
            prop_assert_eq!(scan_pieces(limit, &received, ends), whole);
            if let Ok(Some(end)) = whole {
                prop_assert!(end <= limit && received[..end].ends_with(b"\r\n\r\n"));
            }
        }
    }
}
