//! How traces are written, and what is none.

use super::*;
use crate::room::testing;

#[test]
fn a_trace_goes_on_in_the_next_process() {
    let env = testing::env();
    let first = TraceContext::open(&Span::none(), None, &env);
    assert_eq!(first.parent_id().to_string(), "0000000000000000");
    let header = first.header();
    assert_eq!((header.len(), &header[52..]), (55, "-00"));
    let next = TraceContext::open(&Span::none(), TraceContext::parse(&header), &env);
    assert_eq!(next.trace_id(), first.trace_id());
    assert_eq!(next.parent_id(), first.span_id());
    assert_ne!(next.span_id(), first.span_id());
    let other = TraceContext::open(&Span::none(), None, &env);
    assert_ne!(other.trace_id(), first.trace_id());
}

#[test]
fn whether_it_is_collected_goes_with_it() {
    let env = testing::env();
    let header = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let named = TraceContext::parse(header);
    assert_eq!(named.map(|it| it.header()).as_deref(), Some(header));
    let next = TraceContext::open(&Span::none(), named, &env);
    assert!(next.collected().is_sampled && next.header().ends_with("-01"));
}

#[test]
fn what_is_no_trace_begins_one() {
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
