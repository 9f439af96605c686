//! Errors that keep a live capture from beginning, each with a remedy.

use crate::capture::LinkType;
use crate::capture::interfaces::{self, ANY, Interface, InterfaceState};

/// Returns the command that gives this program the right to capture. It names the file itself: a symbolic link has no rights.
#[must_use]
pub fn setcap() -> String {
    let program = std::env::current_exe().and_then(|program| program.canonicalize());
    let program = program.map_or_else(
        |_| "$(readlink -f \"$(command -v shadowtap)\")".to_owned(),
        |program| shell_words::quote(&program.to_string_lossy()).into_owned(),
    );
    format!("sudo setcap cap_net_raw+ep {program}")
}

/// Reason why an interface cannot be captured on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LiveError {
    /// The right to capture is missing.
    #[error("cannot open {interface}: operation not permitted; run with sudo, or: {}", setcap())]
    NotPermitted {
        /// The interface.
        interface: String,
    },
    /// There is no interface of that name.
    #[error("there is no interface {interface}{}; there are {}", suggestion(nearest.as_deref()), and(existing))]
    Unknown {
        /// The name as typed.
        interface: String,
        /// The name that was probably meant.
        nearest: Option<String>,
        /// The names that there are.
        existing: Vec<String>,
    },
    /// The interface is down.
    #[error("cannot open {interface}: it is down; to bring it up: sudo ip link set {interface} up")]
    Down {
        /// The interface.
        interface: String,
    },
    /// The kernel has no room for the buffer.
    #[error("cannot open {interface}: the kernel has no memory for a buffer of {} MiB; give less with --buffer", buffer >> 20)]
    NoMemory {
        /// The interface.
        interface: String,
        /// Bytes that were asked for.
        buffer: usize,
    },
    /// libpcap does not accept the filter for this kind of link.
    #[error("the filter `{expression}` does not compile for {interface} ({}): {why}", interfaces::link_name(*link))]
    Filter {
        /// The filter as typed.
        expression: String,
        /// The interface.
        interface: String,
        /// The kind of link that it has.
        link: LinkType,
        /// libpcap's words.
        why: String,
    },
    /// Nothing was named, and nothing is up.
    #[error("no interface is up; there are {}", and(existing))]
    NothingUp {
        /// The names that there are.
        existing: Vec<String>,
    },
    /// No interface has a name like that.
    #[error(
        "no interface that is up matches {}; there are {}; --wait-interface waits for one",
        and(patterns),
        and(existing)
    )]
    NoMatch {
        /// The patterns as typed.
        patterns: Vec<String>,
        /// The names that there are.
        existing: Vec<String>,
    },
    /// More interfaces than are read at once.
    #[error("{count} interfaces are more than the {most} that are captured on at once; `-i any` is all of them")]
    TooMany {
        /// Number of interfaces that were named.
        count: usize,
        /// Largest number allowed.
        most: usize,
    },
    /// The interfaces cannot be listed.
    #[error(transparent)]
    List(#[from] interfaces::ListError),
    /// Something else, as libpcap says it.
    #[error("cannot open {interface}: {why}")]
    Other {
        /// The interface.
        interface: String,
        /// libpcap's words.
        why: String,
    },
}

impl LiveError {
    /// Finds the cause behind libpcap's message. The same cause has different messages in different versions, some of
    /// them empty.
    pub(super) fn diagnose(interface: &str, buffer: usize, why: &str) -> Self {
        let all = interfaces::list().unwrap_or_default();
        let interface = interface.to_owned();
        let found = all.iter().find(|one| one.name == interface);
        let lower = why.to_lowercase();
        let says = |words: &[&str]| words.iter().any(|word| lower.contains(word));
        match found {
            None if interface != ANY => Self::unknown(interface, &all),
            _ if says(&["permission", "not permitted", "cap_net_raw"]) => Self::NotPermitted { interface },
            Some(found) if found.state == InterfaceState::Down => Self::Down { interface },
            _ if says(&["memory", "allocat"]) => Self::NoMemory { interface, buffer },
            _ if why.is_empty() => Self::Other { interface, why: "libpcap does not say why".to_owned() },
            _ => Self::Other { interface, why: why.to_owned() },
        }
    }

    fn unknown(interface: String, all: &[Interface]) -> Self {
        let existing: Vec<String> = all.iter().map(|one| one.name.clone()).chain([ANY.to_owned()]).collect();
        let likeness = |name: &String| strsim::damerau_levenshtein(name, &interface);
        // Two slips of the hand; in a short name, fewer than its letters.
        let most = 2.min(interface.chars().count().saturating_sub(1));
        let nearest = existing.iter().min_by_key(|name| likeness(name)).filter(|name| likeness(name) <= most).cloned();
        Self::Unknown { interface, nearest, existing }
    }
}

fn suggestion(nearest: Option<&str>) -> String {
    nearest.map_or_else(String::new, |nearest| format!(", perhaps {nearest} was meant"))
}

/// `eth0, lo and any`.
pub(super) fn and<T: AsRef<str>>(names: &[T]) -> String {
    match names {
        [] => "none".to_owned(),
        [only] => only.as_ref().to_owned(),
        [first @ .., last] => {
            let first: Vec<&str> = first.iter().map(AsRef::as_ref).collect();
            format!("{} and {}", first.join(", "), last.as_ref())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn up(name: &str) -> Interface {
        Interface { name: name.to_owned(), state: InterfaceState::Up, ..Interface::default() }
    }

    #[test]
    fn a_slip_of_the_hand_is_told_with_what_was_probably_meant() {
        let all = [up("eth0"), up("lo")];
        let said = |name: &str| LiveError::unknown(name.to_owned(), &all).to_string();
        assert_eq!(said("eht0"), "there is no interface eht0, perhaps eth0 was meant; there are eth0, lo and any");
        assert_eq!(said("l0"), "there is no interface l0, perhaps lo was meant; there are eth0, lo and any");
        assert_eq!(said("wlp3s0"), "there is no interface wlp3s0; there are eth0, lo and any");
    }

    #[test]
    fn a_missing_right_comes_with_the_commands_that_give_it() {
        let error = LiveError::NotPermitted { interface: "eth0".to_owned() };
        assert_eq!(
            error.to_string(),
            format!("cannot open eth0: operation not permitted; run with sudo, or: {}", setcap())
        );
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(setcap(), format!("sudo setcap cap_net_raw+ep {}", program.display()));
    }
}
