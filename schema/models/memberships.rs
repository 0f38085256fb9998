//! Who is in which room: the newest membership of each user in each room.
//!
//! Folded from accepted member events at the end of the timeline, from states that were resolved or that a join brought (those name member events that came
//! before, wherever these stood), and from what other servers tell of rooms in which nobody is.

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Columns, Model, first, number, of_gone, rows, text};
use crate::{
    address::{Family, Position, Sequence, ShardNumber},
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{EventRecord, Placement, RoomRecord, StateChange, Verdict, kind, may_hold},
    },
};

/// By what it is found whether anybody of a server is joined to a room: the room's ID and the user's without its local part. There is no function for this that
/// both engines have, so all that local parts are made of is trimmed off. Of a user whose local part has other characters in it too much is left,
/// which sorts before or after what begins with a colon.
macro_rules! stay {
    ($of:literal) => {
        concat!(
            "(", $of, "room_id || ' ' || ltrim(", $of, "user_id, \
             '@ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._=-/+!#&()*,<>[]^`{|}~'))"
        )
    };
}

/// Whether anybody of a server `s.server_name` is joined to a room `s.room_id`, or may be: where some members are still to be fetched, or the server of one
/// cannot be told here, everyone may be. Asked for a range where it could be for one value: PostgreSQL would compare with all users there are, not look one up.
macro_rules! may_be_joined {
    () => {
        concat!(
            "(EXISTS (SELECT 1 FROM memberships_1 t WHERE t.membership = 'join' AND ",
            stay!("t."),
            " BETWEEN s.room_id || ' :' || s.server_name AND s.room_id || ' :' || s.server_name) \
             OR EXISTS (SELECT 1 FROM memberships_1 t WHERE t.membership = 'join' AND ",
            stay!("t."),
            " >= s.room_id || ' ' AND ",
            stay!("t."),
            " < s.room_id || ' :') \
             OR EXISTS (SELECT 1 FROM memberships_1 t WHERE t.membership = 'join' AND ",
            stay!("t."),
            " > s.room_id || ' ;' AND ",
            stay!("t."),
            " < s.room_id || '!') \
             OR EXISTS (SELECT 1 FROM partial_rooms_1 p WHERE p.room_id = s.room_id))"
        )
    };
}

pub(super) use {may_be_joined, stay};

const TABLES: [&str; 5] = [
    "CREATE TABLE IF NOT EXISTS memberships_1 (
        user_id {{text}} NOT NULL,
        room_id {{text}} NOT NULL,
        membership {{text}} NOT NULL,
        sender {{text}} NOT NULL,
        event_id {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        shard BIGINT NOT NULL,
        position BIGINT NOT NULL,
        since_sequence BIGINT NOT NULL,
        since_position BIGINT NOT NULL,
        stay_from BIGINT NOT NULL,
        stay_to BIGINT NOT NULL,
        PRIMARY KEY (user_id, room_id)
    )",
    "CREATE INDEX IF NOT EXISTS memberships_1_room ON memberships_1 (room_id, membership, user_id)",
    "CREATE INDEX IF NOT EXISTS memberships_1_invites ON memberships_1 (user_id, room_id) WHERE membership = 'invite'",
    concat!(
        "CREATE INDEX IF NOT EXISTS memberships_1_servers ON memberships_1 (",
        stay!(""),
        ") WHERE membership = 'join'"
    ),
    "CREATE TABLE IF NOT EXISTS memberships_1_events (
        room_id {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        user_id {{text}} NOT NULL,
        membership {{text}} NOT NULL,
        sender {{text}} NOT NULL,
        event_id {{text}} NOT NULL,
        shard BIGINT NOT NULL,
        PRIMARY KEY (room_id, sequence)
    )",
];

/// Being joined goes on through changes of one's name. The last stay that ended is kept: a token from within it tells that the room is known.
pub(super) const SET: &str = "INSERT INTO memberships_1 (user_id, room_id, membership, sender, event_id, sequence, shard, position, \
     since_sequence, since_position, stay_from, stay_to) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $6, $8, 0, 0) \
     ON CONFLICT (user_id, room_id) DO UPDATE SET membership = excluded.membership, sender = excluded.sender, \
     event_id = excluded.event_id, sequence = excluded.sequence, shard = excluded.shard, position = excluded.position, \
     since_sequence = CASE WHEN memberships_1.membership = 'join' AND excluded.membership = 'join' THEN memberships_1.since_sequence ELSE excluded.since_sequence END, \
     since_position = CASE WHEN memberships_1.membership = 'join' AND excluded.membership = 'join' THEN memberships_1.since_position ELSE excluded.since_position END, \
     stay_from = CASE WHEN memberships_1.membership = 'join' AND excluded.membership <> 'join' THEN memberships_1.since_position ELSE memberships_1.stay_from END, \
     stay_to = CASE WHEN memberships_1.membership = 'join' AND excluded.membership <> 'join' THEN excluded.position ELSE memberships_1.stay_to END";

pub(super) const KEEP: &str = "INSERT INTO memberships_1_events (room_id, sequence, user_id, membership, sender, event_id, shard) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";

/// A member event that was kept is in force from this position on. Nothing changes when it was before.
pub(super) const ENFORCE: &str = "INSERT INTO memberships_1 (user_id, room_id, membership, sender, event_id, sequence, shard, position, \
     since_sequence, since_position, stay_from, stay_to) SELECT e.user_id, e.room_id, e.membership, e.sender, e.event_id, e.sequence, e.shard, CAST($1 AS BIGINT), \
     e.sequence, CAST($1 AS BIGINT), 0, 0 FROM memberships_1_events e WHERE e.room_id = $2 AND e.sequence = $3 \
     ON CONFLICT (user_id, room_id) DO UPDATE SET membership = excluded.membership, sender = excluded.sender, \
     event_id = excluded.event_id, sequence = excluded.sequence, shard = excluded.shard, position = excluded.position, \
     since_sequence = CASE WHEN memberships_1.membership = 'join' AND excluded.membership = 'join' THEN memberships_1.since_sequence ELSE excluded.since_sequence END, \
     since_position = CASE WHEN memberships_1.membership = 'join' AND excluded.membership = 'join' THEN memberships_1.since_position ELSE excluded.since_position END, \
     stay_from = CASE WHEN memberships_1.membership = 'join' AND excluded.membership <> 'join' THEN memberships_1.since_position ELSE memberships_1.stay_from END, \
     stay_to = CASE WHEN memberships_1.membership = 'join' AND excluded.membership <> 'join' THEN excluded.position ELSE memberships_1.stay_to END \
     WHERE memberships_1.event_id <> excluded.event_id";

pub(super) const REMOVE: &str = "DELETE FROM memberships_1 WHERE user_id = $1 AND room_id = $2";

pub(super) const EMPTY: &str = "DELETE FROM memberships_1 WHERE room_id = $1";

pub(super) const EMPTY_EVENTS: &str = "DELETE FROM memberships_1_events WHERE room_id = $1";

pub(super) const OF_USER: &str = "SELECT user_id, room_id, membership, sender, event_id, sequence, shard, position, \
     since_sequence, since_position, stay_from, stay_to FROM memberships_1 WHERE user_id = $1 ORDER BY room_id";

pub(super) const OF_ROOM: &str = "SELECT user_id, room_id, membership, sender, event_id, sequence, shard, position, \
     since_sequence, since_position, stay_from, stay_to \
     FROM memberships_1 WHERE room_id = $1 AND membership = $2 AND user_id > $3 ORDER BY user_id LIMIT $4";

pub(super) const INVITES: &str = "SELECT user_id, room_id, membership, sender, event_id, sequence, shard, position, \
     since_sequence, since_position, stay_from, stay_to \
     FROM memberships_1 WHERE membership = 'invite' AND (user_id, room_id) > ($1, $2) ORDER BY user_id, room_id LIMIT $3";

pub(super) const OF_BOTH: &str = "SELECT theirs.since_sequence, own.since_sequence FROM memberships_1 theirs \
     JOIN memberships_1 own ON own.room_id = theirs.room_id AND own.membership = 'join' \
     WHERE theirs.user_id = $1 AND theirs.room_id = $2 AND theirs.membership = 'join' AND own.user_id = $3";

pub(super) const SHARED: &str = "SELECT theirs.room_id, theirs.since_sequence, own.since_sequence FROM memberships_1 theirs \
     JOIN memberships_1 own ON own.room_id = theirs.room_id AND own.membership = 'join' \
     WHERE theirs.user_id = $1 AND theirs.membership = 'join' AND own.user_id = $2 ORDER BY theirs.room_id LIMIT 1";

pub(super) const ROOM_WITH: &str = "SELECT own.room_id FROM memberships_1 own \
     JOIN memberships_1 theirs ON theirs.room_id = own.room_id AND theirs.membership = 'join' \
     WHERE own.user_id = $1 AND own.membership IN ('join', 'invite') AND theirs.user_id = $2 ORDER BY own.sequence, own.room_id LIMIT 1";

/// The model.
pub struct Memberships;

/// A user's membership of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// Who.
    pub user_id: String,
    /// Where.
    pub room_id: String,
    /// `join`, `invite`, `leave`, `ban` or `knock`.
    pub membership: String,
    /// Who made it so; of an invite, whom the invited user may be ignoring.
    pub sender: String,
    /// The member event.
    pub event_id: String,
    /// The member event's number among the room's records.
    pub sequence: Sequence,
    /// The room's shard.
    pub shard: ShardNumber,
    /// The member event's position in the shard.
    pub position: Position,
    /// The event with which this membership began: another one than the newest for a member that changed its name while joined.
    pub since_sequence: Sequence,
    /// That event's position.
    pub since_position: Position,
    /// The last time of being joined that has ended: from and up to which position; zeros when there was none.
    pub stay: (Position, Position),
}

/// As much of a PDU as tells whether it is a member event.
#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
}

#[derive(Deserialize)]
struct Content {
    membership: String,
}

impl Model for Memberships {
    const NAME: &'static str = "memberships";
    const TABLE: &'static str = "memberships_1";
    const VERSION: u32 = 1;
    const FURTHER: &'static [&'static str] = &["memberships_1_events"];

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        match record.kind {
            kind::EVENT if may_hold(&record.payload, "m.room.member") => {}
            kind::STATE_SET | kind::STATE_COMPLETED | kind::MEMBERSHIP_TOLD => {}
            kind::EMPTIED => {
                return Ok(vec![of_gone(EMPTY, record), of_gone(EMPTY_EVENTS, record)]);
            }
            _ => return Ok(Vec::new()),
        }
        Ok(match RoomRecord::decode(record)? {
            Some(RoomRecord::Event(event)) => fold_event(record, &event),
            Some(RoomRecord::StateSet(set)) if set.current => fold_changes(record, &set.changes),
            Some(RoomRecord::StateCompleted(completed)) => fold_changes(record, &completed.changes),
            Some(RoomRecord::MembershipTold(told)) => read_member(&told.pdu)
                .map(|member| set(record, member, &told.event_id))
                .into_iter()
                .collect(),
            _ => Vec::new(),
        })
    }
}

fn fold_event(record: &StoredRecord, event: &EventRecord) -> Vec<Statement> {
    if matches!(event.verdict, Verdict::Rejected(_)) {
        return Vec::new();
    }
    let Some((user_id, membership, sender)) = read_member(&event.pdu) else {
        return Vec::new();
    };
    let kept = Statement {
        sql: KEEP,
        values: vec![
            text(record.entity.name()),
            number(record.sequence),
            text(&*user_id),
            text(&*membership),
            text(&*sender),
            text(&*event.event_id),
            number(record.shard.number.into()),
        ],
    };
    if event.placement != Placement::Live || event.verdict != Verdict::Accepted {
        return vec![kept];
    }
    let member = (user_id, membership, sender);
    vec![set(record, member, &event.event_id), kept]
}

/// A membership is another one from this record on.
fn set(
    record: &StoredRecord,
    (user_id, membership, sender): (String, String, String),
    event_id: &str,
) -> Statement {
    Statement {
        sql: SET,
        values: vec![
            text(user_id),
            text(record.entity.name()),
            text(membership),
            text(sender),
            text(event_id),
            number(record.sequence),
            number(record.shard.number.into()),
            number(record.position),
        ],
    }
}

fn fold_changes(record: &StoredRecord, changes: &[StateChange]) -> Vec<Statement> {
    let members = changes.iter();
    let members = members.filter(|change| change.event_type == "m.room.member");
    let room_id = || text(record.entity.name());
    members
        .map(|change| match change.event {
            Some(sequence) => Statement {
                sql: ENFORCE,
                values: vec![number(record.position), room_id(), number(sequence)],
            },
            None => Statement {
                sql: REMOVE,
                values: vec![text(&*change.state_key), room_id()],
            },
        })
        .collect()
}

/// User, membership and sender of a member event; `None` for anything else.
fn read_member(pdu: &[u8]) -> Option<(String, String, String)> {
    let pdu: Pdu<'_> = serde_json::from_slice(pdu).ok()?;
    if pdu.event_type != "m.room.member" {
        return None;
    }
    let content: Content = serde_json::from_str(pdu.content.get()).ok()?;
    Some((
        pdu.state_key?.into_owned(),
        content.membership,
        pdu.sender.into_owned(),
    ))
}

fn read(columns: &mut Columns) -> Result<Membership, StoreError> {
    Ok(Membership {
        user_id: columns.text()?,
        room_id: columns.text()?,
        membership: columns.text()?,
        sender: columns.text()?,
        event_id: columns.text()?,
        sequence: columns.number()?,
        shard: columns.number()? as ShardNumber,
        position: columns.number()?,
        since_sequence: columns.number()?,
        since_position: columns.number()?,
        stay: (columns.number()?, columns.number()?),
    })
}

/// All memberships of a user, of whatever kind, by room ID.
pub async fn of_user(store: &dyn ModelStore, user_id: &str) -> Result<Vec<Membership>, StoreError> {
    rows(store, (OF_USER, vec![text(user_id)]), read).await
}

/// Members of a room with a membership, by user ID: at most `limit` after `after` (empty for the first).
pub async fn of_room(
    store: &dyn ModelStore,
    room_id: &str,
    membership: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<Membership>, StoreError> {
    let values = vec![
        text(room_id),
        text(membership),
        text(after),
        number(limit as u64),
    ];
    rows(store, (OF_ROOM, values), read).await
}

/// Pending invites of all users, by user ID and room ID: at most `limit` after a user and a room (empty for the first).
pub async fn invites(
    store: &dyn ModelStore,
    (user_id, room_id): (&str, &str),
    limit: usize,
) -> Result<Vec<Membership>, StoreError> {
    let values = vec![text(user_id), text(room_id), number(limit as u64)];
    rows(store, (INVITES, values), read).await
}

/// Since which of a room's records two users are both joined to it: the one, and the other. `None` when not both are.
pub async fn of_both(
    store: &dyn ModelStore,
    room_id: &str,
    (one, other): (&str, &str),
) -> Result<Option<(Sequence, Sequence)>, StoreError> {
    let values = vec![text(one), text(room_id), text(other)];
    first(store, (OF_BOTH, values), |columns| {
        Ok((columns.number()?, columns.number()?))
    })
    .await
}

/// Some room to which two users are both joined, and since which of its records the one and the other are.
pub async fn shared_room(
    store: &dyn ModelStore,
    one: &str,
    other: &str,
) -> Result<Option<(String, Sequence, Sequence)>, StoreError> {
    let values = vec![text(one), text(other)];
    first(store, (SHARED, values), |columns| {
        Ok((columns.text()?, columns.number()?, columns.number()?))
    })
    .await
}

/// A room into which the one user has come, or is invited, and in which the other one is.
pub async fn room_with(
    store: &dyn ModelStore,
    (one, other): (&str, &str),
) -> Result<Option<String>, StoreError> {
    let values = vec![text(one), text(other)];
    first(store, (ROOM_WITH, values), Columns::text).await
}
