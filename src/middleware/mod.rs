//! What is done to a request before it is sent: match, sample, rewrite. In goes a [`Request`], out comes the same
//! request, changed or not, or the [`Outcome`] that ended it. No clock, no socket.

use regex::bytes::Regex;

use crate::exchange::{Outcome, Request};

/// One link of the chain.
pub trait Link: Send {
    /// Passes the request on, changed or not, or ends it.
    fn apply(&mut self, request: &mut Request) -> Result<(), Outcome>;
}

/// A share from 0 to 1, exact to 0.01 %.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Share(pub f64);

/// What is sampled as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SampleKey {
    /// Each request by itself.
    Request,
    /// All requests of a connection.
    Connection,
    /// All requests of a client address.
    ClientIp,
    /// All requests with the same value of this header.
    Header(String),
    /// All requests with the same value of this cookie.
    Cookie(String),
    /// All requests with the same value of this query parameter.
    Param(String),
}

/// What the flags say; applied in the order match, sample, rewrite.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Methods that pass; empty: all.
    pub allow_methods: Vec<String>,
    /// A path-and-query matching any of these passes; empty: all.
    pub allow_paths: Vec<Regex>,
    /// A path-and-query matching any of these ends.
    pub deny_paths: Vec<Regex>,
    /// Hosts that pass, without port, compared without case; empty: all.
    pub allow_hosts: Vec<String>,
    /// Whether methods other than GET, HEAD and OPTIONS pass.
    pub allow_writes: bool,
    /// The share that passes.
    pub sample: Share,
    /// What the sample keeps together.
    pub sample_by: SampleKey,
    /// Seed of the sample: nodes with the same seed choose the same.
    pub seed: u64,
    /// Header lines to set (name, value).
    pub set_headers: Vec<(String, String)>,
    /// Header lines to remove.
    pub remove_headers: Vec<String>,
    /// Cookies to set (name, value).
    pub set_cookies: Vec<(String, String)>,
    /// Cookies to remove.
    pub remove_cookies: Vec<String>,
}
