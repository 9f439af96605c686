//! A file for what has no room in memory on its way to the store: pieces of batches go in at its end, and leave at its beginning,
//! in order.
//!
//! At its beginning stand the recording that it is for, and how far the store has everything. So what a node leaves that is
//! killed is sent by its next start, each piece under the id that it had. Each piece has a hash: one that was cut is none.
//! Disk space comes back as pieces leave, where the file system can do that, and else once all of them have left.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use rustix::fs::{FallocateFlags, FlockOperation, fallocate, flock};
use rustix::io::Errno;
use xxhash_rust::xxh3::xxh3_64;

use super::batch::{OutgoingPiece, SpooledPiece};
use super::names::BatchHeader;
use crate::files::{self, FileMode};
use crate::recording::spool_settings::SpoolSettings;

/// How such a file begins.
const MAGIC: &[u8; 16] = b"shadowtap spool\n";
/// Bytes before the first piece: what it is, how far the store has it, and the name of the recording.
const START: u64 = 4096;
/// Bytes before each piece: its length and its hash.
const FRAME: usize = 12;
/// Largest piece that is read: one has half a megabyte, and some words.
const MAX_PIECE: usize = 1 << 20;
/// Bytes that have left after which their space is given back.
const GIVE_BACK: u64 = 1 << 20;

/// The file, open.
#[derive(Debug)]
pub(super) struct Spool {
    file: File,
    path: PathBuf,
    size: u64,
    /// Up to here the disk space was given back.
    freed: u64,
    /// Up to here the store has everything.
    head: u64,
    /// Up to here pieces were read.
    next: u64,
    /// Behind the last piece.
    tail: u64,
    /// Ends of the pieces that were read, in order, and whether the store has them.
    unstored: VecDeque<(u64, bool)>,
}

/// What an earlier start has left in the file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FoundPieces {
    /// Requests, by the node and the session that they are of.
    pub(super) sessions: BTreeMap<(u32, String), u64>,
    /// The last piece was cut: the node was killed as it wrote.
    pub(super) is_cut: bool,
    /// Pieces before the last good one that are not what was written: they are passed over.
    pub(super) damaged: u64,
}

/// What stands at a place of the file.
enum AtPlace {
    /// A piece, and where it ends.
    Piece(OutgoingPiece, u64),
    /// One that is not what was written; it ends there.
    Damaged(u64),
    /// None.
    End,
}

impl FoundPieces {
    pub(super) fn requests(&self) -> u64 {
        self.sessions.values().sum()
    }
}

impl Spool {
    /// Says whether the file could be used for a recording as it is now.
    pub(super) fn check(settings: &SpoolSettings, recording: &str) -> io::Result<()> {
        let path = &settings.path;
        files::check(path)?;
        let begin = files::beginning(path, 4096)?.unwrap_or_default();
        if begin.is_empty() { Ok(()) } else { judge(path, &begin, recording).map(drop) }
    }

    /// Opens it for a recording, or makes it; says what was in it.
    pub(super) fn open(settings: &SpoolSettings, recording: &str) -> io::Result<(Self, FoundPieces)> {
        let SpoolSettings { path, size } = settings.clone();
        let file = files::open_or_make(&path, FileMode::default())?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Err(Errno::WOULDBLOCK) => return Err(refused(&path, "is in use by another run: name another file")),
            locked => locked?,
        }
        let mut spool =
            Self { file, path, size, freed: START, head: START, next: START, tail: START, unstored: VecDeque::new() };
        let len = spool.file.metadata()?.len();
        if len == 0 {
            let mut begin = [MAGIC.as_slice(), &START.to_le_bytes(), recording.as_bytes(), b"\n"].concat();
            begin.resize(usize::try_from(START).unwrap_or_default(), 0);
            spool.file.write_all_at(&begin, 0)?;
            return Ok((spool, FoundPieces::default()));
        }
        let mut begin = vec![0; usize::try_from(START).unwrap_or_default()];
        let read = spool.file.read_exact_at(&mut begin, 0);
        read.map_err(|_| refused(&spool.path, "is no spool of shadowtap, or was cut: name another file"))?;
        let head = judge(&spool.path, &begin, recording)?.clamp(START, len.max(START));
        (spool.freed, spool.head, spool.next, spool.tail) = (START, head, head, len.max(head));
        let found = spool.look_through()?;
        Ok((spool, found))
    }

    /// Finds out what is in it, up to the last piece that is one.
    fn look_through(&mut self) -> io::Result<FoundPieces> {
        let (mut found, mut damaged) = (FoundPieces::default(), 0);
        let (mut at, mut good) = (self.head, self.head);
        loop {
            match self.place(at)? {
                AtPlace::Piece(piece, next) => {
                    let id = piece.spooled.as_ref().map_or("", |spooled| &spooled.id);
                    *found.sessions.entry((piece.header.node, session(id).to_owned())).or_default() +=
                        u64::from(piece.requests);
                    (at, good) = (next, next);
                    found.damaged += std::mem::take(&mut damaged);
                }
                AtPlace::Damaged(next) => {
                    at = next;
                    damaged += 1;
                }
                AtPlace::End => break,
            }
        }
        found.is_cut = good < self.tail;
        if found.is_cut {
            self.file.set_len(good)?;
        }
        self.tail = good;
        Ok(found)
    }

    /// Returns whether a piece has room in it.
    pub(super) fn has_room(&self, piece: &OutgoingPiece) -> bool {
        self.tail - self.freed + piece.payload.len() as u64 + 256 <= self.size
    }

    /// Returns whether there is something in it that was not read.
    pub(super) const fn has_unread(&self) -> bool {
        self.next < self.tail
    }

    /// Returns whether the store has everything that ever was in it.
    pub(super) const fn is_empty(&self) -> bool {
        self.head == self.tail
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes a piece to its end; where that fails nothing of it is there.
    pub(super) fn append(&mut self, id: &str, piece: &OutgoingPiece) -> io::Result<()> {
        let OutgoingPiece { partition, header, payload, requests, records, bytes, .. } = piece;
        let mut frame = vec![0; FRAME];
        frame.extend_from_slice(format!("{id} {partition} {requests} {records} {bytes} {header}\n").as_bytes());
        frame.extend_from_slice(payload);
        let (len, hash) = (frame.len() - FRAME, xxh3_64(frame.get(FRAME..).unwrap_or_default()));
        let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
        if let Some(begin) = frame.first_chunk_mut::<FRAME>() {
            *begin = frame_head(len, hash);
        }
        if let Err(error) = self.file.write_all_at(&frame, self.tail) {
            self.file.set_len(self.tail).ok();
            return Err(error);
        }
        self.tail += frame.len() as u64;
        Ok(())
    }

    /// Reads the next piece; `None` where there is none.
    pub(super) fn read(&mut self) -> io::Result<Option<OutgoingPiece>> {
        while self.has_unread() {
            let (piece, next) = match self.place(self.next)? {
                AtPlace::Piece(piece, next) => (Some(piece), next),
                AtPlace::Damaged(next) => (None, next),
                AtPlace::End => return Err(refused(&self.path, "was changed while it was in use")),
            };
            self.next = next;
            self.unstored.push_back((next, piece.is_none()));
            if piece.is_some() {
                return Ok(piece);
            }
        }
        Ok(None)
    }

    /// Reads what stands at a place.
    fn place(&self, at: u64) -> io::Result<AtPlace> {
        let mut begin = [0; FRAME];
        if at + FRAME as u64 > self.tail {
            return Ok(AtPlace::End);
        }
        self.file.read_exact_at(&mut begin, at)?;
        let (len, hash) = begin.split_at(4);
        let len = <[u8; 4]>::try_from(len).map_or(0, u32::from_le_bytes) as usize;
        let next = at + (FRAME + len) as u64;
        if len == 0 || len > MAX_PIECE || next > self.tail {
            return Ok(AtPlace::End);
        }
        let mut body = vec![0; len];
        self.file.read_exact_at(&mut body, at + FRAME as u64)?;
        let is_whole = xxh3_64(&body).to_le_bytes() == *hash;
        let piece = is_whole.then(|| piece(body, next)).flatten();
        Ok(piece.map_or(AtPlace::Damaged(next), |piece| AtPlace::Piece(piece, next)))
    }

    /// The store has the piece that ends there.
    pub(super) fn is_stored(&mut self, end: u64) -> io::Result<()> {
        for (_, is_stored) in self.unstored.iter_mut().filter(|(other, _)| *other == end) {
            *is_stored = true;
        }
        let before = self.head;
        while let Some((end, true)) = self.unstored.front() {
            self.head = *end;
            self.unstored.pop_front();
        }
        if self.head == before {
            return Ok(());
        }
        if self.is_empty() {
            self.file.set_len(START)?;
            (self.freed, self.head, self.next, self.tail) = (START, START, START, START);
        }
        // Before what stands before it is gone: a node that is killed in between is not to look for pieces there.
        self.file.write_all_at(&self.head.to_le_bytes(), MAGIC.len() as u64)?;
        if self.head - self.freed >= GIVE_BACK {
            let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
            // Where the file system cannot, the file is as large as it looks.
            if fallocate(&self.file, flags, self.freed, self.head - self.freed).is_ok() {
                self.freed = self.head;
            }
        }
        Ok(())
    }

    /// Removes the file, unless there is something in it.
    pub(super) fn close(self) -> io::Result<()> {
        if self.is_empty() { files::remove(&self.path) } else { Ok(()) }
    }
}

/// The session of a message id: what stands before partition, batch and piece.
pub(super) fn session(id: &str) -> &str {
    id.rsplitn(4, '-').last().unwrap_or_default()
}

fn frame_head(len: u32, hash: u64) -> [u8; FRAME] {
    let mut head = [0; FRAME];
    head.iter_mut().zip(len.to_le_bytes().into_iter().chain(hash.to_le_bytes())).for_each(|(into, byte)| *into = byte);
    head
}

/// A piece as it was written; it ends at `end`.
fn piece(body: Vec<u8>, end: u64) -> Option<OutgoingPiece> {
    let line = body.iter().position(|byte| *byte == b'\n')?;
    let mut words = std::str::from_utf8(body.get(..line)?).ok()?.splitn(6, ' ');
    let id = words.next()?.to_owned();
    Some(OutgoingPiece {
        partition: words.next()?.parse().ok()?,
        requests: words.next()?.parse().ok()?,
        records: words.next()?.parse().ok()?,
        bytes: words.next()?.parse().ok()?,
        header: BatchHeader::read(words.next()?)?,
        payload: Bytes::from(body).slice(line + 1..),
        spooled: Some(Box::new(SpooledPiece { id, end })),
    })
}

/// Reads how far the store has a file that begins like this.
fn judge(path: &Path, begin: &[u8], recording: &str) -> io::Result<u64> {
    let no_spool = || refused(path, "is no spool of shadowtap: name another file");
    let rest = begin.strip_prefix(MAGIC).ok_or_else(no_spool)?;
    let (head, rest) = rest.split_first_chunk::<8>().ok_or_else(no_spool)?;
    let name = rest.split(|byte| *byte == b'\n').next().unwrap_or_default();
    if name != recording.as_bytes() {
        let name = String::from_utf8_lossy(name);
        let why = format!(
            "holds what was recorded for `{name}`, and not for `{recording}`: record to {name} with it, and it is sent there; \
             or name another file"
        );
        return Err(refused(path, &why));
    }
    Ok(u64::from_le_bytes(*head))
}

fn refused(path: &Path, why: &str) -> io::Error {
    io::Error::other(format!("{} {why}", path.display()))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn settings(folder: &tempfile::TempDir, size: u64) -> SpoolSettings {
        SpoolSettings { path: folder.path().join("spool"), size }
    }

    fn outgoing(batch: u64, payload: &[u8]) -> OutgoingPiece {
        let header = BatchHeader { node: 3, batch, first: 10, requests: 2, piece: 0, pieces: 1 };
        let payload = Bytes::copy_from_slice(payload);
        OutgoingPiece { partition: 7, header, payload, requests: 2, records: 4, bytes: 99, spooled: None }
    }

    fn id(batch: u64) -> String {
        format!("3-2026-11-30T04:46:48.7Z-7-{batch}-0")
    }

    fn end(piece: &OutgoingPiece) -> u64 {
        piece.spooled.as_ref().unwrap().end
    }

    #[test]
    fn pieces_leave_in_the_order_in_which_they_came_and_the_file_with_them() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder, 1 << 20);
        let (mut spool, found) = Spool::open(&settings, "evening").unwrap();
        assert_eq!((found, spool.is_empty()), (FoundPieces::default(), true));
        assert_eq!(fs::metadata(&settings.path).unwrap().permissions().mode() & 0o777, 0o600);
        for batch in 0..3 {
            spool.append(&id(batch), &outgoing(batch, b"some\nbytes")).unwrap();
        }
        let read: Vec<_> = std::iter::from_fn(|| spool.read().unwrap()).collect();
        assert_eq!(read.iter().map(|piece| piece.header.batch).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(read[1].payload, outgoing(1, b"some\nbytes").payload);
        assert_eq!((read[1].partition, read[1].requests, read[1].records, read[1].bytes), (7, 2, 4, 99));
        assert_eq!(read[2].spooled.as_ref().unwrap().id, id(2));
        // They come back in another order; what stands before one that has not come back stays.
        spool.is_stored(end(&read[1])).unwrap();
        spool.is_stored(end(&read[2])).unwrap();
        assert!(!spool.is_empty() && !spool.has_unread());
        spool.is_stored(end(&read[0])).unwrap();
        assert!(spool.is_empty());
        spool.append(&id(3), &outgoing(3, b"more")).unwrap();
        assert_eq!(spool.read().unwrap().unwrap().header.batch, 3);
        assert_eq!(fs::metadata(&settings.path).unwrap().len(), spool.tail);
        spool.is_stored(spool.tail).unwrap();
        spool.close().unwrap();
        assert!(!settings.path.exists());
    }

    #[test]
    fn what_was_left_is_found_but_for_what_the_store_has() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder, 1 << 20);
        let (mut spool, _) = Spool::open(&settings, "evening").unwrap();
        (0..4).for_each(|batch| spool.append(&id(batch), &outgoing(batch, &[7; 100])).unwrap());
        let first = spool.read().unwrap().unwrap();
        spool.read().unwrap().unwrap();
        spool.is_stored(end(&first)).unwrap();
        let busy = Spool::open(&settings, "evening").unwrap_err().to_string();
        assert!(busy.ends_with("is in use by another run: name another file"), "{busy}");
        spool.close().unwrap();
        assert!(Spool::check(&settings, "evening").is_ok());
        let (mut spool, found) = Spool::open(&settings, "evening").unwrap();
        let session = (3, "3-2026-11-30T04:46:48.7Z".to_owned());
        assert_eq!(found, FoundPieces { sessions: [(session, 6)].into(), is_cut: false, damaged: 0 });
        let batches: Vec<_> = std::iter::from_fn(|| spool.read().unwrap()).map(|piece| piece.header.batch).collect();
        assert_eq!(batches, [1, 2, 3]);
    }

    #[test]
    fn a_piece_that_was_cut_or_changed_is_none_and_others_are() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder, 1 << 20);
        for (cut, left) in [(1, 1), (60, 1), (0, 1)] {
            let (mut spool, _) = Spool::open(&settings, "evening").unwrap();
            (0..2).for_each(|batch| spool.append(&id(batch), &outgoing(batch, &[7; 50])).unwrap());
            spool.close().unwrap();
            let mut bytes = fs::read(&settings.path).unwrap();
            if cut == 0 {
                bytes[usize::try_from(START).unwrap() + FRAME + 3] ^= 1;
            } else {
                bytes.truncate(bytes.len() - cut);
            }
            fs::write(&settings.path, bytes).unwrap();
            let (mut spool, found) = Spool::open(&settings, "evening").unwrap();
            assert_eq!(
                (found.requests(), found.is_cut, found.damaged),
                (2 * left, cut > 0, u64::from(cut == 0)),
                "{cut}"
            );
            let read: Vec<_> = std::iter::from_fn(|| spool.read().unwrap()).collect();
            assert_eq!(read.len() as u64, left);
            spool.is_stored(end(&read[0])).unwrap();
            assert!(spool.is_empty(), "what is damaged is not waited for");
            fs::remove_file(&settings.path).unwrap();
        }
    }

    #[test]
    fn what_is_no_spool_or_one_of_another_recording_is_refused_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(&folder, 1 << 20);
        fs::write(&settings.path, "mine").unwrap();
        let said = |result: io::Result<()>| result.unwrap_err().to_string();
        assert!(said(Spool::check(&settings, "evening")).ends_with("is no spool of shadowtap: name another file"));
        assert!(said(Spool::open(&settings, "evening").map(drop)).contains("is no spool of shadowtap"));
        assert_eq!(fs::read(&settings.path).unwrap(), b"mine");
        fs::remove_file(&settings.path).unwrap();
        let (mut spool, _) = Spool::open(&settings, "evening").unwrap();
        spool.append(&id(0), &outgoing(0, b"x")).unwrap();
        drop(spool);
        for said in [said(Spool::check(&settings, "morning")), said(Spool::open(&settings, "morning").map(drop))] {
            assert!(said.contains("holds what was recorded for `evening`, and not for `morning`"), "{said}");
        }
    }

    #[test]
    fn there_is_room_up_to_the_size_and_again_once_pieces_have_left() {
        let folder = tempfile::tempdir().unwrap();
        let (mut spool, _) = Spool::open(&settings(&folder, 4 << 20), "evening").unwrap();
        let large = outgoing(0, &vec![9; 512 << 10]);
        let mut written = 0;
        while spool.has_room(&large) {
            spool.append(&id(0), &large).unwrap();
            written += 1;
        }
        assert_eq!(written, 7, "with their words eight are above four megabytes");
        for _ in 0..4 {
            let read = spool.read().unwrap().unwrap();
            spool.is_stored(end(&read)).unwrap();
        }
        let is_sparse = spool.freed > START;
        assert_eq!(spool.has_room(&large), is_sparse, "as the file system can");
    }
}
