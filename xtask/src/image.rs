use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use anyhow::{Context, Result};
use object::elf::{R_ARM_THM_JUMP24, R_ARM_THM_PC22};
use object::{
    Object, ObjectSection, ObjectSymbol, RelocationFlags, RelocationTarget, SectionKind, SymbolKind,
};

/// A linked ARM image with what its call graph is made of: functions, their relocations (`--emit-relocs`) and their
/// stack frames (`-Z emit-stack-sizes`).
pub(crate) struct Image {
    /// By address.
    functions: BTreeMap<u64, Function>,
    /// Contents of the data that have a name.
    data: BTreeMap<String, Vec<u8>>,
    /// Bytes of everything in RAM that has a name.
    statics: BTreeMap<String, u64>,
    pub(crate) sections: Vec<Section>,
}

pub(crate) struct Section {
    pub(crate) name: String,
    pub(crate) bytes: u64,
}

#[derive(Debug)]
struct Function {
    name: String,
    bytes: u64,
    frame: u64,
    calls: BTreeSet<u64>,
}

/// The deepest chain of calls from a function, in bytes of stack.
#[derive(Debug, Clone, Default)]
pub(crate) struct Depth {
    pub(crate) bytes: u64,
    pub(crate) path: Vec<String>,
}

impl Image {
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let bytes = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
        let file = object::File::parse(&*bytes)?;
        let mut functions = functions(&file);
        for (address, frame) in frames(&file)? {
            if let Some(function) = functions.get_mut(&address) {
                function.frame = frame;
            }
        }
        let (calls, taken) = references(&file, &functions);
        for (caller, callee) in calls {
            if let Some(function) = functions.get_mut(&caller) {
                function.calls.insert(callee);
            }
        }
        for caller in indirect_callers(&file, &functions) {
            if let Some(function) = functions.get_mut(&caller) {
                function.calls.extend(&taken);
            }
        }
        let sections =
            file.sections().filter(|section| section.address() > 0 || section.kind() == SectionKind::Text);
        let sections = sections.filter(|section| section.size() > 0);
        let sections = sections
            .map(|section| Section {
                name: section.name().unwrap_or_default().to_owned(),
                bytes: section.size(),
            })
            .collect();
        Ok(Self { functions, data: data(&file), statics: statics(&file), sections })
    }

    /// An array of words.
    pub(crate) fn words(&self, name: &str) -> Result<Vec<u32>> {
        let bytes = self.data.get(name).with_context(|| format!("the image has no {name}"))?;
        Ok(bytes.as_chunks().0.iter().map(|word| u32::from_le_bytes(*word)).collect())
    }

    /// Bytes of the static `name`.
    pub(crate) fn static_bytes(&self, name: &str) -> Result<u64> {
        self.statics.get(name).copied().with_context(|| format!("the image has no static {name}"))
    }

    /// Bytes of the functions whose name `is_counted`, and of the pieces that the compiler has taken out of them, be it to share
    /// them with others.
    pub(crate) fn code(&self, is_counted: impl Fn(&str) -> bool) -> u64 {
        let counted = || self.functions.values().filter(|function| is_counted(&function.name));
        let called: BTreeSet<u64> = counted().flat_map(|function| &function.calls).copied().collect();
        let pieces = called.iter().filter_map(|address| self.functions.get(address));
        let pieces = pieces.filter(|function| function.name.starts_with("OUTLINED_FUNCTION_"));
        counted().chain(pieces).map(|function| function.bytes).sum()
    }

    /// Bytes of code by crate.
    pub(crate) fn code_by_crate(&self) -> BTreeMap<String, u64> {
        let mut crates = BTreeMap::new();
        for function in self.functions.values() {
            *crates.entry(crate_of(&function.name)).or_default() += function.bytes;
        }
        crates
    }

    /// The functions outside of `core` from which `core` alone leads to the function `name`, each with its way there.
    pub(crate) fn callers(&self, name: &str) -> Vec<Vec<&str>> {
        let mut ways = Vec::new();
        let mut seen = BTreeSet::new();
        let ends = self.functions.iter().filter(|(_, function)| function.name == name);
        let mut queue: VecDeque<Vec<u64>> = ends.map(|(&address, _)| vec![address]).collect();
        while let Some(way) = queue.pop_front() {
            let Some(last) = way.last() else { continue };
            for (&caller, function) in
                self.functions.iter().filter(|(_, function)| function.calls.contains(last))
            {
                if !seen.insert(caller) {
                    continue;
                }
                let mut way = way.clone();
                way.push(caller);
                if matches!(&*crate_of(&function.name), "core" | "__rustc" | "intrinsics") {
                    queue.push_back(way);
                } else {
                    ways.push(way);
                }
            }
        }
        let name = |address: &u64| self.functions.get(address).map_or("", |function| &*function.name);
        ways.iter().map(|way| way.iter().rev().map(name).collect()).collect()
    }

    /// The stack that each function whose name `is_root` takes with all that it calls.
    pub(crate) fn stack(&self, is_root: impl Fn(&str) -> bool) -> BTreeMap<String, Depth> {
        let mut known = BTreeMap::new();
        let roots = self.functions.iter().filter(|(_, function)| is_root(&function.name));
        roots
            .map(|(&root, function)| (function.name.clone(), self.depth(root, &mut known, &mut Vec::new())))
            .collect()
    }

    fn depth(&self, address: u64, known: &mut BTreeMap<u64, Depth>, open: &mut Vec<u64>) -> Depth {
        if let Some(depth) = known.get(&address) {
            return depth.clone();
        }
        let Some(function) = self.functions.get(&address) else { return Depth::default() };
        if open.contains(&address) {
            return Depth { bytes: 0, path: vec![format!("recursion: {}", function.name)] };
        }
        open.push(address);
        let calls = function.calls.iter().map(|&callee| self.depth(callee, known, open));
        let deepest = calls.max_by_key(|depth| depth.bytes).unwrap_or_default();
        open.pop();
        let mut path = vec![format!("{} {}", function.frame, function.name)];
        path.extend(deepest.path);
        let depth = Depth { bytes: function.frame + deepest.bytes, path };
        known.insert(address, depth.clone());
        depth
    }
}

fn functions(file: &object::File<'_>) -> BTreeMap<u64, Function> {
    let symbols = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Text && symbol.size() > 0);
    symbols
        .map(|symbol| {
            let name = format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()));
            (
                even(symbol.address()),
                Function { name, bytes: symbol.size(), frame: 0, calls: BTreeSet::new() },
            )
        })
        .collect()
}

fn data(file: &object::File<'_>) -> BTreeMap<String, Vec<u8>> {
    let symbols = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Data && symbol.size() > 0);
    symbols
        .filter_map(|symbol| {
            let section = file.section_by_index(symbol.section_index()?).ok()?;
            let bytes = section.data_range(symbol.address(), symbol.size()).ok()??;
            Some((symbol.name().ok()?.to_owned(), bytes.to_vec()))
        })
        .collect()
}

fn statics(file: &object::File<'_>) -> BTreeMap<String, u64> {
    let symbols = file.symbols().filter(|symbol| symbol.kind() == SymbolKind::Data && symbol.size() > 0);
    symbols
        .map(|symbol| {
            let name = rustc_demangle::demangle(symbol.name().unwrap_or_default());
            (format!("{name:#}"), symbol.size())
        })
        .collect()
}

/// The addresses of Thumb functions are odd where they are called.
const fn even(address: u64) -> u64 {
    address & !1
}

/// Section `.stack_sizes`: address of a function, then its frame in LEB128.
fn frames(file: &object::File<'_>) -> Result<Vec<(u64, u64)>> {
    let Some(section) = file.section_by_name(".stack_sizes") else { return Ok(Vec::new()) };
    let mut bytes = section.data()?;
    let mut frames = Vec::new();
    while let Some((address, rest)) = bytes.split_first_chunk::<4>() {
        let (mut size, mut shift, mut rest) = (0, 0, rest);
        while let Some((&byte, tail)) = rest.split_first() {
            size |= u64::from(byte & 0x7f) << shift;
            shift += 7;
            rest = tail;
            if byte & 0x80 == 0 {
                break;
            }
        }
        frames.push((even(u64::from(u32::from_le_bytes(*address))), size));
        bytes = rest;
    }
    Ok(frames)
}

/// Calls from function to function, and the functions whose address lies in data. A function whose address is taken by code
/// counts as called by it: the optimiser keeps addresses of what is called often in registers. Where that hands it to another
/// one to be called, as for formatting, the frames in between are not counted.
fn references(
    file: &object::File<'_>,
    functions: &BTreeMap<u64, Function>,
) -> (BTreeSet<(u64, u64)>, BTreeSet<u64>) {
    let (mut calls, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for section in file.sections() {
        let is_looked_at =
            matches!(section.kind(), SectionKind::Text | SectionKind::ReadOnlyData | SectionKind::Data);
        // What the processor calls by itself nobody else calls.
        if !is_looked_at || section.name() == Ok(".vector_table") {
            continue;
        }
        for (place, relocation) in section.relocations() {
            let RelocationTarget::Symbol(index) = relocation.target() else { continue };
            let Ok(symbol) = file.symbol_by_index(index) else { continue };
            let target = even(symbol.address());
            if symbol.kind() != SymbolKind::Text || !functions.contains_key(&target) {
                continue;
            }
            let RelocationFlags::Elf { r_type } = relocation.flags() else { continue };
            let is_call = matches!(r_type, R_ARM_THM_PC22 | R_ARM_THM_JUMP24);
            match functions.range(..=place).next_back() {
                Some((&caller, _)) if is_call || section.kind() == SectionKind::Text => {
                    calls.insert((caller, target))
                }
                _ => taken.insert(target),
            };
        }
    }
    (calls, taken)
}

/// Functions with a `BLX` to a register.
fn indirect_callers(file: &object::File<'_>, functions: &BTreeMap<u64, Function>) -> BTreeSet<u64> {
    let mut callers = BTreeSet::new();
    let words = literals(file);
    for section in file.sections().filter(|section| section.kind() == SectionKind::Text) {
        let Ok(code) = section.data() else { continue };
        for (&address, function) in functions {
            let Some(start) = address.checked_sub(section.address()) else { continue };
            let Some(body) = code.get(start as usize..(start + function.bytes) as usize) else { continue };
            let (halves, _) = body.as_chunks::<2>();
            let places = (address..).step_by(2);
            let mut halves = places.zip(halves.iter().map(|half| u16::from_le_bytes(*half)));
            while let Some((place, half)) = halves.next() {
                if words.range(..=place).next_back().is_some_and(|(_, &is_data)| is_data) {
                    continue;
                }
                // 32-bit instructions begin with 0b111 and one more bit.
                if half >= 0xe800 {
                    halves.next();
                } else if half & 0xff87 == 0x4780 {
                    callers.insert(address);
                }
            }
        }
    }
    callers
}

/// Where data begins in the code (`$d`), and where code goes on (`$t`).
fn literals(file: &object::File<'_>) -> BTreeMap<u64, bool> {
    let marks = file.symbols().filter_map(|symbol| {
        let name = symbol.name().ok()?;
        let is_data = name.starts_with("$d");
        (is_data || name.starts_with("$t")).then_some((even(symbol.address()), is_data))
    });
    marks.collect()
}

/// The crate of a demangled path such as `<strait::leg::X as core::fmt::Debug>::fmt`.
pub(crate) fn crate_of(name: &str) -> String {
    let path = name.trim_start_matches(['<', '&', '[', '(']);
    let end = path.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(path.len());
    match path.split_at(end) {
        (name, rest) if rest.starts_with("::") => name.to_owned(),
        _ => "intrinsics".to_owned(),
    }
}
