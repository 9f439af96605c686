//! Histograms as text, for summaries that are added up later: each bucket that was hit, and how often.
//!
//! A text is base64 of numbers, seven bits to a byte, the lowest first: the scale, minimum, maximum and sum of the durations;
//! then for each bucket that was hit, in ascending order, how far it lies above the one before, and its count. What was written
//! comes back to the bucket. A histogram without durations is an empty text.

use data_encoding::BASE64_NOPAD;

/// What a text holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HistogramContents {
    pub(super) min: u64,
    pub(super) max: u64,
    pub(super) sum: u64,
    /// Each bucket that was hit, ascending, and its count.
    pub(super) buckets: Vec<(u64, u64)>,
}

impl HistogramContents {
    /// How many durations there are; `None` where no run has so many.
    pub(super) fn count(&self) -> Option<u64> {
        self.buckets.iter().try_fold(0_u64, |sum, (_, count)| sum.checked_add(*count))
    }

    /// Writes it; `scale` says which buckets these are.
    pub(super) fn text(&self, scale: u64) -> String {
        let mut bytes = Vec::with_capacity(16 + 3 * self.buckets.len());
        for number in [scale, self.min, self.max, self.sum] {
            push(&mut bytes, number);
        }
        let mut before = 0;
        for (bucket, count) in &self.buckets {
            push(&mut bytes, bucket - before);
            push(&mut bytes, *count);
            before = *bucket;
        }
        BASE64_NOPAD.encode(&bytes)
    }

    /// Reads a text of this scale that is not empty; `None` where it is none.
    pub(super) fn read(text: &str, scale: u64) -> Option<Self> {
        let bytes = BASE64_NOPAD.decode(text.as_bytes()).ok()?;
        let mut rest = bytes.as_slice();
        let head = [take(&mut rest)?, take(&mut rest)?, take(&mut rest)?, take(&mut rest)?];
        let [found, min, max, sum] = head;
        let mut buckets: Vec<(u64, u64)> = Vec::new();
        while !rest.is_empty() {
            let (gap, count) = (take(&mut rest)?, take(&mut rest)?);
            let bucket = buckets.last().map_or(Some(gap), |(before, _)| before.checked_add(gap).filter(|_| gap > 0))?;
            buckets.push((bucket, Some(count).filter(|count| *count > 0)?));
        }
        let read = Self { min, max, sum, buckets };
        let is_whole = found == scale && min <= max && !read.buckets.is_empty() && read.count().is_some();
        is_whole.then_some(read)
    }
}

fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number.to_le_bytes()[0] | 0x80);
        number >>= 7;
    }
    bytes.push(number.to_le_bytes()[0]);
}

fn take(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (first, rest) = bytes.split_first()?;
        *bytes = rest;
        let bits = u64::from(first & 0x7f);
        // What does not fit is no number that was written.
        if bits.leading_zeros() < shift {
            return None;
        }
        number |= bits << shift;
        if first & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_comes_back() {
        for buckets in [vec![(0, 1)], vec![(0, 3), (1, 1), (300, 70_000), (u64::MAX, 1 << 40)], vec![(u64::MAX, 1)]] {
            let contents = HistogramContents { min: 0, max: u64::MAX, sum: 1 << 63, buckets };
            assert_eq!(HistogramContents::read(&contents.text(3), 3), Some(contents.clone()));
            assert_eq!(HistogramContents::read(&contents.text(3), 5), None, "of another scale");
        }
    }

    #[test]
    fn what_is_no_text_is_refused() {
        let contents = HistogramContents { min: 1, max: 2, sum: 3, buckets: vec![(1, 1), (2, 200)] };
        let text = contents.text(3);
        for cut in 0..text.len() {
            let read = HistogramContents::read(text.get(..cut).unwrap(), 3);
            assert!(read.is_none_or(|read| read != contents), "{cut}");
        }
        let of = |numbers: &[u64]| {
            let mut bytes = Vec::new();
            for number in numbers {
                push(&mut bytes, *number);
            }
            HistogramContents::read(&BASE64_NOPAD.encode(&bytes), 3)
        };
        assert!(of(&[3, 1, 2, 3, 1, 1]).is_some());
        for wrong in [
            &[3, 1, 2, 3][..],
            &[3, 2, 1, 3, 1, 1],
            &[3, 1, 2, 3, 1, 0],
            &[3, 1, 2, 3, 1, 1, 0, 1],
            &[3, 1, 2, 3, 1, u64::MAX, 1, 1],
            &[3, 1, 2, 3, u64::MAX, 1, 1, 1],
        ] {
            assert_eq!(of(wrong), None, "{wrong:?}");
        }
        assert_eq!(HistogramContents::read("no text", 3), None);
        assert_eq!(HistogramContents::read(&BASE64_NOPAD.encode(&[0xff; 12]), 3), None);
    }
}
