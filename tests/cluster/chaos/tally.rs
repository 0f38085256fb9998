//! How long shards were away, by what went wrong.

use std::{collections::BTreeMap, fmt, time::Duration};

use playhouse_schema::address::{Family, Shard};

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
    away: BTreeMap<(Fault, Family), Vec<Duration>>,
    /// How often what befell a node for these roles.
    victims: BTreeMap<(Fault, String), usize>,
    /// After how many of them, and how often, the log refused what a stale owner wrote.
    refused: BTreeMap<Fault, (usize, usize)>,
    /// How long each node was stopped, and how much the log refused when it went on.
    stops: Vec<(Duration, usize)>,
}

impl Fault {
    /// Shards are away so long at most: a dead process is noticed at once, all else when the lease ends. Of a database it is the time after it is back.
    fn allowed(self) -> Duration {
        match self {
            Fault::Killed => SOON,
            Fault::Stopped
            | Fault::CutFromOne
            | Fault::CutFromAll
            | Fault::CutFromDatabase
            | Fault::DatabaseRestarted => LEASE + SOON,
        }
    }
}

impl Tally {
    /// Notes how long each affected shard was away, and tells which were away too long.
    #[expect(
        clippy::print_stdout,
        reason = "which shards were late belongs into the test's output"
    )]
    pub(super) fn note(&mut self, fault: Fault, away: Vec<(Shard, Duration)>) {
        for (shard, away) in away {
            if away > fault.allowed() {
                println!("{fault:?}: {shard} was away for {away:?}");
            }
            let of_family = self.away.entry((fault, shard.family)).or_default();
            of_family.push(away);
        }
        self.away.values_mut().for_each(|all| all.sort_unstable());
    }

    /// Notes what a node is for that something befalls.
    pub(super) fn note_victim(&mut self, fault: Fault, roles: &str) {
        let roles = if roles.is_empty() { "all" } else { roles };
        *self.victims.entry((fault, roles.to_owned())).or_default() += 1;
    }

    /// Notes how often the log refused something of one node after a fault.
    pub(super) fn note_refused(&mut self, fault: Fault, times: usize) {
        if times > 0 {
            let (nodes, all) = self.refused.entry(fault).or_default();
            *nodes += 1;
            *all += times;
        }
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

    /// Fails the test where fewer than so many of a hundred shards were back in time, or nothing was ever refused to who was stopped.
    pub(super) fn judge(&self, hundredths: usize) {
        for ((fault, family), away) in &self.away {
            let (longest, allowed) = (at(away, hundredths), fault.allowed());
            assert!(longest <= allowed, "{fault:?}, {family}: {longest:?}");
        }
        let (long, refused) = self.long_stops();
        assert!(long < STOPS || refused > 0, "nothing was refused");
    }
}

/// What so many of a hundred do not exceed, of what is sorted.
fn at(sorted: &[Duration], hundredths: usize) -> Duration {
    let place = (sorted.len() * hundredths / 100).min(sorted.len().saturating_sub(1));
    sorted.get(place).copied().unwrap_or_default()
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for ((fault, roles), times) in &self.victims {
            writeln!(f, "{fault:?}: {times} times a node for {roles}")?;
        }
        for ((fault, family), away) in &self.away {
            let allowed = fault.allowed();
            let over = away.iter().filter(|away| **away > allowed).count();
            write!(f, "{fault:?}: {} {family} shards away", away.len())?;
            for part in [50, 90, 99, 100] {
                write!(f, ", p{part} {:?}", at(away, part))?;
            }
            writeln!(f, ", {over} longer than {allowed:?}")?;
        }
        for (fault, (nodes, times)) in &self.refused {
            writeln!(
                f,
                "{fault:?}: {nodes} stale owners were refused {times} times"
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
