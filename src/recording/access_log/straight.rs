//! A line taken apart in one pass: each field ends where the text behind it comes first.
//!
//! Nearly every line can be read so. What cannot is left to [`Matcher`](super::format), which tries further ends; of
//! its ways this is the first, so that both find the same.

use std::ops::Range;

use super::meaning::{Escapes, Field};
use super::part::{Part, find};
use super::shape::ValueShape;
use super::time::TimeMemo;

/// One step through a line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Text(Box<[u8]>),
    /// A field of this number, and the text behind it: its first byte, and the rest.
    Field(usize, ValueShape, u8, Box<[u8]>),
    /// The last one.
    Last(usize, ValueShape),
    /// A field in braces.
    Braces(usize),
}

/// The steps through a line of some format.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct StraightSteps(Vec<Step>);

impl StraightSteps {
    /// Of these parts; none at all where two fields stand together.
    pub(super) fn of(parts: &[Part], fields: &[Field]) -> Self {
        let mut steps = Vec::new();
        let mut parts = parts.iter();
        while let Some(part) = parts.next() {
            steps.push(match part {
                Part::Text(text) => Step::Text(text.clone()),
                Part::Braces(field) => Step::Braces(*field),
                Part::Field(field) => {
                    let shape = fields.get(*field).map_or(ValueShape::Any, |field| ValueShape::of(&field.meaning));
                    match parts.next() {
                        None => Step::Last(*field, shape),
                        Some(Part::Text(text)) => match text.split_first() {
                            Some((first, rest)) => Step::Field(*field, shape, *first, rest.into()),
                            None => return Self::default(),
                        },
                        Some(Part::Field(_) | Part::Braces(_)) => return Self::default(),
                    }
                }
            });
        }
        Self(steps)
    }

    /// Takes the line apart from byte `at` on; returns where that ended, or nothing where it cannot be read so.
    pub(super) fn read(
        &self,
        (line, mut at): (&[u8], usize),
        escapes: Escapes,
        (spans, times): (&mut [Range<usize>], &mut TimeMemo),
    ) -> Option<usize> {
        if self.0.is_empty() {
            return None;
        }
        for step in &self.0 {
            let rest = line.get(at..)?;
            let (field, end, next) = match step {
                Step::Text(text) => {
                    at += rest.strip_prefix(&**text).map(|_| text.len())?;
                    continue;
                }
                Step::Field(field, shape, first, behind) => {
                    let end = find(rest, *first, behind)?;
                    let value = rest.get(..end)?;
                    let is_escaped = *first == b'"' && escapes == Escapes::Backslash && value.last() == Some(&b'\\');
                    if is_escaped || !shape.fits(value, times) {
                        return None;
                    }
                    (field, at + end, at + end + 1 + behind.len())
                }
                Step::Last(field, shape) => shape.fits(rest, times).then_some((field, line.len(), line.len()))?,
                Step::Braces(field) => {
                    let end = rest.first().filter(|byte| **byte == b'{').and_then(|_| memchr::memchr(b'}', rest))?;
                    (field, at + end + 1, at + end + 1)
                }
            };
            *spans.get_mut(*field)? = at..end;
            at = next;
        }
        Some(at)
    }
}
