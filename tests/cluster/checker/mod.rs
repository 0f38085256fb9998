//! The checker: reads what all clients were told, request by request, and what the rooms hold at the end, and finds what cannot be.
//!
//! It knows no server and no network: a history is a file. Everything is gone through once, so that a million lines take seconds.

mod figures;
pub(crate) mod line;
mod loaded;
mod reading;
mod report;
mod sends;
#[cfg(test)]
mod tests;
mod to_device;

pub(crate) use self::{
    figures::{Figures, Stalls},
    line::{History, Line, Op, Rooms, Seen, write_rooms},
    loaded::Loaded,
    report::{Report, Rule},
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
