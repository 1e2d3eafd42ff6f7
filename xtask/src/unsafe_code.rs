//! Unsafe code stands where SECURITY.md says so, and nowhere else, each time under a comment.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, ensure};

use crate::sources;

const LIST: &str = "SECURITY.md";
const SECTION: &str = "## Unsafe code";
const WORD: &str = "unsafe";
/// The comment stands in so many lines above it.
const NEAR: usize = 8;

pub(crate) fn check() -> Result<()> {
    let places = places()?;
    let mut used = vec![0; places.len()];
    for path in sources::all()? {
        let text = fs::read_to_string(&path)?;
        let lines: Vec<_> = text.lines().collect();
        for (number, _) in lines.iter().enumerate().filter(|(_, line)| is_unsafe(line)) {
            let place = places.iter().position(|place| path.starts_with(place));
            let at = format!("{}:{}", path.display(), number + 1);
            let place = place.with_context(|| format!("{at}: {LIST} does not list this place"))?;
            used[place] += 1;
            let above = &lines[number.saturating_sub(NEAR)..=number];
            ensure!(above.iter().any(|line| line.contains("//")), "{at}: no comment says why this is sound");
        }
    }
    for (place, count) in places.iter().zip(&used) {
        ensure!(*count > 0, "{LIST} lists {place} for nothing");
    }
    let all: Vec<_> = places.iter().zip(used).map(|(place, count)| format!("{place} ({count})")).collect();
    println!("places of {WORD} code: {}", all.join(", "));
    Ok(())
}

/// The first column of the table.
fn places() -> Result<Vec<String>> {
    let text = fs::read_to_string(LIST).with_context(|| format!("no {LIST}"))?;
    let (_, section) =
        text.split_once(SECTION).with_context(|| format!("{LIST} has no section {SECTION:?}"))?;
    let rows = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    let places: Vec<_> = rows.map(|place| place.trim_end_matches('/').to_owned()).collect();
    for place in &places {
        ensure!(Path::new(place).exists(), "{LIST} lists {place}, which is not there");
    }
    Ok(places)
}

/// The word, in code.
fn is_unsafe(line: &str) -> bool {
    let code = line.split("//").next().unwrap_or_default();
    let is_word = |at: usize| {
        let is_end = |byte: Option<&u8>| {
            byte.is_none_or(|byte| !byte.is_ascii_alphanumeric() && !b"_\"".contains(byte))
        };
        is_end(at.checked_sub(1).and_then(|before| code.as_bytes().get(before)))
            && is_end(code.as_bytes().get(at + WORD.len()))
    };
    code.match_indices(WORD).any(|(at, _)| is_word(at))
}
