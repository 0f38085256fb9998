//! What an outbox makes of a command.

use playhouse_schema::record::{
    codec::Record as _,
    gateway::{AcceptedPush, EndedPush, GatewayRecord, PostponedPush},
};

use super::{
    GatewayContext, OUTBOXES,
    message::{GatewayCommand, GatewayError, GatewayReply, NewPush, PushOutcome, Verdict},
    state::{Outbox, Push},
};
use crate::kernel::Decision;

/// So many may wait for one device.
const PER_DEVICE_MAX: usize = 100;

/// All that waits in an outbox may weigh so much.
const WEIGHT_BYTES_MAX: usize = 16 << 20;

/// So many contents are taken out of the log at once: each costs a note in the same transaction.
pub(super) const ERASED_AT_ONCE: usize = 128;

/// Waits before a notification is tried again: the first and the longest.
const RETRY_WAIT_MS: (u64, u64) = (2_000, 300_000);

pub(super) fn decide(
    outbox: &Outbox,
    command: GatewayCommand,
    context: &GatewayContext,
) -> Result<Decision<Outbox>, GatewayError> {
    match command {
        GatewayCommand::Accept(new) => accept(outbox, *new, context),
        GatewayCommand::Settle {
            push_id,
            attempts,
            verdict,
            told,
        } => {
            let push = outbox.named(&push_id);
            // What another attempt has settled is settled.
            let Some(push) = push.filter(|push| push.attempts == attempts) else {
                return Ok(done(Vec::new()));
            };
            let record = settle(push, (verdict, told), context);
            Ok(done(vec![record]))
        }
        GatewayCommand::Expire { push_ids, now_ms } => {
            let over = push_ids.into_iter().filter(|push_id| {
                let push = outbox.named(push_id);
                push.is_some_and(|push| push.accepted.expires_ms <= now_ms)
            });
            let ends = over.map(|push_id| ended(push_id, now_ms, PushOutcome::Expired));
            Ok(done(ends.collect()))
        }
        GatewayCommand::Erase => {
            let spent = outbox.spent.iter().take(ERASED_AT_ONCE);
            let erasures = spent.map(|(sequence, spent)| {
                let emptied = GatewayRecord::Accepted(spent.emptied.clone());
                (*sequence, emptied.encode())
            });
            Ok(Decision {
                erasures: erasures.collect(),
                ..done(Vec::new())
            })
        }
        GatewayCommand::Told(device) => {
            let is_kept = outbox.rejected.contains_key(&device);
            let record = is_kept.then_some(GatewayRecord::Told { device });
            Ok(done(record.into_iter().collect()))
        }
    }
}

fn done(records: Vec<GatewayRecord>) -> Decision<Outbox> {
    Decision::new(records, GatewayReply::Done)
}

fn ended(push_id: String, at_ms: u64, outcome: PushOutcome) -> GatewayRecord {
    GatewayRecord::Ended(EndedPush {
        push_id,
        at_ms,
        outcome,
    })
}

fn accept(
    outbox: &Outbox,
    new: NewPush,
    context: &GatewayContext,
) -> Result<Decision<Outbox>, GatewayError> {
    let mut records = Vec::new();
    if let Some(dead_since_ms) = outbox.rejected.get(&new.device) {
        let device = new.device.clone();
        records.push(GatewayRecord::Told { device });
        // Set anew since, it is another pushkey.
        if new.pushkey_ts_ms <= *dead_since_ms {
            return Ok(Decision::new(records, GatewayReply::Rejected));
        }
    }
    let known = new.digest.as_ref().and_then(|digest| {
        let push_id = outbox.known.get(digest)?;
        let finished = outbox.finished.get(push_id);
        // A dead pushkey that was set anew since gets what the dead one did not.
        let is_over = finished.is_some_and(|finished| finished.rejected) && !records.is_empty();
        (!is_over).then(|| push_id.clone())
    });
    let Some(push_id) = known else {
        let push_id = insert(outbox, new, context, &mut records)?;
        return Ok(Decision::new(records, GatewayReply::Accepted(push_id)));
    };
    if let Some(counts) = changed_counts(outbox, &push_id, &new) {
        insert(outbox, counts, context, &mut records)?;
    }
    Ok(Decision::new(records, GatewayReply::Accepted(push_id)))
}

/// The counts of a repetition, when they are others than those that the device is told last: the event is passed on once, but the device must not go on showing
/// what was true when it was sent for the first time.
fn changed_counts(outbox: &Outbox, push_id: &str, repeated: &NewPush) -> Option<NewPush> {
    let counts = repeated.counts.clone()?;
    let finished = outbox.finished.get(push_id);
    if finished.is_some_and(|finished| finished.rejected) {
        return None;
    }
    let told = outbox.counted.get(&repeated.device);
    let is_told = told.is_some_and(|(_, told)| *told == counts);
    (!is_told).then(|| NewPush {
        digest: None,
        notification: counts,
        ..repeated.clone()
    })
}

/// Lets one wait. Its name.
fn insert(
    outbox: &Outbox,
    new: NewPush,
    context: &GatewayContext,
    records: &mut Vec<GatewayRecord>,
) -> Result<String, GatewayError> {
    let now_ms = context.env.now_ms();
    let superseded = superseded_by(outbox, &new);
    let of_device = outbox.devices.get(&new.device);
    let of_device = of_device.map_or(0, |queue| queue.len()) - superseded.len();
    let waiting_max = (context.settings.waiting_max / usize::from(OUTBOXES)).max(1);
    let weight_bytes = outbox.weight_bytes + new.notification.len() + new.data.len();
    let is_full = outbox.pushes.len() - superseded.len() >= waiting_max
        || of_device >= PER_DEVICE_MAX
        || weight_bytes > WEIGHT_BYTES_MAX;
    if is_full {
        return Err(GatewayError::Full);
    }
    let ends = superseded.into_iter();
    records.extend(ends.map(|push_id| ended(push_id, now_ms, PushOutcome::Superseded)));
    let push_id = uuid::Builder::from_random_bytes(context.env.random_bytes())
        .into_uuid()
        .to_string();
    records.push(GatewayRecord::Accepted(AcceptedPush {
        push_id: push_id.clone(),
        device: new.device,
        digest: new.digest,
        app_id: new.app_id,
        pushkey: new.pushkey,
        data: new.data,
        notification: new.notification,
        at_ms: now_ms,
        expires_ms: now_ms.saturating_add(new.ttl_ms),
        counts: new.counts,
        trace: new.trace,
    }));
    Ok(push_id)
}

/// Counts that wait behind something else are void when newer ones come. The first of a device stays: it may be on its way.
fn superseded_by(outbox: &Outbox, new: &NewPush) -> Vec<String> {
    if new.digest.is_some() {
        return Vec::new();
    }
    let queue = outbox.devices.get(&new.device).into_iter().flatten();
    let behind = queue.skip(1).filter_map(|sequence| {
        let push = outbox.pushes.get(sequence)?;
        let accepted = &push.accepted;
        accepted.digest.is_none().then(|| accepted.push_id.clone())
    });
    behind.collect()
}

/// What came of an attempt, as a record.
fn settle(
    push: &Push,
    (verdict, told): (Verdict, bool),
    context: &GatewayContext,
) -> GatewayRecord {
    let now_ms = context.env.now_ms();
    let push_id = push.accepted.push_id.clone();
    let (after_ms, reason) = match verdict {
        Verdict::Delivered => return ended(push_id, now_ms, PushOutcome::Delivered),
        Verdict::Needless => return ended(push_id, now_ms, PushOutcome::Needless),
        Verdict::Rejected(reason) => {
            return ended(push_id, now_ms, PushOutcome::Rejected { reason, told });
        }
        Verdict::Unusable(reason) => {
            let told = true;
            return ended(push_id, now_ms, PushOutcome::Rejected { reason, told });
        }
        Verdict::Refused(reason) => {
            return ended(push_id, now_ms, PushOutcome::Refused { reason });
        }
        Verdict::Later { after_ms, reason } => (after_ms, reason),
    };
    let attempts = push.attempts.saturating_add(1);
    let wait_ms = wait_after(
        attempts,
        u64::from(u16::from_be_bytes(context.env.random_bytes())),
    );
    let wait_ms = wait_ms.max(after_ms.unwrap_or(0));
    let not_before_ms = now_ms.saturating_add(wait_ms);
    if not_before_ms >= push.accepted.expires_ms {
        return ended(push_id, now_ms, PushOutcome::Expired);
    }
    GatewayRecord::Postponed(PostponedPush {
        push_id,
        attempts,
        not_before_ms,
        reason,
    })
}

/// How long to wait after so many attempts; `chance` from 0 to 65535 makes it up to a quarter longer, so that not all come back at once.
pub(super) fn wait_after(attempts: u32, chance: u64) -> u64 {
    let (first, longest) = RETRY_WAIT_MS;
    let doubled = first.saturating_mul(1 << attempts.saturating_sub(1).min(16));
    let wait_ms = doubled.min(longest);
    wait_ms + wait_ms / 4 * chance / 65_536
}
