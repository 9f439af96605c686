//! Statuses by class, and the choice of some of them for display.

use std::str::FromStr;

/// Class of a status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StatusClass {
    /// 1xx: of final responses, 101 alone.
    Interim,
    /// 2xx.
    Success,
    /// 3xx.
    Redirect,
    /// 4xx.
    Client,
    /// 5xx.
    Server,
    /// A number that no class has (RFC 9110, 15).
    Other,
    /// No response was captured.
    None,
}

impl StatusClass {
    /// Every class, in the order of tables.
    pub const ALL: [Self; 7] =
        [Self::Interim, Self::Success, Self::Redirect, Self::Client, Self::Server, Self::Other, Self::None];

    /// The class of a status; of none where there was no response.
    #[must_use]
    pub const fn of(status: Option<u16>) -> Self {
        match status {
            Some(100..200) => Self::Interim,
            Some(200..300) => Self::Success,
            Some(300..400) => Self::Redirect,
            Some(400..500) => Self::Client,
            Some(500..600) => Self::Server,
            Some(_) => Self::Other,
            None => Self::None,
        }
    }

    /// Key in machine-readable output, and the head of a column: `5xx`.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Interim => "1xx",
            Self::Success => "2xx",
            Self::Redirect => "3xx",
            Self::Client => "4xx",
            Self::Server => "5xx",
            Self::Other => "other",
            Self::None => "none",
        }
    }

    /// Its color on a terminal, as the number of an ANSI escape; `None` for the terminal's own.
    #[must_use]
    pub const fn color(self) -> Option<&'static str> {
        match self {
            Self::Success => Some("32"),
            Self::Redirect => Some("36"),
            Self::Client => Some("33"),
            Self::Server | Self::Other => Some("31"),
            Self::Interim => None,
            Self::None => Some("35"),
        }
    }
}

/// Selection of statuses to show: classes, single statuses, or none at all for want of a response.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StatusChoice(Vec<StatusPattern>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StatusPattern {
    Class(StatusClass),
    Status(u16),
}

impl StatusChoice {
    /// Returns whether an exchange with this status is shown.
    #[must_use]
    pub fn has(&self, status: Option<u16>) -> bool {
        self.0.iter().any(|wanted| match wanted {
            StatusPattern::Class(class) => *class == StatusClass::of(status),
            StatusPattern::Status(wanted) => Some(*wanted) == status,
        })
    }
}

/// Error of a typed selection of statuses.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{typed}` is no status; write a class, a status or none, such as 5xx, 404 or 404,5xx")]
pub struct StatusError {
    /// Typed text.
    typed: String,
}

/// As typed: `5xx`, `404,5xx`, `none`.
impl FromStr for StatusChoice {
    type Err = StatusError;

    fn from_str(typed: &str) -> Result<Self, StatusError> {
        typed.split(',').map(wanted).collect::<Result<_, _>>().map(Self)
    }
}

fn wanted(typed: &str) -> Result<StatusPattern, StatusError> {
    let name = typed.trim().to_ascii_lowercase();
    let class = StatusClass::ALL.into_iter().find(|class| *class != StatusClass::Other && class.key() == name);
    let three_digits = || name.len() == 3 && name.bytes().all(|byte| byte.is_ascii_digit());
    let status = || three_digits().then(|| name.parse().ok()).flatten().map(StatusPattern::Status);
    class.map(StatusPattern::Class).or_else(status).ok_or_else(|| StatusError { typed: typed.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_a_list_of_classes_statuses_and_none() {
        let statuses = [Some(101), Some(200), Some(404), Some(410), Some(500), Some(503), Some(700), None];
        for (typed, shown) in [
            ("5xx", &[Some(500), Some(503)][..]),
            ("404,5XX", &[Some(404), Some(500), Some(503)]),
            ("none, 1xx", &[Some(101), None]),
            ("700", &[Some(700)]),
        ] {
            let choice: StatusChoice = typed.parse().unwrap();
            let found: Vec<_> = statuses.into_iter().filter(|status| choice.has(*status)).collect();
            assert_eq!(found, shown, "{typed}");
        }
    }

    #[test]
    fn what_is_no_status_is_told_with_what_is() {
        for typed in ["", "5x", "20", "2000", "5xx,", "+20", "other", "abc"] {
            let error = typed.parse::<StatusChoice>().unwrap_err().to_string();
            assert!(error.contains("such as 5xx, 404 or 404,5xx"), "{typed}: {error}");
        }
    }
}
