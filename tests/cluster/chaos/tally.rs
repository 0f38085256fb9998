//! How long shards were away, by what went wrong.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::Fault;

/// The lease of a node.
const LEASE: Duration = Duration::from_secs(3);

/// Shards are served again so soon after it is known that they must be served elsewhere.
const SOON: Duration = Duration::from_secs(1);

/// So many stops that outlast the lease leave some refused write behind.
const STOPS: usize = 5;

/// See the module's documentation.
#[derive(Default)]
pub(super) struct Tally {
    away: BTreeMap<Fault, Vec<Duration>>,
    /// How long each node was stopped, and how much the log refused when it went on.
    stops: Vec<(Duration, usize)>,
}

impl Fault {
    /// Shards are away so long at most: a dead process is noticed at once, and so is a database that is back; all else when the lease ends.
    fn allowed(self) -> Duration {
        match self {
            Fault::Killed | Fault::DatabaseRestarted => SOON,
            Fault::Stopped | Fault::CutFromOne | Fault::CutFromAll | Fault::CutFromDatabase => {
                LEASE + SOON
            }
        }
    }
}

impl Tally {
    /// Notes how long each affected shard was away.
    pub(super) fn note(&mut self, fault: Fault, away: Vec<Duration>) {
        let all = self.away.entry(fault).or_default();
        all.extend(away);
        all.sort_unstable();
    }

    /// Notes how a node fared that was stopped.
    pub(super) fn note_stop(&mut self, stopped_for: Duration, refused: usize) {
        self.stops.push((stopped_for, refused));
    }

    /// Stops that outlast the lease, and those of them after which the log refused something.
    fn long_stops(&self) -> (usize, usize) {
        let long = self.stops.iter().filter(|(lasted, _)| *lasted > LEASE);
        let refused = long.clone().filter(|(_, refused)| *refused > 0);
        (long.count(), refused.count())
    }

    /// Fails the test where shards were away too long more often than not, or nothing was ever refused to who was stopped.
    pub(super) fn judge(&self) {
        for (fault, away) in &self.away {
            let median = median(away);
            assert!(median <= fault.allowed(), "{fault:?}: {median:?}\n{self}");
        }
        let (long, refused) = self.long_stops();
        assert!(long < STOPS || refused > 0, "{self}");
    }
}

/// Of what is sorted.
fn median(sorted: &[Duration]) -> Duration {
    sorted.get(sorted.len() / 2).copied().unwrap_or_default()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (fault, away) in &self.away {
            let allowed = fault.allowed();
            let over = away.iter().filter(|away| **away > allowed).count();
            writeln!(
                f,
                "{fault:?}: {} shards away, p50 {:?}, max {:?}, {over} longer than {allowed:?}",
                away.len(),
                median(away),
                away.last().copied().unwrap_or_default(),
            )?;
        }
        let (long, refused) = self.long_stops();
        write!(
            f,
            "{} stops, {long} of them longer than the lease, {refused} of those with writes that the log refused",
            self.stops.len()
        )
    }
}
