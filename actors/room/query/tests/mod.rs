//! A room and its log made by hand, asked through the front door.

mod branches;
mod gaps;
mod paging;
mod peer;
mod reading;
mod slices;
mod visibility;

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use futures_util::FutureExt as _;
use parking_lot::Mutex;
use playhouse_schema::{
    address::{Entity, Family, Layout, Position, Sequence, Shard, ShardNumber},
    port::{
        ChainedRecord, CursorAdvance, EntityHead, EntityRange, Head, LogAppender, LogStore,
        ModelStore, Row, Snapshot, Statement, StoreFuture, StoredRecord,
    },
    record::{
        ERASURE,
        codec::Record as _,
        room::{EventRecord, Placement, ReceiptMoved, RoomRecord, Transaction, Verdict},
    },
};
use ruma::{OwnedUserId, RoomId, UserId};
use serde_json::{Value, json};

use super::{
    super::{
        super::kernel::{
            Domain as _,
            parcel::{across, crossed},
        },
        context::Folded,
        error::RoomError,
        message::{
            EventFormat, MessagesPage, MessagesQuery, Reader, RoomAnswer, RoomQuery, RoomSlice,
            SliceQuery, TimelinePoint,
        },
        snapshot,
        state::Room,
    },
    View, answer_from,
    history::Archive,
};

const NOW_MS: u64 = 2_000_000;

/// The log of one room.
#[derive(Default)]
pub(in crate::room) struct PaperLog {
    records: Mutex<Vec<StoredRecord>>,
    reads: AtomicUsize,
}

impl Folded for PaperLog {
    fn folded(&self, _: &'static str, _: Shard) -> Position {
        0
    }
}

impl PaperLog {
    fn read(&self, wanted: impl Fn(&StoredRecord) -> bool) -> Vec<StoredRecord> {
        self.reads.fetch_add(1, Ordering::SeqCst);
        let records = self.records.lock();
        records
            .iter()
            .filter(|stored| wanted(stored))
            .cloned()
            .collect()
    }
}

impl LogStore for PaperLog {
    fn layout(&self) -> Layout {
        Layout::default()
    }

    fn appenders(&self, _family: Family) -> usize {
        1
    }

    fn open_appender(&self, _: Family, _: usize) -> StoreFuture<'_, Box<dyn LogAppender>> {
        unreachable!("queries do not write")
    }

    fn heads(&self, _: Family) -> StoreFuture<'_, Vec<Head>> {
        unreachable!("queries read their room only")
    }

    fn read_entity<'a>(
        &'a self,
        entity: &'a Entity,
        range: EntityRange,
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        let mut found = self.read(|stored| {
            stored.entity == *entity && (range.from..=range.to).contains(&stored.sequence)
        });
        if range.backwards {
            found.reverse();
        }
        found.truncate(range.limit);
        Box::pin(async { Ok(found) })
    }

    fn read_some<'a>(
        &'a self,
        entity: &'a Entity,
        sequences: &'a [Sequence],
    ) -> StoreFuture<'a, Vec<StoredRecord>> {
        let found =
            self.read(|stored| stored.entity == *entity && sequences.contains(&stored.sequence));
        Box::pin(async { Ok(found) })
    }

    fn entity_heads<'a>(&'a self, _: &'a [Entity]) -> StoreFuture<'a, Vec<Option<EntityHead>>> {
        unreachable!("queries know their room's head")
    }

    fn find<'a>(&'a self, _: Family, key: &'a str) -> StoreFuture<'a, Option<StoredRecord>> {
        let found = self.read(|stored| stored.key.as_deref() == Some(key));
        Box::pin(async { Ok(found.into_iter().next_back()) })
    }

    fn read_shard(&self, _: Shard, _: Position, _: usize) -> StoreFuture<'_, Vec<StoredRecord>> {
        unreachable!("queries read their room only")
    }

    fn read_chain(&self, _: Shard, _: Position, _: usize) -> StoreFuture<'_, Vec<ChainedRecord>> {
        unreachable!("queries read their room only")
    }

    fn load_snapshot<'a>(&'a self, _: &'a Entity) -> StoreFuture<'a, Option<Snapshot>> {
        unreachable!("queries do not wake")
    }

    fn save_snapshot<'a>(&'a self, _: &'a Entity, _: Snapshot) -> StoreFuture<'a, ()> {
        unreachable!("queries do not write")
    }

    fn drop_snapshot<'a>(&'a self, _: &'a Entity) -> StoreFuture<'a, ()> {
        unreachable!("queries do not write")
    }

    fn scrub(&self) -> StoreFuture<'_, ()> {
        unreachable!("queries do not write")
    }

    fn drop_snapshots(&self) -> StoreFuture<'_, ()> {
        unreachable!("queries do not write")
    }

    fn models(&self) -> Arc<dyn ModelStore> {
        Arc::new(BlankModels)
    }

    fn size_bytes(&self) -> StoreFuture<'_, u64> {
        unreachable!("queries do not measure")
    }
}

/// Read models that have not begun: what they would tell is read from the log.
struct BlankModels;

impl ModelStore for BlankModels {
    fn create<'a>(&'a self, _: &'a [&'static str]) -> StoreFuture<'a, ()> {
        unreachable!("queries do not write")
    }

    fn apply<'a>(&'a self, _: Vec<Statement>, _: Vec<CursorAdvance>) -> StoreFuture<'a, ()> {
        unreachable!("queries do not write")
    }

    fn query<'a>(&'a self, _: Statement) -> StoreFuture<'a, Vec<Row>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn cursors<'a>(
        &'a self,
        _: &'a str,
        _: Family,
    ) -> StoreFuture<'a, Vec<(ShardNumber, Position)>> {
        Box::pin(async { Ok(Vec::new()) })
    }

    fn drop_model<'a>(
        &'a self,
        _: &'static str,
        _: &'static [&'static str],
    ) -> StoreFuture<'a, ()> {
        unreachable!("queries do not write")
    }
}

/// A room, its log, and nobody who checks what is written.
pub(in crate::room) struct World {
    pub(in crate::room) room: Room,
    log: Arc<PaperLog>,
    /// The events, by sequence.
    events: Vec<(Sequence, Value)>,
}

fn user(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:x")).unwrap()
}

fn reader(name: &str) -> Reader {
    Reader {
        user_id: user(name),
        device_id: Some("DEVICE".to_owned()),
        ignored: Vec::new(),
        forgotten: None,
        sees_all: false,
    }
}

fn id(sequence: Sequence) -> String {
    format!("$e{sequence}")
}

/// What waits for nothing, and lets others go on in between.
pub(in crate::room) fn at_once<T>(asked: impl Future<Output = T>) -> T {
    let mut asked = std::pin::pin!(asked);
    let mut turns = (0..10_000).filter_map(|_| asked.as_mut().now_or_never());
    turns.next().expect("the log answers at once")
}

impl World {
    /// Nothing yet.
    pub(in crate::room) fn empty() -> Self {
        let room_id = RoomId::parse("!room:x").unwrap();
        Self {
            room: Room::nothing(room_id),
            log: Arc::default(),
            events: Vec::new(),
        }
    }

    /// Made and joined by alice.
    fn new() -> Self {
        let mut world = Self::empty();
        world.state(
            "alice",
            "m.room.create",
            "",
            json!({"room_version": "10", "creator": "@alice:x"}),
        );
        world.member("alice", "join");
        world
    }

    pub(in crate::room) fn next(&self) -> Sequence {
        self.log.records.lock().len() as u64 + 1
    }

    fn position(sequence: Sequence) -> Position {
        sequence * 10
    }

    pub(in crate::room) fn write(&mut self, record: &RoomRecord) -> Sequence {
        let sequence = self.next();
        let position = Self::position(sequence);
        let entity = Entity::room(self.room.room_id.as_str());
        self.log.records.lock().push(StoredRecord {
            shard: Layout::default().shard_of(&entity),
            position,
            entity,
            sequence,
            kind: record.kind(),
            key: record.key().map(Into::into),
            epoch: 1,
            at_ms: 0,
            payload: record.encode(),
        });
        self.room.take_in(sequence, position, record);
        sequence
    }

    /// Puts other bytes in the place of a record, as the store does.
    pub(in crate::room) fn erase(&mut self, target: Sequence, payload: Bytes) {
        let note = self.next();
        let mut records = self.log.records.lock();
        let at = target as usize - 1;
        records[at].payload = payload.clone();
        let noted = StoredRecord {
            sequence: note,
            position: Self::position(note),
            kind: ERASURE,
            key: None,
            payload: Bytes::new(),
            ..records[at].clone()
        };
        records.push(noted);
        drop(records);
        self.room.erased(note, Some((target, &payload)));
    }

    /// The room as its log tells it.
    pub(in crate::room) fn replayed(&self) -> Room {
        let mut room = Room::nothing(self.room.room_id.clone());
        for stored in self.log.records.lock().iter() {
            if let Some(record) = RoomRecord::decode(stored).unwrap() {
                room.take_in(stored.sequence, stored.position, &record);
            }
        }
        self.hydrated(room)
    }

    /// The room as a snapshot of it tells it.
    pub(in crate::room) fn restored(&self) -> Room {
        let snapshot = Snapshot {
            version: snapshot::VERSION,
            sequence: self.room.sequence,
            payload: snapshot::encode(&self.room),
        };
        let entity = Entity::room(self.room.room_id.as_str());
        self.hydrated(snapshot::decode(&entity, &snapshot).unwrap())
    }

    fn hydrated(&self, mut room: Room) -> Room {
        let hydrated = snapshot::hydrate(&mut room, &*self.log).now_or_never();
        hydrated.expect("the log answers at once").unwrap();
        room
    }

    fn event(&mut self, sender: &str, fields: Value) -> Sequence {
        let sequence = self.next();
        let mut pdu = json!({
            "room_id": "!room:x", "sender": user(sender), "origin_server_ts": 1_000_000 + sequence,
            "depth": sequence, "prev_events": [], "auth_events": [],
        });
        let object = pdu.as_object_mut().unwrap();
        object.extend(fields.as_object().unwrap().clone());
        let replaces = object.get("state_key").and_then(|state_key| {
            let key = (
                object["type"].as_str()?.into(),
                state_key.as_str()?.to_owned(),
            );
            self.room.current.get(&key).map(|event| event.sequence)
        });
        self.events.push((sequence, pdu.clone()));
        self.write(&RoomRecord::Event(EventRecord {
            event_id: id(sequence),
            pdu: pdu.to_string().into_bytes().into(),
            before: self.room.current_id,
            replaces,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            transaction: Some(Transaction {
                user_id: user(sender).to_string(),
                device_id: "DEVICE".to_owned(),
                transaction_id: format!("send/t{sequence}"),
            }),
            from: None,
        }))
    }

    fn state(&mut self, sender: &str, event_type: &str, key: &str, content: Value) -> Sequence {
        self.event(
            sender,
            json!({"type": event_type, "state_key": key, "content": content}),
        )
    }

    fn member(&mut self, name: &str, membership: &str) -> Sequence {
        let content = json!({"membership": membership, "displayname": name});
        self.state(name, "m.room.member", user(name).as_str(), content)
    }

    fn visibility(&mut self, value: &str) -> Sequence {
        let content = json!({"history_visibility": value});
        self.state("alice", "m.room.history_visibility", "", content)
    }

    fn message(&mut self, sender: &str) -> Sequence {
        let content = json!({"msgtype": "m.text", "body": "hello"});
        self.event(
            sender,
            json!({"type": "m.room.message", "content": content}),
        )
    }

    fn receipt(&mut self, name: &str, kind: &str, thread: Option<&str>, at: Sequence) {
        self.write(&RoomRecord::ReceiptMoved(ReceiptMoved {
            user_id: user(name).to_string(),
            receipt_type: kind.to_owned(),
            thread_id: thread.map(str::to_owned),
            event_id: id(at),
            ts_ms: 5,
        }));
    }

    /// Leaves only the newest events at hand.
    fn shrink(&mut self, window: usize) {
        while self.room.recent.len() > window {
            self.room.recent.pop_front();
        }
    }

    fn head(&self) -> Position {
        Self::position(self.next() - 1)
    }

    pub(in crate::room) fn archive(&self) -> Archive {
        Archive {
            store: self.log.clone(),
            models: self.log.clone(),
        }
    }

    fn reads(&self) -> usize {
        self.log.reads.load(Ordering::SeqCst)
    }

    fn ask(&self, query: RoomQuery) -> Result<RoomAnswer, RoomError> {
        let room = Arc::new(self.room.clone());
        let mut view = View::new(room, self.next() - 1, self.archive(), NOW_MS);
        view.typing = vec![user("carol")];
        across(at_once(answer_from(view, crossed(&query))))
    }

    fn events_of(&self, query: RoomQuery) -> Result<Vec<Value>, RoomError> {
        match self.ask(query)? {
            RoomAnswer::Events(events) => Ok(events.iter().map(|event| parse(event)).collect()),
            other => panic!("events expected, not {other:?}"),
        }
    }

    fn slice(&self, query: SliceQuery) -> RoomSlice {
        match self.ask(RoomQuery::Slice(Box::new(query))).unwrap() {
            RoomAnswer::Slice(slice) => *slice,
            other => panic!("a slice expected, not {other:?}"),
        }
    }

    fn page(&self, query: MessagesQuery) -> Result<MessagesPage, RoomError> {
        match self.ask(RoomQuery::Messages(Box::new(query)))? {
            RoomAnswer::Page(page) => Ok(*page),
            other => panic!("a page expected, not {other:?}"),
        }
    }

    /// Pages back from a point, to the end of what there is.
    fn page_back(&self, name: &str, from: Option<Sequence>, limit: usize) -> Vec<Sequence> {
        let mut seen = Vec::new();
        let mut from = from.map(TimelinePoint::Sequence);
        loop {
            let page = self
                .page(MessagesQuery {
                    reader: reader(name),
                    from,
                    to: None,
                    backwards: true,
                    limit,
                    filter: None,
                })
                .unwrap();
            seen.extend(sequences(&page.chunk));
            let Some(end) = page.end else { return seen };
            from = Some(end.into());
        }
    }
}

fn slice_of(name: &str, since: Option<Position>, until: Position) -> SliceQuery {
    SliceQuery {
        reader: reader(name),
        since,
        until,
        filter: None,
        full_state: false,
        state_after: false,
        known_members: Vec::new(),
        typing: false,
        format: EventFormat::Client,
        window: None,
    }
}

fn parse(event: &[u8]) -> Value {
    serde_json::from_slice(event).expect("answers are JSON")
}

fn sequence(event: &Value) -> Sequence {
    event["event_id"].as_str().unwrap()[2..].parse().unwrap()
}

fn sequences(events: &[Bytes]) -> Vec<Sequence> {
    events.iter().map(|event| sequence(&parse(event))).collect()
}
