//! What can be turned in a scenario: `send:count=500,clients=4`.

use std::collections::BTreeMap;

use super::trouble::{Outcome, Trouble};

/// One knob: its name, what it stands at, what it means.
pub(crate) type Knob = (&'static str, u64, &'static str);

/// A scenario's knobs as they were set.
#[derive(Clone, Debug)]
pub(crate) struct Knobs(BTreeMap<&'static str, u64>);

impl Knobs {
    /// Sets those that a text names: `count=500,clients=4`, or nothing.
    pub(crate) fn set(known: &[Knob], text: &str) -> Outcome<Self> {
        let mut knobs: BTreeMap<_, _> = known.iter().map(|(name, at, _)| (*name, *at)).collect();
        for setting in text.split(',').filter(|setting| !setting.is_empty()) {
            let (name, number) = setting
                .split_once('=')
                .ok_or_else(|| Trouble::Setup(format!("`{setting}` is not NAME=NUMBER")))?;
            let knob = knobs
                .get_mut(name)
                .ok_or_else(|| Trouble::Setup(format!("there is no `{name}` in this scenario")))?;
            *knob = number
                .parse()
                .map_err(|_| Trouble::Setup(format!("`{number}` is not a number")))?;
        }
        Ok(Self(knobs))
    }

    /// Where a knob stands.
    pub(crate) fn number(&self, name: &str) -> usize {
        self.0.get(name).map_or(0, |number| *number as usize)
    }
}
