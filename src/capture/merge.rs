//! Several captures as one, in order of time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::path::PathBuf;

use super::opened_input::OpenedInput;
use super::{CaptureError, Dropped, FileSource, Frame, FramePosition, Halt, Source};
use crate::causes::causes;
use crate::exchange::Timestamp;

/// Files that wait for their turn with what was read of them; of more each is closed, and opened again in its turn.
const MAX_WAITING: usize = 4;

/// A file of several.
enum Piece {
    /// Its turn has not come. It was opened once to know when its first frame was captured.
    Waiting { path: PathBuf, halt: Halt },
    /// It is being read.
    Open(Box<FileSource>),
    /// It was read.
    Done(Ended),
}

/// Final state of a file that was read.
#[derive(Debug, Default)]
struct Ended {
    warnings: Vec<String>,
    unread: Vec<String>,
    dropped: Dropped,
}

impl Ended {
    fn of(source: &FileSource) -> Self {
        Self { warnings: source.warnings(), unread: source.unread(), dropped: source.dropped() }
    }

    fn failed(error: &CaptureError) -> Self {
        let words = vec![format!("{}; nothing more of it was read", causes(error))];
        Self { warnings: words.clone(), unread: words, dropped: Dropped::default() }
    }
}

/// The files of a capture, as they are opened one after another.
#[derive(Default)]
pub(crate) struct Pieces {
    /// Files that can be read.
    files: Vec<FileSource>,
    waiting: Vec<(PathBuf, Halt, Timestamp)>,
    /// The place of each in the order they were named.
    order: Vec<Place>,
    /// Files without content, to be reported if others have some.
    left_out: Vec<CaptureError>,
}

/// State of a file: open, or closed until its turn.
#[derive(Clone, Copy)]
enum Place {
    File,
    Waiting,
}

impl Pieces {
    /// Adds a file; with many, it is closed until its turn.
    pub(crate) fn add(&mut self, mut source: FileSource) {
        let path = source.path().map(PathBuf::from);
        if let Some(path) = path.filter(|_| self.order.len() >= MAX_WAITING)
            && source.advance()
            && let Some(at) = source.at()
        {
            self.waiting.push((path, source.halt().clone(), at));
            self.order.push(Place::Waiting);
        } else {
            self.files.push(source);
            self.order.push(Place::File);
        }
    }

    /// Leaves out a file that is empty or ends inside its header, as the piece of a rotation may; gives other errors
    /// back.
    pub(crate) fn leave_out(&mut self, error: CaptureError) -> Option<CaptureError> {
        match error {
            CaptureError::Empty { .. } | CaptureError::Short { .. } => {
                self.left_out.push(error);
                None
            }
            error => Some(error),
        }
    }

    /// The pieces, once all files were opened. Where none can be read, what was left out is an error.
    #[must_use]
    pub(crate) fn known<E: From<CaptureError>>(mut self, errors: &mut Vec<E>) -> Self {
        if self.order.is_empty() {
            errors.extend(self.left_out.drain(..).map(E::from));
        }
        self
    }

    /// The one file that there is, where it is the only one.
    pub(crate) fn only(mut self) -> Result<Box<FileSource>, Self> {
        match (self.files.pop(), self.order.len(), self.left_out.is_empty()) {
            (Some(only), 1, true) => Ok(Box::new(only)),
            (file, _, _) => {
                self.files.extend(file);
                Err(self)
            }
        }
    }
}

/// Files merged by time into one sequence of frames. Frames of one file keep their order even where its clock
/// went back; of equal times, the file named first goes first.
pub(crate) struct Merged {
    pieces: Vec<Piece>,
    /// The pieces that have a frame, the earliest first.
    due: BinaryHeap<Reverse<(Timestamp, usize)>>,
    /// The piece of the frame that was handed out.
    last: Option<usize>,
    left_out: Ended,
    done: usize,
    /// True when any of them is a pipe.
    piped: bool,
}

impl Merged {
    /// Merges what was opened.
    #[must_use]
    pub(crate) fn of(pieces: Pieces) -> Self {
        let Pieces { files, waiting, order, left_out } = pieces;
        let (mut files, mut waiting) = (files.into_iter(), waiting.into_iter());
        let mut merged = Self {
            pieces: Vec::with_capacity(order.len()),
            due: BinaryHeap::new(),
            last: None,
            left_out: Ended::default(),
            done: 0,
            piped: files.as_slice().iter().any(FileSource::is_piped),
        };
        for error in left_out {
            let words = format!("{error}; the others were read");
            if matches!(error, CaptureError::Short { .. }) {
                merged.left_out.unread.push(words.clone());
            }
            merged.left_out.warnings.push(words);
        }
        for (index, place) in order.into_iter().enumerate() {
            match place {
                Place::File => {
                    let Some(source) = files.next() else { continue };
                    merged.pieces.push(Piece::Open(Box::new(source)));
                    merged.advance(index);
                }
                Place::Waiting => {
                    let Some((path, halt, first)) = waiting.next() else { continue };
                    merged.pieces.push(Piece::Waiting { path, halt });
                    merged.due.push(Reverse((first, index)));
                }
            }
        }
        merged
    }

    /// Moves a piece that is open to its next frame, or closes it.
    fn advance(&mut self, index: usize) {
        let Some(piece) = self.pieces.get_mut(index) else { return };
        let Piece::Open(source) = piece else { return };
        // One that waited was read up to its first frame already.
        if source.at().is_none() || self.last == Some(index) {
            source.advance();
        }
        if let Some(at) = source.at() {
            self.due.push(Reverse((at, index)));
        } else {
            let ended = Ended::of(source);
            *piece = Piece::Done(ended);
            self.done += 1;
        }
    }

    /// Opens a piece whose turn has come.
    fn open(&mut self, index: usize) {
        let count = self.pieces.len();
        let Some(piece) = self.pieces.get_mut(index) else { return };
        let Piece::Waiting { path, halt } = piece else { return };
        match OpenedInput::one_of(path, count, halt).and_then(FileSource::of) {
            Ok(source) => *piece = Piece::Open(Box::new(source)),
            Err(error) => {
                *piece = Piece::Done(Ended::failed(&error));
                self.done += 1;
            }
        }
        self.advance(index);
    }

    /// Returns the texts of all pieces, and of those that were left out.
    fn words(&self, of: impl Fn(&Ended) -> &Vec<String>, open: impl Fn(&FileSource) -> Vec<String>) -> Vec<String> {
        let each = self.pieces.iter().flat_map(|piece| match piece {
            Piece::Waiting { .. } => Vec::new(),
            Piece::Open(source) => open(source),
            Piece::Done(ended) => of(ended).clone(),
        });
        of(&self.left_out).iter().cloned().chain(each).collect()
    }
}

impl Source for Merged {
    fn next(&mut self) -> Option<Frame<'_>> {
        if let Some(last) = self.last {
            self.advance(last);
            self.last = None;
        }
        let index = loop {
            let Reverse((_, index)) = self.due.pop()?;
            match self.pieces.get(index)? {
                Piece::Open(_) => break index,
                Piece::Waiting { .. } => self.open(index),
                Piece::Done(_) => {}
            }
        };
        self.last = Some(index);
        match self.pieces.get(index)? {
            Piece::Open(source) => source.frame(),
            Piece::Waiting { .. } | Piece::Done(_) => None,
        }
    }

    fn warnings(&self) -> Vec<String> {
        self.words(|ended| &ended.warnings, Source::warnings)
    }

    fn unread(&self) -> Vec<String> {
        self.words(|ended| &ended.unread, Source::unread)
    }

    fn waits(&self) -> bool {
        // What comes of a pipe decides even where the next frame is that of a file.
        self.piped && self.pieces.iter().any(|piece| matches!(piece, Piece::Open(source) if source.waits()))
    }

    fn position(&self) -> Option<FramePosition<'_>> {
        match self.pieces.get(self.last?)? {
            Piece::Open(source) => source.position(),
            Piece::Waiting { .. } | Piece::Done(_) => None,
        }
    }

    fn dropped(&self) -> Dropped {
        let each = self.pieces.iter().map(|piece| match piece {
            Piece::Waiting { .. } => Dropped::default(),
            Piece::Open(source) => source.dropped(),
            Piece::Done(ended) => ended.dropped,
        });
        each.fold(Dropped::default(), Dropped::plus)
    }

    fn progress(&self) -> Option<f64> {
        let mut sum = self.done as f64;
        for piece in &self.pieces {
            if let Piece::Open(source) = piece {
                sum += source.progress()?;
            }
        }
        Some(sum / self.pieces.len().max(1) as f64)
    }
}
