use base64::Engine as _;
use base64::alphabet;
use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
use sha1_smol::Sha1;

/// What the server appends to the client's key before hashing (RFC 6455 section 1.3).
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// Takes keys whose last character has unused bits set, as servers in the field do.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_allow_trailing_bits(true),
);

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key`: base64 of the SHA-1 of `key` and a
/// GUID (RFC 6455 section 4.2.2). `key` is the header's value as it was received.
pub fn accept_key(key: &[u8]) -> [u8; 28] {
    let mut hash = Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut accept = [0; 28];
    let written = BASE64.encode_slice(hash.digest().bytes(), &mut accept);
    debug_assert_eq!(written, Ok(accept.len()));
    accept
}

/// The `Sec-WebSocket-Key` for 16 random bytes (RFC 6455 section 4.1).
pub fn client_key(nonce: [u8; 16]) -> [u8; 24] {
    let mut key = [0; 24];
    let written = BASE64.encode_slice(nonce, &mut key);
    debug_assert_eq!(written, Ok(key.len()));
    key
}

/// True if a `Sec-WebSocket-Key` is base64 of 16 bytes (RFC 6455 section 4.2.1).
pub fn is_valid_key(key: &[u8]) -> bool {
    let mut nonce = [0; 18];
    key.len() == 24 && BASE64.decode_slice(key, &mut nonce) == Ok(16)
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
