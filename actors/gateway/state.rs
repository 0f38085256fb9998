//! Which notifications wait, what became of the last ones, and which pushkeys are dead.

use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use playhouse_schema::{
    address::Sequence,
    record::gateway::{AcceptedPush, EndedPush, GatewayRecord, PostponedPush, PushOutcome},
};
use serde::{Deserialize, Serialize};

/// What ended is known for so long: a homeserver that was not answered repeats itself within this time.
const FINISHED_KEPT_MS: u64 = 60 * 60 * 1_000;

/// So many of them are known.
const FINISHED_MAX: usize = 4_096;

/// A dead pushkey of which nobody asks is remembered for so long.
const REJECTED_KEPT_MS: u64 = 30 * 24 * 60 * 60 * 1_000;

/// So many of them are remembered.
const REJECTED_MAX: usize = 8_192;

/// A notification that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Push {
    /// The record that accepted it.
    pub sequence: Sequence,
    /// What was accepted.
    pub accepted: AcceptedPush,
    /// So often it was tried.
    pub attempts: u32,
    /// Not to be tried before this time.
    pub not_before_ms: u64,
}

impl Push {
    fn emptied(&self) -> Self {
        Self {
            accepted: self.accepted.emptied(),
            ..*self
        }
    }

    /// Roughly the memory it takes.
    pub(super) fn weight_bytes(&self) -> usize {
        let accepted = &self.accepted;
        832 + accepted.notification.len() + accepted.data.len() + accepted.pushkey.len()
    }
}

/// What is known of a notification that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Finished {
    at_ms: u64,
    digest: Option<String>,
    device: String,
    /// The pushkey is dead.
    pub(super) rejected: bool,
}

/// Contents that are still in the log though nobody needs them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spent {
    pub(super) since_ms: u64,
    pub(super) emptied: AcceptedPush,
}

/// An outbox: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outbox {
    /// Which of them this is.
    pub(super) number: u8,
    /// Those that wait, in the order in which they came.
    pub(super) pushes: OrdMap<Sequence, Arc<Push>>,
    /// The same by name.
    pub(super) names: OrdMap<String, Sequence>,
    /// The same by device.
    pub(super) devices: OrdMap<String, OrdSet<Sequence>>,
    /// The first of each device, by app ID and then by the time it may be tried.
    pub(super) due: OrdMap<String, OrdSet<(u64, Sequence)>>,
    /// Names by digest, of those that wait and those that ended lately.
    pub(super) known: OrdMap<String, String>,
    /// Those that ended lately, by name.
    pub(super) finished: OrdMap<String, Finished>,
    finished_by_age: OrdSet<(u64, String)>,
    /// When a device's pushkey was found to be dead.
    pub(super) rejected: OrdMap<String, u64>,
    rejected_by_age: OrdSet<(u64, String)>,
    /// The counts that each device is told last, and when they were accepted.
    pub(super) counted: OrdMap<String, (u64, String)>,
    counted_by_age: OrdSet<(u64, String)>,
    /// By the record that accepted them.
    pub(super) spent: OrdMap<Sequence, Arc<Spent>>,
    /// What all of it weighs.
    pub(super) weight_bytes: usize,
}

/// The form of a snapshot.
#[derive(Serialize, Deserialize)]
struct Written {
    pushes: Vec<Push>,
    finished: Vec<(String, Finished)>,
    rejected: Vec<(String, u64)>,
    spent: Vec<(Sequence, Arc<Spent>)>,
    counted: Vec<(String, (u64, String))>,
}

impl Outbox {
    /// The outbox of this number, before the first record.
    pub(super) fn numbered(number: u8) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// One that waits.
    pub(super) fn named(&self, push_id: &str) -> Option<&Arc<Push>> {
        self.pushes.get(self.names.get(push_id)?)
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, sequence: Sequence, record: &GatewayRecord) {
        match record {
            GatewayRecord::Accepted(accepted) => {
                if let Some(counts) = &accepted.counts {
                    let counts = (accepted.at_ms, counts.clone());
                    self.remember_counts(accepted.device.clone(), counts);
                }
                self.insert(Arc::new(Push {
                    sequence,
                    attempts: 0,
                    not_before_ms: accepted.at_ms,
                    accepted: accepted.clone(),
                }));
            }
            GatewayRecord::Postponed(postponed) => self.postpone(postponed),
            GatewayRecord::Ended(ended) => self.end(ended),
            GatewayRecord::Told { device } => self.forget_rejected(device),
        }
    }

    fn insert(&mut self, push: Arc<Push>) {
        let accepted = &push.accepted;
        let push_id = accepted.push_id.clone();
        if let Some(digest) = &accepted.digest {
            self.known.insert(digest.clone(), push_id.clone());
        }
        self.names.insert(push_id, push.sequence);
        self.weight_bytes += push.weight_bytes();
        let queue = self.devices.entry(accepted.device.clone()).or_default();
        let was_empty = queue.is_empty();
        queue.insert(push.sequence);
        if was_empty {
            self.make_due(&push);
        }
        self.pushes.insert(push.sequence, push);
    }

    fn postpone(&mut self, postponed: &PostponedPush) {
        let Some(before) = self.named(&postponed.push_id).cloned() else {
            return;
        };
        let was_due = self.unmake_due(&before);
        let mut push = Arc::unwrap_or_clone(before);
        push.attempts = postponed.attempts;
        push.not_before_ms = postponed.not_before_ms;
        if was_due {
            self.make_due(&push);
        }
        self.pushes.insert(push.sequence, Arc::new(push));
    }

    pub(super) fn make_due(&mut self, push: &Push) {
        let due = self.due.entry(push.accepted.app_id.clone()).or_default();
        due.insert((push.not_before_ms, push.sequence));
    }

    /// Whether it was the first of its device.
    pub(super) fn unmake_due(&mut self, push: &Push) -> bool {
        let app_id = &push.accepted.app_id;
        let Some(due) = self.due.get_mut(app_id) else {
            return false;
        };
        let was_due = due.remove(&(push.not_before_ms, push.sequence)).is_some();
        if due.is_empty() {
            self.due.remove(app_id);
        }
        was_due
    }

    fn end(&mut self, ended: &EndedPush) {
        let Some(push) = self.remove(&ended.push_id) else {
            return;
        };
        let accepted = &push.accepted;
        let told = match &ended.outcome {
            PushOutcome::Rejected { told, .. } => Some(*told),
            _ => None,
        };
        if told == Some(false) {
            self.forget_rejected(&accepted.device);
            self.remember_rejected(accepted.device.clone(), ended.at_ms);
        }
        let is_taken = matches!(
            ended.outcome,
            PushOutcome::Delivered | PushOutcome::Needless
        );
        let told_last = self.counted.get(&accepted.device);
        let is_last = told_last.map(|(_, counts)| counts) == accepted.counts.as_ref();
        // The device shows others still.
        if !is_taken && is_last {
            self.forget_counts(&accepted.device);
        }
        self.finish(
            ended.push_id.clone(),
            Finished {
                at_ms: ended.at_ms,
                digest: accepted.digest.clone(),
                device: accepted.device.clone(),
                rejected: told.is_some(),
            },
        );
        // While the log is folded, what was taken out of it is read without.
        if !accepted.app_id.is_empty() {
            let spent = Spent {
                since_ms: ended.at_ms,
                emptied: accepted.emptied(),
            };
            self.spent.insert(push.sequence, Arc::new(spent));
        }
        self.forget_old(ended.at_ms);
    }

    fn remove(&mut self, push_id: &str) -> Option<Arc<Push>> {
        let sequence = self.names.remove(push_id)?;
        let push = self.pushes.remove(&sequence)?;
        self.weight_bytes = self.weight_bytes.saturating_sub(push.weight_bytes());
        self.unmake_due(&push);
        let device = &push.accepted.device;
        let mut next = None;
        if let Some(queue) = self.devices.get_mut(device) {
            queue.remove(&sequence);
            next = queue.get_min().copied();
        }
        match next {
            None => drop(self.devices.remove(device)),
            Some(next) => {
                // It may stand there already, when it was not the first that has ended.
                if let Some(following) = self.pushes.get(&next).cloned() {
                    self.make_due(&following);
                }
            }
        }
        Some(push)
    }

    fn finish(&mut self, push_id: String, finished: Finished) {
        self.finished_by_age
            .insert((finished.at_ms, push_id.clone()));
        self.finished.insert(push_id, finished);
    }

    fn remember_rejected(&mut self, device: String, at_ms: u64) {
        self.rejected_by_age.insert((at_ms, device.clone()));
        self.rejected.insert(device, at_ms);
    }

    fn forget_rejected(&mut self, device: &str) {
        if let Some(at_ms) = self.rejected.remove(device) {
            self.rejected_by_age.remove(&(at_ms, device.to_owned()));
        }
    }

    fn remember_counts(&mut self, device: String, counts: (u64, String)) {
        self.forget_counts(&device);
        self.counted_by_age.insert((counts.0, device.clone()));
        self.counted.insert(device, counts);
    }

    fn forget_counts(&mut self, device: &str) {
        if let Some((at_ms, _)) = self.counted.remove(device) {
            self.counted_by_age.remove(&(at_ms, device.to_owned()));
        }
    }

    fn forget_old(&mut self, now_ms: u64) {
        while let Some((at_ms, push_id)) = self.finished_by_age.get_min().cloned() {
            let is_old = at_ms.saturating_add(FINISHED_KEPT_MS) <= now_ms;
            if !is_old && self.finished.len() <= FINISHED_MAX {
                break;
            }
            self.finished_by_age.remove(&(at_ms, push_id.clone()));
            let finished = self.finished.remove(&push_id);
            if let Some(digest) = finished.and_then(|finished| finished.digest)
                && self.known.get(&digest) == Some(&push_id)
            {
                self.known.remove(&digest);
            }
        }
        while let Some((at_ms, device)) = self.counted_by_age.get_min().cloned() {
            let is_old = at_ms.saturating_add(FINISHED_KEPT_MS) <= now_ms;
            if !is_old && self.counted.len() <= FINISHED_MAX {
                break;
            }
            self.forget_counts(&device);
        }
        while let Some((at_ms, device)) = self.rejected_by_age.get_min().cloned() {
            let is_old = at_ms.saturating_add(REJECTED_KEPT_MS) <= now_ms;
            if !is_old && self.rejected.len() <= REJECTED_MAX {
                break;
            }
            self.forget_rejected(&device);
        }
    }

    /// Whether a rejection of this one is kept for the homeserver's next request.
    pub(super) fn is_kept(&self, finished: &Finished) -> bool {
        finished.rejected && self.rejected.contains_key(&finished.device)
    }

    /// The snapshot: all but the contents of what waits, which [`super::contents`] reads in the log.
    pub(super) fn encode(&self) -> Bytes {
        let rejected = self.rejected.iter();
        let finished = self.finished.iter();
        let spent = self.spent.iter();
        let counted = self.counted.iter();
        let written = Written {
            pushes: self.pushes.values().map(|push| push.emptied()).collect(),
            finished: finished
                .map(|(name, finished)| (name.clone(), finished.clone()))
                .collect(),
            rejected: rejected
                .map(|(device, at_ms)| (device.clone(), *at_ms))
                .collect(),
            spent: spent
                .map(|(sequence, spent)| (*sequence, spent.clone()))
                .collect(),
            counted: counted
                .map(|(device, counts)| (device.clone(), counts.clone()))
                .collect(),
        };
        rmp_serde::to_vec(&written)
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    pub(super) fn decode(number: u8, bytes: &[u8]) -> Option<Self> {
        let written: Written = rmp_serde::from_slice(bytes).ok()?;
        let mut outbox = Self::numbered(number);
        for (push_id, finished) in written.finished {
            if let Some(digest) = &finished.digest {
                outbox.known.insert(digest.clone(), push_id.clone());
            }
            outbox.finish(push_id, finished);
        }
        // Those that wait go before what ended under the same digest.
        for push in written.pushes {
            outbox.insert(Arc::new(push));
        }
        for (device, at_ms) in written.rejected {
            outbox.remember_rejected(device, at_ms);
        }
        for (device, counts) in written.counted {
            outbox.remember_counts(device, counts);
        }
        outbox.spent = written.spent.into_iter().collect();
        Some(outbox)
    }
}
