//! libpcap's filter language, run on frames of files.

use std::collections::HashMap;

use pcap::{BpfProgram, Capture, Linktype};

use super::{CaptureError, Frame, LinkType};

/// A filter: compiled by libpcap once for each link type that turns up.
pub struct BpfFilter {
    expression: String,
    programs: HashMap<LinkType, Option<BpfProgram>>,
}

/// Result of a filter for a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BpfMatch {
    /// It matches.
    Match,
    /// It does not.
    NoMatch,
    /// The expression has no meaning on this link type (`vlan` off Ethernet, say).
    NotApplicable,
}

impl BpfFilter {
    /// Checks `expression`; the error has libpcap's words.
    ///
    /// # Errors
    ///
    /// Where libpcap does not accept it.
    pub fn new(expression: &str) -> Result<Self, CaptureError> {
        let mut filter = Self { expression: expression.to_owned(), programs: HashMap::new() };
        // What Ethernet and raw IP both refuse is wrong in itself and not for its link type.
        if let Err(error) = filter.compile(LinkType::ETHERNET)
            && filter.compile(LinkType::RAW).is_err()
        {
            return Err(CaptureError::Filter { expression: expression.to_owned(), why: words(&error) });
        }
        filter.programs.clear();
        Ok(filter)
    }

    /// Returns whether `frame` matches.
    pub fn check(&mut self, frame: &Frame<'_>) -> BpfMatch {
        if !self.programs.contains_key(&frame.link) {
            let program = self.compile(frame.link).ok();
            self.programs.insert(frame.link, program);
        }
        match self.programs.get(&frame.link) {
            Some(Some(program)) if program.filter(frame.data) => BpfMatch::Match,
            Some(Some(_)) => BpfMatch::NoMatch,
            _ => BpfMatch::NotApplicable,
        }
    }

    fn compile(&self, link: LinkType) -> Result<BpfProgram, pcap::Error> {
        Capture::dead(Linktype(data_link_type(link)))?.compile(&self.expression, true)
    }
}

/// libpcap's own number for a link type of files; they differ for raw IP only, of those that carry IP.
const fn data_link_type(link: LinkType) -> i32 {
    match link {
        LinkType::RAW => 12,
        LinkType(other) => other as i32,
    }
}

fn words(error: &pcap::Error) -> String {
    match error {
        pcap::Error::PcapError(words) => words.clone(),
        other => other.to_string(),
    }
}
