//! The source files of the project.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

const FOLDERS: [&str; 6] = ["bench", "drivers", "engine", "fuzz", "tests", "xtask"];
/// What is built, or fetched.
const LEFT_OUT: [&str; 2] = ["target", "node_modules"];

/// All `.rs` files, in order.
pub(crate) fn all() -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for folder in FOLDERS {
        collect(Path::new(folder), &mut files)?;
    }
    files.sort();
    Ok(files)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("no {}", folder.display()))? {
        let (path, name) = entry.map(|entry| (entry.path(), entry.file_name()))?;
        if path.is_dir() && LEFT_OUT.iter().all(|left_out| name != *left_out) {
            collect(&path, files)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    Ok(())
}
