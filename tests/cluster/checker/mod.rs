//! The checker: reads what all clients were told, request by request, and what the rooms hold at the end, and finds what cannot be.
//!
//! It knows no server and no network: a history is a file. Everything is gone through once, so that a million lines take seconds. The actors' tests take it
//! in, too: its own tests stand beside it, and run once.

pub(crate) mod line;
pub(crate) mod loaded;
mod reading;
pub(crate) mod report;
mod sends;
mod to_device;

pub(crate) use self::{
    line::{History, Line, Op, Rooms, Seen, write_rooms},
    loaded::Loaded,
    report::Report,
};

/// Checks all rules.
pub(crate) fn check(loaded: &Loaded) -> Report {
    let mut report = Report::default();
    let sent = sends::gather(loaded);
    sends::check(loaded, &sent, &mut report);
    reading::check(loaded, &sent, &mut report);
    to_device::check(loaded, &sent, &mut report);
    report
}
