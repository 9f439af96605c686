//! Pairs of values that are known before a run: production's, and the target's.
//!
//! Lines of a file go in, `old,new` or `old,new,target`; out come the pairs, or every mistake with its line. No value is
//! in a mistake: they are secrets.

use std::collections::HashMap;

use bytes::Bytes;

use super::super::route::TargetNames;
use super::{MAX_VALUE, coding};

/// Most pairs of a file.
const MAX_PAIRS: usize = 1_000_000;
/// Most mistakes that are told of one file.
const MAX_MISTAKES: usize = 20;

/// What is wrong with a value that no place of a request can hold.
const CONTROL: &str =
    "a line end or another control character stands in one of its values; is a quotation mark not closed?";

/// Known pairs, by production's value without percent coding.
#[derive(Clone, Default)]
pub(crate) struct Seeds(HashMap<Bytes, Vec<SeededValue>>);

/// A value of the target that is known before the run.
#[derive(Clone)]
pub(crate) struct SeededValue {
    /// The target that it is for; `None`: all.
    target: Option<usize>,
    pub(crate) new: Bytes,
    /// Production's is in percent coding.
    pub(crate) was_coded: bool,
}

impl std::fmt::Debug for Seeds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} pairs]", self.len())
    }
}

impl Seeds {
    /// Reads a file of pairs.
    ///
    /// # Errors
    ///
    /// Every mistake, with its line.
    pub(crate) fn read(text: &str, targets: &TargetNames) -> Result<Self, Vec<(usize, String)>> {
        let (mut seeds, mut mistakes) = (Self::default(), Vec::new());
        let mut reader = csv::ReaderBuilder::new();
        let reader = reader.has_headers(false).flexible(true).trim(csv::Trim::All).comment(Some(b'#'));
        let (mut reader, mut record) = (reader.from_reader(text.as_bytes()), csv::StringRecord::new());
        let mut is_first = true;
        while mistakes.len() < MAX_MISTAKES {
            let taken = match reader.read_record(&mut record) {
                Ok(false) => break,
                Ok(true) if is_first && is_header(&record) => Ok(()),
                Ok(true) => seeds.take(&record, targets),
                Err(_) => Err("it cannot be read as CSV".to_owned()),
            };
            is_first = false;
            let line = || line_before(reader.position(), text).saturating_sub(lines_within(&record)).max(1);
            mistakes.extend(taken.err().map(|message| (line(), message)));
        }
        if seeds.0.is_empty() && mistakes.is_empty() {
            mistakes.push((0, "it has no pairs: write old,new in each line".to_owned()));
        }
        if mistakes.is_empty() { Ok(seeds) } else { Err(mistakes) }
    }

    fn take(&mut self, record: &csv::StringRecord, targets: &TargetNames) -> Result<(), String> {
        let fields: Vec<&str> = record.iter().collect();
        let (old, new, target) = match fields.as_slice() {
            [old, new] | [old, new, ""] => (*old, *new, None),
            [old, new, target] => (*old, *new, Some(*target)),
            _ => return Err(format!("it has {} fields; write old,new or old,new,target", fields.len())),
        };
        if old.is_empty() || new.is_empty() {
            return Err("one of its values is empty; write old,new or old,new,target".to_owned());
        }
        if old.len().max(new.len()) > MAX_VALUE {
            return Err(format!("one of its values is longer than {MAX_VALUE} bytes: that is no session and no token"));
        }
        if [old, new].iter().any(|value| value.contains(char::is_control)) {
            return Err(CONTROL.to_owned());
        }
        if self.0.len() >= MAX_PAIRS {
            return Err(format!("there are more than {MAX_PAIRS} pairs"));
        }
        let key = Bytes::copy_from_slice(&coding::plain(old.as_bytes()));
        let known = self.0.entry(key).or_default();
        for target in numbers(target, targets)? {
            match known.iter().find(|known| known.target == target) {
                Some(same) if same.new == new.as_bytes() => continue,
                Some(_) => return Err("its old value stands in an earlier line, with another new one".to_owned()),
                None => {}
            }
            let new = Bytes::copy_from_slice(new.as_bytes());
            known.push(SeededValue { target, new, was_coded: coding::is_coded(old.as_bytes()) });
        }
        Ok(())
    }

    /// Returns the number of pairs.
    pub(crate) fn len(&self) -> usize {
        self.0.values().map(Vec::len).sum()
    }

    /// What stands for a value, without percent coding, at this target; `None` for one that is no target by number.
    pub(crate) fn get(&self, value: &[u8], target: Option<usize>) -> Option<&SeededValue> {
        let known = self.0.get(value)?;
        let of = |wanted: Option<usize>| known.iter().find(|known| known.target == wanted);
        target.and_then(|target| of(Some(target))).or_else(|| of(None))
    }
}

/// The line that ends at a position.
fn line_before(position: &csv::Position, text: &str) -> usize {
    let line = usize::try_from(position.line()).unwrap_or_default();
    let end = usize::try_from(position.byte()).unwrap_or_default().checked_sub(1);
    let is_over = end.and_then(|end| text.as_bytes().get(end)) == Some(&b'\n');
    line - usize::from(is_over && line > 1)
}

/// The line ends within the values of a record.
fn lines_within(record: &csv::StringRecord) -> usize {
    record.iter().map(|field| field.matches('\n').count()).sum()
}

fn is_header(record: &csv::StringRecord) -> bool {
    matches!(record.iter().collect::<Vec<_>>().as_slice(), ["old", "new"] | ["old", "new", "target"])
}

/// The targets of this name, by number; of no name all of them, as one.
fn numbers(name: Option<&str>, targets: &TargetNames) -> Result<Vec<Option<usize>>, String> {
    let Some(name) = name else { return Ok(vec![None]) };
    if name == "-" {
        return Err("`-` is no target; leave the field out where a pair is for all of them".to_owned());
    }
    targets.check(name)?;
    Ok(targets.numbers(name).iter().flat_map(|numbers| numbers.iter().copied().map(Some)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets() -> TargetNames {
        TargetNames::Named(vec![Some("a".to_owned()), Some("b".to_owned())])
    }

    fn found(seeds: &Seeds, value: &str, target: usize) -> Option<String> {
        seeds.get(value.as_bytes(), Some(target)).map(|seed| String::from_utf8(seed.new.to_vec()).unwrap())
    }

    #[test]
    fn pairs_are_for_all_targets_or_for_one() {
        let text = "old,new,target\n# staging\nx,X\n x%3D , Y , b \nx%3D,Z,a\n\"q,r\",\"s\"\"t\"\n";
        let seeds = Seeds::read(text, &targets()).unwrap();
        assert_eq!(seeds.len(), 4);
        let of = |value, target| found(&seeds, value, target);
        assert_eq!((of("x", 0), of("x", 1)), (Some("X".into()), Some("X".into())));
        assert_eq!((of("x=", 0), of("x=", 1), of("y", 0)), (Some("Z".into()), Some("Y".into()), None));
        assert_eq!((of("q,r", 0), seeds.get(b"x=", None).is_none()), (Some("s\"t".into()), true));
        assert_eq!(format!("{seeds:?}"), "[4 pairs]");
    }

    #[test]
    fn a_line_that_comes_again_is_one_pair() {
        let text = "x,X\n".repeat(200_000) + "x,X,a\nx,Y,b\nx,Y,b\n";
        let seeds = Seeds::read(&text, &targets()).unwrap();
        assert_eq!(
            (seeds.len(), found(&seeds, "x", 0), found(&seeds, "x", 1)),
            (3, Some("X".into()), Some("Y".into()))
        );
    }

    #[test]
    fn a_quotation_mark_that_is_not_closed_swallows_no_pairs() {
        for (text, line) in [("old,new\nx,\"X\ny,Y\nz,Z\n", 2), ("\"x,X\ny,Y", 1), ("x,X\ny,\"a\rb\"\n", 2)] {
            let mistakes = Seeds::read(text, &targets()).unwrap_err();
            assert_eq!(mistakes.iter().map(|(line, _)| *line).collect::<Vec<_>>(), [line], "{text} {mistakes:?}");
        }
        let mistakes = Seeds::read("x,\"X\ny,Y\n", &targets()).unwrap_err();
        assert_eq!(mistakes, [(1, CONTROL.to_owned())]);
    }

    #[test]
    fn mistakes_have_their_line_and_no_value() {
        let text = "x,X\nsecret\r\na,b,c,d\n,hidden\nx,hush\n\n# none\ny,Y,nobody";
        let mistakes = Seeds::read(text, &targets()).unwrap_err();
        let lines: Vec<usize> = mistakes.iter().map(|(line, _)| *line).collect();
        assert_eq!(lines, [2, 3, 4, 5, 8]);
        let told = format!("{mistakes:?}");
        assert!(["secret", "hidden", "hush"].iter().all(|value| !told.contains(value)), "{told}");
        assert!(told.contains("it has 1 fields") && told.contains("no target is called `nobody`"), "{told}");
        assert_eq!(Seeds::read("\n# x\n", &targets()).unwrap_err()[0].0, 0);
        let long = format!("a,{}\n", "v".repeat(MAX_VALUE + 1));
        assert!(Seeds::read(&long, &targets()).unwrap_err()[0].1.contains("longer than 16384 bytes"));
    }
}
