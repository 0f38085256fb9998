//! In which rooms each server ever had a user: where something for it may be found.
//!
//! Nothing is taken out but with the whole room: whether a server is in a room at some event, the room knows. Outliers count too, since a join brings members as such.

use std::borrow::Cow;

use serde::Deserialize;

use super::{
    Columns, Model, first,
    memberships::{may_be_joined, stay},
    number, of_gone, rows, text,
};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{RoomRecord, Verdict, kind, may_hold},
    },
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS server_rooms_1 (
        server_name {{text}} NOT NULL,
        room_id {{text}} NOT NULL,
        PRIMARY KEY (server_name, room_id)
    )",
    "CREATE INDEX IF NOT EXISTS server_rooms_1_room ON server_rooms_1 (room_id, server_name)",
];

pub(super) const ADD: &str =
    "INSERT INTO server_rooms_1 (server_name, room_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";

pub(super) const EMPTY: &str = "DELETE FROM server_rooms_1 WHERE room_id = $1";

pub(super) const OF_SERVER: &str = "SELECT room_id FROM server_rooms_1 WHERE server_name = $1 AND room_id > $2 ORDER BY room_id LIMIT $3";

pub(super) const PAGE: &str =
    "SELECT room_id FROM server_rooms_1 WHERE server_name = $1 ORDER BY room_id LIMIT $2 OFFSET $3";

pub(super) const PAGE_BACKWARDS: &str = "SELECT room_id FROM server_rooms_1 WHERE server_name = $1 ORDER BY room_id DESC LIMIT $2 OFFSET $3";

pub(super) const COUNT: &str = "SELECT count(*) FROM server_rooms_1 WHERE server_name = $1";

/// Of each server it is looked in one common room after the other, and no further once somebody of it is joined there. In this order of tables: a server may be
/// in many rooms more than the user.
pub(super) const NEIGHBOURS: &str = concat!(
    "SELECT n.server_name FROM (SELECT DISTINCT c.server_name FROM memberships_1 o JOIN server_rooms_1 c ON c.room_id = o.room_id \
     WHERE o.user_id = $1 AND o.membership = 'join') n \
     WHERE EXISTS (SELECT 1 FROM memberships_1 m CROSS JOIN server_rooms_1 s WHERE m.user_id = $1 AND m.membership = 'join' \
     AND s.room_id = m.room_id AND s.server_name = n.server_name AND ",
    may_be_joined!(),
    ") ORDER BY n.server_name"
);

/// The model.
pub struct ServerRooms;

/// As much of a PDU as tells whether it is a member event.
#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
}

impl Model for ServerRooms {
    const NAME: &'static str = "server_rooms";
    const TABLE: &'static str = "server_rooms_1";
    const VERSION: u32 = 1;

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
        let server = (!matches!(event.verdict, Verdict::Rejected(_)))
            .then(|| member_server(&event.pdu))
            .flatten();
        Ok(server.into_iter().map(|name| add(&name, record)).collect())
    }
}

fn add(name: &str, record: &StoredRecord) -> Statement {
    Statement {
        sql: ADD,
        values: vec![text(name), text(record.entity.name())],
    }
}

/// The server of the user that a member event is about.
fn member_server(pdu: &[u8]) -> Option<String> {
    let pdu: Pdu<'_> = serde_json::from_slice(pdu).ok()?;
    let user_id = pdu
        .state_key
        .filter(|_| pdu.event_type == "m.room.member")?;
    let (_, server_name) = user_id.split_once(':')?;
    Some(server_name.to_owned())
}

/// Rooms in which a server ever had a user, by ID: at most `limit` after `after`.
pub async fn of_server(
    store: &dyn ModelStore,
    server_name: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(server_name), text(after), number(limit as u64)];
    rows(store, (OF_SERVER, values), |columns| columns.text()).await
}

/// A page of the rooms in which a server ever had a user, by ID, and how many there are in all.
pub async fn page_of_server(
    store: &dyn ModelStore,
    server_name: &str,
    (from, limit): (u64, u64),
    backwards: bool,
) -> Result<(Vec<String>, u64), StoreError> {
    let sql = if backwards { PAGE_BACKWARDS } else { PAGE };
    let values = vec![text(server_name), number(limit), number(from)];
    let page = rows(store, (sql, values), Columns::text).await?;
    let total = first(store, (COUNT, vec![text(server_name)]), Columns::number).await?;
    Ok((page, total.unwrap_or(0)))
}

/// The servers that have somebody joined to a room in which a user is joined, our own among them. Of rooms of whose members some are still to be fetched all
/// that are known to have been there.
pub async fn neighbours(store: &dyn ModelStore, user_id: &str) -> Result<Vec<String>, StoreError> {
    rows(store, (NEIGHBOURS, vec![text(user_id)]), |columns| {
        columns.text()
    })
    .await
}
