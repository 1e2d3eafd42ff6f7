//! All mutants of a file in one text, each behind a switch.

use std::collections::BTreeMap;
use std::ops::Range;

use anyhow::{Context as _, Result};
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};

use super::list::{Genre, Mutant};

/// What asks whether a mutant is the one that is tried.
const SWITCH: &str = "crate::mutants_runtime::is";

/// A place of the source and the mutants that are made of it. Ranges are in bytes of the source.
struct Edit {
    range: Range<usize>,
    kind: Kind,
}

enum Kind {
    /// In front of a function's body: values that it returns at once.
    Body(Vec<Alternative>),
    /// Operators that stand for the one between these operands.
    Binary { left: Range<usize>, operator: Range<usize>, right: Range<usize>, others: Vec<Alternative> },
    /// An operator that is left out.
    Unary { number: usize, operand: Range<usize> },
    /// A guard that holds always, or never; and the whole arm, which is left out if its guard never holds.
    Guard(Vec<Alternative>),
    /// Behind the pattern of an arm without a guard, which is left out if it gets one that does not hold.
    Arm(usize),
    /// In front of what is matched: its arms that may be left out.
    Match(Vec<usize>),
    /// A field that is left to the base of its struct expression.
    Field { number: usize, name: String, is_short: bool, base: Range<usize> },
}

struct Alternative {
    number: usize,
    text: String,
}

/// A file with its switches.
pub(crate) struct Switched {
    pub(crate) text: String,
    /// Mutants that have no switch, as what they change is computed when the program is built.
    pub(crate) constant: Vec<usize>,
    /// Mutants that cannot compile: a `let` in a chain of conditions stands between `&&` only.
    pub(crate) unviable: Vec<usize>,
}

/// The file with the switches of its mutants.
pub(crate) fn switched(source: &str, mutants: &[&Mutant]) -> Result<Switched> {
    let file = syn::parse_file(source).context("it cannot be parsed")?;
    let lines = Lines::of(source);
    let mut finder =
        Finder { source, edits: vec![], at: BTreeMap::new(), unviable: vec![], is_constant: false };
    for mutant in mutants {
        let start = lines.offset(mutant.start).with_context(|| format!("{} lies outside", mutant.name))?;
        finder.at.entry((start, mutant.genre)).or_default().push(mutant);
    }
    let bodies: Vec<usize> =
        finder.at.keys().filter(|(_, genre)| *genre == Genre::FnValue).map(|(at, _)| *at).collect();
    for at in bodies {
        let values = finder.alternatives(at, Genre::FnValue);
        finder.edits.push(Edit { range: at..at, kind: Kind::Body(values) });
    }
    finder.visit_file(&file);
    let constant = finder.at.into_values().flatten().map(|mutant| mutant.number).collect();
    let (mut edits, unviable) = (finder.edits, finder.unviable);
    edits.sort_by_key(|edit| (edit.range.start, edit.rank(), std::cmp::Reverse(edit.range.end)));
    let text = Text { source, edits: &edits }.render(0..source.len(), 0);
    Ok(Switched { text, constant, unviable })
}

/// Where lines begin.
struct Lines<'a> {
    source: &'a str,
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    fn of(source: &'a str) -> Self {
        let behind = source.match_indices('\n').map(|(at, _)| at + 1);
        Self { source, starts: std::iter::once(0).chain(behind).collect() }
    }

    /// Of a line and a column in characters, both from 1.
    fn offset(&self, (line, column): (usize, usize)) -> Option<usize> {
        let start = *self.starts.get(line.checked_sub(1)?)?;
        let rest = self.source.get(start..)?;
        rest.char_indices().nth(column.checked_sub(1)?).map(|(at, _)| start + at)
    }
}

/// Finds the expressions of mutants.
struct Finder<'a> {
    source: &'a str,
    edits: Vec<Edit>,
    /// Mutants that have no switch yet.
    at: BTreeMap<(usize, Genre), Vec<&'a Mutant>>,
    unviable: Vec<usize>,
    /// What is made when the program is built knows no switch.
    is_constant: bool,
}

impl Finder<'_> {
    fn alternatives(&mut self, at: usize, genre: Genre) -> Vec<Alternative> {
        let mutants = if self.is_constant { None } else { self.at.remove(&(at, genre)) };
        let mutants = mutants.unwrap_or_default();
        mutants
            .into_iter()
            .map(|mutant| Alternative { number: mutant.number, text: mutant.replacement.clone() })
            .collect()
    }

    fn one(&mut self, at: usize, genre: Genre) -> Option<usize> {
        self.alternatives(at, genre).first().map(|mutant| mutant.number)
    }

    fn in_constant(&mut self, visit: impl FnOnce(&mut Self)) {
        let outside = std::mem::replace(&mut self.is_constant, true);
        visit(self);
        self.is_constant = outside;
    }

    fn edit(&mut self, range: Range<usize>, kind: Kind) {
        self.edits.push(Edit { range, kind });
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.in_constant(|finder| visit::visit_item_const(finder, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.in_constant(|finder| visit::visit_impl_item_const(finder, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.in_constant(|finder| visit::visit_trait_item_const(finder, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.in_constant(|finder| visit::visit_item_static(finder, item));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.in_constant(|finder| visit::visit_type_array(finder, array));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.in_constant(|finder| finder.visit_expr(&repeat.len));
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let operator = binary.op.span().byte_range();
        let others = self.alternatives(operator.start, Genre::BinaryOperator);
        if has_let(&binary.left) || has_let(&binary.right) {
            self.unviable.extend(others.iter().map(|other| other.number));
        } else if !others.is_empty() {
            let (left, right) = (binary.left.span().byte_range(), binary.right.span().byte_range());
            // The span of an operator of two characters may be that of its first.
            let operator = left.end..right.start;
            self.edit(left.start..right.end, Kind::Binary { left, operator, right, others });
        }
        visit::visit_expr_binary(self, binary);
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        if let Some(number) = self.one(unary.op.span().byte_range().start, Genre::UnaryOperator) {
            let operand = unary.expr.span().byte_range();
            self.edit(unary.span().byte_range(), Kind::Unary { number, operand });
        }
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, matching: &'ast syn::ExprMatch) {
        let starts = matching.arms.iter().map(|arm| (arm.span().byte_range().start, Genre::MatchArm));
        let arms =
            starts.filter_map(|start| self.at.get(&start)).flatten().map(|mutant| mutant.number).collect();
        let start = matching.expr.span().byte_range().start;
        self.edit(start..start, Kind::Match(arms));
        visit::visit_expr_match(self, matching);
    }

    fn visit_arm(&mut self, arm: &'ast syn::Arm) {
        let deleted = self.one(arm.span().byte_range().start, Genre::MatchArm);
        if let syn::Pat::Guard(guarded) = &arm.pat {
            let range = guarded.guard.span().byte_range();
            let mut others = self.alternatives(range.start, Genre::MatchArmGuard);
            others.extend(deleted.map(|number| Alternative { number, text: "false".to_owned() }));
            if !others.is_empty() && !has_let(&guarded.guard) {
                self.edit(range, Kind::Guard(others));
            }
        } else if let Some(number) = deleted {
            let end = arm.pat.span().byte_range().end;
            self.edit(end..end, Kind::Arm(number));
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, made: &'ast syn::ExprStruct) {
        if let Some(base) = &made.rest {
            let base = base.span().byte_range();
            for field in &made.fields {
                let Some(number) = self.one(field.span().byte_range().start, Genre::StructField) else {
                    continue;
                };
                let name = self.source.get(field.member.span().byte_range()).unwrap_or_default().to_owned();
                let is_short = field.colon_token.is_none();
                let kind = Kind::Field { number, name, is_short, base: base.clone() };
                self.edit(field.expr.span().byte_range(), kind);
            }
        }
        visit::visit_expr_struct(self, made);
    }
}

/// True for a chain of conditions with a `let` in it, which cannot stand in parentheses.
fn has_let(expression: &syn::Expr) -> bool {
    match expression {
        syn::Expr::Let(_) => true,
        syn::Expr::Binary(binary) => has_let(&binary.left) || has_let(&binary.right),
        _ => false,
    }
}

impl Edit {
    /// Of two edits that begin at the same place, the one outside comes first.
    fn rank(&self) -> u8 {
        match self.kind {
            Kind::Body(_) | Kind::Match(_) => 0,
            Kind::Guard(_) | Kind::Field { .. } => 1,
            Kind::Binary { .. } | Kind::Unary { .. } => 2,
            Kind::Arm(_) => 3,
        }
    }
}

/// The source and what becomes of it.
///
/// Comments say which text belongs to which mutant, for what the compiler says of it: `/*<N>*/` and `/*</N>*/` around what
/// stands for a mutant; `/*[N, N]*/` in front of what is matched, for the arms that may be left out.
struct Text<'a> {
    source: &'a str,
    edits: &'a [Edit],
}

impl Text<'_> {
    /// This part of the source, with the edits in it that come behind the first `done` ones.
    fn render(&self, range: Range<usize>, done: usize) -> String {
        let mut text = String::new();
        let mut at = range.start;
        for (index, edit) in self.edits.iter().enumerate().skip(done) {
            if edit.range.start < at || edit.range.end > range.end {
                continue;
            }
            text += self.source.get(at..edit.range.start).unwrap_or_default();
            text += &self.edited(edit, index + 1);
            at = edit.range.end;
        }
        text + self.source.get(at..range.end).unwrap_or_default()
    }

    fn edited(&self, edit: &Edit, done: usize) -> String {
        match &edit.kind {
            Kind::Body(values) => values.iter().map(returned).collect(),
            Kind::Binary { left, operator, right, others } => {
                let (left, right) = (self.render(left.clone(), done), self.render(right.clone(), done));
                let operator = self.source.get(operator.clone()).unwrap_or_default();
                let other =
                    |other: &Alternative| (other.number, format!("({left}) {} ({right})", other.text));
                choice(others.iter().map(other), &format!("({left}) {operator} ({right})"))
            }
            Kind::Unary { number, operand } => {
                let without = self.render(operand.clone(), done);
                let operator = self.source.get(edit.range.start..operand.start).unwrap_or_default();
                choice([(*number, format!("({without})"))], &format!("{operator}{without}"))
            }
            Kind::Guard(others) => {
                let guard = self.render(edit.range.clone(), done);
                choice(others.iter().map(|other| (other.number, other.text.clone())), &guard)
            }
            Kind::Match(arms) => format!("/*{arms:?}*/ "),
            Kind::Arm(number) => format!(" if !{SWITCH}({number}) /*<{number}>*/ /*</{number}>*/"),
            Kind::Field { number, name, is_short, base } => {
                let value = self.render(edit.range.clone(), done);
                let base = self.source.get(base.clone()).unwrap_or_default();
                let field = if *is_short { format!("{name}: ") } else { String::new() };
                field + &choice([(*number, format!("({base}).{name}"))], &value)
            }
        }
    }
}

fn returned(value: &Alternative) -> String {
    let Alternative { number, text } = value;
    format!("if {SWITCH}({number}) {{ /*<{number}>*/ return {text}; /*</{number}>*/ }} ")
}

fn choice(others: impl IntoIterator<Item = (usize, String)>, original: &str) -> String {
    let other =
        |(number, other)| format!("if {SWITCH}({number}) {{ /*<{number}>*/ {other} /*</{number}>*/ }} else ");
    let others: String = others.into_iter().map(other).collect();
    format!("({others}{{ {original} }})")
}

/// The innermost mutant whose text is at this byte of what [`switched`] has written.
pub(crate) fn mutant_at(text: &str, at: usize) -> Option<usize> {
    let mut open = vec![];
    let mut rest = text.get(..at)?;
    while let Some((_, behind)) = rest.split_once("/*<") {
        rest = behind;
        let Some((number, _)) = behind.split_once(">*/") else { continue };
        match number.strip_prefix('/') {
            Some(_) => drop(open.pop()),
            None => open.extend(number.parse::<usize>()),
        }
    }
    open.pop()
}

/// The mutants that leave out an arm of the match whose subject is at this byte.
pub(crate) fn arms_at(text: &str, at: usize) -> Vec<usize> {
    let arms = text
        .get(..=at)
        .and_then(|front| front.rsplit_once("/*["))
        .and_then(|(_, arms)| arms.split_once("]*/"));
    let Some((arms, _)) = arms else { return vec![] };
    arms.split(", ").filter_map(|number| number.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mutant(number: usize, genre: Genre, start: (usize, usize), replacement: &str) -> Mutant {
        Mutant {
            number,
            genre,
            start,
            replacement: replacement.to_owned(),
            file: "a.rs".to_owned(),
            name: format!("mutant {number}"),
            key: format!("mutant {number}"),
        }
    }

    fn without_space(text: &str) -> String {
        text.replace(SWITCH, "is").split_whitespace().collect()
    }

    #[test]
    fn mutants_of_nested_expressions_are_in_one_text() {
        let source = "fn f(a: u8, b: u8) -> bool {\n    a + 1 < b\n}\nconst A: u8 = 1 + 1;\n";
        let mutants = [
            mutant(0, Genre::FnValue, (2, 5), "true"),
            mutant(1, Genre::BinaryOperator, (2, 7), "-"),
            mutant(2, Genre::BinaryOperator, (2, 11), ">"),
            mutant(3, Genre::BinaryOperator, (4, 17), "-"),
        ];
        let Switched { text, constant, unviable } =
            switched(source, &mutants.iter().collect::<Vec<_>>()).expect("it can be parsed");
        let inner = "(ifis(1){/*<1>*/(a)-(1)/*</1>*/}else{(a)+(1)})";
        let expected = format!(
            "fnf(a:u8,b:u8)->bool{{ifis(0){{/*<0>*/returntrue;/*</0>*/}}(ifis(2){{/*<2>*/({inner})>(b)/*</2>*/}}else{{({inner})<(b)}})}}constA:u8=1+1;"
        );
        assert_eq!((without_space(&text), constant, unviable), (expected, vec![3], vec![]));
        let place = text.find("> (b)").expect("the mutant");
        assert_eq!(mutant_at(&text, place), Some(2), "behind the text of another one that is in it");
        assert_eq!(mutant_at(&text, text.find("(a) - ").expect("the mutant")), Some(1));
        assert_eq!(mutant_at(&text, text.len()), None);
    }

    #[test]
    fn arms_and_guards_are_switched_and_a_chain_with_let_has_no_other_operator() {
        let source = "fn f(a: Option<u8>) {\n    match a { Some(1) => g(), Some(n) if n > 2 => g(), _ => {} }\n    \
                      if let Some(n) = a && !h(n) && n > 3 { g() }\n}\n";
        let mutants = [
            mutant(0, Genre::MatchArm, (2, 15), ""),
            mutant(1, Genre::MatchArm, (2, 31), ""),
            mutant(2, Genre::MatchArmGuard, (2, 42), "true"),
            mutant(3, Genre::UnaryOperator, (3, 27), ""),
            mutant(4, Genre::BinaryOperator, (3, 24), "||"),
        ];
        let Switched { text, constant, unviable } =
            switched(source, &mutants.iter().collect::<Vec<_>>()).expect("it can be parsed");
        let text = without_space(&text);
        assert!(text.contains("Some(1)if!is(0)"), "{text}");
        assert!(
            text.contains("if(ifis(2){/*<2>*/true/*</2>*/}elseifis(1){/*<1>*/false/*</1>*/}else{n>2})=>"),
            "{text}"
        );
        assert!(text.contains("&&(ifis(3){/*<3>*/(h(n))/*</3>*/}else{!h(n)})&&"), "{text}");
        assert_eq!((constant, unviable), (vec![], vec![4]));
        assert!(text.starts_with("fnf(a:Option<u8>){match/*[0,1]*/a{"), "{text}");
    }
}
