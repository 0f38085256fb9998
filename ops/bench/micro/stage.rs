//! A room without runtime and disk: commands are decided and applied as the kernel does it.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use playhouse_actors::{
    env::{Env, Identity, Signer},
    kernel::Domain as _,
    room::{
        Room, RoomCommand,
        context::{Folded, RoomContext, TypingListener},
        create::prepare,
        message::{ChangeMembership, MemberProfile, MembershipAction, NewRoom, Preset, SendEvent},
        pdu::Pdu,
        retention::RetentionSettings,
    },
};
use playhouse_schema::{
    address::{Entity, Position, Shard},
    drivers::{self, DatabaseConfig},
    record::room::{EventRecord, RoomRecord},
};
use ruma::{
    EventId, OwnedEventId, OwnedRoomId, OwnedUserId, RoomVersionId, UserId,
    events::TimelineEventType, server_name,
};
use tempfile::TempDir;

/// This server, with the real clock and a key of its own.
pub(crate) fn env() -> Env {
    Env::system(Identity {
        server_name: server_name!("bench.localhost").to_owned(),
        signer: Signer::from_seed("1", &[7; 32]).expect("32 bytes are a seed"),
    })
}

/// A local user.
pub(crate) fn user(name: &str) -> OwnedUserId {
    UserId::parse(format!("@{name}:bench.localhost")).expect("plain names make user IDs")
}

/// A text message.
pub(crate) fn message(sender: &str, body: &str) -> SendEvent {
    SendEvent::new(
        user(sender),
        TimelineEventType::RoomMessage,
        format!(r#"{{"msgtype":"m.text","body":"{body}"}}"#),
    )
}

/// A state event with an empty state key.
pub(crate) fn state(sender: &str, event_type: &str, content: &str) -> SendEvent {
    SendEvent {
        event_type: event_type.into(),
        state_key: Some(String::new()),
        content: content.to_owned(),
        ..message(sender, "")
    }
}

struct Nobody;

impl TypingListener for Nobody {
    fn typing_changed(&self, _room_id: &OwnedRoomId, _users: Vec<OwnedUserId>) {}
}

impl Folded for Nobody {
    fn folded(&self, _model: &'static str, _shard: Shard) -> Position {
        0
    }
}

/// What a room is given; the store in it stays empty.
pub(crate) struct World {
    pub(crate) context: RoomContext,
    _folder: TempDir,
}

impl World {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
        let config = DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        };
        let store = runtime
            .block_on(drivers::open(config))
            .expect("a new folder can be opened");
        let context = RoomContext {
            retention: RetentionSettings::default(),
            env: env(),
            store,
            typing: Arc::new(Nobody),
            models: Arc::new(Nobody),
            held_receipts: Default::default(),
        };
        Self {
            context,
            _folder: folder,
        }
    }
}

/// A room with all its events.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) room: Room,
    pub(crate) events: BTreeMap<OwnedEventId, Pdu>,
}

impl Stage {
    /// A public room that `alice` made and that so many others have joined: `member0` and so on.
    pub(crate) fn new(world: &World, version: RoomVersionId, members: usize) -> Self {
        let new = NewRoom {
            creator: user("alice"),
            creator_profile: MemberProfile::default(),
            version,
            creation_content: None,
            preset: Preset::PublicChat,
            power_level_content_override: None,
            alias: None,
            initial_state: Vec::new(),
            name: Some("Globe".to_owned()),
            topic: None,
            invites: Vec::new(),
            is_direct: false,
            public: false,
        };
        let (room_id, create) =
            prepare(&world.context.env, new).expect("a plain room can be prepared");
        let mut stage = Self {
            room: Room::empty(&Entity::room(room_id.as_str())),
            events: BTreeMap::new(),
        };
        stage.run(world, RoomCommand::Create(Box::new(create)));
        for number in 0..members {
            stage.join(world, &format!("member{number}"), None);
        }
        stage
    }

    /// Decides and applies.
    pub(crate) fn run(&mut self, world: &World, command: RoomCommand) {
        let decision = self
            .room
            .decide(command, &world.context)
            .unwrap_or_else(|error| panic!("the room refuses: {error}"));
        for record in &decision.records {
            let sequence = self.room.sequence + 1;
            self.room.apply(sequence, sequence, record);
            if let RoomRecord::Event(event) = record {
                let pdu = pdu_of(event);
                self.events.insert(pdu.event_id.clone(), pdu);
            }
        }
    }

    /// A user joins, or, having joined, takes another name.
    pub(crate) fn join(&mut self, world: &World, name: &str, displayname: Option<&str>) {
        let change = ChangeMembership {
            sender: user(name),
            target: user(name),
            action: MembershipAction::Join,
            reason: None,
            profile: MemberProfile {
                displayname: displayname.map(ToOwned::to_owned),
                avatar_url: None,
            },
            extra_content: None,
            restriction_met: false,
            guest: false,
        };
        self.run(world, RoomCommand::ChangeMembership(Box::new(change)));
    }

    /// Sends an event.
    pub(crate) fn send(&mut self, world: &World, event: SendEvent) {
        self.run(world, RoomCommand::SendEvent(Box::new(event)));
    }
}

/// The event in a record.
pub(crate) fn pdu_of(record: &EventRecord) -> Pdu {
    let event_id = EventId::parse(&record.event_id).expect("the room made it");
    Pdu::parse(event_id, Bytes::copy_from_slice(&record.pdu)).expect("the room made it")
}
