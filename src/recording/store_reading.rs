//! What is asked of a recording in a store.

use crate::capture::Halt;

/// How a recording in a store is read.
#[derive(Clone, Debug, Default)]
pub struct StoreReading {
    /// Ends it early.
    pub halt: Halt,
    /// True where it goes on as long as nodes record.
    pub follow: bool,
    /// True where each request is to go to one reader.
    pub shared: bool,
    /// True where connections to a target are mirrored.
    pub mirrored: bool,
    /// Ports of servers that count; every one where there is none.
    pub ports: Vec<u16>,
}
