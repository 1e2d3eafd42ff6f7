use super::ProtocolError;

/// Why a connection is closed (RFC 6455 section 7.4 and IANA's registry).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct CloseCode(pub u16);

impl CloseCode {
    /// The purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// A server shuts down, or a page was left.
    pub const GOING_AWAY: Self = Self(1001);
    /// The peer broke the protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// The peer sent a kind of data that this end does not take.
    pub const UNSUPPORTED_DATA: Self = Self(1003);
    /// Stands for a Close frame without a code; never on the wire.
    pub const NO_STATUS: Self = Self(1005);
    /// Stands for a connection that was lost without a Close frame; never on the wire.
    pub const ABNORMAL: Self = Self(1006);
    /// The peer sent a text that is not UTF-8, or the like.
    pub const INVALID_PAYLOAD: Self = Self(1007);
    /// The peer did what it may not.
    pub const POLICY: Self = Self(1008);
    /// The peer sent more at once than this end takes.
    pub const TOO_BIG: Self = Self(1009);
    /// The server did not agree to an extension that this client needs.
    pub const MANDATORY_EXTENSION: Self = Self(1010);
    /// This end failed.
    pub const INTERNAL_ERROR: Self = Self(1011);
    /// The service restarts: try again after a while.
    pub const SERVICE_RESTART: Self = Self(1012);
    /// The service is overloaded: try again later.
    pub const TRY_AGAIN_LATER: Self = Self(1013);
    /// A gateway got an invalid response from its upstream.
    pub const BAD_GATEWAY: Self = Self(1014);

    /// True if a Close frame may carry this code: the registered ones except those that stand for the
    /// absence of a code, and 3000 to 4999 for libraries and applications.
    #[inline]
    pub const fn is_valid_on_wire(self) -> bool {
        matches!(self.0, 1000..=1003 | 1007..=1014 | 3000..=4999)
    }
}

impl core::fmt::Display for CloseCode {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        self.0.fmt(f)
    }
}

/// Bytes of the code in front of the reason.
pub(super) const CODE_BYTES: usize = 2;

/// Reads the payload of a Close frame; the reason is what follows the code.
pub(super) fn parse(payload: &[u8]) -> Result<Option<CloseCode>, ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk::<CODE_BYTES>() else {
        return if payload.is_empty() { Ok(None) } else { Err(ProtocolError::HalfCloseCode) };
    };
    let code = CloseCode(u16::from_be_bytes(*code));
    if !code.is_valid_on_wire() {
        return Err(ProtocolError::InvalidCloseCode(code));
    }
    let mut utf8 = super::Utf8Validator::new();
    utf8.feed(reason)?;
    utf8.finish()?;
    Ok(Some(code))
}

/// As much of `reason` as a Close frame and `room` hold, cut between characters.
pub(super) fn cut(reason: &str, room: usize) -> &[u8] {
    let end = reason.floor_char_boundary(room.min(super::CONTROL_PAYLOAD_BYTES - CODE_BYTES));
    reason.as_bytes().get(..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers: RFC6455-7.4.1-1
    #[test]
    fn codes_valid_on_the_wire_are_those_of_the_registry_and_of_applications() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535] {
            assert!(!CloseCode(code).is_valid_on_wire(), "{code}");
        }
        for code in
            [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000, 4999]
        {
            assert!(CloseCode(code).is_valid_on_wire(), "{code}");
        }
    }

    /// Covers: RFC6455-5.5.1-1
    #[test]
    fn a_payload_is_empty_or_begins_with_a_whole_valid_code() {
        assert_eq!(parse(b""), Ok(None));
        assert_eq!(parse(b"\x03\xe8"), Ok(Some(CloseCode::NORMAL)));
        assert_eq!(parse(b"\x03\xe9bye"), Ok(Some(CloseCode::GOING_AWAY)));
        assert_eq!(parse(b"\x03"), Err(ProtocolError::HalfCloseCode));
        assert_eq!(parse(b"\x03\xed"), Err(ProtocolError::InvalidCloseCode(CloseCode::NO_STATUS)));
    }

    /// Covers: RFC6455-5.5.1-1
    #[test]
    fn a_reason_must_be_utf8_to_its_end() {
        assert_eq!(parse(b"\x03\xe8a\xff"), Err(ProtocolError::InvalidUtf8 { lead: 0xff }));
        assert_eq!(parse(b"\x03\xe8a\xe2\x82"), Err(ProtocolError::InvalidUtf8 { lead: 0xe2 }));
    }

    #[test]
    fn a_long_reason_is_cut_between_characters() {
        let long = "x".repeat(200);
        assert_eq!(cut(&long, usize::MAX).len(), 123);
        let wide = "\u{20ac}".repeat(50);
        assert_eq!(cut(&wide, usize::MAX).len(), 123);
        let shifted = std::format!("x{wide}");
        assert_eq!(cut(&shifted, 500), &shifted.as_bytes()[..121]);
        assert_eq!(cut("bye", 3), b"bye");
        assert_eq!(cut("b\u{e4}h", 2), b"b", "room for half of a character");
    }
}
