//! What is wrong with a history.

use std::{collections::BTreeMap, fmt};

use super::loaded::{Loaded, Name};

/// So many violations are told in full; the others are counted.
const TOLD_MAX: usize = 200;

/// A violation names so many events at most.
const EVENTS_MAX: usize = 8;

/// The rules of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rule {
    /// (a) What was acknowledged stands in its room at the end, exactly once.
    Acknowledged,
    /// (b) A transaction gives one event, however often it is asked for.
    OneEvent,
    /// (c) Readers are told the order of `/messages`.
    SameOrder,
    /// (d) Readers are told every event once, and none is left out between two tokens.
    NoGap,
    /// (e) What was asked for after an acknowledgement stands behind what was acknowledged.
    AckOrder,
    /// (f) What was answered with trouble is there once or not at all.
    AtMostOnce,
    /// (g) A message to a device is there before the event that was sent after it, and is told once.
    ToDevice,
    /// (h) A token is good wherever it is brought.
    Token,
}

/// One violation.
#[derive(Clone, Debug)]
pub(crate) struct Violation {
    /// The rule.
    pub(crate) rule: Rule,
    /// Whose history shows it.
    pub(crate) client: Option<String>,
    /// In which room.
    pub(crate) room: Option<String>,
    /// The events, or the tokens or transactions, that it is about; a few of them when there are many.
    pub(crate) about: Vec<String>,
    /// What is wrong with them.
    pub(crate) text: &'static str,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.text)?;
        if let Some(client) = &self.client {
            write!(f, ", client {client}")?;
        }
        if let Some(room) = &self.room {
            write!(f, ", room {room}")?;
        }
        write!(f, ": {}", self.about.join(" "))
    }
}

/// All that is wrong.
#[derive(Default)]
pub(crate) struct Report {
    /// The first violations that were found.
    pub(crate) violations: Vec<Violation>,
    /// How many there are of each rule, those included that are not told.
    pub(crate) counts: BTreeMap<Rule, usize>,
}

/// Whose history shows it, and where.
#[derive(Clone, Copy)]
pub(super) struct Scene<'a> {
    /// The history.
    pub(super) loaded: &'a Loaded,
    /// Whose.
    pub(super) client: Option<Name>,
    /// Which room.
    pub(super) room: Option<Name>,
}

impl Report {
    /// Adds a violation.
    pub(super) fn add(
        &mut self,
        scene: Scene<'_>,
        rule: Rule,
        text: &'static str,
        about: impl IntoIterator<Item = Name>,
    ) {
        *self.counts.entry(rule).or_default() += 1;
        if self.violations.len() == TOLD_MAX {
            return;
        }
        let word = |name: Name| scene.loaded.text(name).to_owned();
        self.violations.push(Violation {
            rule,
            client: scene.client.map(word),
            room: scene.room.map(word),
            about: about.into_iter().take(EVENTS_MAX).map(word).collect(),
            text,
        });
    }

    /// Whether nothing is wrong.
    pub(crate) fn is_clean(&self) -> bool {
        self.counts.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_clean() {
            return f.write_str("nothing is wrong");
        }
        writeln!(f, "{:?}", self.counts)?;
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        Ok(())
    }
}
