//! The columns of a table of results.

/// What a column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Text,
    /// An instant in UTC.
    Instant,
    Number,
    /// A list, by its length.
    Count,
}

/// A column.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column {
    pub(super) name: &'static str,
    /// Where its value stands in a line of JSON.
    pub(super) pointer: &'static str,
    #[cfg_attr(not(feature = "parquet"), expect(dead_code, reason = "CSV has text alone"))]
    pub(super) kind: Kind,
}

const fn column(name: &'static str, pointer: &'static str, kind: Kind) -> Column {
    Column { name, pointer, kind }
}

/// All of them, in their order.
pub(super) const COLUMNS: [Column; 18] = [
    column("id", "/id", Kind::Text),
    column("at", "/at", Kind::Instant),
    column("client", "/client", Kind::Text),
    column("method", "/method", Kind::Text),
    column("target", "/target", Kind::Text),
    column("route", "/route", Kind::Text),
    column("outcome", "/outcome", Kind::Text),
    column("rule", "/rule", Kind::Text),
    column("shadow", "/shadow", Kind::Text),
    column("production_status", "/production/status", Kind::Number),
    column("production_body_len", "/production/body_len", Kind::Number),
    column("response_status", "/response/status", Kind::Number),
    column("response_body_len", "/response/body_len", Kind::Number),
    column("production_us", "/production_us", Kind::Number),
    column("service_us", "/service_us", Kind::Number),
    column("response_us", "/response_us", Kind::Number),
    column("lag_us", "/lag_us", Kind::Number),
    column("differences", "/differences", Kind::Count),
];
