//! A copy of the project whose engine has all mutants in it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::list::Mutant;
use super::switch::{arms_at, mutant_at, switched};
use crate::run::{Run, command, target};

/// Packages whose tests have to notice a mutant.
const TESTS: [&str; 2] = ["strait", "strait-fuzz"];

/// Compilers stop at the first of their phases that fails; each round is one more look.
const ROUNDS: usize = 20;

/// What the compiler calls a match that lacks an arm.
const NOT_EXHAUSTIVE: &str = "E0004";

const LIBRARY: &str = "engine/src/lib.rs";
const FORBID: &str = "#![forbid(unsafe_code)]";

pub(crate) struct Tree {
    root: PathBuf,
    build: PathBuf,
    /// The sources without any switch.
    sources: BTreeMap<String, String>,
}

/// Programs with tests, and what is no part of them.
pub(crate) struct Built {
    pub(crate) binaries: Vec<Binary>,
    /// Mutants that do not compile.
    pub(crate) unviable: BTreeSet<usize>,
    /// Mutants of constants, which have no switch.
    pub(crate) constant: BTreeSet<usize>,
}

pub(crate) struct Binary {
    pub(crate) path: PathBuf,
    /// The folder of its package, where it is run.
    pub(crate) folder: PathBuf,
}

impl Tree {
    /// Copies all files that are part of the project, with their changes.
    pub(crate) fn copied() -> Result<Self> {
        let at = std::path::absolute(target().join("mutants"))?;
        let root = at.join("tree");
        if root.exists() {
            fs::remove_dir_all(&root)?;
        }
        let files = command("git").args(["ls-files", "--cached", "--others", "--exclude-standard"]).output();
        for file in files.context("git lists no files")?.lines().filter(|file| Path::new(file).is_file()) {
            let to = root.join(file);
            fs::create_dir_all(to.parent().context("a file without a folder")?)?;
            fs::copy(file, &to).with_context(|| format!("{file} cannot be copied"))?;
        }
        Ok(Self { root, build: at.join("build"), sources: BTreeMap::new() })
    }

    /// Builds the tests with all mutants that compile.
    pub(crate) fn build(&mut self, mutants: &[Mutant]) -> Result<Built> {
        let mut unviable = BTreeSet::new();
        self.with_runtime(mutants.len())?;
        for round in 1..=ROUNDS {
            let constant = self.write(mutants, &mut unviable)?;
            let messages = self.test_build()?.record()?;
            let lines = String::from_utf8_lossy(&messages.stdout);
            let messages_of = || lines.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
            if messages.status.success() {
                let binaries = messages_of().filter_map(|message| Binary::named(&message)).collect();
                return Ok(Built { binaries, unviable, constant });
            }
            let before = unviable.len();
            let mut errors = String::new();
            for message in messages_of().filter(|message| message["message"]["level"] == "error") {
                unviable.extend(self.blamed(&message["message"])?);
                errors += message["message"]["rendered"].as_str().unwrap_or_default();
            }
            println!("round {round}: {} mutants do not compile", unviable.len());
            let said = String::from_utf8_lossy(&messages.stderr);
            ensure!(unviable.len() > before, "the tests do not compile:\n{errors}{said}");
        }
        bail!("after {ROUNDS} rounds there are still mutants that do not compile")
    }

    /// The library without what its switches may not have, and with what they ask.
    fn with_runtime(&mut self, count: usize) -> Result<()> {
        let library = self.source(LIBRARY)?;
        ensure!(library.contains(FORBID), "{LIBRARY} has no {FORBID}");
        let features = "#![feature(core_intrinsics, const_eval_select)]\n#![allow(internal_features)]";
        let runtime = include_str!("runtime.txt").replace("COUNT", &count.to_string());
        let library = library.replace(FORBID, features) + &runtime;
        self.sources.insert(LIBRARY.to_owned(), library);
        Ok(())
    }

    fn source(&mut self, file: &str) -> Result<String> {
        if let Some(source) = self.sources.get(file) {
            return Ok(source.clone());
        }
        let source = fs::read_to_string(self.root.join(file)).with_context(|| format!("no {file}"))?;
        self.sources.insert(file.to_owned(), source.clone());
        Ok(source)
    }

    /// Writes the files with their switches; the mutants of constants.
    pub(crate) fn write(
        &mut self,
        mutants: &[Mutant],
        unviable: &mut BTreeSet<usize>,
    ) -> Result<BTreeSet<usize>> {
        let mut files = BTreeMap::from([(LIBRARY, vec![])]);
        for mutant in mutants {
            let of_file = files.entry(mutant.file.as_str()).or_default();
            of_file.extend((!unviable.contains(&mutant.number)).then_some(mutant));
        }
        let mut constant = BTreeSet::new();
        for (file, mutants) in files {
            let source = self.source(file)?;
            let switched = switched(&source, &mutants).with_context(|| file.to_owned())?;
            constant.extend(switched.constant);
            unviable.extend(switched.unviable);
            let path = self.root.join(file);
            if fs::read_to_string(&path)? != switched.text {
                fs::write(path, switched.text)?;
            }
        }
        Ok(constant)
    }

    fn test_build(&self) -> Result<Run> {
        let packages = TESTS.iter().flat_map(|package| ["--package", *package]);
        let manifest = self.root.join("Cargo.toml");
        let manifest = manifest.to_str().context("the folder's name is no text")?;
        Ok(command("cargo")
            .args([
                "test",
                "--no-run",
                "--lib",
                "--tests",
                "--message-format=json",
                "--manifest-path",
                manifest,
            ])
            .args(packages)
            .env("CARGO_TARGET_DIR", &self.build)
            // A function for constants that knows whether it makes one is not for everybody.
            .env("RUSTC_BOOTSTRAP", "strait")
            .env("CARGO_ENCODED_RUSTFLAGS", "-Awarnings")
            .env("CARGO_PROFILE_DEV_DEBUG", "0")
            .env("CARGO_PROFILE_DEV_OPT_LEVEL", "1"))
    }

    /// The mutants in whose text the compiler has found something.
    fn blamed(&self, message: &Value) -> Result<Vec<usize>> {
        let spans = message["spans"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut found = vec![];
        for span in spans {
            let (Some(file), Some(at)) = (span["file_name"].as_str(), span["byte_start"].as_u64()) else {
                continue;
            };
            let Ok(text) = fs::read_to_string(self.root.join(file)) else { continue };
            let at = usize::try_from(at)?;
            found.extend(mutant_at(&text, at));
            if message["code"]["code"] == NOT_EXHAUSTIVE && span["is_primary"] == true {
                found.extend(arms_at(&text, at));
            }
        }
        Ok(found)
    }
}

impl Binary {
    fn named(message: &Value) -> Option<Self> {
        let path = message["executable"].as_str()?;
        let folder = Path::new(message["manifest_path"].as_str()?).parent()?;
        Some(Self { path: path.into(), folder: folder.to_owned() })
    }
}
