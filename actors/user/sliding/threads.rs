//! Thread subscriptions (MSC4306), and what of them changed since when (MSC4308).

use std::{collections::BTreeMap, sync::Arc};

use imbl::OrdMap;
use playhouse_schema::{address::Sequence, record::user::ThreadSubscriptionSet};
use ruma::{EventId, OwnedEventId, OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use crate::user::sync::body::Body;

/// A thread: its room and its root.
pub type ThreadKey = (OwnedRoomId, OwnedEventId);

/// What a user has said of a thread.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadSubscription {
    /// Whether a client has subscribed by itself; `None` when the user has unsubscribed.
    pub automatic: Option<bool>,
    /// The room's newest record when the user unsubscribed.
    pub until: Sequence,
    /// The user's record that says it.
    pub changed: Sequence,
}

/// All that a user has said of threads. What was unsubscribed from stays known.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(
    from = "Vec<(ThreadKey, ThreadSubscription)>",
    into = "Vec<(ThreadKey, ThreadSubscription)>"
)]
pub struct ThreadSubscriptions {
    threads: OrdMap<Arc<ThreadKey>, ThreadSubscription>,
    /// By the record that last changed it.
    order: OrdMap<Sequence, Arc<ThreadKey>>,
}

/// Some changes, the newest ones first.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct ThreadChanges {
    /// What is said now.
    pub changes: Vec<(ThreadKey, ThreadSubscription)>,
    /// There are more, before this record of the user.
    pub more_before: Option<Sequence>,
}

impl ThreadSubscriptions {
    /// Takes in a record.
    pub(in crate::user) fn fold(&mut self, changed: Sequence, set: &ThreadSubscriptionSet) {
        let (Ok(room_id), Ok(root)) = (RoomId::parse(&set.room_id), EventId::parse(&set.root))
        else {
            return;
        };
        let subscription = ThreadSubscription {
            automatic: set.subscription,
            until: set.until,
            changed,
        };
        self.insert((room_id, root), subscription);
    }

    fn insert(&mut self, key: ThreadKey, subscription: ThreadSubscription) {
        let key = Arc::new(key);
        self.order.insert(subscription.changed, key.clone());
        if let Some(old) = self.threads.insert(key, subscription) {
            self.order.remove(&old.changed);
        }
    }

    /// What was said of a thread.
    pub fn get(&self, room_id: &RoomId, root: &EventId) -> Option<&ThreadSubscription> {
        self.threads.get(&(room_id.to_owned(), root.to_owned()))
    }

    /// The newest changes after one record and before another.
    pub fn changes(&self, (after, before): (Sequence, Sequence), limit: usize) -> ThreadChanges {
        if after.saturating_add(1) >= before {
            return ThreadChanges::default();
        }
        let mut newest = self.order.range(after + 1..before).rev();
        let mut changes = ThreadChanges::default();
        for (_, key) in newest.by_ref().take(limit) {
            if let Some(subscription) = self.threads.get(key) {
                let thread = ThreadKey::clone(key);
                changes.changes.push((thread, subscription.clone()));
            }
        }
        if newest.next().is_some() {
            let last = changes.changes.last();
            changes.more_before = last.map(|(_, subscription)| subscription.changed);
        }
        changes
    }

    /// How many threads something is said of.
    pub fn len(&self) -> usize {
        self.threads.len()
    }

    /// Whether nothing is said of any.
    pub fn is_empty(&self) -> bool {
        self.threads.is_empty()
    }
}

impl ThreadChanges {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }

    /// Writes the members of an answer; under this name where there are more.
    pub(crate) fn write(&self, body: &mut Body, more: &str) {
        let mut subscribed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        let mut unsubscribed: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for ((room_id, root), it) in &self.changes {
            match it.automatic {
                Some(automatic) => {
                    let threads = subscribed.entry(room_id).or_default();
                    threads.push((root, it.changed, Some(automatic)));
                }
                None => {
                    let threads = unsubscribed.entry(room_id).or_default();
                    threads.push((root, it.changed, None));
                }
            }
        }
        for (name, rooms) in [("subscribed", subscribed), ("unsubscribed", unsubscribed)] {
            if rooms.is_empty() {
                continue;
            }
            body.key(name).object(|body| {
                for (room_id, threads) in rooms {
                    body.key(room_id.as_str()).object(|body| {
                        for (root, changed, automatic) in threads {
                            body.key(root.as_str()).object(|body| {
                                if let Some(automatic) = automatic {
                                    body.key("automatic").flag(automatic);
                                }
                                body.key("bump_stamp").number(changed);
                            });
                        }
                    });
                }
            });
        }
        if let Some(before) = self.more_before {
            body.key(more).string(&format!("h{before}"));
        }
    }
}

impl From<Vec<(ThreadKey, ThreadSubscription)>> for ThreadSubscriptions {
    fn from(threads: Vec<(ThreadKey, ThreadSubscription)>) -> Self {
        let mut all = Self::default();
        for (key, subscription) in threads {
            all.insert(key, subscription);
        }
        all
    }
}

impl From<ThreadSubscriptions> for Vec<(ThreadKey, ThreadSubscription)> {
    fn from(all: ThreadSubscriptions) -> Self {
        let threads = all.threads.into_iter();
        threads
            .map(|(key, subscription)| (ThreadKey::clone(&key), subscription))
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(root: &str, subscription: Option<bool>) -> ThreadSubscriptionSet {
        ThreadSubscriptionSet {
            room_id: "!r:x".into(),
            root: root.into(),
            subscription,
            until: 5,
        }
    }

    #[test]
    fn changes_are_told_newest_first_and_in_pages() {
        let mut all = ThreadSubscriptions::default();
        for (changed, (root, subscription)) in [
            ("$a", Some(true)),
            ("$b", Some(false)),
            ("$a", None),
            ("$c", Some(true)),
        ]
        .into_iter()
        .enumerate()
        {
            all.fold(changed as u64 + 1, &set(root, subscription));
        }
        assert_eq!(all.len(), 3);
        let page = all.changes((0, 10), 2);
        let roots: Vec<_> = page
            .changes
            .iter()
            .map(|((_, root), _)| root.as_str())
            .collect();
        assert_eq!((roots, page.more_before), (vec!["$c", "$a"], Some(3)));
        let rest = all.changes((0, 3), 2);
        assert_eq!(rest.changes.len(), 1);
        assert!(rest.more_before.is_none() && all.changes((3, 4), 9).is_empty());
        let pairs: Vec<(ThreadKey, ThreadSubscription)> = all.clone().into();
        let again = ThreadSubscriptions::from(pairs);
        assert_eq!(
            again.changes((0, 10), 9).changes,
            all.changes((0, 10), 9).changes
        );
        let mut body = Body::new(64);
        page.write(&mut body, "end");
        let text = String::from_utf8(body.finish().to_vec()).unwrap();
        assert_eq!(
            text,
            r#"{"subscribed":{"!r:x":{"$c":{"automatic":true,"bump_stamp":4}}},"unsubscribed":{"!r:x":{"$a":{"bump_stamp":3}}},"end":"h3"}"#
        );
    }
}
