//! The search of messages, which each engine does in its own way: both must find the same.

use super::Ground;
use crate::{
    address::{Entity, Layout},
    models::{
        AnyModel, Model as _, memberships,
        message_search::{self, After, BODY, FoundEvent, MessageSearch, Order, Wanted},
    },
    port::{ModelStore, StoredRecord},
    record::{
        ERASURE,
        codec::{ErasureNote, Record},
        room::{EventRecord, Placement, RoomRecord, Verdict},
        user::{Deactivated, Reopened, UserRecord},
    },
};

struct World {
    store: std::sync::Arc<dyn ModelStore>,
    position: u64,
}

impl World {
    async fn new(ground: &Ground) -> Self {
        let store = ground.open().await.models();
        for model in crate::models::all() {
            store.create(model.creation()).await.unwrap();
        }
        Self { store, position: 0 }
    }

    /// Folds a record into the models that matter here, and gives its number.
    async fn fold<R: Record>(&mut self, entity: Entity, record: R) -> u64 {
        self.position += 1;
        let stored = StoredRecord {
            shard: Layout::default().shard_of(&entity),
            position: self.position,
            entity,
            sequence: self.position,
            kind: record.kind(),
            key: record.key().map(Into::into),
            epoch: 1,
            at_ms: 1_000 + self.position / 2,
            payload: record.encode(),
        };
        self.take_in(&stored).await;
        self.position
    }

    async fn take_in(&self, stored: &StoredRecord) {
        let models: [Box<dyn AnyModel>; 2] =
            [Box::new(memberships::Memberships), Box::new(MessageSearch)];
        for model in models {
            let statements = model.changes(stored).unwrap();
            self.store.apply(statements, Vec::new()).await.unwrap();
        }
    }

    async fn event(&mut self, room: &str, pdu: &str) -> u64 {
        let record = RoomRecord::Event(EventRecord {
            event_id: format!("${}", self.position + 1),
            pdu: pdu.as_bytes().to_vec().into(),
            before: 0,
            replaces: None,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            transaction: None,
            from: None,
        });
        self.fold(Entity::room(room), record).await
    }

    async fn member(&mut self, room: &str, user: &str, membership: &str) {
        let pdu = format!(
            r#"{{"type":"m.room.member","state_key":"{user}","sender":"{user}","content":{{"membership":"{membership}"}}}}"#
        );
        self.event(room, &pdu).await;
    }

    async fn say(&mut self, room: &str, sender: &str, body: &str) -> u64 {
        let pdu = format!(
            r#"{{"type":"m.room.message","sender":"{sender}","content":{{"msgtype":"m.text","body":"{body}"}}}}"#
        );
        self.event(room, &pdu).await
    }

    async fn page(
        &self,
        wanted: &Wanted<'_>,
        place: (Order, After),
        limit: usize,
    ) -> Vec<FoundEvent> {
        message_search::find(&*self.store, wanted, place, limit)
            .await
            .unwrap()
    }

    async fn found(&self, wanted: &Wanted<'_>, order: Order) -> Vec<u64> {
        let found = self.page(wanted, (order, After::BEGINNING), 100).await;
        found.iter().map(|event| event.sequence).collect()
    }
}

fn wanted(term: &str) -> Wanted<'_> {
    Wanted {
        term,
        user_id: "@a",
        fields: &[],
        rooms: &[],
        senders: &[],
    }
}

pub(super) async fn messages_are_found_by_their_words(ground: Ground) {
    let mut world = World::new(&ground).await;
    world.member("!1", "@a", "join").await;
    world.member("!2", "@a", "join").await;
    let long = world
        .say("!1", "@a", "Apples and pears, and more apples")
        .await;
    let short = world.say("!2", "@b", "apples, PEARS").await;
    let other = world.say("!1", "@b", "pears und Äpfel").await;
    world.say("!3", "@b", "apples and pears").await;
    let topic = r#"{"type":"m.room.topic","state_key":"","sender":"@b","content":{"topic":"On pears","body":"apples"}}"#;
    let topic = world.event("!2", topic).await;
    let odd = r#"{"type":"m.room.message","sender":"@b","content":{"body":["pears"]}}"#;
    world.event("!2", odd).await;
    let all = wanted("pears");
    assert_eq!(
        world.found(&all, Order::Recent).await,
        [topic, other, short, long]
    );
    assert_eq!(
        world.found(&all, Order::Rank).await,
        [topic, short, other, long]
    );
    assert_eq!(
        world.found(&wanted("pears APPLES"), Order::Recent).await,
        [short, long]
    );
    assert_eq!(world.found(&wanted("apfel"), Order::Recent).await, [other]);
    assert!(world.found(&wanted("pear"), Order::Recent).await.is_empty());
    assert!(world.found(&wanted("?"), Order::Recent).await.is_empty());
    let narrow = Wanted {
        fields: &[BODY],
        rooms: &["!1", "!3"],
        senders: &["@b"],
        ..all.clone()
    };
    assert_eq!(world.found(&narrow, Order::Recent).await, [other]);
    assert_eq!(message_search::count(&*world.store, &all).await.unwrap(), 4);
    // Page by page it is the same, in both orders.
    for order in [Order::Recent, Order::Rank] {
        let (mut after, mut paged) = (After::BEGINNING, Vec::new());
        while let [event] = &world.page(&all, (order, after), 1).await[..] {
            after = event.into();
            paged.push(event.sequence);
        }
        assert_eq!(paged, world.found(&all, order).await);
    }
}

pub(super) async fn what_is_gone_is_not_found(ground: Ground) {
    let mut world = World::new(&ground).await;
    world.member("!1", "@a", "join").await;
    let first = world.say("!1", "@b", "gone soon").await;
    let second = world.say("!1", "@c", "gone never").await;
    world.member("!1", "@a", "leave").await;
    world.say("!1", "@c", "gone without you").await;
    let all = wanted("gone");
    assert_eq!(world.found(&all, Order::Recent).await, [second, first]);
    let erasure = StoredRecord {
        shard: Layout::default().shard_of(&Entity::room("!1")),
        position: 50,
        entity: Entity::room("!1"),
        sequence: 50,
        kind: ERASURE,
        key: None,
        epoch: 1,
        at_ms: 5,
        payload: rmp_serde::to_vec(&ErasureNote {
            sequence: first,
            digest: [0; 32],
            others: Vec::new(),
        })
        .unwrap()
        .into(),
    };
    world.take_in(&erasure).await;
    assert_eq!(world.found(&all, Order::Recent).await, [second]);
    let closed = |erase| UserRecord::Deactivated(Deactivated { erase });
    world.fold(Entity::user("@c"), closed(false)).await;
    assert_eq!(world.found(&all, Order::Recent).await, [second]);
    world.fold(Entity::user("@c"), closed(true)).await;
    assert!(world.found(&all, Order::Recent).await.is_empty());
    let open = UserRecord::Reopened(Reopened {
        password_hash: None,
        guest: false,
        at_ms: 5,
    });
    world.fold(Entity::user("@c"), open).await;
    assert_eq!(world.found(&all, Order::Recent).await, [second]);
    world
        .store
        .drop_model(MessageSearch::TABLE, MessageSearch::FURTHER)
        .await
        .unwrap();
    world.store.create(MessageSearch.creation()).await.unwrap();
    assert!(world.found(&all, Order::Recent).await.is_empty());
    assert_eq!(MessageSearch.tables(), MessageSearch.creation());
}
