//! Rule (g): a message to a device is there before the event that was sent after it, and comes once.

use std::collections::{HashMap, HashSet};

use super::{
    line::Op,
    loaded::{Loaded, Name, Step},
    report::{Report, Rule, Scene},
    sends::Sent,
};

/// Checks what every reader was told.
pub(super) fn check(loaded: &Loaded, sent: &HashMap<Name, Sent>, report: &mut Report) {
    let leads = leads(loaded, sent);
    for (client, steps) in loaded.syncs() {
        let scene = Scene {
            loaded,
            client: Some(client),
            room: None,
        };
        check_reader(scene, &steps, &leads, report);
    }
}

/// A message to devices that was acknowledged before an event was asked for.
struct Lead<'a> {
    message: Name,
    to: &'a [Name],
}

/// By the transaction of the event.
fn leads<'a>(loaded: &'a Loaded, sent: &HashMap<Name, Sent>) -> HashMap<Name, Lead<'a>> {
    let mut messages: HashMap<Name, (u64, &[Name])> = HashMap::new();
    let steps = loaded.steps.iter();
    for step in steps.filter(|step| step.op == Op::ToDevice && step.is_done()) {
        let Some(txn) = step.txn else { continue };
        let (end_ns, _) = messages.entry(txn).or_insert((step.end_ns, &step.to[..]));
        *end_ns = step.end_ns.min(*end_ns);
    }
    let lead = |(txn, sent): (&Name, &Sent)| {
        let message = sent.follows?;
        let (end_ns, to) = *messages.get(&message)?;
        (end_ns <= sent.start_ns).then_some((*txn, Lead { message, to }))
    };
    sent.iter().filter_map(lead).collect()
}

fn check_reader(
    scene: Scene<'_>,
    steps: &[&Step],
    leads: &HashMap<Name, Lead<'_>>,
    report: &mut Report,
) {
    let client = scene.client;
    // The numbers of the requests that were answered with these tokens, and with these messages for the last time.
    let mut tokens: HashMap<Name, usize> = HashMap::new();
    let mut came: HashMap<Name, usize> = HashMap::new();
    let mut late: HashSet<Name> = HashSet::new();
    let done = steps.iter().enumerate().filter(|(_, step)| step.is_done());
    for (number, step) in done {
        let since = step.since.and_then(|since| tokens.get(&since));
        for message in &step.to_device {
            let before = came.insert(*message, number);
            // Until a reader has come back with the token, the server cannot know that the answer arrived.
            if before.is_some_and(|before| since.is_some_and(|since| *since >= before)) {
                let text = "a message to a device came again after the token that acknowledged it";
                report.add(scene, Rule::ToDevice, text, [*message]);
            }
        }
        for told in &step.events {
            let lead = told.txn.and_then(|txn| leads.get(&txn));
            let lead = lead.filter(|lead| client.is_some_and(|client| lead.to.contains(&client)));
            let Some(lead) = lead.filter(|lead| !came.contains_key(&lead.message)) else {
                continue;
            };
            if late.insert(lead.message) {
                let text = "an event came before the message to the device that was sent first";
                let scene = Scene {
                    room: Some(told.room),
                    ..scene
                };
                report.add(scene, Rule::ToDevice, text, [told.event, lead.message]);
            }
        }
        if let Some(next) = step.next {
            tokens.insert(next, number);
        }
    }
}
