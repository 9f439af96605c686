//! Remarks on middleware in external processes.

use crate::report::schema::middleware::MiddlewareCounts;
use crate::report::units::counted;

impl MiddlewareCounts {
    /// Returns the remarks for people.
    #[must_use]
    pub(crate) fn remarks(&self) -> Vec<String> {
        let worth =
            |count: u64, what: &str, words: &str| (count > 0).then(|| format!("{} {words}", counted(count, what)));
        [
            worth(self.made_up, "request", "made up by the middleware, which count as seen"),
            worth(self.late, "echo", "of the middleware came after --middleware-timeout, and went no further"),
            worth(self.garbage, "line", "of the middleware's standard output that are no messages"),
            worth(self.malformed, "message", "of the middleware that break a rule of HTTP, and went no further"),
            worth(self.untold, "response", "that the middleware was not told: there was no room, or not all was there"),
            worth(self.restarts, "time", "that the middleware ended by itself, and was started again"),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_happened_is_worth_a_word() {
        assert!(MiddlewareCounts::default().remarks().is_empty());
        let counts = MiddlewareCounts { made_up: 1, restarts: 2, ..MiddlewareCounts::default() };
        assert_eq!(
            counts.remarks(),
            [
                "1 request made up by the middleware, which count as seen",
                "2 times that the middleware ended by itself, and was started again"
            ]
        );
    }
}
