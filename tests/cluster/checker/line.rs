//! How histories are written: one line of JSON for each request.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead as _, BufReader, BufWriter, Write as _},
    path::Path,
    time::Instant,
};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// What a request was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Op {
    /// A message.
    Send,
    /// `/sync`, or sliding sync.
    Sync,
    /// State. It has no transaction: who sets it gives it a name that nobody else uses.
    State,
    /// A redaction.
    Redact,
    /// Messages to devices.
    ToDevice,
}

impl Op {
    /// Whether it brings an event into a room.
    pub(crate) fn writes(self) -> bool {
        matches!(self, Op::Send | Op::State | Op::Redact)
    }
}

/// An event as a client was told it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The room ID.
    pub(crate) room: String,
    /// The event ID.
    pub(crate) id: String,
    /// Who sent it.
    pub(crate) sender: String,
    /// The transaction, which the content tells; absent for what no writer of the test sent, and for what was redacted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<String>,
}

/// One request and its answer. A repeat of a request is a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Line {
    /// Who asked: a name for each device.
    pub(crate) client: String,
    /// What for.
    pub(crate) op: Op,
    /// The room, for what is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) room: Option<String>,
    /// The transaction. No two clients use the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) txn: Option<String>,
    /// When it was asked, by one clock for all clients.
    pub(crate) start_ns: u64,
    /// When the answer was there, or when it was given up.
    pub(crate) end_ns: u64,
    /// The answer's status; absent when there was no whole answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) status: Option<u16>,
    /// The event ID that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) event_id: Option<String>,
    /// The token from which was synced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) since: Option<String>,
    /// The token that was answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) next: Option<String>,
    /// The timelines that were answered, each room's in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) events: Vec<Seen>,
    /// The rooms whose timelines begin behind a gap.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) limited: Vec<String>,
    /// For an event: the transaction of the message to devices that was acknowledged before and must be there before it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) follows: Option<String>,
    /// For a message to devices: the clients that it is for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) to: Vec<String>,
    /// For a sync: the transactions of the messages to this device that were answered.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) to_device: Vec<String>,
}

impl Line {
    /// A request of which nothing else is known yet.
    pub(crate) fn new(client: &str, op: Op, start_ns: u64) -> Self {
        Self {
            client: client.to_owned(),
            op,
            room: None,
            txn: None,
            start_ns,
            end_ns: start_ns,
            status: None,
            event_id: None,
            since: None,
            next: None,
            events: Vec::new(),
            limited: Vec::new(),
            follows: None,
            to: Vec::new(),
            to_device: Vec::new(),
        }
    }
}

/// All events of each room at the end, as `/messages` tells them, oldest first.
pub(crate) type Rooms = BTreeMap<String, Vec<Seen>>;

/// One room of [`Rooms`], as a line.
#[derive(Serialize, Deserialize)]
struct RoomLine {
    room: String,
    events: Vec<Seen>,
}

/// A history that is being written, by as many tasks as there are.
pub(crate) struct History {
    output: Mutex<BufWriter<File>>,
    begun: Instant,
}

impl History {
    /// Begins a history in a file.
    pub(crate) fn create(path: &Path) -> io::Result<Self> {
        Ok(Self {
            output: Mutex::new(BufWriter::with_capacity(1 << 18, File::create(path)?)),
            begun: Instant::now(),
        })
    }

    /// The time by the clock of this history.
    pub(crate) fn now_ns(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_nanos()).expect("no test runs for centuries")
    }

    /// Adds a line.
    pub(crate) fn record(&self, line: &Line) {
        let mut text = serde_json::to_vec(line).expect("a line is JSON");
        text.push(b'\n');
        let written = self.output.lock().write_all(&text);
        written.expect("the history can be written");
    }

    /// Writes what is still held back.
    pub(crate) fn flush(&self) {
        let written = self.output.lock().flush();
        written.expect("the history can be written");
    }
}

/// Writes what the rooms hold at the end.
pub(crate) fn write_rooms(path: &Path, rooms: &Rooms) -> io::Result<()> {
    let mut output = BufWriter::new(File::create(path)?);
    for (room, events) in rooms {
        let line = RoomLine {
            room: room.clone(),
            events: events.clone(),
        };
        serde_json::to_writer(&mut output, &line)?;
        output.write_all(b"\n")?;
    }
    output.flush()
}

/// Reads what the rooms held at the end, room by room.
pub(crate) fn read_rooms(path: &Path, mut each: impl FnMut(&str, &[Seen])) -> io::Result<()> {
    read_lines(path, |line: &RoomLine| each(&line.room, &line.events))
}

/// Reads a history, line by line.
pub(crate) fn read_history(path: &Path, each: impl FnMut(&Line)) -> io::Result<()> {
    read_lines(path, each)
}

fn read_lines<T: DeserializeOwned>(path: &Path, mut each: impl FnMut(&T)) -> io::Result<()> {
    let mut input = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut text = Vec::new();
    loop {
        text.clear();
        if input.read_until(b'\n', &mut text)? == 0 {
            return Ok(());
        }
        each(&serde_json::from_slice(&text)?);
    }
}
