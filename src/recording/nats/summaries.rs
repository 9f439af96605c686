//! Summaries of runs in the store, compressed: in pieces, where a value would be larger than a server takes.

use bytes::Bytes;

use super::connect::{Store, words};

/// Largest value, in bytes: a server takes messages of a megabyte, unless it was told otherwise.
const PIECE: usize = 512 << 10;
/// Most pieces that are read.
const MAX_PIECES: usize = 128;
/// Largest summary that is read, in bytes.
const MAX_SUMMARY: usize = 64 << 20;

/// Writes a summary under `key`: its further pieces first, so that a summary that is there is whole.
pub(super) async fn put(store: &Store, key: &str, summary: &[u8]) -> Result<(), String> {
    let packed: Bytes = zstd::bulk::compress(summary, 3).map_err(|error| error.to_string())?.into();
    let pieces = packed.len().div_ceil(PIECE).max(1);
    for piece in (0..pieces).rev() {
        let value = packed.slice(piece * PIECE..packed.len().min((piece + 1) * PIECE));
        store.keys.put(name(key, piece), value).await.map_err(|error| words(&error))?;
    }
    Ok(())
}

/// Reads a summary; `None` where there is none, or it cannot be read.
pub(super) async fn get(store: &Store, key: &str) -> Option<Vec<u8>> {
    let mut packed = Vec::new();
    for piece in 0..MAX_PIECES {
        match store.keys.get(name(key, piece)).await.ok()? {
            Some(more) => packed.extend_from_slice(&more),
            None if piece == 0 => return None,
            None => break,
        }
    }
    zstd::bulk::decompress(&packed, MAX_SUMMARY).ok()
}

fn name(key: &str, piece: usize) -> String {
    if piece == 0 { key.to_owned() } else { format!("{key}.{piece}") }
}
