//! How traces are written, and what is none.

use super::*;
use crate::room::testing;

#[test]
fn a_trace_goes_on_in_the_next_process() {
    let env = testing::env();
    let first = TraceContext::begin(&env);
    assert_eq!(first.parent_id().to_string(), "0000000000000000");
    let header = first.header();
    assert_eq!(header.len(), 55);
    let next = TraceContext::within(Some(&header), &env);
    assert_eq!(next.trace_id(), first.trace_id());
    assert_eq!(next.parent_id(), first.span_id());
    assert_eq!(
        TraceContext::parse(&next.header()).map(|it| it.trace),
        Some(first.trace)
    );
}

#[test]
fn what_is_no_trace_begins_one() {
    let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    assert!(TraceContext::parse(good).is_some());
    let later = "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more";
    assert!(TraceContext::parse(later).is_some());
    for wrong in [
        "",
        "00",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-more",
        "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
        "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
        "00-+bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ] {
        assert_eq!(TraceContext::parse(wrong), None, "{wrong}");
    }
}
