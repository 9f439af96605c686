//! The examples of a group of differences: the first ones, and one more where these may all be taken back at once.

use crate::replay::ConnNumber;
use crate::report::schema::diff_groups::DiffExample;

/// Examples that are shown of each group: the first ones.
pub(crate) const MAX_EXAMPLES: usize = 3;

/// Examples in their order.
#[derive(Clone, Debug, Default)]
pub(super) struct KeptExamples(Vec<KeptExample>);

#[derive(Clone, Debug)]
struct KeptExample {
    /// The one that the target's response came over, where it may be taken back.
    connection: Option<ConnNumber>,
    example: DiffExample,
}

impl KeptExamples {
    /// Returns whether an example is kept whose response came over this connection: what came over one connection is taken
    /// back together, and some are to stay.
    pub(super) fn wants(&self, connection: Option<ConnNumber>) -> bool {
        let is_spare = || {
            let first = self.0.first().and_then(|kept| kept.connection);
            first.is_some() && first != connection && self.0.iter().all(|kept| kept.connection == first)
        };
        self.0.len() < MAX_EXAMPLES || (self.0.len() == MAX_EXAMPLES && is_spare())
    }

    pub(super) fn push(&mut self, connection: Option<ConnNumber>, example: DiffExample) {
        self.0.push(KeptExample { connection, example });
    }

    /// Takes those of this exchange out.
    pub(super) fn take_back(&mut self, id: &str) -> impl Iterator<Item = DiffExample> {
        self.0.extract_if(.., move |kept| kept.example.id == id).map(|kept| kept.example)
    }

    /// Those that are shown.
    pub(super) fn shown(&self) -> impl Iterator<Item = &DiffExample> {
        self.0.iter().take(MAX_EXAMPLES).map(|kept| &kept.example)
    }
}
