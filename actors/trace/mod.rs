//! Traces: by what the hops of one push are found together, in the logs of whoever takes part. Identifiers have the form of W3C Trace Context.
//!
//! An identifier is random and says nothing about users, rooms or devices. Where spans are collected, the collector gives them their identifiers, and the logs
//! and the next process hear of the same.

#[cfg(test)]
mod tests;

use std::{fmt, sync::OnceLock};

use tracing::{Span, field::display};

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
    is_sampled: bool,
}

/// What whoever collects spans calls one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Collected {
    /// The trace.
    pub trace: u128,
    /// The span.
    pub span: u64,
    /// It is collected, and what belongs to it should be.
    pub is_sampled: bool,
}

/// Puts a new span below another one, which may be of another process, and says what it is called. `None` when it is not collected by that name.
pub type Collector = fn(&Span, Option<&TraceContext>) -> Option<Collected>;

static COLLECTOR: OnceLock<Collector> = OnceLock::new();

/// From now on this names spans. Only the first counts.
pub fn collect_with(collector: Collector) {
    let _ = COLLECTOR.set(collector);
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
    /// The place of a new span below another one, or in a trace of its own. It is written into the span's `trace_id`, `span_id` and `parent_id`.
    pub fn open(span: &Span, parent: Option<Self>, env: &Env) -> Self {
        let collector = COLLECTOR.get();
        let named = collector.and_then(|collector| collector(span, parent.as_ref()));
        let context = match named {
            Some(named) => Self {
                trace: named.trace,
                span: named.span,
                parent: parent.map_or(0, |parent| parent.span),
                is_sampled: named.is_sampled,
            },
            None => Self::below(parent, env),
        };
        span.record("trace_id", display(context.trace_id()));
        span.record("span_id", display(context.span_id()));
        span.record("parent_id", display(context.parent_id()));
        context
    }

    /// All zeros would mean that there is none.
    fn below(parent: Option<Self>, env: &Env) -> Self {
        let span = u64::from_be_bytes(env.random_bytes()).max(1);
        match parent {
            Some(parent) => Self {
                span,
                parent: parent.span,
                ..parent
            },
            None => Self {
                trace: u128::from_be_bytes(env.random_bytes()).max(1),
                span,
                parent: 0,
                is_sampled: false,
            },
        }
    }

    /// The span that a header's text names; `None` when it is not as the standard wants it.
    pub fn parse(header: &str) -> Option<Self> {
        let mut parts = header.trim().splitn(5, '-');
        let version = hexadecimal(parts.next()?, 2)?;
        let trace = hexadecimal(parts.next()?, 32)?;
        let span = hexadecimal(parts.next()?, 16)?;
        let flags = hexadecimal(parts.next()?, 2)?;
        // Later versions may say more.
        let is_known = version != 0xff && (version > 0 || parts.next().is_none());
        let span = u64::try_from(span).ok()?;
        (is_known && trace != 0 && span != 0).then_some(Self {
            trace,
            span,
            parent: 0,
            is_sampled: flags & 1 == 1,
        })
    }

    /// The header's text, by which the next one goes on.
    pub fn header(&self) -> String {
        let flags = u8::from(self.is_sampled);
        format!("00-{}-{}-{flags:02x}", self.trace_id(), self.span_id())
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

    /// The same for whoever collects.
    pub fn collected(&self) -> Collected {
        Collected {
            trace: self.trace,
            span: self.span,
            is_sampled: self.is_sampled,
        }
    }
}

fn hexadecimal(text: &str, length: usize) -> Option<u128> {
    let is_plain = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    if text.len() != length || !text.bytes().all(is_plain) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}
