//! Which events are to be sent later, and how that changes.

use std::sync::Arc;

use bytes::Bytes;
use imbl::{OrdMap, OrdSet};
use playhouse_schema::{
    address::Sequence,
    record::delay::{DelayRecord, Finished, Scheduled},
};
use serde::{Deserialize, Serialize};

/// A piece of state that a delayed event is to set: room, event type, state key.
pub type Target = (String, String, String);

/// An event that is, or was, to be sent later.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delayed {
    /// The record that scheduled it.
    pub sequence: Sequence,
    /// What was asked for.
    pub scheduled: Scheduled,
    /// Since when it waits, milliseconds since the Unix epoch.
    pub running_since_ms: u64,
    /// How far it is.
    pub stage: Stage,
}

/// How far a delayed event is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stage {
    /// It waits.
    Waiting,
    /// It is on its way to the room.
    Departed,
    /// It has come to an end.
    Finished(Finished),
}

impl Delayed {
    /// When it is to be sent, milliseconds since the Unix epoch.
    pub fn due_ms(&self) -> u64 {
        self.running_since_ms
            .saturating_add(self.scheduled.delay_ms)
    }

    /// Whether it still waits, or is on its way.
    pub fn is_pending(&self) -> bool {
        !matches!(self.stage, Stage::Finished(_))
    }

    /// What it sets, when it is a state event.
    pub fn target(&self) -> Option<Target> {
        let scheduled = &self.scheduled;
        let state_key = scheduled.state_key.clone()?;
        Some((
            scheduled.room_id.clone(),
            scheduled.event_type.clone(),
            state_key,
        ))
    }

    /// Roughly the memory it takes.
    fn weight_bytes(&self) -> usize {
        512 + self.scheduled.content.len()
    }
}

/// A schedule of delayed events: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delays {
    /// Which of the schedules this is.
    pub(super) number: u8,
    /// By name.
    pub(super) items: OrdMap<String, Arc<Delayed>>,
    /// Names by user.
    pub(super) users: OrdMap<String, OrdSet<String>>,
    /// Names by user, device and transaction.
    pub(super) transactions: OrdMap<(String, String, String), String>,
    /// Those that wait, by the time they are due.
    pub(super) due: OrdSet<(u64, String)>,
    /// Those on their way.
    pub(super) departed: OrdSet<String>,
    /// Those that ended, by when.
    pub(super) finished: OrdSet<(u64, String)>,
    /// Those that wait, by what they set.
    pub(super) targets: OrdMap<Target, OrdSet<String>>,
    /// What all of it weighs.
    pub(super) weight_bytes: usize,
}

impl Delays {
    /// The schedule of this number, before the first record.
    pub(super) fn numbered(number: u8) -> Self {
        Self {
            number,
            ..Self::default()
        }
    }

    /// Takes in one record.
    pub(super) fn take_in(&mut self, sequence: Sequence, record: &DelayRecord) {
        match record {
            DelayRecord::Scheduled(scheduled) => self.insert(Arc::new(Delayed {
                sequence,
                running_since_ms: scheduled.at_ms,
                scheduled: scheduled.clone(),
                stage: Stage::Waiting,
            })),
            DelayRecord::Restarted { delay_id, at_ms } => {
                self.change(delay_id, |delayed| delayed.running_since_ms = *at_ms);
            }
            DelayRecord::Departed(delay_ids) => {
                for delay_id in delay_ids {
                    self.change(delay_id, |delayed| delayed.stage = Stage::Departed);
                }
            }
            DelayRecord::Finished(finished) => {
                let stage = Stage::Finished(finished.clone());
                self.change(&finished.delay_id, |delayed| delayed.stage = stage);
            }
            DelayRecord::Forgotten(delay_ids) => {
                for delay_id in delay_ids {
                    self.remove(delay_id);
                }
            }
        }
    }

    fn change(&mut self, delay_id: &str, change: impl FnOnce(&mut Delayed)) {
        if let Some(before) = self.remove(delay_id) {
            let mut delayed = Arc::unwrap_or_clone(before);
            change(&mut delayed);
            self.insert(Arc::new(delayed));
        }
    }

    fn insert(&mut self, delayed: Arc<Delayed>) {
        let delay_id = delayed.scheduled.delay_id.clone();
        let user_id = delayed.scheduled.user_id.clone();
        self.users
            .entry(user_id)
            .or_default()
            .insert(delay_id.clone());
        if let Some(transaction) = transaction_of(&delayed.scheduled) {
            self.transactions.insert(transaction, delay_id.clone());
        }
        match &delayed.stage {
            Stage::Waiting => {
                self.due.insert((delayed.due_ms(), delay_id.clone()));
                if let Some(target) = delayed.target() {
                    let named = self.targets.entry(target).or_default();
                    named.insert(delay_id.clone());
                }
            }
            Stage::Departed => drop(self.departed.insert(delay_id.clone())),
            Stage::Finished(finished) => {
                self.finished.insert((finished.at_ms, delay_id.clone()));
            }
        }
        self.weight_bytes += delayed.weight_bytes();
        self.items.insert(delay_id, delayed);
    }

    fn remove(&mut self, delay_id: &str) -> Option<Arc<Delayed>> {
        let delayed = self.items.remove(delay_id)?;
        remove_from(&mut self.users, &delayed.scheduled.user_id, delay_id);
        if let Some(transaction) = transaction_of(&delayed.scheduled) {
            self.transactions.remove(&transaction);
        }
        match &delayed.stage {
            Stage::Waiting => {
                self.due.remove(&(delayed.due_ms(), delay_id.to_owned()));
                if let Some(target) = delayed.target() {
                    remove_from(&mut self.targets, &target, delay_id);
                }
            }
            Stage::Departed => drop(self.departed.remove(delay_id)),
            Stage::Finished(finished) => {
                self.finished.remove(&(finished.at_ms, delay_id.to_owned()));
            }
        }
        self.weight_bytes = self.weight_bytes.saturating_sub(delayed.weight_bytes());
        Some(delayed)
    }

    /// A user's, in the order of their names.
    pub(super) fn of_user(&self, user_id: &str) -> impl Iterator<Item = &Arc<Delayed>> {
        let names = self.users.get(user_id).into_iter().flatten();
        names.filter_map(|name| self.items.get(name))
    }

    /// Whether any waits or is on its way.
    pub(super) fn has_pending(&self) -> bool {
        !self.due.is_empty() || !self.departed.is_empty()
    }

    pub(super) fn encode(&self) -> Bytes {
        let items: Vec<&Delayed> = self.items.values().map(|item| &**item).collect();
        rmp_serde::to_vec(&items)
            .expect("strings and numbers are always representable in MessagePack")
            .into()
    }

    pub(super) fn decode(number: u8, bytes: &[u8]) -> Option<Self> {
        let items: Vec<Delayed> = rmp_serde::from_slice(bytes).ok()?;
        let mut delays = Self::numbered(number);
        for item in items {
            delays.insert(Arc::new(item));
        }
        Some(delays)
    }
}

fn transaction_of(scheduled: &Scheduled) -> Option<(String, String, String)> {
    let transaction_id = scheduled.transaction_id.clone()?;
    Some((
        scheduled.user_id.clone(),
        scheduled.device_id.clone(),
        transaction_id,
    ))
}

fn remove_from<K: Ord + Clone>(map: &mut OrdMap<K, OrdSet<String>>, key: &K, name: &str) {
    if let Some(names) = map.get_mut(key) {
        names.remove(name);
        if names.is_empty() {
            map.remove(key);
        }
    }
}
