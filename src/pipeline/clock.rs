//! The clock that live frames are stamped by.

use crate::exchange::Timestamp;
use crate::report::Started;

/// Returns the wall time.
pub(super) fn wall_clock() -> Timestamp {
    Started::now().at
}
