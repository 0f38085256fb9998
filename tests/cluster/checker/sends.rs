//! Rules (a), (b), (e) and (f): what writers were told against what the rooms hold at the end.

use std::collections::HashMap;

use super::{
    loaded::{Loaded, Name, Told},
    report::{Report, Rule, Scene},
};

/// All attempts of one transaction.
pub(super) struct Sent {
    /// Whose.
    pub(super) client: Name,
    /// In which room.
    pub(super) room: Name,
    /// When it was asked for first.
    pub(super) start_ns: u64,
    /// The event that was acknowledged, and when for the first time.
    pub(super) acked: Option<(Name, u64)>,
    /// The message to devices that was acknowledged before.
    pub(super) follows: Option<Name>,
    /// Another event that a repeat was answered with.
    other: Option<Name>,
}

/// The transactions of all writers.
pub(super) fn gather(loaded: &Loaded) -> HashMap<Name, Sent> {
    let mut all: HashMap<Name, Sent> = HashMap::new();
    for step in loaded.steps.iter().filter(|step| step.op.writes()) {
        let (Some(room), Some(txn)) = (step.room, step.txn.or(step.event)) else {
            continue;
        };
        let sent = all.entry(txn).or_insert(Sent {
            client: step.client,
            room,
            start_ns: step.start_ns,
            acked: None,
            follows: step.follows,
            other: None,
        });
        sent.start_ns = sent.start_ns.min(step.start_ns);
        let Some(event) = step.event.filter(|_| step.is_done()) else {
            continue;
        };
        match &mut sent.acked {
            Some((acked, _)) if *acked != event => sent.other = Some(event),
            Some((_, end_ns)) => *end_ns = step.end_ns.min(*end_ns),
            none => *none = Some((event, step.end_ns)),
        }
    }
    all
}

/// Checks all four rules.
pub(super) fn check(loaded: &Loaded, sent: &HashMap<Name, Sent>, report: &mut Report) {
    for step in &loaded.steps {
        if step.op.writes() && step.is_done() && step.event.is_none() {
            let scene = Scene {
                loaded,
                client: Some(step.client),
                room: step.room,
            };
            let text = "acknowledged without an event ID";
            report.add(scene, Rule::Acknowledged, text, step.txn);
        }
    }
    for told in &loaded.doubled {
        let scene = Scene {
            loaded,
            client: None,
            room: Some(told.room),
        };
        let text = "told twice by /messages";
        report.add(scene, Rule::Acknowledged, text, [told.event]);
    }
    let landed = landed(loaded);
    for (txn, sent) in in_order(sent) {
        let events = landed.get(&txn).map_or(&[][..], Vec::as_slice);
        check_transaction(loaded, sent, events, report);
    }
    check_ack_order(loaded, sent, report);
}

/// Reports come in the order in which things were asked for.
fn in_order(sent: &HashMap<Name, Sent>) -> Vec<(Name, &Sent)> {
    let mut all: Vec<_> = sent.iter().map(|(txn, sent)| (*txn, sent)).collect();
    all.sort_by_key(|(txn, sent)| (sent.start_ns, *txn));
    all
}

/// The different events of each transaction that stand in rooms at the end.
fn landed(loaded: &Loaded) -> HashMap<Name, Vec<Name>> {
    let mut landed: HashMap<Name, Vec<Name>> = HashMap::new();
    for told in loaded.rooms.values().flatten() {
        let Some(txn) = told.txn else { continue };
        let events = landed.entry(txn).or_default();
        if !events.contains(&told.event) {
            events.push(told.event);
        }
    }
    landed
}

fn check_transaction(loaded: &Loaded, sent: &Sent, landed: &[Name], report: &mut Report) {
    let scene = Scene {
        loaded,
        client: Some(sent.client),
        room: Some(sent.room),
    };
    let Some((event, _)) = sent.acked else {
        if landed.len() > 1 {
            let text = "never acknowledged and there more than once";
            report.add(scene, Rule::AtMostOnce, text, landed.iter().copied());
        }
        return;
    };
    if let Some(other) = sent.other {
        let text = "one transaction was answered with two events";
        report.add(scene, Rule::OneEvent, text, [event, other]);
    }
    match loaded.place(event) {
        None => {
            let text = "acknowledged and not there at the end";
            report.add(scene, Rule::Acknowledged, text, [event]);
        }
        Some(place) if place.room != sent.room => {
            let text = "acknowledged in one room and there in another";
            report.add(scene, Rule::Acknowledged, text, [event, place.room]);
        }
        Some(_) => {}
    }
    if landed.iter().any(|other| *other != event) {
        let text = "one transaction made another event than the one acknowledged";
        let others = landed.iter().copied().filter(|other| *other != event);
        report.add(
            scene,
            Rule::OneEvent,
            text,
            [event].into_iter().chain(others),
        );
    }
}

/// From the end of each room: nothing may stand before something whose acknowledgement it had to wait for.
fn check_ack_order(loaded: &Loaded, sent: &HashMap<Name, Sent>, report: &mut Report) {
    let by_event: HashMap<Name, &Sent> = sent
        .values()
        .filter_map(|sent| Some((sent.acked?.0, sent)))
        .collect();
    let find = |told: &Told| {
        let by_txn = || sent.get(&told.txn?);
        by_event.get(&told.event).copied().or_else(by_txn)
    };
    let mut rooms: Vec<_> = loaded.rooms.iter().collect();
    rooms.sort_by_key(|(room, _)| **room);
    for (room, order) in rooms {
        // The earliest acknowledgement of all that stands behind.
        let mut earliest: Option<(u64, Name)> = None;
        for (index, told) in order.iter().enumerate().rev() {
            let place = loaded.place(told.event);
            let is_double = place.is_none_or(|place| place.index as usize != index);
            let Some(sent) = find(told).filter(|_| !is_double) else {
                continue;
            };
            if let Some((_, behind)) = earliest.filter(|(end_ns, _)| *end_ns < sent.start_ns) {
                let scene = Scene {
                    loaded,
                    client: Some(sent.client),
                    room: Some(*room),
                };
                let text = "the first stands before the second, which was acknowledged before it was asked for";
                report.add(scene, Rule::AckOrder, text, [told.event, behind]);
            }
            let acked = sent.acked.filter(|(event, _)| *event == told.event);
            if let Some((event, end_ns)) = acked
                && earliest.is_none_or(|(earliest, _)| end_ns < earliest)
            {
                earliest = Some((end_ns, event));
            }
        }
    }
}
