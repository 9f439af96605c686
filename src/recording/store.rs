//! Stores that hold recordings, chosen by the scheme of their URL: one engine so far. Another one is a folder beside `nats/`, and
//! one more scheme here.

use super::access::StoreAccess;
use super::account::FleetAccount;
use super::input::RecordingInput;
use super::output::RecordingOutput;
use super::place::StoreUrl;
use super::probe::{StoreProbe, StoreUse};
use super::spool_settings::SpoolSettings;
use super::store_error::StoreError;
use super::store_reading::StoreReading;
use crate::fleet::{FleetStatus, FleetWord, OrderReceipt};

/// Records into a store; `memory` bytes may be on their way at once, and more in a file where there is a `spool`. Nothing is
/// connected yet.
///
/// # Errors
///
/// Where this build has no client for it.
pub fn open_output(
    url: StoreUrl,
    access: StoreAccess,
    memory: usize,
    spool: Option<SpoolSettings>,
) -> Result<Box<dyn RecordingOutput>, StoreError> {
    #[cfg(feature = "nats")]
    {
        Ok(Box::new(super::nats::NatsOutput::new(url, access, memory, spool)))
    }
    #[cfg(not(feature = "nats"))]
    {
        let server = url.to_string();
        drop((url, access, memory, spool));
        Err(StoreError::Unsupported { server })
    }
}

/// Adds up what became of all requests of a recording: on its nodes, and in the run that the URL names.
///
/// # Errors
///
/// Where it is not there or cannot be read, or this build has no client for it.
pub fn fleet_account(url: &StoreUrl, access: &StoreAccess) -> Result<FleetAccount, StoreError> {
    #[cfg(feature = "nats")]
    {
        super::nats::account(url, access)
    }
    #[cfg(not(feature = "nats"))]
    {
        let _ = access;
        Err(StoreError::Unsupported { server: url.to_string() })
    }
}

/// How the replayers of a recording stand, in the run that the URL names.
///
/// # Errors
///
/// Where it is not there or cannot be read, or this build has no client for it.
pub fn fleet_status(url: &StoreUrl, access: &StoreAccess) -> Result<FleetStatus, StoreError> {
    #[cfg(feature = "nats")]
    {
        super::nats::status(url, access)
    }
    #[cfg(not(feature = "nats"))]
    {
        let _ = access;
        Err(StoreError::Unsupported { server: url.to_string() })
    }
}

/// Asks a store what it would say to a run.
///
/// # Errors
///
/// Where nobody answers, or this build has no client for it.
pub fn probe_store(url: &StoreUrl, access: &StoreAccess, to: StoreUse) -> Result<StoreProbe, StoreError> {
    #[cfg(feature = "nats")]
    {
        super::nats::probe(url, access, to)
    }
    #[cfg(not(feature = "nats"))]
    {
        let _ = (access, to);
        Err(StoreError::Unsupported { server: url.to_string() })
    }
}

/// Gives an order to all replayers of the run that the URL names, in the name of `by`, and waits some seconds until those that are
/// there have taken it up: how they stand then.
///
/// # Errors
///
/// Where it is not there or cannot be written, or this build has no client for it.
pub fn steer_fleet(
    url: &StoreUrl,
    access: &StoreAccess,
    word: FleetWord,
    by: &str,
) -> Result<OrderReceipt, StoreError> {
    #[cfg(feature = "nats")]
    {
        super::nats::steer(url, access, word, by)
    }
    #[cfg(not(feature = "nats"))]
    {
        let _ = (access, word, by);
        Err(StoreError::Unsupported { server: url.to_string() })
    }
}

/// Reads all of a recording that a store has, whoever else reads it; or `shared`: each request by one of those who read it so.
///
/// # Errors
///
/// Where it is not there, or this build has no client for it.
pub fn open_input(
    url: StoreUrl,
    access: StoreAccess,
    reading: StoreReading,
) -> Result<Box<dyn RecordingInput>, StoreError> {
    #[cfg(feature = "nats")]
    {
        if reading.shared {
            return Ok(Box::new(super::nats::SharedInput::open(url, access, reading)?));
        }
        Ok(Box::new(super::nats::NatsInput::open(url, access, reading)?))
    }
    #[cfg(not(feature = "nats"))]
    {
        let server = url.to_string();
        drop((url, access, reading));
        Err(StoreError::Unsupported { server })
    }
}
