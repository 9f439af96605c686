//! Interfaces that appear while the capture goes on.
//!
//! By then the right to open them has been given up. So sockets are opened before, on an interface that is there, and let
//! nothing through. To be told another interface takes no right (`bind`, packet(7)).

use std::thread;

use super::handle::Handle;
use super::{LiveError, LiveSettings};
use crate::capture::interfaces::{self, PresentInterface};

/// Most interfaces that are captured on at once of those that appear later; one that is gone makes room for another.
pub(crate) const MAX_LATER: usize = 8;
/// Size of the kernel's buffer of each of them, in bytes: the least that holds a few blocks.
const BUFFER: usize = 2 << 20;
/// Most interfaces that are remembered for not being captured on; past it one may be told again.
const MAX_REFUSED: usize = 1024;

/// Which interfaces are captured on when they appear.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum LaterInterfaces {
    /// None: what was asked for are names, or all interfaces at once.
    None,
    /// Those whose names match one of these patterns.
    Matching(Vec<String>),
    /// All that show traffic which no other one shows.
    Everything,
}

impl LaterInterfaces {
    fn has(&self, interface: &PresentInterface) -> bool {
        match self {
            Self::None => false,
            Self::Matching(patterns) => patterns.iter().any(|pattern| matches(pattern, &interface.name)),
            Self::Everything => !interface.is_loopback() && !interfaces::is_shown_twice(&interface.name),
        }
    }
}

/// Returns whether a name as typed stands for several: `*` for any characters, `?` for one.
pub(super) fn is_pattern(name: &str) -> bool {
    name.contains(['*', '?'])
}

/// Returns whether a name matches a pattern, all of it.
pub(super) fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.as_bytes(), name.as_bytes());
    let (mut at, mut next) = (0, 0);
    // Where the last `*` stands, and up to where it reaches so far.
    let mut star: Option<(usize, usize)> = None;
    while next < name.len() {
        match (pattern.get(at), star) {
            (Some(b'*'), _) => {
                star = Some((at, next));
                at += 1;
            }
            (Some(b'?'), _) => (at, next) = (at + 1, next + 1),
            (Some(byte), _) if name.get(next) == Some(byte) => (at, next) = (at + 1, next + 1),
            (_, Some((place, reach))) => {
                star = Some((place, reach + 1));
                (at, next) = (place + 1, reach + 1);
            }
            _ => return false,
        }
    }
    pattern.get(at..).is_some_and(|rest| rest.iter().all(|byte| *byte == b'*'))
}

/// Sockets for interfaces that are not there yet.
pub(super) struct SpareHandles {
    wanted: LaterInterfaces,
    free: Vec<Handle>,
    /// Interfaces of which was said that they are not captured on.
    refused: Vec<String>,
}

/// Opens all of the sockets, at once: each takes the kernel most of 0.1 s, in which it does nothing but wait.
fn open_all(place: &str, settings: &LiveSettings) -> Vec<Result<Handle, LiveError>> {
    thread::scope(|scope| {
        let open = || Handle::open_spare(place, settings, BUFFER);
        let opening: Vec<_> = (0..MAX_LATER).map(|_| scope.spawn(open)).collect();
        opening.into_iter().filter_map(|one| one.join().ok()).collect()
    })
}

/// An interface that appeared.
pub(super) enum Newcomer {
    /// It is captured on, by this socket; with the line that says so.
    Added(Box<Handle>, String),
    /// A line that says what became of it.
    Told(String),
}

impl SpareHandles {
    /// Opens sockets for what is wanted; nothing where that is nothing.
    ///
    /// # Errors
    ///
    /// Where none can be opened, the reason for it.
    pub(super) fn open(wanted: &LaterInterfaces, settings: &LiveSettings) -> Result<Option<Self>, String> {
        if *wanted == LaterInterfaces::None || !cfg!(target_os = "linux") {
            return Ok(None);
        }
        let present = interfaces::present().unwrap_or_default();
        let mut places: Vec<&PresentInterface> = present.iter().filter(|one| one.up && one.is_ethernet()).collect();
        // What is done to the loopback interface disturbs nobody.
        places.sort_by_key(|one| !one.is_loopback());
        let place = places.first().ok_or("there is no interface on which a socket can wait for them")?;
        let (free, failed): (Vec<_>, Vec<_>) = open_all(&place.name, settings).into_iter().partition(Result::is_ok);
        let free: Vec<Handle> = free.into_iter().flatten().collect();
        match failed.into_iter().find_map(Result::err) {
            Some(why) if free.is_empty() => Err(why.to_string()),
            _ => Ok(Some(Self { wanted: wanted.clone(), free, refused: Vec::new() })),
        }
    }

    /// Takes those of the `present` interfaces that appeared and are wanted; `known` are those that have a socket. With no
    /// socket left, `reassign` may have one whose interface is gone; it returns the line that says so.
    pub(super) fn newcomers(
        &mut self,
        present: &[PresentInterface],
        known: &[String],
        mut reassign: impl FnMut(&PresentInterface) -> Option<String>,
    ) -> Vec<Newcomer> {
        self.refused.retain(|name| present.iter().any(|one| one.name == *name));
        let mut found = Vec::new();
        let wanted = present.iter().filter(|one| one.up && !known.contains(&one.name) && self.wanted.has(one));
        for one in wanted {
            let name = &one.name;
            let line = if !one.is_ethernet() {
                format!("{name} is new, and no Ethernet: it is not captured on until shadowtap is started again")
            } else if let Some(mut handle) = self.free.pop() {
                match handle.reassign(one) {
                    Some(line) => found.push(Newcomer::Added(Box::new(handle), line)),
                    // It is gone already, or is there at the next look.
                    None => self.free.push(handle),
                }
                continue;
            } else if let Some(line) = reassign(one) {
                self.refused.retain(|refused| refused != name);
                found.push(Newcomer::Told(line));
                continue;
            } else {
                format!(
                    "{name} is new, and not captured on: {MAX_LATER} that appeared are already; start shadowtap again, or \
                     with -i any"
                )
            };
            if !self.refused.contains(name) && self.refused.len() < MAX_REFUSED {
                self.refused.push(name.clone());
                found.push(Newcomer::Told(line));
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_captured_on_is_told_once_and_taken_when_there_is_room() {
        let wanted = LaterInterfaces::Matching(vec!["a*".to_owned()]);
        let mut spares = SpareHandles { wanted, free: Vec::new(), refused: Vec::new() };
        let one = |name: &str, kind| PresentInterface { name: name.to_owned(), up: true, kind, link: None };
        let present = [one("a0", Some(1)), one("a1", Some(65534)), one("b0", Some(1)), one("a2", Some(1))];
        let mut look = |room: Option<&str>| -> Vec<String> {
            let told = spares.newcomers(&present, &["a2".to_owned()], |_| room.map(str::to_owned));
            let lines = told.into_iter().map(|one| match one {
                Newcomer::Added(_, line) | Newcomer::Told(line) => line,
            });
            lines.collect()
        };
        assert_eq!(
            look(None),
            [
                "a0 is new, and not captured on: 8 that appeared are already; start shadowtap again, or with -i any",
                "a1 is new, and no Ethernet: it is not captured on until shadowtap is started again",
            ]
        );
        assert_eq!(look(None), [""; 0]);
        assert_eq!(look(Some("taken")), ["taken"]);
    }

    #[test]
    fn a_pattern_matches_whole_names() {
        for (pattern, name) in
            [("veth*", "veth0"), ("veth*", "veth"), ("*", "x"), ("e?h*0", "eth10"), ("a*b*c", "aXbXbc"), ("?", "a")]
        {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in
            [("veth*", "eth0"), ("veth", "veth0"), ("e?h", "eh"), ("a*b*c", "aXbX"), ("?", ""), ("*0", "eth01")]
        {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }
}
