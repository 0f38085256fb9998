//! What is said of a storm: what was lost, what came twice and why, and whether devices show the right count.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::{Duration, Instant},
};

use super::people::People;
use crate::push::provider::Seen;

/// From then to then an answer of the provider may have been lost: the gateway was killed, or the line cut.
#[derive(Clone, Copy, Debug)]
pub(super) struct Break {
    pub(super) from: Instant,
    pub(super) until: Instant,
}

/// Why something came twice.
#[derive(Debug, Default)]
struct Doubles {
    /// The answer to the first was not given yet when the gateway or the line broke: nobody could know.
    unanswered: usize,
    /// It was given, but not in the gateway's log yet.
    unnoted: usize,
    /// The longest time between answer and break of these.
    unnoted_for: Duration,
    /// Nothing explains them.
    unexplained: Vec<String>,
}

/// See the module's documentation.
#[derive(Debug, Default)]
pub(super) struct Verdict {
    /// Events of high priority that were told, for each hearer.
    told: usize,
    /// Those for which a later one of the same room and of high priority stands.
    coalesced: usize,
    /// Those that were read before.
    read: usize,
    lost: Vec<String>,
    /// By pushkey: what the device shows, and what a client counts.
    pub(super) badges: BTreeMap<String, (Option<u64>, u64)>,
    doubles: Doubles,
}

fn path_of(pushkey: &str) -> String {
    format!("/3/device/{pushkey}")
}

/// Whether the device has it.
fn is_taken(seen: &Seen) -> bool {
    seen.said == 200 && seen.answered.is_some()
}

impl Verdict {
    /// Looks at everything; `recounted` is by pushkey.
    pub(super) fn of(
        (people, recounted): (&People, Vec<(String, u64)>),
        seen: &[Seen],
        breaks: &[Break],
    ) -> Self {
        let mut verdict = Self::default();
        verdict.look_for_losses(people, seen);
        verdict.look_for_doubles(seen, breaks);
        for (pushkey, count) in recounted {
            let path = path_of(&pushkey);
            let mut newest_first = seen.iter().rev();
            let last = newest_first.find(|seen| seen.path == path && is_taken(seen));
            let shown = last.and_then(|seen| seen.json()["aps"]["badge"].as_u64());
            verdict.badges.insert(pushkey, (shown, count));
        }
        verdict
    }

    fn look_for_losses(&mut self, people: &People, seen: &[Seen]) {
        let taken: BTreeSet<(String, String)> = seen
            .iter()
            .filter(|seen| is_taken(seen))
            .filter_map(|seen| Some((seen.path.clone(), event_of(seen)?)))
            .collect();
        for room in people.rooms() {
            for hearer in &room.hearers {
                let path = path_of(&people.hearers()[*hearer].pushkey);
                let read = room.read.get(hearer).copied().unwrap_or(0);
                let mut is_covered = false;
                for (number, saying) in room.said.iter().enumerate().rev() {
                    if !saying.high_for.contains(hearer) {
                        continue;
                    }
                    if taken.contains(&(path.clone(), saying.event_id.clone())) {
                        self.told += 1;
                        is_covered = true;
                    } else if is_covered {
                        self.coalesced += 1;
                    } else if number < read {
                        self.read += 1;
                    } else {
                        self.lost.push(format!("{} for {path}", saying.event_id));
                    }
                }
            }
        }
    }

    fn look_for_doubles(&mut self, seen: &[Seen], breaks: &[Break]) {
        let mut came: BTreeMap<(&str, String), Vec<&Seen>> = BTreeMap::new();
        for seen in seen.iter().filter(|seen| seen.said == 200) {
            if let Some(event_id) = event_of(seen) {
                came.entry((&seen.path, event_id)).or_default().push(seen);
            }
        }
        for ((path, event_id), times) in came {
            for pair in times.windows(2) {
                let (first, second) = (pair[0], pair[1]);
                let what = format!("{event_id} for {path}");
                if first.header("apns-id") != second.header("apns-id") {
                    // Apple could not even see that it is the same.
                    self.doubles.unexplained.push(format!("{what}, renamed"));
                    continue;
                }
                let mut between = breaks
                    .iter()
                    .filter(|one| first.at <= one.until && second.at >= one.from);
                match between.next() {
                    None => self.doubles.unexplained.push(what),
                    Some(one) => self.doubles.explain(first, one),
                }
            }
        }
    }

    /// Whether nothing is lost and all devices show the right count.
    pub(super) fn is_good(&self) -> bool {
        let mut badges = self.badges.values();
        self.lost.is_empty() && badges.all(|(shown, counted)| *shown == Some(*counted))
    }

    /// Fails the test if something came twice for no reason.
    pub(super) fn assert_nothing_came_twice(&self) {
        let unexplained = &self.doubles.unexplained;
        assert!(unexplained.is_empty(), "came twice: {unexplained:#?}");
    }

    /// What belongs into the test's output.
    pub(super) fn figures(&self, seen: &[Seen]) -> String {
        let mut answers: BTreeMap<u16, usize> = BTreeMap::new();
        for seen in seen {
            *answers.entry(seen.said).or_default() += 1;
        }
        let doubles = &self.doubles;
        let mut text = String::new();
        let _ = writeln!(
            text,
            "asked of the provider, by its answer (0: none): {answers:?}"
        );
        let _ = writeln!(
            text,
            "of high priority: {} told, {} for which a later one of the room stands, {} read before, {} lost",
            self.told,
            self.coalesced,
            self.read,
            self.lost.len(),
        );
        let _ = write!(
            text,
            "came twice: {} whose answer was not given at the break, {} whose answer was given {:?} before it at the earliest and not noted yet, {} otherwise",
            doubles.unanswered,
            doubles.unnoted,
            doubles.unnoted_for,
            doubles.unexplained.len(),
        );
        text
    }
}

impl Doubles {
    fn explain(&mut self, first: &Seen, one: &Break) {
        match first.answered {
            Some(answered) if answered < one.from => {
                self.unnoted += 1;
                let before = one.from.duration_since(answered);
                self.unnoted_for = self.unnoted_for.max(before);
            }
            _ => self.unanswered += 1,
        }
    }
}

fn event_of(seen: &Seen) -> Option<String> {
    let payload = seen.json();
    payload["event_id"].as_str().map(ToOwned::to_owned)
}
