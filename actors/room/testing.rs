//! A room for tests: fixed clock, seeded randomness, a fixed key, and a log in memory.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use playhouse_schema::{
    address::{Entity, Layout, Sequence},
    port::StoredRecord,
    record::{codec::Record as _, room::RoomRecord},
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    events::{StateEventType, TimelineEventType},
};

use super::{
    Room, RoomCommand, RoomError, RoomReply,
    create::prepare,
    domain::decide,
    event::RoomEvent,
    message::{
        ChangeMembership, MemberProfile, MembershipAction, NewRoom, Preset, Redact,
        RedactionTarget, SendEvent,
    },
};
use crate::{
    env::{Clock, Env, Identity, Randomness, Signer},
    kernel::{Domain as _, parcel::crossed},
};

/// A clock that advances by one millisecond a look.
pub(crate) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Randomness from a seed; not random at all.
pub(crate) struct Seeded(AtomicU64);

impl Randomness for Seeded {
    fn fill(&self, buffer: &mut [u8]) {
        for byte in buffer {
            let state = self
                .0
                .fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed)
                .wrapping_mul(0xbf58_476d_1ce4_e5b9);
            *byte = (state ^ (state >> 31)) as u8;
        }
    }
}

/// The environment of the server `localhost`.
pub(crate) fn env() -> Env {
    Env {
        clock: Arc::new(Ticking(AtomicU64::new(1_700_000_000_000))),
        randomness: Arc::new(Seeded(AtomicU64::new(42))),
        identity: Arc::new(Identity {
            server_name: "localhost".try_into().unwrap(),
            signer: Signer::from_seed("1", &[7; 32]).unwrap(),
        }),
        network: Arc::new(crate::network::NoNetwork),
    }
}

pub(crate) fn user(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:localhost")).unwrap()
}

pub(crate) fn new_room(version: RoomVersionId, creator: &str, preset: Preset) -> NewRoom {
    NewRoom {
        creator: user(creator),
        creator_profile: MemberProfile::default(),
        version,
        creation_content: None,
        preset,
        power_level_content_override: None,
        alias: None,
        initial_state: Vec::new(),
        name: None,
        topic: None,
        invites: Vec::new(),
        is_direct: false,
        public: false,
    }
}

pub(crate) fn message(sender: &str, body: &str) -> SendEvent {
    SendEvent::new(
        user(sender),
        TimelineEventType::RoomMessage,
        format!(r#"{{"msgtype":"m.text","body":"{body}"}}"#),
    )
}

pub(crate) fn state(sender: &str, event_type: &str, state_key: &str, content: &str) -> SendEvent {
    SendEvent {
        event_type: event_type.into(),
        state_key: Some(state_key.to_owned()),
        content: content.to_owned(),
        ..message(sender, "")
    }
}

pub(crate) fn redaction(sender: &str, redacts: &OwnedEventId) -> SendEvent {
    SendEvent {
        event_type: TimelineEventType::RoomRedaction,
        content: "{}".to_owned(),
        redacts: Some(redacts.clone()),
        ..message(sender, "")
    }
}

pub(crate) fn change(sender: &str, target: &str, action: MembershipAction) -> ChangeMembership {
    ChangeMembership {
        sender: user(sender),
        target: user(target),
        action,
        reason: None,
        profile: MemberProfile::default(),
        extra_content: None,
        restriction_met: false,
        guest: false,
    }
}

/// A room with its log.
pub(crate) struct Stage {
    pub(crate) env: Env,
    pub(crate) room: Room,
    /// What the store holds: erased payloads are replaced, erasures have records of their own.
    pub(crate) log: Vec<StoredRecord>,
}

impl Stage {
    /// A room before its first record.
    pub(crate) fn empty(room_id: OwnedRoomId, env: Env) -> Self {
        Self {
            env,
            room: Room::nothing(room_id),
            log: Vec::new(),
        }
    }

    /// A room of the version, made by `@alice:localhost`.
    pub(crate) fn of(version: RoomVersionId, preset: Preset) -> Self {
        Self::created(new_room(version, "alice", preset)).unwrap()
    }

    pub(crate) fn created(new: NewRoom) -> Result<Self, RoomError> {
        let env = env();
        let (room_id, create) = prepare(&env, new)?;
        let mut stage = Self::empty(room_id, env);
        stage.run(RoomCommand::Create(Box::new(create)))?;
        Ok(stage)
    }

    /// Decides, applies and commits as the kernel does.
    pub(crate) fn run(&mut self, command: RoomCommand) -> Result<RoomReply, RoomError> {
        let command = crossed(&command);
        let decision = decide(&self.room, command, &self.env)?;
        let first = self.room.sequence + 1;
        for record in &decision.records {
            let sequence = self.room.sequence + 1;
            self.room.apply(sequence, 0, record);
            self.store(record.kind(), record.key(), sequence, record.encode());
        }
        for (target, payload) in decision.erasures {
            let note = self.room.sequence + 1;
            self.room.erased(note, Some((target, &payload)));
            self.log[target as usize - 1].payload = payload;
            self.store(playhouse_schema::record::ERASURE, None, note, Bytes::new());
        }
        for sequence in first..=self.room.sequence {
            self.room.landed(sequence, sequence * 10);
        }
        Ok(decision.reply)
    }

    fn store(&mut self, kind: u16, key: Option<&str>, sequence: Sequence, payload: Bytes) {
        let entity = Entity::room(self.room.room_id.as_str());
        assert_eq!(sequence, self.log.len() as u64 + 1, "no gaps");
        self.log.push(StoredRecord {
            shard: Layout::default().shard_of(&entity),
            position: sequence * 10,
            entity,
            sequence,
            kind,
            key: key.map(Into::into),
            epoch: 1,
            at_ms: 0,
            payload,
        });
    }

    pub(crate) fn send(&mut self, send: SendEvent) -> Result<OwnedEventId, RoomError> {
        sent(self.run(RoomCommand::SendEvent(Box::new(send)))?)
    }

    pub(crate) fn redact(
        &mut self,
        event: SendEvent,
        target: Option<RedactionTarget>,
    ) -> Result<OwnedEventId, RoomError> {
        sent(self.run(RoomCommand::Redact(Box::new(Redact { event, target })))?)
    }

    pub(crate) fn change(&mut self, change: ChangeMembership) -> Result<OwnedEventId, RoomError> {
        sent(self.run(RoomCommand::ChangeMembership(Box::new(change)))?)
    }

    pub(crate) fn join(&mut self, name: &str) -> Result<OwnedEventId, RoomError> {
        self.change(change(name, name, MembershipAction::Join))
    }

    pub(crate) fn invite(&mut self, sender: &str, name: &str) -> Result<OwnedEventId, RoomError> {
        let action = MembershipAction::Invite { is_direct: false };
        self.change(change(sender, name, action))
    }

    /// Folds the log again.
    pub(crate) fn replayed(&self) -> Room {
        self.replayed_onto(Room::nothing(self.room.room_id.clone()))
    }

    /// Folds what follows a state.
    pub(crate) fn replayed_onto(&self, mut room: Room) -> Room {
        for stored in &self.log[room.sequence as usize..] {
            match RoomRecord::decode(stored).unwrap() {
                Some(record) => room.apply(stored.sequence, stored.position, &record),
                None => room.erased(stored.sequence, None),
            }
        }
        room
    }

    /// All events of the log.
    pub(crate) fn events(&self) -> Vec<Arc<RoomEvent>> {
        self.log
            .iter()
            .filter_map(|stored| RoomEvent::from_stored(stored).unwrap())
            .collect()
    }

    pub(crate) fn event(&self, event_id: &OwnedEventId) -> Arc<RoomEvent> {
        self.events()
            .into_iter()
            .find(|event| event.pdu.event_id == *event_id)
            .unwrap()
    }

    pub(crate) fn content(&self, event_type: StateEventType, state_key: &str) -> serde_json::Value {
        let event = self.room.state_event(&event_type, state_key).unwrap();
        event.pdu.content_as().unwrap()
    }
}

fn sent(reply: RoomReply) -> Result<OwnedEventId, RoomError> {
    match reply {
        RoomReply::Sent(event_id) => Ok(event_id),
        RoomReply::Done => panic!("an event was expected"),
    }
}

/// Everything a fold must bring about again, in comparable form.
pub(crate) fn fingerprint(room: &Room) -> BTreeMap<&'static str, String> {
    let event = |event: &Arc<RoomEvent>| {
        (
            event.sequence,
            event.position(),
            event.pdu.json().clone(),
            event.before,
            event.replaces,
        )
    };
    let current: Vec<_> = room
        .current
        .iter()
        .map(|(key, state)| (key.clone(), event(state)))
        .collect();
    let recent: Vec<_> = room.recent.iter().map(event).collect();
    let transactions: Vec<_> = room.transactions.iter().collect();
    let receipts: Vec<_> = room.receipts.iter().collect();
    let loose: Vec<_> = room.loose.keys().collect();
    let in_flight: Vec<_> = room.in_flight.keys().collect();
    [
        ("sequence", format!("{:?}", room.sequence)),
        ("version", format!("{:?}", room.version)),
        ("rules", format!("{:?}", room.rules)),
        ("current", format!("{current:?}")),
        ("current_id", format!("{:?}", room.current_id)),
        ("extremities", format!("{:?}", room.extremities)),
        ("overtaken", format!("{:?}", room.overtaken)),
        ("gaps", format!("{:?}", room.gaps)),
        ("early", format!("{:?}", room.early)),
        ("resets", format!("{:?}", room.resets)),
        ("parked", format!("{:?}", room.parked)),
        ("recent", format!("{recent:?}")),
        ("loose", format!("{loose:?}")),
        ("transactions", format!("{transactions:?}")),
        ("receipts", format!("{receipts:?}")),
        ("public", format!("{:?}", room.public)),
        (
            "counts",
            format!("{:?}", (room.joined_count, room.invited_count)),
        ),
        ("forked", format!("{:?}", room.forked)),
        ("held_bytes", format!("{:?}", room.held_bytes)),
        ("in_flight", format!("{in_flight:?}")),
    ]
    .into()
}
