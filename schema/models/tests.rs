use bytes::Bytes;
use serde_bytes::ByteBuf;

use super::*;
use crate::{
    address::{Entity, Layout},
    port::StoredRecord,
    record::{
        codec::Record,
        room::{EventRecord, Placement, RoomRecord, Verdict},
        user::{NamedJson, PusherSet, UserRecord},
    },
};

/// All shared SQL of the models.
const STATEMENTS: &[&str] = &[
    retention::MADE,
    retention::SAYS,
    retention::LIST,
    retention::EMPTY,
    memberships::EMPTY,
    memberships::EMPTY_EVENTS,
    public_rooms::EMPTY,
    room_facts::GONE,
    server_rooms::EMPTY,
    parked::PARK,
    parked::RELEASE,
    parked::ALL,
    parked::AGAIN,
    parked::ONE,
    parked::AFTER,
    positions::ALL,
    positions::SET,
    parked::OF,
    parked::COUNT,
    parked::CURSORS_DROP,
    device_lists::SET,
    device_lists::SHARED,
    device_lists::OF_USER,
    device_sightings::SEE,
    device_sightings::REMOVE,
    device_sightings::REMOVE_ALL,
    device_sightings::UNSEEN,
    device_sightings::IN_ROOM,
    memberships::SET,
    memberships::KEEP,
    memberships::ENFORCE,
    memberships::REMOVE,
    memberships::OF_USER,
    memberships::OF_ROOM,
    memberships::INVITES,
    memberships::OF_BOTH,
    memberships::ROOM_WITH,
    memberships::SHARED,
    users::REGISTER,
    users::SET_ADMIN,
    users::SET_LOCKED,
    users::SET_SHADOW_BANNED,
    users::SET_TYPE,
    users::SET_AVATAR,
    users::SEE,
    users::LIST_BACKWARDS,
    users::DEACTIVATE,
    users::REOPEN,
    users::SET_DISPLAYNAME,
    users::LIST,
    users::GET,
    users::COUNT,
    validity::REGISTER,
    validity::SET,
    validity::MAIL,
    validity::DELETE,
    validity::ENDLESS,
    validity::DUE,
    aliases::POINT,
    aliases::DELETE,
    aliases::OF_ROOM,
    public_rooms::SET,
    public_rooms::LIST,
    public_rooms::GET,
    relations::ADD,
    relations::REMOVE,
    relations::PARENTS,
    relations::GROUPS,
    relations::BACKWARDS,
    relations::FORWARDS,
    relations::THREADS,
    pushers::SET,
    pushers::REMOVE,
    pushers::REMOVE_OF_DEVICE,
    pushers::REMOVE_OF_USER,
    pushers::ALL_OWNERS,
    pushers::WAITS,
    pushers::WAITING,
    pushers::OWNERS,
    pushers::LIST,
    public_rooms::AFTER,
    public_rooms::BEFORE,
    public_rooms::LISTED,
    room_facts::SET,
    room_facts::EMPTY,
    user_names::REGISTER,
    user_names::NAME,
    user_names::PICTURE,
    user_names::DELETE,
    user_names::FIND,
    reports::ADD,
    rooms::MADE,
    rooms::SET_PUBLIC,
    rooms::KEEP,
    rooms::SET,
    rooms::ENFORCE,
    rooms::REMOVE,
    rooms::EMPTY,
    rooms::EMPTY_KEPT,
    rooms::REFRESH,
    rooms::REFRESH_REDACTED,
    rooms::GONE[0],
    rooms::GONE[1],
    rooms::GONE[2],
    rooms::list::BY_COLUMN[0],
    rooms::list::BY_COLUMN[1],
    rooms::list::BY_COUNT[0],
    rooms::list::BY_COUNT[1],
    rooms::list::COUNT,
    rooms::list::GET,
    rooms::list::NAMES,
    membership_acts::ADD,
    membership_acts::EMPTY,
    membership_acts::INVITES,
    membership_acts::JOINED,
    media_statistics::LISTS[0],
    media_statistics::LISTS[1],
    media_statistics::COUNT,
    reports::LIST,
    audit::BEGIN,
    audit::END,
    audit::AIM,
    audit::UNDO,
    audit::LIST,
    audit::GET,
    reports::DELETE,
    reports::GET,
    reports::EVENTS[0],
    reports::EVENTS[1],
    reports::EVENTS_COUNT,
    reports::USERS[0],
    reports::USERS[1],
    reports::USERS_COUNT,
    message_search::ADD,
    message_search::ADD_WORDS,
    message_search::REMOVE_WORDS,
    message_search::REMOVE,
    message_search::ERASE,
    message_search::BRING_BACK,
    message_search::RECENT,
    message_search::RANKED,
    message_search::COUNT,
    media::FILL,
    media::QUARANTINE,
    media::RELEASE,
    media::PROTECT,
    media::USE,
    media::REMOVE,
    media::FREE_OF_USER,
    media::FREE_TWINS,
    media::OTHERS,
    media_lists::COUNT,
    media_lists::UNUSED,
    media_lists::UNUSED_NO_FACES,
    media_lists::LISTS[0].1[0],
    uploads::RESERVE,
    uploads::REMOVE,
    uploads::FILL,
    uploads::USED,
    uploads::AWAITED,
    threepids::CLAIM,
    threepids::RELEASE,
    threepids::OF_USER,
    threepids::BIND,
    threepids::UNBIND,
    threepids::BOUND,
    destinations::DEPARTED,
    destinations::OWED,
    destinations::ACKNOWLEDGED,
    destinations::FAILED,
    destinations::LAGS,
    destinations::UNFINISHED,
    destinations::LIST,
    destinations::FIND,
    destinations::FIND_BACKWARDS,
    destinations::COUNT,
    destinations::GET,
    server_rooms::PAGE,
    server_rooms::PAGE_BACKWARDS,
    server_rooms::COUNT,
    server_rooms::ADD,
    server_rooms::OF_SERVER,
    server_rooms::NEIGHBOURS,
    to_device_out::ADD,
    to_device_out::REMOVE,
    to_device_out::WAITING,
    device_lists::OF_SERVER,
    partial_rooms::OF_USER,
];

fn stored<R: Record>(entity: Entity, record: &R) -> StoredRecord {
    StoredRecord {
        shard: Layout::default().shard_of(&entity),
        position: 7,
        entity,
        sequence: 3,
        kind: record.kind(),
        key: None,
        epoch: 1,
        at_ms: 5,
        payload: record.encode(),
    }
}

fn event(pdu: &str, verdict: Verdict, placement: Placement) -> StoredRecord {
    let record = RoomRecord::Event(EventRecord {
        event_id: "$e".into(),
        pdu: ByteBuf::from(pdu.as_bytes()),
        before: 0,
        replaces: None,
        verdict,
        placement,
        transaction: None,
        from: None,
    });
    stored(Entity::room("!r:example.org"), &record)
}

const JOIN: &str = r#"{"type":"m.room.member","state_key":"@a:example.org","sender":"@b:example.org","content":{"membership":"invite"}}"#;

#[test]
fn no_text_is_one_that_an_engine_refuses() {
    let pusher = UserRecord::PusherSet(PusherSet {
        app_id: "a\0pp".to_owned(),
        pushkey: "\0key".to_owned(),
        device_id: None,
        at_ms: 1,
        json: ByteBuf::new(),
    });
    let record = stored(Entity::user("@a:b"), &pusher);
    let statements = pushers::Pushers.fold(&record).unwrap();
    let values: Vec<_> = statements.into_iter().flat_map(|one| one.values).collect();
    assert_eq!(values[1..3], [text("app"), text("key")]);
    let has_nul = |value: &Value| matches!(value, Value::Text(text) if text.contains('\0'));
    assert!(!values.iter().any(has_nul));
}

#[test]
fn placeholders_first_appear_in_order() {
    for sql in STATEMENTS {
        let mut highest = 0;
        for part in sql.split('$').skip(1) {
            let digits = part.split(|c: char| !c.is_ascii_digit()).next().unwrap();
            let number: u32 = digits.parse().unwrap();
            assert!(number <= highest + 1, "{sql}");
            highest = highest.max(number);
        }
    }
}

#[test]
fn tables_carry_the_version() {
    fn check<M: Model>(model: &M) {
        assert_eq!(M::TABLE, format!("{}_{}", M::NAME, M::VERSION));
        for statement in model.tables() {
            assert!(statement.contains(M::TABLE));
            assert!(
                ["IF NOT EXISTS", "OR REPLACE"]
                    .iter()
                    .any(|words| statement.contains(words))
            );
        }
    }
    check(&memberships::Memberships);
    check(&users::Users);
    check(&device_sightings::DeviceSightings);
    check(&aliases::Aliases);
    check(&public_rooms::PublicRooms);
    check(&relations::Relations);
    check(&pushers::Pushers);
    check(&room_facts::RoomFacts);
    check(&user_names::UserNames);
    check(&reports::Reports);
    check(&audit::Audit);
    check(&rooms::Rooms);
    check(&membership_acts::MembershipActs);
    check(&message_search::MessageSearch);
    check(&uploads::Uploads);
    check(&media::Media);
    check(&threepids::Threepids);
    check(&destinations::Destinations);
    check(&server_rooms::ServerRooms);
    check(&to_device_out::ToDeviceOut);
}

#[test]
fn a_member_event_sets_a_membership() {
    let folded = memberships::Memberships
        .fold(&event(JOIN, Verdict::Accepted, Placement::Live))
        .unwrap();
    let values = &folded[0].values;
    assert_eq!(values[0], text("@a:example.org"));
    assert_eq!(values[1], text("!r:example.org"));
    assert_eq!(values[2], text("invite"));
    assert_eq!(values[3], text("@b:example.org"));
    assert_eq!((&values[5], &values[7]), (&number(3), &number(7)));
}

#[test]
fn of_the_joins_of_a_user_in_a_room_the_last_one_is_kept() {
    let fold = |pdu: &str, sequence| {
        let mut record = event(pdu, Verdict::Accepted, Placement::Live);
        record.sequence = sequence;
        let folded = membership_acts::MembershipActs.fold(&record).unwrap();
        // What names the row.
        folded[0].values[..4].to_vec()
    };
    let join = JOIN.replace("invite", "join");
    assert_eq!(fold(&join, 3), fold(&join, 5));
    // Invites are counted each.
    assert_ne!(fold(JOIN, 3), fold(JOIN, 5));
}

#[test]
fn what_is_not_in_force_sets_nothing() {
    let message =
        r#"{"type":"m.room.message","sender":"@b:example.org","content":{"membership":1}}"#;
    let malformed = r#"{"type":"m.room.member","state_key":"@a:example.org","sender":"@b:example.org","content":{"membership":1}}"#;
    let stateless =
        r#"{"type":"m.room.member","sender":"@b:example.org","content":{"membership":"join"}}"#;
    for record in [
        event(message, Verdict::Accepted, Placement::Live),
        event(malformed, Verdict::Accepted, Placement::Live),
        event(stateless, Verdict::Accepted, Placement::Live),
        event("{", Verdict::Accepted, Placement::Live),
        event(JOIN, Verdict::Rejected("no".into()), Placement::Live),
        event(JOIN, Verdict::SoftFailed("no".into()), Placement::Live),
        event(JOIN, Verdict::Accepted, Placement::Backfilled),
        event(JOIN, Verdict::Accepted, Placement::Outlier),
    ] {
        let folded = memberships::Memberships.fold(&record).unwrap();
        // What a later state may name is kept.
        assert!(
            folded
                .iter()
                .all(|statement| statement.sql == memberships::KEEP)
        );
    }
}

#[test]
fn state_tells_what_a_room_is_like() {
    let folded = |pdu: &str| {
        let record = event(pdu, Verdict::Accepted, Placement::Live);
        let statements = rooms::Rooms.fold(&record).expect("a fold");
        let all = statements.iter().map(|statement| statement.sql);
        all.collect::<Vec<_>>()
    };
    let create = r#"{"type":"m.room.create","state_key":"","sender":"@a:x","content":{"room_version":"11","m.federate":false}}"#;
    assert_eq!(folded(create), [rooms::MADE, rooms::SET, rooms::REFRESH]);
    let name =
        r#"{"type":"m.room.name","state_key":"","sender":"@a:x","content":{"name":"\u0000Hall"}}"#;
    assert_eq!(folded(name), [rooms::KEEP, rooms::SET, rooms::REFRESH]);
    let topic = r#"{"type":"m.room.topic","state_key":"","sender":"@a:x","content":{}}"#;
    assert_eq!(folded(topic), [rooms::SET, rooms::REFRESH]);
    let redaction = r#"{"type":"m.room.redaction","redacts":"$n","sender":"@a:x","content":{}}"#;
    let after = [rooms::EMPTY, rooms::EMPTY_KEPT, rooms::REFRESH_REDACTED];
    assert_eq!(folded(redaction), after);
    assert!(folded(JOIN).is_empty());
}

#[test]
fn a_displayname_is_text_or_nothing() {
    let folded = |json: Option<&str>| {
        let record = UserRecord::ProfileFieldSet(NamedJson {
            name: "displayname".into(),
            json: json.map(|json| ByteBuf::from(json.as_bytes())),
        });
        let record = stored(Entity::user("@a:example.org"), &record);
        users::Users.fold(&record).unwrap()[0].values[0].clone()
    };
    assert_eq!(folded(Some("\"A\"")), text("A"));
    assert_eq!(folded(Some("7")), Value::Null);
    assert_eq!(folded(None), Value::Null);
}

#[test]
fn a_damaged_record_is_an_error() {
    let mut record = event(JOIN, Verdict::Accepted, Placement::Live);
    let whole = std::mem::replace(&mut record.payload, Bytes::from_static(b"\xc1"));
    assert!(memberships::Memberships.fold(&record).is_err());
    record.payload = whole.slice(..whole.len() - 1);
    assert!(memberships::Memberships.fold(&record).is_err());
}
