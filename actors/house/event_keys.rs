//! The keys that events of other servers are checked with.
//!
//! A batch of events asks for each key once, for the latest event that it has signed. A key that does not hold so long may hold for earlier events: how far
//! it reaches is asked in a few rounds, which is answered from memory mostly. So one event of a wrong time does not cost the others theirs.

use std::{collections::BTreeMap, time::Duration};

use ruma::{
    EventId, OwnedEventId, OwnedServerName, room_version_rules::RoomVersionRules, serde::Base64,
    signatures::PublicKeyMap,
};
use tokio::time::{Instant, timeout_at};

use super::House;
use crate::{
    kernel::give_way,
    network::KeysWanted,
    room::receive::check::{RawPdu, with_own_keys},
};

/// So often it is asked how far keys reach: with every round half of the events is settled.
const ROUNDS_MAX: usize = 20;

/// After so long it is no longer asked how far keys reach.
const WITHIN: Duration = Duration::from_secs(30);

/// After so many events that were looked at others get their turn.
const IN_A_ROW: usize = 50;

/// The keys for a batch of events.
pub(super) struct BatchKeys {
    all: PublicKeyMap,
    /// For events that need one that does not hold for the whole batch.
    apart: BTreeMap<OwnedEventId, PublicKeyMap>,
}

impl BatchKeys {
    /// The keys to check an event with.
    pub(super) fn of(&self, event_id: &EventId) -> &PublicKeyMap {
        self.apart.get(event_id).unwrap_or(&self.all)
    }
}

/// A key of a server.
type KeyName = (OwnedServerName, String);

/// How far a key reaches that does not hold for the latest event that it has signed.
#[derive(Default)]
struct Reach {
    /// When the events were sent, earliest first.
    times: Vec<u64>,
    /// For so many of them it holds.
    held: usize,
    /// From this one on it does not.
    end: usize,
    key: Option<Base64>,
}

impl Reach {
    /// Puts the times in order. The last is the one that was asked for first, in vain.
    fn begin(&mut self) {
        self.times.sort_unstable();
        self.times.dedup();
        self.end = self.times.len().saturating_sub(1);
    }

    /// Which time to ask for next: the first, as most keys that are missing are not known at all, and then the one in the middle.
    fn next(&self) -> Option<usize> {
        let open = self.end.checked_sub(self.held).filter(|open| *open > 0)?;
        let is_known = self.key.is_some();
        Some(if is_known { self.held + open / 2 } else { 0 })
    }

    /// Notes what was told for the time that was asked for.
    fn note(&mut self, told: Option<&Base64>) {
        match (self.next(), told) {
            (Some(asked), Some(key)) => {
                self.held = asked + 1;
                self.key = Some(key.clone());
            }
            (Some(asked), None) => self.end = asked,
            (None, _) => {}
        }
    }

    /// The key, if it holds at a time.
    fn at(&self, sent_ms: u64) -> Option<&Base64> {
        let last = self.times.get(self.held.checked_sub(1)?)?;
        self.key.as_ref().filter(|_| sent_ms <= *last)
    }
}

impl House {
    /// The keys that are known or can be found, this server's own among them.
    pub(super) async fn keys_for(&self, mut wanted: KeysWanted) -> PublicKeyMap {
        let own = wanted.remove(self.env.server_name()).unwrap_or_default();
        let keys = if wanted.is_empty() {
            PublicKeyMap::new()
        } else {
            self.env.network.keys(wanted).await
        };
        with_own_keys(keys, &own, &self.env)
    }

    /// The keys for a batch of events that want these.
    pub(super) async fn batch_keys(
        &self,
        rules: &RoomVersionRules,
        (raw, wanted): (&[RawPdu], KeysWanted),
    ) -> BatchKeys {
        let all = self.keys_for(wanted.clone()).await;
        let mut apart = BTreeMap::new();
        if !rules.enforce_key_validity || lacking(&all, &wanted).is_empty() {
            return BatchKeys { all, apart };
        }
        let mut open = Vec::new();
        let mut reaches: BTreeMap<KeyName, Reach> = BTreeMap::new();
        for (index, pdu) in raw.iter().enumerate() {
            rest(index).await;
            let mut alone = KeysWanted::new();
            if pdu.want_keys(rules, &mut alone).is_err() {
                continue;
            }
            let lacking = lacking(&all, &alone);
            if lacking.is_empty() {
                continue;
            }
            for (name, sent_ms) in lacking {
                reaches.entry(name).or_default().times.push(sent_ms);
            }
            open.push((pdu.event_id.clone(), alone));
        }
        self.find_reaches(&mut reaches).await;
        for (index, (event_id, alone)) in open.into_iter().enumerate() {
            rest(index).await;
            apart.insert(event_id, keys_of_one(&all, &reaches, alone));
        }
        BatchKeys { all, apart }
    }

    async fn find_reaches(&self, reaches: &mut BTreeMap<KeyName, Reach>) {
        for reach in reaches.values_mut() {
            reach.begin();
        }
        let until = Instant::now() + WITHIN;
        for _ in 0..ROUNDS_MAX {
            let mut wanted = KeysWanted::new();
            for ((server, key_id), reach) in reaches.iter() {
                if let Some(sent_ms) = reach.next().and_then(|next| reach.times.get(next)) {
                    let ids = wanted.entry(server.clone()).or_default();
                    ids.insert(key_id.clone(), *sent_ms);
                }
            }
            if wanted.is_empty() {
                return;
            }
            let Ok(keys) = timeout_at(until, self.keys_for(wanted)).await else {
                tracing::debug!("how far some keys reach is not told in time");
                return;
            };
            for ((server, key_id), reach) in reaches.iter_mut() {
                let by_server = keys.get(server.as_str());
                reach.note(by_server.and_then(|keys| keys.get(key_id)));
            }
        }
    }
}

/// Which wanted keys are missing, and the times for which they are wanted.
fn lacking(keys: &PublicKeyMap, wanted: &KeysWanted) -> Vec<(KeyName, u64)> {
    let mut lacking = Vec::new();
    for (server, ids) in wanted {
        let found = keys.get(server.as_str());
        for (key_id, sent_ms) in ids {
            if !found.is_some_and(|found| found.contains_key(key_id)) {
                lacking.push(((server.clone(), key_id.clone()), *sent_ms));
            }
        }
    }
    lacking
}

fn keys_of_one(
    all: &PublicKeyMap,
    reaches: &BTreeMap<KeyName, Reach>,
    wanted: KeysWanted,
) -> PublicKeyMap {
    let mut keys = PublicKeyMap::new();
    for (server, ids) in wanted {
        let mut of_server = all.get(server.as_str()).cloned().unwrap_or_default();
        for (key_id, sent_ms) in ids {
            let name = (server.clone(), key_id);
            let found = reaches.get(&name).and_then(|reach| reach.at(sent_ms));
            if let Some(key) = found {
                of_server.insert(name.1, key.clone());
            }
        }
        if !of_server.is_empty() {
            keys.insert(server.to_string(), of_server);
        }
    }
    keys
}

/// Lets others have their turn now and then.
pub(super) async fn rest(index: usize) {
    if index.is_multiple_of(IN_A_ROW) {
        give_way().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A key that holds until some time, asked for as in a batch; how often it was asked for.
    fn asked(times: &[u64], until_ms: u64) -> (Reach, usize) {
        let mut reach = Reach {
            times: times.to_vec(),
            ..Reach::default()
        };
        reach.begin();
        let key = Base64::new(vec![1; 32]);
        let mut rounds = 0;
        while let Some(next) = reach.next() {
            let holds = reach.times[next] <= until_ms;
            reach.note(holds.then_some(&key));
            rounds += 1;
        }
        (reach, rounds)
    }

    #[test]
    fn a_key_reaches_as_far_as_it_holds() {
        let times: Vec<u64> = (0..1_000).rev().map(|time| time * 10).collect();
        for until_ms in [0, 5, 10, 4_321, 9_980, 9_985] {
            let (reach, rounds) = asked(&times, until_ms);
            assert!(rounds <= ROUNDS_MAX);
            for time in &times {
                assert_eq!(reach.at(*time).is_some(), *time <= until_ms, "{time}");
            }
        }
    }

    #[test]
    fn nobody_asks_long_for_a_key_that_is_not_known() {
        let (reach, rounds) = asked(&[20, 10, 30], 5);
        assert_eq!(rounds, 1);
        assert!(reach.at(10).is_none());
        assert_eq!(asked(&[20, 20], 5).1, 0);
    }
}
