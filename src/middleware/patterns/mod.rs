//! Lists of regular expressions, and what all of a run may take once they are compiled.
//!
//! In goes a list, out comes one machine for all of it. Most lists of paths are texts behind `^`: those are looked up,
//! however many there are; texts anywhere are looked for in one pass, and so is all the rest. What a list would take is
//! counted before it is compiled.

mod texts;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aho_corasick::{AhoCorasick, AhoCorasickKind, MatchKind};
use regex::bytes::{Regex, RegexBuilder};
use regex_automata::nfa::thompson::{self, WhichCaptures};
use regex_automata::util::syntax;
use regex_automata::{Anchored, Input, meta};
use regex_syntax::hir::{Dot, Hir, HirKind, Look, Repetition};

use texts::Texts;

/// Most expressions of one list; a longer one is a mistake.
pub(crate) const MAX_LIST: usize = 100_000;
/// Longest expression, in bytes; a longer one is a mistake.
pub(crate) const MAX_TEXT: usize = 64 << 10;
/// Largest compiled expression, in bytes; a larger one is a mistake.
pub(crate) const MAX_ONE_BYTES: usize = 16 << 20;
/// Largest total of all compiled expressions of a run, in bytes; likewise.
pub(crate) const MAX_ALL_BYTES: usize = 64 << 20;
/// Cache for the states of a lazy automaton, in bytes; when it is full, it is cleared and filled anew.
const CACHE_BYTES: usize = 16 << 20;
/// The same for an expression alone.
const CACHE_OF_ONE: usize = 1 << 20;
/// Most mistakes reported of one list: beyond that, the first ones have to be fixed anyway.
const MAX_MISTAKES: usize = 100;
/// Bytes that a letter takes of texts that are looked for anywhere, where no other begins the same.
const LETTER: usize = 32;
/// Bytes that a text takes besides its letters.
const TEXT: usize = 64;
/// Bytes of a machine for which a byte that is searched costs a step more: all of its states may have to be followed.
const BYTES_OF_STEP: usize = 16 << 10;
/// Longest part of an expression that is shown in a message, in characters.
const SHOWN: usize = 80;

/// Memory that expressions have taken so far, of `MAX_ALL_BYTES`. Clones count together.
#[derive(Clone, Debug, Default)]
pub struct PatternBudget(Arc<AtomicUsize>);

impl PatternBudget {
    /// Makes a budget in which these lists count already.
    #[must_use]
    pub fn with<'s>(lists: impl IntoIterator<Item = &'s PatternSet>) -> Self {
        Self(Arc::new(AtomicUsize::new(lists.into_iter().map(|list| list.0.bytes).sum())))
    }

    /// Compiles one expression over bytes.
    ///
    /// # Errors
    ///
    /// Why an expression cannot be used, in words: it is none, or too large.
    pub fn regex(&self, pattern: &str) -> Result<Regex, String> {
        let hir = parse(pattern, syntax::Config::new().utf8(false))?;
        self.charge_machine(pattern, &hir)?;
        let built = RegexBuilder::new(pattern).size_limit(MAX_ONE_BYTES * 2).dfa_size_limit(CACHE_OF_ONE).build();
        built.map_err(|error| not_one(pattern, &error))
    }

    /// Counts what an expression takes as a machine.
    fn charge_machine(&self, pattern: &str, hir: &Hir) -> Result<usize, String> {
        let left = MAX_ALL_BYTES.saturating_sub(self.0.load(Ordering::Relaxed));
        let bytes = machine_bytes(hir, left.min(MAX_ONE_BYTES)).ok_or_else(|| too_large(pattern))?;
        self.charge(pattern, bytes)
    }

    fn charge(&self, pattern: &str, bytes: usize) -> Result<usize, String> {
        let before = self.0.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) <= MAX_ALL_BYTES {
            return Ok(bytes);
        }
        self.0.fetch_sub(bytes, Ordering::Relaxed);
        Err(too_large(pattern))
    }
}

/// Returns what an expression takes as a machine, unless it is more than `limit`.
fn machine_bytes(hir: &Hir, limit: usize) -> Option<usize> {
    let config =
        thompson::Config::new().utf8(false).which_captures(WhichCaptures::Implicit).nfa_size_limit(Some(limit));
    let built = thompson::Compiler::new().configure(config).build_from_hir(hir);
    built.ok().map(|machine| machine.memory_usage())
}

/// Returns what a byte costs that a machine of so many bytes searches.
const fn steps_of(bytes: usize) -> u64 {
    1 + (bytes / BYTES_OF_STEP) as u64
}

/// Returns what a byte costs that this expression searches.
pub(super) fn steps_of_one(regex: &Regex) -> u64 {
    let hir = parse(regex.as_str(), syntax::Config::new().utf8(false)).ok();
    steps_of(hir.and_then(|hir| machine_bytes(&hir, MAX_ONE_BYTES)).unwrap_or(MAX_ONE_BYTES))
}

fn too_large(pattern: &str) -> String {
    format!(
        "`{}` is too large once compiled: {} MiB is the limit of one expression, {} MiB of all of a run; repeat less in \
         it, or write fewer",
        shown(pattern),
        MAX_ONE_BYTES >> 20,
        MAX_ALL_BYTES >> 20
    )
}

/// Refuses an expression of more than [`MAX_TEXT`] bytes.
pub(super) fn short_enough(pattern: &str) -> Result<(), String> {
    if pattern.len() <= MAX_TEXT {
        return Ok(());
    }
    Err(format!("`{}` is too long: an expression has {} KiB at most", shown(pattern), MAX_TEXT >> 10))
}

fn shown(pattern: &str) -> String {
    let begin: String = pattern.chars().take(SHOWN).collect();
    if begin.len() < pattern.len() { format!("{begin}…") } else { begin }
}

/// The crate draws a picture of several lines; its last one says what is wrong.
fn not_one(pattern: &str, error: &dyn std::fmt::Display) -> String {
    let told = error.to_string();
    let why = told.lines().last().unwrap_or_default().trim_start_matches("error: ");
    format!("`{}` is no regular expression: {why}", shown(pattern))
}

fn parse(pattern: &str, config: syntax::Config) -> Result<Hir, String> {
    short_enough(pattern)?;
    syntax::parse_with(pattern, &config).map_err(|error| not_one(pattern, &error))
}

/// A list of expressions over bytes, compiled together.
#[derive(Clone, Debug, Default)]
pub struct PatternSet(Arc<Machines>);

/// Compiled form of a list, by the shape of its expressions. Numbers are indexes in the list.
#[derive(Debug, Default)]
struct Machines {
    len: usize,
    begins: Texts,
    equals: Texts,
    inside: Option<(AhoCorasick, Vec<u32>)>,
    others: Option<(meta::Regex, Vec<u32>)>,
    /// Search cost per byte, in steps.
    steps: u64,
    /// Memory taken from a budget, in bytes.
    bytes: usize,
}

/// Search method of an expression.
enum Shape {
    Begins(Vec<u8>),
    Equals(Vec<u8>),
    Inside(Vec<u8>),
    Other,
}

impl PatternSet {
    /// Compiles a list with a budget of its own.
    ///
    /// # Errors
    ///
    /// Why an expression cannot be used, in words: it is none, or too large.
    pub fn new<'p>(patterns: impl IntoIterator<Item = &'p str>) -> Result<Self, String> {
        let patterns: Vec<&str> = patterns.into_iter().collect();
        let first = |all: Vec<(usize, String)>| all.into_iter().next().map(|(_, why)| why).unwrap_or_default();
        Self::compile(&patterns, syntax::Config::new().utf8(false), &PatternBudget::default()).map_err(first)
    }

    /// Compiles a list. Each mistake comes with its place in it.
    ///
    /// # Errors
    ///
    /// Why an expression cannot be used, in words: it is none, or too large.
    pub fn compile(
        patterns: &[&str],
        config: syntax::Config,
        budget: &PatternBudget,
    ) -> Result<Self, Vec<(usize, String)>> {
        if patterns.len() > MAX_LIST {
            return Err(vec![(MAX_LIST, format!("a list has {MAX_LIST} expressions at most"))]);
        }
        let (mut begins, mut equals, mut inside) = (Vec::new(), Vec::new(), Vec::new());
        let (mut others, mut text_bytes, mut machine_bytes, mut mistakes) = (Vec::new(), 0, 0, Vec::new());
        for (number, (at, pattern)) in (0..).zip(patterns.iter().enumerate()) {
            let mut text = |text: Vec<u8>, is_counted: bool, list: &mut Vec<(Vec<u8>, u32)>| -> Result<(), String> {
                text_bytes += budget.charge(pattern, TEXT + if is_counted { text.len() } else { 0 })?;
                list.push((text, number));
                Ok(())
            };
            let read = parse(pattern, config.utf8(false)).and_then(|hir| match shape(&hir) {
                Shape::Begins(all) => text(all, true, &mut begins),
                Shape::Equals(all) => text(all, true, &mut equals),
                // Its letters are counted once those are known that it shares.
                Shape::Inside(all) => text(all, false, &mut inside),
                Shape::Other => budget.charge_machine(pattern, &hir).map(|bytes| {
                    machine_bytes += bytes;
                    others.push((hir, number));
                }),
            });
            if let Err(why) = read {
                mistakes.push((at, why));
                if mistakes.len() >= MAX_MISTAKES {
                    break;
                }
            }
        }
        if !mistakes.is_empty() {
            return Err(mistakes);
        }
        let whole = |why| vec![(0, why)];
        text_bytes += charge_letters(&mut inside, budget).map_err(whole)?;
        let machines = Machines {
            len: patterns.len(),
            begins: Texts::new(begins),
            equals: Texts::new(equals),
            inside: anywhere(inside).map_err(whole)?,
            others: machine(others).map_err(whole)?,
            steps: steps_of(machine_bytes),
            bytes: text_bytes + machine_bytes,
        };
        Ok(Self(Arc::new(machines)))
    }

    /// Returns whether there are no expressions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.len == 0
    }

    /// Returns whether one of them matches somewhere in `text`.
    #[must_use]
    pub fn is_match(&self, text: &[u8]) -> bool {
        let Machines { begins, equals, inside, others, .. } = &*self.0;
        begins.first_prefix(text).is_some()
            || equals.same(text).is_some()
            || inside.as_ref().is_some_and(|(machine, _)| machine.is_match(text))
            || others.as_ref().is_some_and(|(machine, _)| machine.is_match(anchored(text)))
    }

    /// Returns what it costs to search `len` bytes: a step a byte, and more where the machine is large.
    #[must_use]
    pub fn steps(&self, len: usize) -> u64 {
        self.0.steps.saturating_mul(len as u64)
    }

    /// The place in the list of the first that matches somewhere in `text`.
    #[must_use]
    pub fn first(&self, text: &[u8]) -> Option<usize> {
        let Machines { begins, equals, inside, others, .. } = &*self.0;
        let inside = inside.as_ref().and_then(|(machine, numbers)| {
            machine.find_overlapping_iter(text).filter_map(|found| numbers.get(found.pattern().as_usize())).min()
        });
        let others = others.as_ref().and_then(|(machine, numbers)| {
            machine.search_half(&anchored(text)).and_then(|found| numbers.get(found.pattern().as_usize()))
        });
        let all = [begins.first_prefix(text), equals.same(text), inside.copied(), others.copied()];
        all.into_iter().flatten().min().and_then(|number| usize::try_from(number).ok())
    }
}

/// Every expression begins at the beginning, see [`machine`]: then the first in order that matches is the one.
fn anchored(text: &[u8]) -> Input<'_> {
    Input::new(text).anchored(Anchored::Yes)
}

/// Puts texts in order and counts what their letters take, those that begin the same once.
fn charge_letters(texts: &mut [(Vec<u8>, u32)], budget: &PatternBudget) -> Result<usize, String> {
    texts.sort_unstable();
    let (mut before, mut bytes): (&[u8], usize) = (&[], 0);
    for (text, _) in texts.iter() {
        let new = text.len() - text.iter().zip(before).take_while(|(one, other)| one == other).count();
        bytes += budget.charge(&String::from_utf8_lossy(text), new * LETTER)?;
        before = text;
    }
    Ok(bytes)
}

/// Texts that are looked for anywhere.
fn anywhere(texts: Vec<(Vec<u8>, u32)>) -> Result<Option<(AhoCorasick, Vec<u32>)>, String> {
    if texts.is_empty() {
        return Ok(None);
    }
    let built = AhoCorasick::builder()
        .kind(Some(AhoCorasickKind::ContiguousNFA))
        .match_kind(MatchKind::Standard)
        .build(texts.iter().map(|(text, _)| text));
    let machine = built.map_err(|error| format!("the list is too large: {error}"))?;
    Ok(Some((machine, texts.into_iter().map(|(_, number)| number).collect())))
}

/// The others, each behind whatever is shortest.
fn machine(others: Vec<(Hir, u32)>) -> Result<Option<(meta::Regex, Vec<u32>)>, String> {
    if others.is_empty() {
        return Ok(None);
    }
    let anything = || Box::new(Hir::dot(Dot::AnyByte));
    let (mut all, mut numbers) = (Vec::with_capacity(others.len()), Vec::with_capacity(others.len()));
    for (hir, number) in others {
        let before = Hir::repetition(Repetition { min: 0, max: None, greedy: false, sub: anything() });
        all.push(Hir::concat(vec![before, hir]));
        numbers.push(number);
    }
    let config = meta::Config::new()
        .utf8_empty(false)
        .which_captures(WhichCaptures::Implicit)
        .nfa_size_limit(Some(MAX_ALL_BYTES * 2))
        .hybrid_cache_capacity(CACHE_BYTES);
    let built = meta::Regex::builder().configure(config).build_many_from_hir(&all);
    built.map(|machine| Some((machine, numbers))).map_err(|error| format!("the list is too large: {error}"))
}

/// Returns the shape of an expression. Optional parts at either end make no difference to a match, and are ignored.
fn shape(hir: &Hir) -> Shape {
    let mut parts = Vec::new();
    flatten(hir, &mut parts);
    let is_nothing = |hir: &&Hir| matches!(hir.kind(), HirKind::Empty) || is_optional(hir);
    let begin = parts.iter().take_while(|part| is_nothing(part)).count();
    let end = parts.iter().rev().take_while(|part| is_nothing(part)).count();
    let mut parts = parts.get(begin..parts.len().saturating_sub(end)).unwrap_or_default();
    let (mut begins, mut ends) = (false, false);
    while let Some((_, rest)) = parts.split_first().filter(|(first, _)| is_look(first, Look::Start)) {
        (begins, parts) = (true, rest);
    }
    while let Some((_, rest)) = parts.split_last().filter(|(last, _)| is_look(last, Look::End)) {
        (ends, parts) = (true, rest);
    }
    let mut text = Vec::new();
    for part in parts {
        match part.kind() {
            HirKind::Literal(literal) => text.extend_from_slice(&literal.0),
            _ => return Shape::Other,
        }
    }
    match (begins, ends) {
        (true, true) => Shape::Equals(text),
        (true, false) => Shape::Begins(text),
        (false, false) if text.is_empty() => Shape::Begins(text),
        (false, false) => Shape::Inside(text),
        (false, true) => Shape::Other,
    }
}

fn flatten<'h>(hir: &'h Hir, parts: &mut Vec<&'h Hir>) {
    match hir.kind() {
        HirKind::Concat(all) => all.iter().for_each(|part| flatten(part, parts)),
        HirKind::Capture(capture) => flatten(&capture.sub, parts),
        _ => parts.push(hir),
    }
}

fn is_optional(hir: &Hir) -> bool {
    matches!(hir.kind(), HirKind::Repetition(repetition) if repetition.min == 0)
}

fn is_look(hir: &Hir, look: Look) -> bool {
    matches!(hir.kind(), HirKind::Look(found) if *found == look)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes() -> syntax::Config {
        syntax::Config::new().utf8(false).unicode(false)
    }

    #[test]
    fn a_list_matches_as_its_expressions_do_one_by_one() {
        let patterns = [
            "^/v2/",
            "^/v2/items",
            "^/v2/items$",
            "/search",
            "^/a.b",
            "x$",
            "^$",
            "(?i)^/Case",
            "^/v2/(?:a|b)/\\d+$",
            "^(/q)",
            "^/opt.*",
            ".*tail",
            "^/z*",
            "a|b",
            "é",
            "(?-u)\\xff",
            "\\bword\\b",
            "^^/twice$$",
            "/v2/items/7",
        ];
        let texts: [&[u8]; 24] = [
            b"",
            b"/",
            b"/v2/",
            b"/v2/items",
            b"/v2/items/7",
            b"/v1/v2/",
            b"/x/search?y",
            b"/axb",
            b"/a.b",
            b"zx",
            b"/case/1",
            b"/v2/a/17",
            b"/v2/c/17",
            b"/q",
            b"a/q",
            b"/opt",
            b"tail",
            b"/zzz",
            b"b",
            "caf\u{e9}".as_bytes(),
            b"\xff",
            b"a word",
            b"/twice",
            b"/v2/item",
        ];
        let set = PatternSet::new(patterns).unwrap();
        let each: Vec<Regex> = patterns.iter().map(|pattern| Regex::new(pattern).unwrap()).collect();
        for text in texts {
            let first = each.iter().position(|regex| regex.is_match(text));
            assert_eq!(set.first(text), first, "{}", String::from_utf8_lossy(text));
            assert_eq!(set.is_match(text), first.is_some(), "{}", String::from_utf8_lossy(text));
            for (pattern, regex) in patterns.iter().zip(&each) {
                let one = PatternSet::new([*pattern]).unwrap();
                assert_eq!(one.is_match(text), regex.is_match(text), "{pattern} {}", String::from_utf8_lossy(text));
            }
        }
    }

    #[test]
    fn a_hundred_thousand_texts_are_one_list_and_one_more_is_too_many() {
        let shapes: [fn(usize) -> String; 3] =
            [|n| format!("^/v2/item-{n}/"), |n| format!("^/v2/item-{n}$"), |n| format!("/item-{n}/")];
        for shape in shapes {
            let mut all: Vec<String> = (0..MAX_LIST).map(shape).collect();
            let texts: Vec<&str> = all.iter().map(String::as_str).collect();
            let set = PatternSet::compile(&texts, bytes(), &PatternBudget::default()).unwrap();
            for n in [0, 1, 10, 9_999, 99_999] {
                let text = all[n].trim_start_matches('^').trim_end_matches('$').to_owned();
                assert!(set.is_match(text.as_bytes()) && set.first(text.as_bytes()) == Some(n), "{text}");
            }
            assert!(!set.is_match(b"/v2/item-100000/") && !set.is_match(b"/v2/item-"));
            all.push("one more".to_owned());
            let texts: Vec<&str> = all.iter().map(String::as_str).collect();
            let told = PatternSet::compile(&texts, bytes(), &PatternBudget::default()).unwrap_err();
            assert_eq!(told, [(MAX_LIST, "a list has 100000 expressions at most".to_owned())]);
        }
    }

    #[test]
    fn what_is_too_large_is_told_by_name_and_counts_over_all() {
        let large = "^/large/\\w{1000}{100}";
        let told = PatternBudget::default().regex(large).unwrap_err();
        assert!(told.starts_with(&format!("`{large}` is too large once compiled: 16 MiB is the limit")), "{told}");
        let left = |bytes: usize| PatternBudget(Arc::new(AtomicUsize::new(MAX_ALL_BYTES - bytes)));
        // Some 100 KiB each.
        let (one, other) = ("a\\w{20}", "b\\w{20}");
        let budget = left(1 << 20);
        let fit = (0..100).take_while(|_| budget.regex(one).is_ok()).count();
        assert!((2..50).contains(&fit), "{fit}");
        assert!(budget.regex(one).unwrap_err().starts_with("`a\\w{20}` is too large"));
        assert!(PatternSet::compile(&["^/a", other], bytes().unicode(true), &budget).is_err(), "lists count, too");
        assert!(budget.regex("^/a").is_ok(), "what is small still fits");
        let many = vec![one; 100];
        let told = PatternSet::compile(&many, bytes().unicode(true), &left(1 << 20)).unwrap_err();
        assert!(told[0].0 > 0 && told[0].1.contains("`a\\w{20}` is too large"), "{told:?}");
        assert!(told.len() <= MAX_MISTAKES);
    }

    #[test]
    fn what_a_list_has_taken_counts_where_it_stays() {
        let lists = ["a\\w{20}", "^/texts", "^/text$", "anywhere"].map(|one| PatternSet::new([one]).unwrap());
        for list in &lists {
            let before = PatternBudget::default();
            assert!(list.0.bytes > 0);
            before.charge("", MAX_ALL_BYTES - list.0.bytes).unwrap();
            before.charge("", list.0.bytes).unwrap();
            assert!(before.charge("", 1).is_err());
        }
        let sum: usize = lists.iter().map(|list| list.0.bytes).sum();
        let budget = PatternBudget::with(&lists);
        assert!(budget.charge("", MAX_ALL_BYTES - sum).is_ok() && budget.charge("", 1).is_err());
    }

    #[test]
    fn an_expression_has_a_length_of_its_own() {
        let (longest, longer) = ("a".repeat(MAX_TEXT), "a".repeat(MAX_TEXT + 1));
        assert!(PatternSet::new([longest.as_str()]).is_ok() && PatternBudget::default().regex(&longest).is_ok());
        let told = format!("`{}…` is too long: an expression has 64 KiB at most", "a".repeat(SHOWN));
        assert_eq!(PatternSet::new([longer.as_str()]).unwrap_err(), told);
        assert_eq!(PatternBudget::default().regex(&longer).unwrap_err(), told);
    }

    #[test]
    fn a_byte_costs_more_where_the_machine_is_large() {
        assert_eq!(PatternSet::new(["secret"]).unwrap().steps(100), 100);
        assert!(PatternSet::new(["\\w{100}"]).unwrap().steps(100) > 1000);
    }

    #[test]
    fn mistakes_come_with_their_places() {
        let told = PatternSet::compile(&["^/a", "(b", "c", "d)"], bytes(), &PatternBudget::default()).unwrap_err();
        let told: Vec<String> = told.into_iter().map(|(at, why)| format!("{at}: {why}")).collect();
        assert_eq!(
            told,
            ["1: `(b` is no regular expression: unclosed group", "3: `d)` is no regular expression: unopened group",]
        );
    }
}
