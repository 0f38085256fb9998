//! One other server as the key ring sees it.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use playhouse_actors::peer_keys::{HeardKeys, KnownKeys};
use ruma::signatures::PublicKeySet;

use super::{Ids, base64};

/// After an answer a server is not asked again for so long, whatever key is missing.
const PAUSE_AFTER_ANSWER_MS: u64 = 60 * 1_000;

/// After a failure it is left alone for so long, then for twice as long, …
const FIRST_PAUSE_MS: u64 = 30 * 1_000;

/// … but no longer than this: one that comes back signs its requests, which are not believed before its keys are known.
const LONGEST_PAUSE_MS: u64 = 5 * 60 * 1_000;

/// How keys come here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// From the server itself.
    Directly,
    /// From somebody who asked it.
    Notary,
}

/// When somebody may be asked again.
#[derive(Clone, Copy, Debug, Default)]
struct Pause {
    failures: u32,
    until_ms: u64,
}

/// What is known of a server.
#[derive(Default)]
pub(super) struct Peer {
    state: Mutex<State>,
    touched_ms: AtomicU64,
    /// Held by whoever asks; inside is whether the log was read.
    pub(super) turn: tokio::sync::Mutex<bool>,
}

#[derive(Default)]
struct State {
    known: KnownKeys,
    directly: Pause,
    notary: Pause,
}

impl State {
    fn pause(&mut self, way: Way) -> &mut Pause {
        match way {
            Way::Directly => &mut self.directly,
            Way::Notary => &mut self.notary,
        }
    }
}

impl Peer {
    /// Whether all these keys are known; without any, whether some key is valid now.
    pub(super) fn has(&self, ids: &Ids, now_ms: u64) -> bool {
        let known = &self.state.lock().known;
        if ids.is_empty() {
            return known
                .keys
                .values()
                .any(|key| !key.is_retired && now_ms <= key.valid_until_ts);
        }
        ids.iter()
            .all(|(key_id, at_ms)| known.valid(key_id, *at_ms).is_some())
    }

    /// Those of these keys that are known; without any, all that are valid now.
    pub(super) fn keys(&self, ids: &Ids, now_ms: u64) -> PublicKeySet {
        let known = &self.state.lock().known;
        if ids.is_empty() {
            let valid = known.keys.iter();
            return valid
                .filter(|(_, key)| !key.is_retired && now_ms <= key.valid_until_ts)
                .map(|(key_id, key)| (key_id.clone(), base64(&key.key)))
                .collect();
        }
        ids.iter()
            .filter_map(|(key_id, at_ms)| {
                let key = known.valid(key_id, *at_ms)?;
                Some((key_id.clone(), base64(key)))
            })
            .collect()
    }

    /// Takes over what the log remembers, unless more is known already.
    pub(super) fn recall(&self, known: KnownKeys) {
        let mut state = self.state.lock();
        if state.known.keys.is_empty() {
            state.known = known;
        }
    }

    pub(super) fn learn(&self, heard: &HeardKeys, now_ms: u64) {
        self.state.lock().known.learn(heard, now_ms);
    }

    pub(super) fn may_ask(&self, way: Way, now_ms: u64) -> bool {
        now_ms >= self.state.lock().pause(way).until_ms
    }

    pub(super) fn asked(&self, way: Way, has_answered: bool, now_ms: u64) {
        let mut state = self.state.lock();
        let pause = state.pause(way);
        let pause_ms = if has_answered {
            pause.failures = 0;
            PAUSE_AFTER_ANSWER_MS
        } else {
            let pause_ms = FIRST_PAUSE_MS << pause.failures.min(10);
            pause.failures += 1;
            pause_ms.min(LONGEST_PAUSE_MS)
        };
        pause.until_ms = now_ms + pause_ms;
    }

    pub(super) fn touch(&self, now_ms: u64) {
        self.touched_ms.store(now_ms, Ordering::Relaxed);
    }

    pub(super) fn touched_ms(&self) -> u64 {
        self.touched_ms.load(Ordering::Relaxed)
    }
}
