//! The only file that makes threads and channels.
