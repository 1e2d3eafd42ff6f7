//! Strategies for texts. Those of proptest itself want std, and these tests also run where there is none.

use proptest::collection::SizeRange;
use proptest::prelude::*;
use std::string::String;
use std::vec::Vec;

/// Any text, control characters included.
pub(crate) fn any_text() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<char>(), 0..32).prop_map(String::from_iter)
}

/// Text of these characters.
pub(crate) fn text_of<L: Into<SizeRange>>(
    characters: &str,
    len: L,
) -> impl Strategy<Value = String> + use<L> {
    let characters: Vec<char> = characters.chars().collect();
    prop::collection::vec(prop::sample::select(characters), len).prop_map(String::from_iter)
}
