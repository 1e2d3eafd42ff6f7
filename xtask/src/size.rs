use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result, bail, ensure};

use crate::image::Image;
use crate::{bare_metal, firmware, instructions, proofs};

#[path = "../../engine/proofs/sizes.rs"]
mod sizes;

/// The sizes of the last commit.
const COMMITTED: &str = "engine/proofs/sizes.txt";

/// The array in the image with the sizes on the target, in the order of [`sizes::SIZES`].
const SYMBOL: &str = "STRAIT_SIZES";

/// The array in the firmware with the number of its connections at a time and the bytes of a lane.
const CONNECTIONS: &str = "STRAIT_CONNECTIONS";

/// The row of what is there because of the gateway, and not because of the board or its TCP stack.
const OURS: &str = "engine and driver: code";

/// The row of what is there because of the two.
const THEIR_CRATES: &str = "crates that only they use: code";

/// The tasks of the connections.
const POOL: &str = "strait_firmware::connections::POOL";

/// A change beyond this has to be committed: one in so many.
const TOLERANCE: u64 = 100;

/// Prints what the engine takes, and compares it with the committed file, or writes that.
pub(crate) fn check(write: bool) -> Result<()> {
    let compiler = bare_metal::compiler_version()?;
    let rows = rows()?;
    let table = table(&compiler, &rows);
    println!("\n{table}");
    if write {
        return std::fs::write(COMMITTED, table).with_context(|| format!("cannot write {COMMITTED}"));
    }
    let committed = std::fs::read_to_string(COMMITTED).with_context(|| format!("no {COMMITTED}"))?;
    if committed.lines().next() != table.lines().next() {
        println!("NOT COMPARED with {COMMITTED}, which is of another compiler");
        return Ok(());
    }
    compare(&parse(&committed)?, &rows)
}

/// Prints sections, code by crate and the stack of each task of any image.
pub(crate) fn image(path: &Path) -> Result<()> {
    let image = Image::read(path)?;
    let ours = [(OURS.to_owned(), image.code(is_ours)), (THEIR_CRATES.to_owned(), image.code(is_of_theirs))];
    let rows: Vec<_> = flash(&image).into_iter().chain(ours).collect();
    println!("{}", table(&path.display().to_string(), &rows));
    for (name, depth) in image.stack(is_task) {
        println!("{} {name}\n    {}", depth.bytes, depth.path.join("\n    "));
    }
    Ok(())
}

fn rows() -> Result<Vec<(String, u64)>> {
    let mut rows = engine()?;
    rows.extend(instructions::rows()?);
    // The whole one is built last: it is the one that others find.
    let without = Image::read(&firmware::build_without_port_forward()?)?;
    let smallest = Image::read(&firmware::build_smallest()?)?;
    let whole = Image::read(&firmware::build()?)?;
    for (name, image, is_all) in
        [("firmware", whole, true), ("without port-forward", without, false), ("smallest", smallest, false)]
    {
        let figures = figures(&image).with_context(|| name.to_owned())?;
        let by_crate = if is_all { flash(&image) } else { Vec::new() };
        rows.extend(
            by_crate.into_iter().chain(figures).map(|(figure, bytes)| (format!("{name}: {figure}"), bytes)),
        );
    }
    Ok(rows)
}

/// What an image of the firmware takes of flash, RAM and stack.
fn figures(image: &Image) -> Result<Vec<(String, u64)>> {
    let of_sections = |names: &[&str]| {
        let sections = image.sections.iter().filter(|section| names.contains(&&*section.name));
        sections.map(|section| section.bytes).sum()
    };
    let mut rows = vec![
        (OURS.to_owned(), image.code(is_ours)),
        (THEIR_CRATES.to_owned(), image.code(is_of_theirs)),
        ("flash".to_owned(), of_sections(&[".vector_table", ".text", ".rodata", ".data"])),
        ("static RAM".to_owned(), of_sections(&[".data", ".bss", ".uninit"])),
    ];
    let [connections, lane] = *image.words(CONNECTIONS)? else { bail!("{CONNECTIONS} has two words") };
    let task = image.static_bytes(POOL)? / u64::from(connections);
    rows.push(("memory: task of a connection, with its session".to_owned(), task));
    rows.push(("memory: session of any kind, task and two lanes".to_owned(), task + 2 * u64::from(lane)));
    for (name, depth) in image.stack(is_task) {
        let task = name.split("__").nth(1).unwrap_or(&name).to_owned();
        rows.push((format!("stack: {task}"), depth.bytes));
    }
    Ok(rows)
}

/// The function that runs a task, whose future it holds.
fn is_task(name: &str) -> bool {
    name.contains("TaskStorage<") && name.ends_with(">>::poll")
}

/// Code that is there because of the gateway, and not because of the board or its TCP stack.
fn is_ours(name: &str) -> bool {
    let is_gateway = is_task(name) && ["__connections_", "__clients_"].iter().any(|task| name.contains(task));
    let crates = ["strait::", "strait_embassy::", "siphasher::"];
    is_gateway || crates.iter().any(|path| name.contains(path))
}

/// Code of what only engine and driver depend on, where it is not part of a function of theirs.
fn is_of_theirs(name: &str) -> bool {
    ["httparse::", "sha1_smol::", "base64::"].iter().any(|path| name.contains(path)) && !is_ours(name)
}

fn engine() -> Result<Vec<(String, u64)>> {
    let image = proofs::build()?;
    let on_target = image.words(SYMBOL)?;
    ensure!(on_target.len() == sizes::SIZES.len(), "the image has other sizes");
    let mut rows = flash(&image);
    for (&(name, on_host), &on_target) in sizes::SIZES.iter().zip(&on_target) {
        rows.push((format!("memory on the target: {name}"), on_target.into()));
        rows.push((format!("memory on a host of 64 bits: {name}"), on_host as u64));
    }
    // What holds the session itself on its stack is no part of the engine.
    let holds_session =
        |name: &str| ["join", "exec"].iter().any(|fun| name.contains(&format!("::exec::{fun}::")));
    let is_operation = |name: &str| name.starts_with("strait_no_panic::exec::") && !holds_session(name);
    for (name, depth) in image.stack(is_operation) {
        rows.push((format!("stack: {}", without_crates(&name)), depth.bytes));
    }
    Ok(rows)
}

fn flash(image: &Image) -> Vec<(String, u64)> {
    let sections = image.sections.iter().map(|section| (format!("section {}", section.name), section.bytes));
    let crates = image.code_by_crate().into_iter().map(|(name, bytes)| (format!("code of {name}"), bytes));
    sections.chain(crates).collect()
}

/// The types without where they come from.
fn without_crates(name: &str) -> String {
    let mut short = String::new();
    let name = name.replace("::<", "<");
    for word in name.split_inclusive(['<', '>', ',', ' ', '[', ']', '(', ')', '&']) {
        short.push_str(word.rsplit("::").next().unwrap_or(word));
    }
    short
}

fn table(compiler: &str, rows: &[(String, u64)]) -> String {
    let mut table = format!("bytes, {compiler}\n");
    for (name, bytes) in rows {
        // Writing to a String does not fail.
        let _ = writeln!(table, "{bytes:>8} {name}");
    }
    table
}

fn parse(table: &str) -> Result<Vec<(String, u64)>> {
    let rows = table.lines().skip(1).map(|line| {
        let (bytes, name) = line.trim_start().split_once(' ').context("a line has a number and a name")?;
        Ok((name.to_owned(), bytes.parse()?))
    });
    rows.collect()
}

fn compare(committed: &[(String, u64)], rows: &[(String, u64)]) -> Result<()> {
    let mut changes = String::new();
    for (name, bytes) in rows {
        let before = committed.iter().find(|(other, _)| other == name).map(|(_, bytes)| *bytes);
        if before.is_none_or(|before| before.abs_diff(*bytes) * TOLERANCE > before) {
            let _ = writeln!(changes, "{name}: {bytes}, was {before:?}");
        }
    }
    for (name, _) in committed.iter().filter(|(name, _)| !rows.iter().any(|(other, _)| other == name)) {
        let _ = writeln!(changes, "{name}: gone");
    }
    if !changes.is_empty() {
        bail!(
            "sizes have changed; if that is meant, commit what `cargo xtask size --write` writes:\n{changes}"
        );
    }
    Ok(())
}
