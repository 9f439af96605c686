//! Several captures as one, in order of time.

use super::{Dropped, FileSource, Frame, Source};
use crate::exchange::Timestamp;

/// Files merged by time into one sequence of frames. Frames of one file keep their order even where its clock
/// went back; of equal times, the file named first goes first.
pub struct Merged {
    sources: Vec<FileSource>,
    times: Vec<Option<Timestamp>>,
    last: Option<usize>,
}

impl Merged {
    /// Merges `sources`.
    #[must_use]
    pub fn new(mut sources: Vec<FileSource>) -> Self {
        let times = sources
            .iter_mut()
            .map(|source| {
                source.advance();
                source.at()
            })
            .collect();
        Self { sources, times, last: None }
    }
}

impl Source for Merged {
    fn next(&mut self) -> Option<Frame<'_>> {
        if let Some(last) = self.last.take()
            && let (Some(source), Some(time)) = (self.sources.get_mut(last), self.times.get_mut(last))
        {
            source.advance();
            *time = source.at();
        }
        let (earliest, _) =
            self.times.iter().enumerate().filter_map(|(index, at)| Some((index, (*at)?))).min_by_key(|(_, at)| *at)?;
        self.last = Some(earliest);
        self.sources.get(earliest)?.frame()
    }

    fn trouble(&self) -> Vec<String> {
        self.sources.iter().flat_map(Source::trouble).collect()
    }

    fn dropped(&self) -> Dropped {
        self.sources.iter().map(Source::dropped).fold(Dropped::default(), |sum, one| Dropped {
            kernel: sum.kernel + one.kernel,
            interface: sum.interface + one.interface,
        })
    }

    fn progress(&self) -> Option<f64> {
        let each: Option<Vec<f64>> = self.sources.iter().map(Source::progress).collect();
        let each = each?;
        Some(each.iter().sum::<f64>() / each.len().max(1) as f64)
    }
}
