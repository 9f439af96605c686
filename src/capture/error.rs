//! Why a capture cannot be read at all.

use std::borrow::Cow;
use std::path::PathBuf;

use crate::causes::Help;
use crate::suggest;

/// Reason why a capture cannot be read at all.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The file cannot be opened.
    #[error("cannot open {}", file.display())]
    Open {
        /// The file.
        file: PathBuf,
        /// The system's words.
        source: std::io::Error,
    },
    /// The file was opened and cannot be read.
    #[error("cannot read {file}")]
    Read {
        /// The file.
        file: String,
        /// The system's or the decompressor's words.
        source: std::io::Error,
    },
    /// The file has no bytes.
    #[error("{file} is empty: not a capture")]
    Empty {
        /// The file.
        file: String,
    },
    /// The file begins like a capture and ends before its first record could.
    #[error("{file} ends inside its header: a capture that was cut, or never written to")]
    Short {
        /// The file.
        file: String,
    },
    /// The first bytes are those of no capture format.
    #[error(
        "{file} is not a capture: it begins with {begin}; what is read is pcap, pcapng, .gor and JSON lines, plain, gzip or zstd"
    )]
    NotACapture {
        /// The file.
        file: String,
        /// Its first bytes in hexadecimal.
        begin: String,
    },
    /// libpcap does not accept the filter.
    #[error("the filter `{expression}` does not compile: {why}")]
    Filter {
        /// The filter as typed.
        expression: String,
        /// libpcap's words.
        why: String,
    },
}

impl Help for CaptureError {
    fn help(&self) -> Option<Cow<'static, str>> {
        match self {
            Self::Open { file, source } if source.kind() == std::io::ErrorKind::NotFound => {
                suggest::file_beside(file).map(Cow::Owned)
            }
            _ => None,
        }
    }
}
