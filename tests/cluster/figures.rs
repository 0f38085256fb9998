//! What a history says of speed: requests that failed, and how long rooms stood still.

use std::{cmp::Reverse, collections::BTreeMap, fmt, time::Duration};

use super::checker::{
    Op,
    loaded::{Loaded, Name},
};

/// How requests ended.
#[derive(Default)]
pub(crate) struct Figures {
    /// How many there were of each kind.
    pub(crate) requests: BTreeMap<Op, usize>,
    /// How many of them failed: an answer of 400 or more, or none.
    pub(crate) failed: BTreeMap<(Op, Option<u16>), usize>,
}

impl Figures {
    /// Counts.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        let mut figures = Self::default();
        for step in &loaded.steps {
            *figures.requests.entry(step.op).or_default() += 1;
            if !step.is_done() {
                *figures.failed.entry((step.op, step.status)).or_default() += 1;
            }
        }
        figures
    }

    /// How many requests failed.
    pub(crate) fn failures(&self) -> usize {
        self.failed.values().sum()
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "requests {:?}, failed {:?}", self.requests, self.failed)
    }
}

/// How long rooms stood still: the times between two acknowledgements of one room while somebody waited for one.
pub(crate) struct Stalls {
    /// Of every room the longest, shortest first.
    pub(crate) longest: Vec<Duration>,
    /// All of all rooms, shortest first.
    pub(crate) all: Vec<Duration>,
    /// The worst, longest first: from when to when, by the time of the history.
    pub(crate) worst: Vec<(u64, u64)>,
}

/// So many of the worst are told.
const WORST: usize = 24;

/// What happens in a room, in the order in which it counts when it happens at once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Moment {
    Asked,
    Acknowledged,
    GivenUp,
}

/// One transaction, however often it was asked for.
struct Wish {
    room: Name,
    start_ns: u64,
    acked_ns: Option<u64>,
    end_ns: u64,
}

impl Stalls {
    /// Measures.
    pub(crate) fn of(loaded: &Loaded) -> Self {
        Self::among(loaded, |_| true)
    }

    /// Those that fall into some times, and the others.
    pub(crate) fn parted(loaded: &Loaded, times: &[(u64, u64)]) -> [Self; 2] {
        let is_within = |(since_ns, at_ns): (u64, u64)| {
            let mut times = times.iter();
            times.any(|(from_ns, to_ns)| since_ns < *to_ns && *from_ns < at_ns)
        };
        [
            Self::among(loaded, is_within),
            Self::among(loaded, |wait| !is_within(wait)),
        ]
    }

    fn among(loaded: &Loaded, is_meant: impl Fn((u64, u64)) -> bool) -> Self {
        let mut rooms: BTreeMap<Name, Vec<(u64, Moment)>> = BTreeMap::new();
        for wish in wishes(loaded) {
            let moments = rooms.entry(wish.room).or_default();
            moments.push((wish.start_ns, Moment::Asked));
            moments.push(match wish.acked_ns {
                Some(at_ns) => (at_ns, Moment::Acknowledged),
                None => (wish.end_ns, Moment::GivenUp),
            });
        }
        let (mut longest, mut all): (Vec<Duration>, Vec<Duration>) = (Vec::new(), Vec::new());
        let mut worst = Vec::new();
        for moments in rooms.values_mut() {
            moments.sort_unstable();
            let waits = waits(moments).into_iter();
            let mut waits: Vec<_> = waits.filter(|wait| is_meant(*wait)).collect();
            waits.sort_unstable_by_key(|wait| Reverse(length(wait)));
            worst.extend(waits.iter().copied().take(WORST));
            let waits: Vec<_> = waits.iter().map(length).collect();
            longest.extend(waits.iter().max().copied());
            all.extend(waits);
        }
        longest.sort_unstable();
        all.sort_unstable();
        worst.sort_unstable_by_key(|wait| Reverse(length(wait)));
        worst.truncate(WORST);
        Self {
            longest,
            all,
            worst,
        }
    }

    /// The longest of all.
    pub(crate) fn max(&self) -> Duration {
        self.longest.last().copied().unwrap_or_default()
    }
}

fn wishes(loaded: &Loaded) -> impl Iterator<Item = Wish> {
    let mut wishes: BTreeMap<Name, Wish> = BTreeMap::new();
    for step in loaded.steps.iter().filter(|step| step.op.writes()) {
        let (Some(room), Some(txn)) = (step.room, step.txn) else {
            continue;
        };
        let wish = wishes.entry(txn).or_insert(Wish {
            room,
            start_ns: step.start_ns,
            acked_ns: None,
            end_ns: step.end_ns,
        });
        wish.start_ns = wish.start_ns.min(step.start_ns);
        wish.end_ns = wish.end_ns.max(step.end_ns);
        if step.is_done() {
            let acked_ns = wish.acked_ns.unwrap_or(step.end_ns);
            wish.acked_ns = Some(acked_ns.min(step.end_ns));
        }
    }
    wishes.into_values()
}

fn length((since_ns, at_ns): &(u64, u64)) -> Duration {
    Duration::from_nanos(at_ns - since_ns)
}

/// From when to when somebody waited.
fn waits(moments: &[(u64, Moment)]) -> Vec<(u64, u64)> {
    let mut waits = Vec::new();
    let (mut waiting, mut since_ns) = (0_usize, 0);
    for (at_ns, moment) in moments {
        if *moment == Moment::Asked {
            if waiting == 0 {
                since_ns = *at_ns;
            }
            waiting += 1;
            continue;
        }
        waits.push((since_ns, *at_ns));
        waiting -= 1;
        // What is given up ends nobody else's wait.
        if *moment == Moment::Acknowledged || waiting == 0 {
            since_ns = *at_ns;
        }
    }
    waits
}

impl fmt::Display for Stalls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (what, sorted) in [("longest of each room", &self.longest), ("all", &self.all)] {
            write!(f, "stalls, {what}: {} of them", sorted.len())?;
            for (part, name) in [(500, "p50"), (900, "p90"), (990, "p99"), (999, "p99.9")] {
                write!(f, ", {name} {:?}", at(sorted, part))?;
            }
            writeln!(f, ", max {:?}", at(sorted, 1000))?;
        }
        Ok(())
    }
}

fn at(sorted: &[Duration], thousandths: usize) -> Duration {
    let last = sorted.len().saturating_sub(1);
    let wanted = sorted.get(last * thousandths / 1000);
    wanted.copied().unwrap_or_default()
}
