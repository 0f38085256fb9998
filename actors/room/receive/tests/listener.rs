//! A server that hears of a history, whichever way it comes, and is held to the rules.

use std::{collections::BTreeSet, fmt::Debug};

use super::{
    super::{Fate, Occasion, ReceivedEvent, Role},
    Peer,
    history::{Oracle, Random, told},
};
use crate::room::{VERSIONS, resolve::StateIds};

/// A server, and what it has got of a history.
pub(super) struct Listener<'a> {
    pub(super) oracle: &'a Oracle,
    pub(super) peer: Peer,
    /// The events that have their place in the graph.
    pub(super) placed: BTreeSet<usize>,
    pub(super) random: Random,
    pub(super) tag: String,
}

impl<'a> Listener<'a> {
    /// One that knows nothing yet; how it is going to hear is told when it fails.
    pub(super) fn new(oracle: &'a Oracle, (way, seed): (impl Debug, u64)) -> Self {
        Self {
            oracle,
            peer: Peer::of(oracle),
            placed: BTreeSet::new(),
            random: Random::new(seed),
            tag: format!("seed {seed}, version {}, {way:?}", oracle.version),
        }
    }

    /// Takes events in: each becomes what it should, as far as that is certain.
    pub(super) fn hear(&mut self, events: Vec<ReceivedEvent>, occasion: &Occasion) {
        let is_outlier = |event: &ReceivedEvent| matches!(event.role, Role::Outlier);
        let outliers: Vec<_> = events.iter().map(is_outlier).collect();
        let fates = self.peer.receive_on(events, occasion);
        let is_exact = self.is_exact();
        for ((event_id, fate), is_outlier) in fates.into_iter().zip(outliers) {
            let at = self.oracle.number(&event_id);
            let rejected = self.oracle.nodes[at].pdu.rejected;
            match fate {
                Fate::Wanting { .. } | Fate::Unrecommended(_) | Fate::Repeats(_) => continue,
                Fate::Rejected(reason) => {
                    assert!(rejected || !is_exact, "{}: {at} {reason}", self.tag);
                }
                Fate::Known => {}
                Fate::Accepted | Fate::SoftFailed(_) => {
                    assert!(!rejected || !is_exact, "{}: {at} was accepted", self.tag);
                }
            }
            if !is_outlier {
                self.placed.insert(at);
            }
        }
    }

    /// Whether no states were resolved while members were missing in them.
    pub(super) fn is_exact(&self) -> bool {
        !self.peer.has_merged_gaps
    }

    /// The ends of the graph.
    pub(super) fn ends(&self) -> Vec<usize> {
        let ends = self.peer.ends();
        ends.iter().map(|id| self.oracle.number(id)).collect()
    }

    pub(super) fn compare(&self, should: &StateIds, is: &StateIds, tag: &str) {
        let (should, is) = (told(self.oracle, should), told(self.oracle, is));
        assert_eq!(should, is, "{tag}: what should be, what is");
    }
}

/// A history in which so many things have happened. One in `signed` is signed and checked.
pub(super) fn history_of(seed: u64, signed: u64, events: usize) -> Oracle {
    let version = VERSIONS[Random::new(seed).below(VERSIONS.len())].clone();
    let mut oracle = Oracle::new(seed, version, seed.is_multiple_of(signed));
    for _ in 0..events {
        oracle.happen();
    }
    oracle
}

/// A number that the environment may set.
#[expect(
    clippy::disallowed_methods,
    reason = "a longer run of these tests is asked for by the environment"
)]
pub(super) fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}
