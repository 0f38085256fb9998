//! What was fetched of a room's history from before this server came in.
//!
//! It lies in the log behind what happened later, in stretches: within each the events stand oldest first, and each further stretch is older than those before it.

use std::collections::VecDeque;

use playhouse_schema::{address::Sequence, record::room::PastTaken};
use ruma::{EventId, OwnedEventId};

/// A stretch of records: the first and the last of them.
pub(crate) type Stretch = (Sequence, Sequence);

/// See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Past {
    /// The newest comes first; numbers rise.
    stretches: Vec<Stretch>,
    /// Events that precede all of them and are not known.
    ends: Vec<OwnedEventId>,
}

impl Past {
    /// Takes in a record.
    pub(crate) fn take_in(&mut self, taken: &PastTaken) {
        self.stretches.push((taken.first, taken.last));
        let ends = taken.ends.iter();
        self.ends = ends.filter_map(|id| EventId::parse(id).ok()).collect();
    }

    /// What a snapshot keeps of it.
    pub(crate) fn stored(&self) -> (Vec<Stretch>, Vec<String>) {
        let ends = self.ends.iter().map(ToString::to_string);
        (self.stretches.clone(), ends.collect())
    }

    /// Reads what a snapshot keeps of it.
    pub(crate) fn from_stored((stretches, ends): &(Vec<Stretch>, Vec<String>)) -> Self {
        let ends = ends.iter();
        Self {
            stretches: stretches.clone(),
            ends: ends.filter_map(|id| EventId::parse(id).ok()).collect(),
        }
    }

    /// The bytes it takes, about.
    pub(crate) fn weight_bytes(&self) -> usize {
        self.stretches.len() * size_of::<Stretch>() + self.ends.len() * 96
    }

    /// Whether nothing was fetched.
    pub(crate) fn is_empty(&self) -> bool {
        self.stretches.is_empty()
    }

    /// Whether it begins with the room itself.
    pub(crate) fn is_whole(&self) -> bool {
        !self.stretches.is_empty() && self.ends.is_empty()
    }

    /// The events from which fetching goes on.
    pub(crate) fn ends(&self) -> &[OwnedEventId] {
        &self.ends
    }

    fn index_of(&self, sequence: Sequence) -> Option<usize> {
        let index = self.stretches.partition_point(|(_, last)| *last < sequence);
        let (first, _) = self.stretches.get(index)?;
        (*first <= sequence).then_some(index)
    }

    /// Whether a record belongs to it.
    pub(crate) fn contains(&self, sequence: Sequence) -> bool {
        self.index_of(sequence).is_some()
    }

    /// The oldest record of it.
    pub(crate) fn oldest(&self) -> Option<Sequence> {
        self.stretches.last().map(|(first, _)| *first)
    }

    /// The record that follows one of its records in time; `None` when what follows is no part of it.
    pub(crate) fn after(&self, sequence: Sequence) -> Option<Sequence> {
        let index = self.index_of(sequence)?;
        if sequence < self.stretches[index].1 {
            return Some(sequence + 1);
        }
        let newer = index.checked_sub(1)?;
        Some(self.stretches[newer].0)
    }

    /// All of it, from the newest stretch to the oldest.
    pub(crate) fn all(&self) -> VecDeque<Stretch> {
        self.stretches.iter().copied().collect()
    }

    /// What is older than one of its records, newest stretch first.
    pub(crate) fn older_than(&self, sequence: Sequence) -> VecDeque<Stretch> {
        let Some(index) = self.index_of(sequence) else {
            return VecDeque::new();
        };
        let (first, _) = self.stretches[index];
        let rest = self.stretches[index + 1..].iter().copied();
        let part = (first < sequence).then(|| (first, sequence - 1));
        part.into_iter().chain(rest).collect()
    }

    /// One of its records and what is newer, oldest stretch first.
    pub(crate) fn newer_from(&self, sequence: Sequence) -> VecDeque<Stretch> {
        let Some(index) = self.index_of(sequence) else {
            return VecDeque::new();
        };
        let (_, last) = self.stretches[index];
        let rest = self.stretches[..index].iter().rev().copied();
        std::iter::once((sequence, last)).chain(rest).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn past() -> Past {
        let mut past = Past::default();
        for (first, last, end) in [(10, 19, "$b"), (30, 34, "$a")] {
            past.take_in(&PastTaken {
                first,
                last,
                ends: vec![end.to_owned()],
            });
        }
        past
    }

    #[test]
    fn time_runs_up_within_a_stretch_and_down_between_them() {
        let past = past();
        assert_eq!(past.oldest(), Some(30));
        assert_eq!([past.after(33), past.after(34)], [Some(34), Some(10)]);
        assert_eq!([past.after(19), past.after(20)], [None, None]);
        assert!(past.contains(10) && past.contains(34) && !past.contains(20));
        assert_eq!(past.ends(), ["$a"]);
        assert_eq!(Vec::from(past.older_than(12)), [(10, 11), (30, 34)]);
        assert_eq!(Vec::from(past.older_than(10)), [(30, 34)]);
        assert_eq!(Vec::from(past.older_than(30)), []);
        assert_eq!(Vec::from(past.newer_from(32)), [(32, 34), (10, 19)]);
        assert_eq!(Vec::from(past.newer_from(25)), []);
    }

    #[test]
    fn it_is_whole_when_nothing_precedes_it() {
        let mut past = past();
        assert!(!past.is_whole());
        past.take_in(&PastTaken {
            first: 40,
            last: 41,
            ends: Vec::new(),
        });
        assert!(past.is_whole());
        assert_eq!(Past::from_stored(&past.stored()), past);
    }
}
