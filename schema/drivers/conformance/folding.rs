//! The read models' own SQL, on each engine.

use serde_bytes::ByteBuf;

use super::Ground;
use crate::{
    address::{Entity, Layout},
    models::{
        self, Model as _, aliases, device_sightings, memberships, public_rooms, relations, users,
        validity,
    },
    port::{ModelStore, StoredRecord},
    record::{
        ERASURE,
        alias::{AliasRecord, Pointed},
        codec::{ErasureNote, Record},
        room::{
            DirectoryVisibilitySet, EventRecord, Placement, RoomRecord, StateChange, StateSet,
            Verdict,
        },
        user::{Deactivated, DeviceAdded, DeviceSeen, NamedJson, Registered, Reopened, UserRecord},
    },
};

/// Folds a record into every model.
async fn fold<R: Record>(store: &dyn ModelStore, entity: Entity, record: R) {
    fold_as(store, entity, (4, 9), record).await;
}

/// The same under another number and position.
pub(super) async fn fold_as<R: Record>(
    store: &dyn ModelStore,
    entity: Entity,
    (sequence, position): (u64, u64),
    record: R,
) {
    let stored = StoredRecord {
        shard: Layout::default().shard_of(&entity),
        position,
        entity,
        sequence,
        kind: record.kind(),
        key: record.key().map(Into::into),
        epoch: 1,
        at_ms: 5,
        payload: record.encode(),
    };
    for model in models::all() {
        if model.reads().contains(&stored.entity.family()) {
            let statements = model.changes(&stored).unwrap();
            store.apply(statements, Vec::new()).await.unwrap();
        }
    }
}

pub(super) async fn ground(ground: &Ground) -> std::sync::Arc<dyn ModelStore> {
    let store = ground.open().await.models();
    for model in models::all() {
        store.create(model.creation()).await.unwrap();
    }
    store
}

pub(super) async fn memberships_are_found_both_ways(place: Ground) {
    let store = ground(&place).await;
    let member = |user: &str, membership: &str| {
        RoomRecord::Event(EventRecord {
            event_id: format!("${user}-{membership}"),
            pdu: format!(
                r#"{{"type":"m.room.member","state_key":"{user}","sender":"@s","content":{{"membership":"{membership}"}}}}"#
            )
            .into_bytes()
            .into(),
            before: 0,
            replaces: None,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            transaction: None,
from: None,
        })
    };
    for (room, user, membership) in [
        ("!1", "@a", "invite"),
        ("!1", "@a", "join"),
        ("!1", "@b", "join"),
        ("!1", "@c", "leave"),
        ("!2", "@a", "leave"),
        ("!2", "@b", "invite"),
        ("!3", "@b", "invite"),
        ("!3", "@d", "invite"),
    ] {
        fold(&*store, Entity::room(room), member(user, membership)).await;
    }
    let of_user = memberships::of_user(&*store, "@a").await.unwrap();
    let rooms: Vec<_> = of_user
        .iter()
        .map(|found| (&*found.room_id, &*found.membership))
        .collect();
    assert_eq!(rooms, [("!1", "join"), ("!2", "leave")]);
    assert_eq!((of_user[0].sequence, of_user[0].position), (4, 9));
    assert_eq!(of_user[0].event_id, "$@a-join");
    let first = memberships::of_room(&*store, "!1", "join", "", 1)
        .await
        .unwrap();
    assert_eq!(first[0].user_id, "@a");
    let rest = memberships::of_room(&*store, "!1", "join", "@a", 10)
        .await
        .unwrap();
    assert_eq!((rest.len(), &*rest[0].user_id), (1, "@b"));
    let mut after = (String::new(), String::new());
    for (user, room) in [("@b", "!2"), ("@b", "!3"), ("@d", "!3")] {
        let found = memberships::invites(&*store, (&after.0, &after.1), 1).await;
        let found = found.unwrap().remove(0);
        assert_eq!((&*found.user_id, &*found.room_id), (user, room));
        after = (found.user_id, found.room_id);
    }
    let none = memberships::invites(&*store, (&after.0, &after.1), 1).await;
    assert!(none.unwrap().is_empty());
}

pub(super) async fn members_that_a_state_brings_are_found(place: Ground) {
    let store = ground(&place).await;
    let given = |user: &str, membership: &str| {
        RoomRecord::Event(EventRecord {
            event_id: format!("${user}-{membership}"),
            pdu: format!(
                r#"{{"type":"m.room.member","state_key":"{user}","sender":"{user}","content":{{"membership":"{membership}"}}}}"#
            )
            .into_bytes()
            .into(),
            before: 0,
            replaces: None,
            verdict: Verdict::Accepted,
            placement: Placement::Outlier,
            transaction: None,
from: None,
        })
    };
    let set = |changes: &[(&str, Option<u64>)]| {
        let change = |(user, event): &(&str, Option<u64>)| StateChange {
            event_type: "m.room.member".to_owned(),
            state_key: (*user).to_owned(),
            event: *event,
        };
        RoomRecord::StateSet(StateSet {
            base: 0,
            changes: changes.iter().map(change).collect(),
            current: true,
        })
    };
    let room = || Entity::room("!1");
    fold_as(&*store, room(), (1, 1), given("@a", "join")).await;
    fold_as(&*store, room(), (2, 2), given("@b", "join")).await;
    fold_as(&*store, room(), (3, 3), given("@b", "leave")).await;
    let of = async |user: &str| {
        let found = memberships::of_user(&*store, user).await.unwrap();
        let found = found.into_iter().next();
        found.map(|found| (found.membership, found.since_sequence, found.position))
    };
    assert_eq!(of("@a").await, None);
    let brought = set(&[("@a", Some(1)), ("@b", Some(2)), ("@c", Some(77))]);
    fold_as(&*store, room(), (4, 9), brought).await;
    assert_eq!(of("@a").await, Some(("join".to_owned(), 1, 9)));
    assert_eq!(of("@b").await, Some(("join".to_owned(), 2, 9)));
    assert_eq!(of("@c").await, None);
    let resolved = set(&[("@a", Some(1)), ("@b", Some(3))]);
    fold_as(&*store, room(), (5, 12), resolved).await;
    assert_eq!(of("@a").await, Some(("join".to_owned(), 1, 9)));
    assert_eq!(of("@b").await, Some(("leave".to_owned(), 3, 12)));
    fold_as(&*store, room(), (6, 13), set(&[("@a", None)])).await;
    assert_eq!(of("@a").await, None);
}

pub(super) async fn accounts_are_listed(place: Ground) {
    let store = ground(&place).await;
    let registered = |guest| {
        UserRecord::Registered(Registered {
            password_hash: None,
            admin: false,
            guest,
            user_type: None,
            at_ms: 77,
        })
    };
    for (user, guest) in [("@a", false), ("@b", false), ("@g", true)] {
        fold(&*store, Entity::user(user), registered(guest)).await;
    }
    fold(&*store, Entity::user("@b"), UserRecord::AdminSet(true)).await;
    let closed = UserRecord::Deactivated(Deactivated { erase: false });
    fold(&*store, Entity::user("@a"), closed).await;
    let ordinary = users::Wanted::default();
    let listed = users::list(&*store, &ordinary, &page("name", false))
        .await
        .unwrap();
    assert_eq!(listed.len(), 1);
    assert!(listed[0].admin && listed[0].user_id == "@b" && listed[0].created_ms == 77);
    assert_eq!(users::count(&*store, &ordinary).await.unwrap(), 1);
    assert!(
        users::get(&*store, "@a")
            .await
            .unwrap()
            .unwrap()
            .deactivated
    );
    assert_eq!(users::get(&*store, "@z").await.unwrap(), None);
    let erased = UserRecord::Deactivated(Deactivated { erase: true });
    fold(&*store, Entity::user("@a"), erased).await;
    let open = |guest| {
        UserRecord::Reopened(Reopened {
            password_hash: None,
            guest,
            at_ms: 78,
        })
    };
    for (user, guest) in [("@a", false), ("@g", true)] {
        fold(&*store, Entity::user(user), open(guest)).await;
    }
    let back = users::get(&*store, "@a").await.unwrap().unwrap();
    assert!(!back.deactivated && !back.erased && back.created_ms == 77);
    assert_eq!(users::count(&*store, &ordinary).await.unwrap(), 2);
    // Nobody looks for guests, and their accounts do not end.
    let endless = validity::endless(&*store, "", 10).await.unwrap();
    assert_eq!(endless, ["@a", "@b"]);
}

fn page(order_by: &str, backwards: bool) -> users::Page {
    users::Page {
        order_by: order_by.to_owned(),
        backwards,
        from: 0,
        limit: 10,
    }
}

/// Anna, Bob who is an administrator and was seen, and Cat who is a bot and is called BÓB 100%.
async fn three_accounts(store: &dyn ModelStore) {
    for (index, user) in ["@ann:x", "@bob:x", "@cat:x"].into_iter().enumerate() {
        let registered = UserRecord::Registered(Registered {
            password_hash: None,
            admin: user == "@bob:x",
            guest: false,
            user_type: (user == "@cat:x").then(|| "bot".to_owned()),
            at_ms: 90 - index as u64,
        });
        fold(store, Entity::user(user), registered).await;
    }
    let name = UserRecord::ProfileFieldSet(NamedJson {
        name: "displayname".into(),
        json: Some(ByteBuf::from(b"\"B\xc3\x93B 100%\"")),
    });
    fold(store, Entity::user("@cat:x"), name).await;
    let seen = UserRecord::DevicesSeen(vec![DeviceSeen {
        device_id: "D".into(),
        at_ms: 5,
        address: String::new(),
        user_agent: String::new(),
    }]);
    fold(store, Entity::user("@bob:x"), seen).await;
}

pub(super) async fn accounts_are_found_and_sorted(place: Ground) {
    let store = ground(&place).await;
    three_accounts(&*store).await;
    let find = async |wanted: users::Wanted, page: users::Page| {
        let found = users::list(&*store, &wanted, &page).await.unwrap();
        assert_eq!(
            users::count(&*store, &wanted).await.unwrap(),
            found.len() as u64
        );
        let names = found.iter().map(|user| &user.user_id[1..4]);
        names.collect::<Vec<_>>().join(" ")
    };
    let all = users::Wanted {
        guests: true,
        locked: true,
        deactivated: users::Which::Both,
        ..users::Wanted::default()
    };
    for (order_by, upwards, downwards) in [
        ("name", "ann bob cat", "cat bob ann"),
        ("creation_ts", "cat bob ann", "ann bob cat"),
        ("admin", "ann cat bob", "bob ann cat"),
        ("last_seen_ts", "ann cat bob", "bob ann cat"),
        ("user_type", "ann bob cat", "cat ann bob"),
        ("displayname", "ann bob cat", "cat ann bob"),
    ] {
        assert_eq!(find(all.clone(), page(order_by, false)).await, upwards);
        assert_eq!(find(all.clone(), page(order_by, true)).await, downwards);
    }
    let named = |name: &str| users::Wanted {
        name: Some(name.to_owned()),
        ..all.clone()
    };
    assert_eq!(find(named("BoB"), page("name", false)).await, "bob cat");
    assert_eq!(find(named("0%"), page("name", false)).await, "cat");
    assert_eq!(find(named("x"), page("name", false)).await, "");
    let identified = users::Wanted {
        user_id: Some("b:x".to_owned()),
        ..all.clone()
    };
    assert_eq!(find(identified, page("name", false)).await, "bob");
    let untyped = |types: &[&str]| users::Wanted {
        not_types: types.iter().map(|name| (*name).to_owned()).collect(),
        ..all.clone()
    };
    assert_eq!(
        find(untyped(&["bot"]), page("name", false)).await,
        "ann bob"
    );
    assert_eq!(find(untyped(&[""]), page("name", false)).await, "cat");
    assert_eq!(find(untyped(&["", "bot"]), page("name", false)).await, "");
    fold(&*store, Entity::user("@ann:x"), UserRecord::LockSet(true)).await;
    let ordinary = users::Wanted {
        admins: Some(false),
        ..users::Wanted::default()
    };
    assert_eq!(find(ordinary, page("name", false)).await, "cat");
}

pub(super) async fn devices_not_seen_for_long_are_found(place: Ground) {
    let store = ground(&place).await;
    let added = |device: &str| {
        UserRecord::DeviceAdded(DeviceAdded {
            device_id: device.into(),
            display_name: None,
        })
    };
    let seen = |device: &str, at_ms| {
        UserRecord::DevicesSeen(vec![DeviceSeen {
            device_id: device.into(),
            at_ms,
            address: String::new(),
            user_agent: String::new(),
        }])
    };
    for (user, device) in [("@a", "A"), ("@a", "B"), ("@b", "A"), ("@c", "A")] {
        fold(&*store, Entity::user(user), added(device)).await;
    }
    fold(&*store, Entity::user("@a"), seen("B", 70)).await;
    fold(&*store, Entity::user("@a"), seen("B", 60)).await;
    let closed = UserRecord::Deactivated(Deactivated { erase: false });
    fold(&*store, Entity::user("@c"), closed).await;
    let find = async |since_ms, after: (&str, &str)| {
        let found = device_sightings::unseen(&*store, since_ms, after, 10).await;
        let found = found.unwrap().into_iter();
        let named = found.map(|device| format!("{}{}", device.user_id, device.device_id));
        named.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(find(5, ("", "")).await, "");
    assert_eq!(find(70, ("", "")).await, "@aA @bA");
    assert_eq!(find(71, ("", "")).await, "@aA @aB @bA");
    assert_eq!(find(71, ("@a", "A")).await, "@aB @bA");
    let removed = UserRecord::DeviceRemoved("B".to_owned());
    fold(&*store, Entity::user("@a"), removed).await;
    assert_eq!(find(71, ("", "")).await, "@aA @bA");
}

pub(super) async fn aliases_and_listed_rooms_are_found(place: Ground) {
    let store = ground(&place).await;
    let pointed = |room: &str| {
        AliasRecord::Pointed(Pointed {
            room_id: room.into(),
            creator: "@a".into(),
            at_ms: 0,
        })
    };
    fold(&*store, Entity::alias("#x"), pointed("!1")).await;
    fold(&*store, Entity::alias("#y"), pointed("!1")).await;
    fold(&*store, Entity::alias("#x"), AliasRecord::Deleted).await;
    let found = aliases::of_room(&*store, "!1").await.unwrap();
    assert_eq!(
        (found.len(), &*found[0].alias, &*found[0].creator),
        (1, "#y", "@a")
    );
    for (room, public) in [("!1", true), ("!2", true), ("!1", false)] {
        let set = DirectoryVisibilitySet { public };
        fold(
            &*store,
            Entity::room(room),
            RoomRecord::DirectoryVisibilitySet(set),
        )
        .await;
    }
    assert_eq!(public_rooms::list(&*store, "", 10).await.unwrap(), ["!2"]);
    assert!(public_rooms::is_public(&*store, "!2").await.unwrap());
    assert!(!public_rooms::is_public(&*store, "!1").await.unwrap());
    assert!(!public_rooms::is_public(&*store, "!9").await.unwrap());
}

fn relating(room: &str, sequence: u64, (parent, rel_type): (&str, &str)) -> StoredRecord {
    let entity = Entity::room(room);
    let record = RoomRecord::Event(EventRecord {
        event_id: format!("${sequence}"),
        pdu: format!(
            r#"{{"type":"m.room.message","sender":"@s{}","content":{{"m.relates_to":{{"rel_type":"{rel_type}","event_id":"{parent}"}}}}}}"#,
            sequence % 2
        )
        .into_bytes()
        .into(),
        before: 0,
        replaces: None,
        verdict: Verdict::Accepted,
        placement: Placement::Live,
        transaction: None,
from: None,
    });
    StoredRecord {
        shard: Layout::default().shard_of(&entity),
        position: sequence,
        entity,
        sequence,
        kind: record.kind(),
        key: record.key().map(Into::into),
        epoch: 1,
        at_ms: 5,
        payload: record.encode(),
    }
}

pub(super) async fn relations_are_found_and_go(place: Ground) {
    let store = ground(&place).await;
    let add = async |record: StoredRecord| {
        let statements = relations::Relations.fold(&record).unwrap();
        store.apply(statements, Vec::new()).await.unwrap();
    };
    for sequence in 1..=6 {
        add(relating("!1", sequence, ("$p", "m.thread"))).await;
    }
    add(relating("!1", 7, ("$q", "m.thread"))).await;
    add(relating("!1", 8, ("$p", "m.reference"))).await;
    add(relating("!2", 9, ("$p", "m.thread"))).await;
    let mut wanted = relations::Wanted {
        rel_type: "m.thread",
        event_type: "",
        between: (2, 100),
        backwards: true,
        limit: 3,
    };
    let numbers = async |wanted| {
        let found = relations::children(&*store, "!1", &["$p"], wanted).await;
        let found = found.unwrap().into_iter();
        found.map(|child| child.sequence).collect::<Vec<_>>()
    };
    assert_eq!(numbers(wanted).await, [6, 5, 4]);
    wanted.backwards = false;
    assert_eq!(numbers(wanted).await, [2, 3, 4]);
    wanted.event_type = "m.sticker";
    assert!(numbers(wanted).await.is_empty());
    let groups = async |until, redacted: &[u64]| {
        let groups = relations::groups(&*store, "!1", &["$p", "$q"], (until, redacted)).await;
        let groups = groups.unwrap().into_iter();
        groups
            .map(|group| (group.parent, group.rel_type, group.count, group.last))
            .collect::<Vec<_>>()
    };
    let of = |parent: &str, rel_type: &str, count, last| {
        (parent.to_owned(), rel_type.to_owned(), count, last)
    };
    let (thread, reference) = ("m.thread", "m.reference");
    let all = [
        of("$p", reference, 1, 8),
        of("$p", thread, 3, 6),
        of("$p", thread, 3, 5),
        of("$q", thread, 1, 7),
    ];
    assert_eq!(groups(100, &[]).await, all);
    assert_eq!(
        groups(6, &[6, 5]).await,
        [of("$p", thread, 2, 4), of("$p", thread, 2, 3)]
    );
    let threads = relations::threads(&*store, "!1", (100, 100), 10)
        .await
        .unwrap();
    assert_eq!(threads, [("$q".to_owned(), 7), ("$p".to_owned(), 6)]);
    // An erasure takes the relation along.
    let note = ErasureNote {
        sequence: 6,
        digest: Default::default(),
        others: Vec::new(),
    };
    let mut erasure = relating("!1", 10, ("$p", "m.thread"));
    erasure.kind = ERASURE;
    erasure.payload = rmp_serde::to_vec(&note).unwrap().into();
    add(erasure).await;
    let threads = relations::threads(&*store, "!1", (100, 6), 10)
        .await
        .unwrap();
    assert_eq!(threads, [("$p".to_owned(), 5)]);
}
