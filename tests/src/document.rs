use std::fs;
use std::path::Path;

/// Puts `section` between the marks of `name` in a document of `docs/`, and leaves all other text as it is.
pub fn write_down(document: &str, name: &str, section: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(document);
    let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->\n"));
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{document}: {error}"));
    let parts = text.split_once(&begin).and_then(|(above, rest)| Some((above, rest.split_once(&end)?.1)));
    let (above, below) = parts.unwrap_or_else(|| panic!("{document} has no marks for {name}"));
    fs::write(&path, format!("{above}{begin}{}\n{end}{below}", section.trim_end()))
        .unwrap_or_else(|error| panic!("{document}: {error}"));
}
