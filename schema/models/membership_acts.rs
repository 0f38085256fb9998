//! When each user invited somebody and came into rooms.
//!
//! Folded from accepted member events at the end of the timeline; the time is that of their record. Of the joins of a user in a room only the last one is kept:
//! each change of a name is one, and a fold cannot tell the users of other servers, of whom nobody asks.

use std::borrow::Cow;

use serde::Deserialize;

use super::{Columns, Model, first, number, of_gone, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, RoomRecord, Verdict, kind, may_hold},
    },
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS membership_acts_2 (
        room_id {{text}} NOT NULL,
        user_id {{text}} NOT NULL,
        act {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        PRIMARY KEY (room_id, user_id, act, sequence)
    )",
    "CREATE INDEX IF NOT EXISTS membership_acts_2_user ON membership_acts_2 (user_id, act, at_ms)",
];

pub(super) const ADD: &str = "INSERT INTO membership_acts_2 (room_id, user_id, act, sequence, at_ms) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT (room_id, user_id, act, sequence) DO UPDATE SET at_ms = excluded.at_ms";

pub(super) const EMPTY: &str = "DELETE FROM membership_acts_2 WHERE room_id = $1";

pub(super) const INVITES: &str =
    "SELECT count(*) FROM membership_acts_2 WHERE user_id = $1 AND act = 'invite' AND at_ms > $2";

pub(super) const JOINED: &str = "SELECT count(DISTINCT room_id) FROM membership_acts_2 WHERE user_id = $1 AND act = 'join' AND at_ms > $2";

const JOIN: &str = "join";

/// The model.
pub struct MembershipActs;

#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: Option<String>,
}

impl Model for MembershipActs {
    const NAME: &'static str = "membership_acts";
    const TABLE: &'static str = "membership_acts_2";
    const VERSION: u32 = 2;

    fn families(&self) -> &[Family] {
        &[Family::Rooms]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.kind == kind::EMPTIED {
            return Ok(vec![of_gone(EMPTY, record)]);
        }
        if record.kind != kind::EVENT || !may_hold(&record.payload, "m.room.member") {
            return Ok(Vec::new());
        }
        let Some(RoomRecord::Event(event)) = RoomRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        if event.placement != Placement::Live || event.verdict != Verdict::Accepted {
            return Ok(Vec::new());
        }
        let act = act(&event.pdu).map(|(user_id, act)| Statement {
            sql: ADD,
            values: vec![
                text(record.entity.name()),
                text(user_id),
                text(act),
                number(if act == JOIN { 0 } else { record.sequence }),
                number(record.at_ms),
            ],
        });
        Ok(act.into_iter().collect())
    }
}

/// Who did what.
fn act(pdu: &[u8]) -> Option<(String, &'static str)> {
    let pdu: Pdu<'_> = serde_json::from_slice(pdu).ok()?;
    if pdu.event_type != "m.room.member" {
        return None;
    }
    let user_id = pdu.state_key?;
    match pdu.content.membership.as_deref()? {
        "invite" => Some((pdu.sender.into_owned(), "invite")),
        "join" => Some((user_id.into_owned(), JOIN)),
        _ => None,
    }
}

/// How many invites a user has sent since then.
pub async fn invites(
    store: &dyn ModelStore,
    user_id: &str,
    since_ms: u64,
) -> Result<u64, StoreError> {
    let values = vec![text(user_id), number(since_ms)];
    let count = first(store, (INVITES, values), Columns::number).await?;
    Ok(count.unwrap_or(0))
}

/// Into how many rooms a user has come since then, or has changed the name there.
pub async fn joined_rooms(
    store: &dyn ModelStore,
    user_id: &str,
    since_ms: u64,
) -> Result<u64, StoreError> {
    let values = vec![text(user_id), number(since_ms)];
    let count = first(store, (JOINED, values), Columns::number).await?;
    Ok(count.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_invites_and_joins_are_acts() {
        let event = |membership: &str| {
            format!(
                r#"{{"type":"m.room.member","state_key":"@a:x","sender":"@b:x","content":{{"membership":"{membership}"}}}}"#
            )
        };
        let did = |membership: &str| act(event(membership).as_bytes());
        assert_eq!(did("invite"), Some(("@b:x".to_owned(), "invite")));
        assert_eq!(did("join"), Some(("@a:x".to_owned(), "join")));
        assert_eq!(did("leave"), None);
        assert_eq!(act(b"{}"), None);
    }
}
