//! What a schedule makes of a command.

use std::sync::Arc;

use bytes::Bytes;
use playhouse_schema::{
    address::Sequence,
    record::{
        codec::Record as _,
        delay::{DelayRecord, Finished, Outcome, Scheduled},
    },
};

use super::{
    DelayContext,
    message::{DelayCommand, DelayError, DelayReply, NewDelay},
    state::{Delayed, Delays, Stage},
};
use crate::{env::JsonObject, kernel::Decision};

/// So many are on their way at once; what is due beyond it waits a little longer.
pub(super) const DEPARTED_MAX: usize = 256;

/// What ended is told for so long.
pub(super) const FINISHED_KEPT_MS: u64 = 7 * 24 * 60 * 60 * 1_000;

/// Of each user so many that ended are told.
const FINISHED_PER_USER_MAX: usize = 100;

/// So many are forgotten at once: each costs a note in the same transaction.
const FORGOTTEN_AT_ONCE: usize = 100;

/// A schedule may weigh so much, contents included.
const WEIGHT_BYTES_MAX: usize = 64 << 20;

/// The content of an event cannot be larger than an event.
const CONTENT_BYTES_MAX: usize = 65_536;

pub(super) fn decide(
    delays: &Delays,
    command: DelayCommand,
    context: &DelayContext,
) -> Result<Decision<Delays>, DelayError> {
    let now_ms = context.env.now_ms();
    match command {
        DelayCommand::Schedule(new) => schedule(delays, *new, context),
        DelayCommand::Restart(delay_id) => {
            let waits = is_waiting(delays, &delay_id)?;
            let at_ms = now_ms;
            waits
                .then(|| done(vec![DelayRecord::Restarted { delay_id, at_ms }]))
                .ok_or(DelayError::Ended)
        }
        DelayCommand::Cancel(delay_id) => cancel(delays, delay_id, now_ms),
        DelayCommand::Depart(delay_id) => depart(delays, delay_id),
        DelayCommand::DepartDue => Ok(depart_due(delays, now_ms)),
        DelayCommand::Overtake {
            delay_ids,
            sender,
            at_ms,
        } => {
            let overtaken = delay_ids.into_iter().filter(|delay_id| {
                delays.items.get(delay_id).is_some_and(|delayed| {
                    delayed.stage == Stage::Waiting
                        && delayed.scheduled.user_id != sender
                        && delayed.scheduled.at_ms <= at_ms
                })
            });
            let ends = overtaken.map(|delay_id| finished(delay_id, now_ms, Outcome::Overtaken));
            Ok(done(ends.collect()))
        }
        DelayCommand::Finish { delay_id, outcome } => {
            let is_pending = |delayed: &Arc<Delayed>| delayed.is_pending();
            if !delays.items.get(&delay_id).is_some_and(is_pending) {
                return Ok(done(Vec::new()));
            }
            Ok(finish(delays, delay_id, (now_ms, outcome)))
        }
        DelayCommand::Clear(user_id) => Ok(clear(delays, &user_id)),
    }
}

fn done(records: Vec<DelayRecord>) -> Decision<Delays> {
    Decision::new(records, DelayReply::Done)
}

fn finished(delay_id: String, at_ms: u64, outcome: Outcome) -> DelayRecord {
    DelayRecord::Finished(Finished {
        delay_id,
        at_ms,
        outcome,
    })
}

/// Whether it waits; `Unknown` when there is none.
fn is_waiting(delays: &Delays, delay_id: &str) -> Result<bool, DelayError> {
    let delayed = delays.items.get(delay_id).ok_or(DelayError::Unknown)?;
    Ok(delayed.stage == Stage::Waiting)
}

fn schedule(
    delays: &Delays,
    new: NewDelay,
    context: &DelayContext,
) -> Result<Decision<Delays>, DelayError> {
    if let Some(transaction_id) = &new.transaction_id {
        let key = (
            new.user_id.clone(),
            new.device_id.clone(),
            transaction_id.clone(),
        );
        if let Some(delay_id) = delays.transactions.get(&key) {
            return Ok(Decision::unchanged(DelayReply::Scheduled(delay_id.clone())));
        }
    }
    let settings = &context.settings;
    if new.delay_ms > settings.delay_max_ms {
        return Err(DelayError::TooLong {
            max_ms: settings.delay_max_ms,
        });
    }
    check_content(&new.content)?;
    let pending = delays
        .of_user(&new.user_id)
        .filter(|delayed| delayed.is_pending());
    if pending.count() >= settings.per_user_max {
        return Err(DelayError::TooMany);
    }
    if delays.weight_bytes + new.content.len() > WEIGHT_BYTES_MAX {
        return Err(DelayError::Full);
    }
    let delay_id = format!("{:02x}{}", delays.number, context.env.random_string(32));
    let record = DelayRecord::Scheduled(Scheduled {
        delay_id: delay_id.clone(),
        user_id: new.user_id,
        device_id: new.device_id,
        transaction_id: new.transaction_id,
        room_id: new.room_id,
        event_type: new.event_type,
        state_key: new.state_key,
        content: new.content,
        delay_ms: new.delay_ms,
        at_ms: context.env.now_ms(),
        guest: new.guest,
        sticky_ms: new.sticky_ms,
    });
    Ok(Decision::new(vec![record], DelayReply::Scheduled(delay_id)))
}

fn check_content(content: &str) -> Result<(), DelayError> {
    if content.len() > CONTENT_BYTES_MAX {
        return Err(DelayError::TooLarge);
    }
    match serde_json::from_str::<JsonObject>(content) {
        Ok(_) => Ok(()),
        Err(error) if error.is_data() => Err(DelayError::BadJson(error.to_string())),
        Err(error) => Err(DelayError::NotJson(error.to_string())),
    }
}

fn cancel(delays: &Delays, delay_id: String, now_ms: u64) -> Result<Decision<Delays>, DelayError> {
    let delayed = delays.items.get(&delay_id).ok_or(DelayError::Unknown)?;
    match &delayed.stage {
        Stage::Waiting => Ok(finish(delays, delay_id, (now_ms, Outcome::Cancelled))),
        Stage::Finished(finished) if !matches!(finished.outcome, Outcome::Sent(_)) => {
            Ok(Decision::unchanged(DelayReply::Done))
        }
        Stage::Finished(_) | Stage::Departed => Err(DelayError::Ended),
    }
}

fn depart(delays: &Delays, delay_id: String) -> Result<Decision<Delays>, DelayError> {
    let delayed = delays.items.get(&delay_id).ok_or(DelayError::Unknown)?;
    match &delayed.stage {
        Stage::Waiting => Ok(done(vec![DelayRecord::Departed(vec![delay_id])])),
        Stage::Departed => Ok(Decision::unchanged(DelayReply::Done)),
        Stage::Finished(finished) => match finished.outcome {
            Outcome::Sent(_) | Outcome::Refused { .. } => Ok(Decision::unchanged(DelayReply::Done)),
            Outcome::Cancelled | Outcome::Overtaken => Err(DelayError::Ended),
        },
    }
}

fn depart_due(delays: &Delays, now_ms: u64) -> Decision<Delays> {
    let free = DEPARTED_MAX.saturating_sub(delays.departed.len());
    let due = delays.due.iter().take_while(|(at_ms, _)| *at_ms <= now_ms);
    let due: Vec<String> = due.take(free).map(|(_, name)| name.clone()).collect();
    let old = delays
        .finished
        .iter()
        .take_while(|(at_ms, _)| at_ms.saturating_add(FINISHED_KEPT_MS) <= now_ms);
    let old = old.take(FORGOTTEN_AT_ONCE).map(|(_, name)| name.clone());
    let (mut records, erasures) = forget(delays, old.collect());
    if !due.is_empty() {
        records.push(DelayRecord::Departed(due));
    }
    Decision {
        erasures,
        ..done(records)
    }
}

/// Ends one, and forgets what is more than the user may keep.
fn finish(delays: &Delays, delay_id: String, (at_ms, outcome): (u64, Outcome)) -> Decision<Delays> {
    let user_id = delays.items.get(&delay_id);
    let user_id = user_id.map_or("", |delayed| &delayed.scheduled.user_id);
    let mut ended: Vec<(u64, &String)> = delays
        .of_user(user_id)
        .filter_map(|delayed| match &delayed.stage {
            Stage::Finished(finished) => Some((finished.at_ms, &finished.delay_id)),
            _ => None,
        })
        .collect();
    ended.sort_unstable();
    let beyond = (ended.len() + 1).saturating_sub(FINISHED_PER_USER_MAX);
    let old = ended.into_iter().take(beyond.min(FORGOTTEN_AT_ONCE));
    let (mut records, erasures) = forget(delays, old.map(|(_, name)| name.clone()).collect());
    records.push(finished(delay_id, at_ms, outcome));
    Decision {
        erasures,
        ..done(records)
    }
}

fn clear(delays: &Delays, user_id: &str) -> Decision<Delays> {
    // What is on its way has been decided already; it is refused by a room that its sender has left.
    let all = delays
        .of_user(user_id)
        .filter(|delayed| delayed.stage != Stage::Departed);
    let names = all
        .take(FORGOTTEN_AT_ONCE)
        .map(|delayed| delayed.scheduled.delay_id.clone());
    let (records, erasures) = forget(delays, names.collect());
    let reply = if records.is_empty() {
        DelayReply::Done
    } else {
        DelayReply::More
    };
    Decision {
        erasures,
        ..Decision::new(records, reply)
    }
}

type Forgetting = (Vec<DelayRecord>, Vec<(Sequence, Bytes)>);

/// The record that forgets them, and what takes the place of their contents.
fn forget(delays: &Delays, names: Vec<String>) -> Forgetting {
    let erasures = names.iter().filter_map(|name| {
        let delayed = delays.items.get(name)?;
        let emptied = DelayRecord::Scheduled(Scheduled {
            content: String::new(),
            ..delayed.scheduled.clone()
        });
        Some((delayed.sequence, emptied.encode()))
    });
    let erasures = erasures.collect();
    let records = if names.is_empty() {
        Vec::new()
    } else {
        vec![DelayRecord::Forgotten(names)]
    };
    (records, erasures)
}
