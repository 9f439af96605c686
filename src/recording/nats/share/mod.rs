//! A recording that several replayers share: each holds some of its partitions, and says in the store what became of their
//! requests.
//!
//! A partition is one key of the store, which only its holder writes, and only over what it has read ([`ledger`]). The holder
//! writes it at least every other second; one that was not written for longer is taken by others. Before a write goes out,
//! the key says so. So a request goes out at most once if it may change something, and no member acts on what it has lost.

mod account;
mod bulletin;
mod horizon;
mod input;
mod ledger;
mod member;
mod partitions;
mod roster;
mod session;
mod steer;

pub(in crate::recording) use account::account;
pub(in crate::recording) use input::SharedInput;
pub(in crate::recording) use member::look;
pub(in crate::recording) use steer::{status, steer};
