//! Traces: by what the hops of one push are found together, in the logs of whoever takes part. Identifiers have the form of W3C Trace Context.
//!
//! An identifier is random and says nothing about users, rooms or devices.

#[cfg(test)]
mod tests;

use std::fmt;

use crate::env::Env;

/// The target of all spans and lines about the hops of a push: `[log] level = "info,playhouse_hops=debug"` shows them.
pub const HOPS: &str = "playhouse_hops";

/// The header in which a trace goes on from one process to the next.
pub const TRACEPARENT: &str = "traceparent";

/// A place in a trace: a span, and the span that it belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    trace: u128,
    span: u64,
    /// 0 when it is the first.
    parent: u64,
}

/// An identifier as it is written: in hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceName(u128, usize);

impl fmt::Display for TraceName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:0width$x}", self.0, width = self.1)
    }
}

impl TraceContext {
    /// The first span of a new trace.
    pub fn begin(env: &Env) -> Self {
        Self {
            // All zeros mean that there is none.
            trace: u128::from_be_bytes(env.random_bytes()).max(1),
            span: u64::from_be_bytes(env.random_bytes()).max(1),
            parent: 0,
        }
    }

    /// A span within this one.
    pub fn child(&self, env: &Env) -> Self {
        Self {
            trace: self.trace,
            span: u64::from_be_bytes(env.random_bytes()).max(1),
            parent: self.span,
        }
    }

    /// A span within the one that somebody names by the header's text, or the first of a new trace where nobody does.
    pub fn within(header: Option<&str>, env: &Env) -> Self {
        let parent = header.and_then(Self::parse);
        parent.map_or_else(|| Self::begin(env), |parent| parent.child(env))
    }

    /// The span that a header's text names; `None` when it is not as the standard wants it.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(5, '-');
        let version = hexadecimal(parts.next()?, 2)?;
        let trace = hexadecimal(parts.next()?, 32)?;
        let span = hexadecimal(parts.next()?, 16)?;
        hexadecimal(parts.next()?, 2)?;
        // Later versions may say more.
        let is_known = version != 0xff && (version > 0 || parts.next().is_none());
        let span = u64::try_from(span).ok()?;
        (is_known && trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            parent: 0,
        })
    }

    /// The header's text, by which the next one goes on.
    pub fn header(&self) -> String {
        format!("00-{}-{}-01", self.trace_id(), self.span_id())
    }

    /// The trace.
    pub fn trace_id(&self) -> TraceName {
        TraceName(self.trace, 32)
    }

    /// The span.
    pub fn span_id(&self) -> TraceName {
        TraceName(self.span.into(), 16)
    }

    /// The span that it belongs to; all zeros when it is the first.
    pub fn parent_id(&self) -> TraceName {
        TraceName(self.parent.into(), 16)
    }
}

fn hexadecimal(text: &str, length: usize) -> Option<u128> {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_written_so = text.len() == length && text.bytes().all(is_plain);
    is_written_so.then(|| u128::from_str_radix(text, 16).ok())?
}
