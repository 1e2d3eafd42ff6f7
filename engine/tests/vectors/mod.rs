//! Loader of `vectors.json`: byte vectors of the Kubernetes streaming protocols.
#![allow(dead_code, reason = "each test binary uses its own part")]

use serde_json::Value;

/// One vector, with its fields as they stand in the file.
pub struct Vector(Value);

impl Vector {
    pub fn id(&self) -> &str {
        self.text("id")
    }

    pub fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_else(|| panic!("{}: no text field {field}", self.0["id"]))
    }

    pub fn has(&self, field: &str) -> bool {
        self.0.get(field).is_some()
    }

    pub fn bytes(&self, field: &str) -> Vec<u8> {
        unhex(self.text(field))
    }

    pub fn number(&self, field: &str) -> u64 {
        self.0[field].as_u64().unwrap_or_else(|| panic!("{}: no number field {field}", self.id()))
    }

    pub fn flag(&self, field: &str) -> bool {
        self.0[field].as_bool().unwrap_or_else(|| panic!("{}: no flag {field}", self.id()))
    }

    pub fn list(&self, field: &str) -> &[Value] {
        self.0[field].as_array().map_or(&[], Vec::as_slice)
    }
}

/// All vectors, in the order of the file.
pub fn all() -> Vec<Vector> {
    let mut document: Value =
        serde_json::from_str(include_str!("vectors.json")).expect("vectors.json is JSON");
    let Value::Array(vectors) = document["vectors"].take() else { panic!("vectors.json has no list") };
    assert_eq!(vectors.len(), 65, "vectors.json is whole");
    vectors.into_iter().map(Vector).collect()
}

/// Bytes from hexadecimal text.
pub fn unhex(text: &str) -> Vec<u8> {
    let digits = text.as_bytes();
    assert!(digits.len().is_multiple_of(2), "an even number of digits");
    let pairs = digits.chunks_exact(2).map(|pair| std::str::from_utf8(pair).expect("ASCII"));
    pairs.map(|pair| u8::from_str_radix(pair, 16).expect("hexadecimal")).collect()
}
