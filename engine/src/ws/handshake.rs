use sha1_smol::Sha1;

use crate::base64::{encode_round, is_character};

/// What the server appends to the client's key before hashing (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`: base64 of the SHA-1 of `key` and a
/// GUID (RFC 6455 section 4.2.2). `key` is the header's value as it was received.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut accept = [0; 28];
    encode_round(&hash.digest().bytes(), &mut accept);
    accept
}

/// The `Sec-WebSocket-Key` for 16 random bytes (RFC 6455 section 4.1).
pub fn client_key(nonce: [u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    encode_round(&nonce, &mut key);
    key
}

/// True if a `Sec-WebSocket-Key` is base64 of 16 bytes (RFC 6455 section 4.2.1). Unused bits of its last character may be set,
/// as servers in the field have it.
pub fn is_valid_key(key: &[u8]) -> bool {
    key.len() == 24 && key.strip_suffix(b"==").is_some_and(|text| text.iter().all(|&byte| is_character(byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Covers: RFC6455-4.2.2-1
    #[test]
    fn accepts_the_example_of_the_rfc() {
        assert_eq!(&accept_key(b"dGhlIHNhbXBsZSBub25jZQ=="), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    /// Covers: RFC6455-4.2.1-1
    #[test]
    fn a_key_is_valid_if_it_holds_16_bytes() {
        assert_eq!(&client_key(*b"the sample nonce"), b"dGhlIHNhbXBsZSBub25jZQ==");
        assert!(is_valid_key(&client_key([0xff; 16])));
        assert!(is_valid_key(b"dGhlIHNhbXBsZSBub25jZR=="), "unused bits are ignored");
        let invalid: [&[u8]; 7] = [
            b"",
            b"AAAA",
            b"dGhlIHNhbXBsZSBub25jZQ",
            b"dGhlIHNhbXBsZSBub25jZSE=",
            b"dGhlIHNhbXBsZSBub25jZSEh",
            b"dGhlIHNhbXBsZSBub25j Q==",
            b"dGhlIHNhbXBsZSBub25jZQ==AAAA",
        ];
        for key in invalid {
            assert!(!is_valid_key(key), "{key:?}");
        }
    }
}
