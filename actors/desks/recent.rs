//! What was answered a moment ago, for those who ask the same once more because the answer did not reach them.

use std::collections::{BTreeMap, VecDeque};

use super::message::{DeskAnswer, Thing};

/// An answer is remembered so long: longer than anybody goes on asking.
const REMEMBERED_MS: u64 = 60_000;

/// So many answers.
const ANSWERS_MAX: usize = 4_096;

/// So many bytes in all of them together.
const BYTES_MAX: usize = 1 << 20;

/// What one answer takes beside what it brings.
const ANSWER_BYTES: usize = 160;

/// The answers, by nonce.
#[derive(Debug, Default)]
pub(super) struct Recent {
    known: BTreeMap<String, DeskAnswer>,
    order: VecDeque<(u64, String)>,
    bytes: usize,
}

impl Recent {
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty()
    }

    /// When the first of them is forgotten.
    pub(super) fn next_ms(&self) -> Option<u64> {
        self.order.front().map(|(until_ms, _)| *until_ms)
    }

    pub(super) fn get(&self, nonce: &str) -> Option<DeskAnswer> {
        self.known.get(nonce).cloned()
    }

    pub(super) fn note(&mut self, nonce: String, answer: DeskAnswer, now_ms: u64) {
        if self.known.contains_key(&nonce) {
            return;
        }
        self.bytes += weight(&answer);
        self.order
            .push_back((now_ms + REMEMBERED_MS, nonce.clone()));
        self.known.insert(nonce, answer);
        while self.order.len() > ANSWERS_MAX || self.bytes > BYTES_MAX {
            self.forget_oldest();
        }
    }

    pub(super) fn forget_old(&mut self, now_ms: u64) {
        while self.next_ms().is_some_and(|until_ms| until_ms <= now_ms) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, nonce)) = self.order.pop_front()
            && let Some(answer) = self.known.remove(&nonce)
        {
            self.bytes -= weight(&answer);
        }
    }
}

fn weight(answer: &DeskAnswer) -> usize {
    let brought = match answer {
        DeskAnswer::Thing(Some(Thing { value, .. })) => value.0.len(),
        _ => 0,
    };
    ANSWER_BYTES + brought
}
