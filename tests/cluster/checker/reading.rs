//! Rules (c), (d) and (h): what readers were told, token by token.
//!
//! The requests of a reader make a chain: each begins where the one before it ended. A request with an older token of the chain is a branch: it must
//! tell what came after that token, and the chain goes on as if it had not been asked. A request without a token begins a new chain.

use std::collections::{HashMap, HashSet};

use super::{
    loaded::{Loaded, Name, Step, Told},
    report::{Report, Rule, Scene},
    sends::Sent,
};

/// Checks what every reader was told.
pub(super) fn check(loaded: &Loaded, sent: &HashMap<Name, Sent>, report: &mut Report) {
    let last = last_acknowledged(loaded, sent);
    for (client, steps) in loaded.syncs() {
        let mut reader = Reader::new(loaded, client);
        for (number, step) in steps.into_iter().enumerate() {
            reader.step(number, step, report);
        }
        reader.end(&last, report);
    }
}

/// The place of the last event of each room that a writer was told of.
fn last_acknowledged(loaded: &Loaded, sent: &HashMap<Name, Sent>) -> HashMap<Name, u32> {
    let mut last: HashMap<Name, u32> = HashMap::new();
    for (event, _) in sent.values().filter_map(|sent| sent.acked) {
        if let Some(place) = loaded.place(event) {
            let index = last.entry(place.room).or_insert(place.index);
            *index = place.index.max(*index);
        }
    }
    last
}

/// From where a request goes on.
#[derive(Clone, Copy)]
enum Base {
    /// From the chain's end.
    Head,
    /// From the token of an earlier answer: the number of that request.
    Earlier(usize),
    /// From a token that a branch was told.
    Unknown,
}

/// An event that a room's reader is told.
struct Look<'a> {
    told: &'a Told,
    /// So far the room had been told.
    before: u32,
    /// There the event stands.
    index: u32,
    /// Whether the answer says that there is a gap before it.
    may_leap: bool,
    /// Whether the chain has been told it already.
    was_told: bool,
}

struct Reader<'a> {
    loaded: &'a Loaded,
    client: Name,
    /// The token at the chain's end.
    head: Option<Name>,
    /// The numbers of the requests that were answered with these tokens.
    tokens: HashMap<Name, usize>,
    /// How far each room had been told, by the number of the request.
    positions: HashMap<Name, Vec<(usize, u32)>>,
    /// All events that the chain was told.
    told: HashSet<Name>,
}

impl<'a> Reader<'a> {
    fn new(loaded: &'a Loaded, client: Name) -> Self {
        Self {
            loaded,
            client,
            head: None,
            tokens: HashMap::new(),
            positions: HashMap::new(),
            told: HashSet::new(),
        }
    }

    fn scene(&self, room: Option<Name>) -> Scene<'a> {
        Scene {
            loaded: self.loaded,
            client: Some(self.client),
            room,
        }
    }

    fn step(&mut self, number: usize, step: &Step, report: &mut Report) {
        if !step.is_done() {
            let is_refused = step
                .status
                .is_some_and(|status| (400..500).contains(&status) && status != 429);
            if let Some(since) = step.since.filter(|_| is_refused) {
                report.add(
                    self.scene(None),
                    Rule::Token,
                    "a token was refused",
                    [since],
                );
            }
            return;
        }
        let Some(since) = step.since else {
            *self = Self::new(self.loaded, self.client);
            self.advance(number, step, report);
            return;
        };
        if self.head == Some(since) {
            self.advance(number, step, report);
        } else {
            let earlier = self.tokens.get(&since).copied();
            self.walk(step, earlier.map_or(Base::Unknown, Base::Earlier), report);
        }
    }

    fn advance(&mut self, number: usize, step: &Step, report: &mut Report) {
        let reached = self.walk(step, Base::Head, report);
        for (room, index) in reached {
            self.positions
                .entry(room)
                .or_default()
                .push((number, index));
        }
        self.told.extend(step.events.iter().map(|told| told.event));
        match step.next {
            Some(next) => {
                self.head = Some(next);
                self.tokens.insert(next, number);
            }
            None => report.add(self.scene(None), Rule::Token, "no token was answered", []),
        }
    }

    /// Goes through the timelines of an answer; gives how far each of their rooms is told then.
    fn walk(&self, step: &Step, base: Base, report: &mut Report) -> HashMap<Name, u32> {
        let mut reached: HashMap<Name, u32> = HashMap::new();
        let mut fresh: HashSet<Name> = HashSet::new();
        for told in &step.events {
            let place = self.loaded.place(told.event);
            let Some(place) = place.filter(|place| place.room == told.room) else {
                let text = "told, but not there at the end";
                let scene = self.scene(Some(told.room));
                report.add(scene, Rule::SameOrder, text, [told.event]);
                continue;
            };
            let here = reached.get(&told.room).copied();
            let before = here.or_else(|| self.position(told.room, base));
            let is_new = fresh.insert(told.event);
            if let Some(before) = before {
                let look = Look {
                    told,
                    before,
                    index: place.index,
                    may_leap: here.is_none() && step.limited.contains(&told.room),
                    was_told: !is_new || self.told.contains(&told.event),
                };
                self.judge(&look, base, report);
            }
            let furthest = before.map_or(place.index, |before| before.max(place.index));
            reached.insert(told.room, furthest);
        }
        reached
    }

    fn judge(&self, look: &Look<'_>, base: Base, report: &mut Report) {
        let rule = |rule| match base {
            Base::Head => rule,
            Base::Earlier(_) | Base::Unknown => Rule::Token,
        };
        let room = look.told.room;
        let scene = self.scene(Some(room));
        if look.index <= look.before {
            let (broken, text) = if look.was_told {
                (Rule::NoGap, "told again")
            } else {
                (Rule::SameOrder, "told behind what stands behind it")
            };
            report.add(scene, rule(broken), text, [look.told.event]);
        } else if look.index > look.before + 1 && !look.may_leap {
            let missing = &self.loaded.rooms[&room][look.before as usize + 1..look.index as usize];
            let text = "left out between two tokens, or within a timeline";
            let events = missing.iter().map(|told| told.event);
            report.add(scene, rule(Rule::NoGap), text, events);
        }
    }

    fn position(&self, room: Name, base: Base) -> Option<u32> {
        let positions = self.positions.get(&room)?;
        match base {
            Base::Head => positions.last().map(|(_, index)| *index),
            Base::Earlier(number) => {
                let known = positions.partition_point(|(at, _)| *at <= number);
                Some(positions[known.checked_sub(1)?].1)
            }
            Base::Unknown => None,
        }
    }

    fn end(&self, last: &HashMap<Name, u32>, report: &mut Report) {
        let mut rooms: Vec<_> = self.positions.keys().copied().collect();
        rooms.sort_unstable();
        for room in rooms {
            let (Some(told), Some(last)) = (self.position(room, Base::Head), last.get(&room))
            else {
                continue;
            };
            if told < *last {
                let missing = &self.loaded.rooms[&room][told as usize + 1..=*last as usize];
                let text = "acknowledged and never told to this reader";
                let events = missing.iter().map(|told| told.event);
                report.add(self.scene(Some(room)), Rule::NoGap, text, events);
            }
        }
    }
}
