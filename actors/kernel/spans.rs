//! Where a call spends its time, for who collects spans: from the edge to the actor, and from there to the writer and back.
//!
//! Nothing is made, and next to nothing costs anything, unless somebody collects.

use std::sync::atomic::{AtomicBool, Ordering};

use tracing::Span;

/// By this the spans here are told from what is logged.
const TARGET: &str = "playhouse_spans";

static COLLECTED: AtomicBool = AtomicBool::new(false);

/// From now on spans are made.
pub fn collect() {
    COLLECTED.store(true, Ordering::Relaxed);
}

/// Whether spans are made.
pub fn are_collected() -> bool {
    COLLECTED.load(Ordering::Relaxed)
}

/// A command on its way, until it is durable.
pub(super) fn command(kind: &'static str) -> Span {
    if !are_collected() {
        return Span::none();
    }
    let name = format!("command {kind}");
    tracing::info_span!(target: TARGET, "command", otel.name = name.as_str())
}

/// A query on its way, until it is answered. Long polls wait in it.
pub(super) fn query(kind: &'static str) -> Span {
    if !are_collected() {
        return Span::none();
    }
    let name = format!("query {kind}");
    tracing::info_span!(target: TARGET, "query", otel.name = name.as_str())
}

/// In which the caller is.
pub(super) fn current() -> Span {
    if are_collected() {
        Span::current()
    } else {
        Span::none()
    }
}

/// A command being decided.
pub(super) fn decide(of: &Span) -> Span {
    if of.is_disabled() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, parent: of, "decide")
}

/// An append, from when it is handed to the writer until its fate is known.
pub(super) fn append(of: &Span) -> Span {
    if of.is_disabled() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, parent: of, "append")
}

/// The transaction in which an append is written.
pub(crate) fn commit(of: &Span, family: &'static str) -> Span {
    if of.is_disabled() {
        return Span::none();
    }
    tracing::info_span!(target: TARGET, parent: of, "commit", family)
}
