//! A history in memory: every name stands once, lines hold numbers.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    path::Path,
    sync::Arc,
};

use super::line::{Line, Op, Seen, read_history, read_rooms};

/// A client, room, event, transaction or token.
pub(crate) type Name = u32;

/// All names.
#[derive(Default)]
struct Names {
    texts: Vec<Arc<str>>,
    numbers: HashMap<Arc<str>, Name>,
}

impl Names {
    fn number(&mut self, text: &str) -> Name {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = Name::try_from(self.texts.len()).expect("fewer names than numbers");
        let text: Arc<str> = text.into();
        self.texts.push(text.clone());
        self.numbers.insert(text, number);
        number
    }

    fn numbers(&mut self, texts: &[String]) -> Box<[Name]> {
        texts.iter().map(|text| self.number(text)).collect()
    }

    fn maybe(&mut self, text: Option<&String>) -> Option<Name> {
        text.map(|text| self.number(text))
    }
}

/// An event that a reader was told, or that stands in a room at the end.
#[derive(Clone, Copy)]
pub(crate) struct Told {
    /// Its room.
    pub(crate) room: Name,
    /// Its ID.
    pub(crate) event: Name,
    /// Its transaction.
    pub(crate) txn: Option<Name>,
}

/// A [`Line`] with numbers.
pub(crate) struct Step {
    /// Who asked.
    pub(crate) client: Name,
    /// What for.
    pub(crate) op: Op,
    /// The room.
    pub(crate) room: Option<Name>,
    /// The transaction.
    pub(crate) txn: Option<Name>,
    /// When it was asked.
    pub(crate) start_ns: u64,
    /// When it was answered or given up.
    pub(crate) end_ns: u64,
    /// The answer's status.
    pub(crate) status: Option<u16>,
    /// The event ID that was answered.
    pub(crate) event: Option<Name>,
    /// The token from which was synced.
    pub(crate) since: Option<Name>,
    /// The token that was answered.
    pub(crate) next: Option<Name>,
    /// The timelines.
    pub(crate) events: Box<[Told]>,
    /// The rooms with a gap.
    pub(crate) limited: Box<[Name]>,
    /// The message to devices that must be there before.
    pub(crate) follows: Option<Name>,
    /// The receivers of a message to devices.
    pub(crate) to: Box<[Name]>,
    /// The messages to devices that were answered.
    pub(crate) to_device: Box<[Name]>,
}

impl Step {
    /// Whether the answer says that it was done.
    pub(crate) fn is_done(&self) -> bool {
        self.status
            .is_some_and(|status| (200..300).contains(&status))
    }
}

/// Where an event stands in the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Its room.
    pub(crate) room: Name,
    /// Its place in the room's order.
    pub(crate) index: u32,
}

/// A whole history with the rooms at its end.
#[derive(Default)]
pub(crate) struct Loaded {
    names: Names,
    /// All requests.
    pub(crate) steps: Vec<Step>,
    /// What each room holds at the end, oldest first.
    pub(crate) rooms: HashMap<Name, Vec<Told>>,
    places: HashMap<Name, Place>,
    /// Events that `/messages` told more than once.
    pub(crate) doubled: Vec<Told>,
}

impl Loaded {
    /// Adds the lines of a file.
    pub(crate) fn read(&mut self, path: &Path) -> io::Result<()> {
        read_history(path, |line| self.add(line))
    }

    /// Adds the rooms of a file.
    pub(crate) fn read_rooms(&mut self, path: &Path) -> io::Result<()> {
        read_rooms(path, |room, events| self.add_room(room, events))
    }

    /// Adds a line.
    fn add(&mut self, line: &Line) {
        let names = &mut self.names;
        let step = Step {
            client: names.number(&line.client),
            op: line.op,
            room: names.maybe(line.room.as_ref()),
            txn: names.maybe(line.txn.as_ref()),
            start_ns: line.start_ns,
            end_ns: line.end_ns,
            status: line.status,
            event: names.maybe(line.event_id.as_ref()),
            since: names.maybe(line.since.as_ref()),
            next: names.maybe(line.next.as_ref()),
            events: line.events.iter().map(|seen| told(names, seen)).collect(),
            limited: names.numbers(&line.limited),
            follows: names.maybe(line.follows.as_ref()),
            to: names.numbers(&line.to),
            to_device: names.numbers(&line.to_device),
        };
        self.steps.push(step);
    }

    /// Adds what a room holds at the end.
    fn add_room(&mut self, room: &str, events: &[Seen]) {
        let room = self.names.number(room);
        let mut order = Vec::with_capacity(events.len());
        for seen in events {
            let told = Told {
                room,
                ..told(&mut self.names, seen)
            };
            let index = u32::try_from(order.len()).expect("fewer events than numbers");
            match self.places.entry(told.event) {
                Entry::Occupied(_) => self.doubled.push(told),
                Entry::Vacant(free) => {
                    free.insert(Place { room, index });
                }
            }
            order.push(told);
        }
        self.rooms.insert(room, order);
    }

    /// A name as text.
    pub(crate) fn text(&self, name: Name) -> &str {
        &self.names.texts[name as usize]
    }

    /// Where an event stands in the end.
    pub(crate) fn place(&self, event: Name) -> Option<Place> {
        self.places.get(&event).copied()
    }

    /// The syncs of each client in the order in which they were asked.
    pub(crate) fn syncs(&self) -> Vec<(Name, Vec<&Step>)> {
        let mut clients: HashMap<Name, Vec<&Step>> = HashMap::new();
        for step in self.steps.iter().filter(|step| step.op == Op::Sync) {
            clients.entry(step.client).or_default().push(step);
        }
        let mut clients: Vec<_> = clients.into_iter().collect();
        clients.sort_by_key(|(client, _)| *client);
        for (_, steps) in &mut clients {
            steps.sort_by_key(|step| step.start_ns);
        }
        clients
    }
}

fn told(names: &mut Names, seen: &Seen) -> Told {
    Told {
        room: names.number(&seen.room),
        event: names.number(&seen.id),
        txn: names.maybe(seen.txn.as_ref()),
    }
}
