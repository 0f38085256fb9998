//! `playhouse user export NAME`: what the server keeps of a user, one JSON object a line.
//!
//! Each line has a `kind`: `account`, `profile`, `device`, `account_data` (with `room_id` for that of a room), `room`, and `event`: the events of the user's
//! rooms that the user may see, oldest first, as clients see them. Written as it is read, whatever its size.

use std::collections::BTreeMap;

use playhouse_actors::{
    house::House,
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{MessagesQuery, Reader},
    },
    user::{UserAnswer, UserQuery},
};
use playhouse_schema::{
    address::Entity,
    port::EntityRange,
    record::{
        codec::Record as _,
        user::{NamedJson, UserRecord},
    },
};
use ruma::{RoomId, UserId};
use serde_json::{Value, json, value::RawValue};

use super::output::{Problem, say};

/// Events read at a time.
const PAGE_EVENTS: usize = 500;

/// Records read at a time.
const PAGE_RECORDS: usize = 1_000;

/// Writes everything to standard output.
pub(super) async fn export(house: &House, user_id: &UserId) -> Result<(), Problem> {
    let account = house.account(user_id).await?;
    line(json!({
        "kind": "account", "user_id": account.user_id, "created_ts": account.created_ms, "admin": account.admin, "guest": account.guest,
        "locked": account.locked, "suspended": account.suspended, "deactivated": account.deactivated
    }));
    for (field, value) in house.profile(user_id).await? {
        let value: Value = serde_json::from_str(&value)?;
        line(json!({ "kind": "profile", "field": field, "value": value }));
    }
    devices(house, user_id).await?;
    account_data(house, user_id).await?;
    let UserAnswer::Rooms(rooms) = house.user_query(user_id, UserQuery::Rooms).await? else {
        return Err(surprise("Rooms"));
    };
    for (room_id, membership) in rooms {
        line(json!({ "kind": "room", "room_id": room_id, "membership": membership.as_str() }));
        events(house, user_id, &room_id).await?;
    }
    Ok(())
}

fn line(value: Value) {
    say(format_args!("{value}"));
}

fn surprise(question: &str) -> Problem {
    Problem::new(format!("no fitting answer to {question}"))
}

async fn devices(house: &House, user_id: &UserId) -> Result<(), Problem> {
    let query = UserQuery::Devices { device_id: None };
    let UserAnswer::Devices(devices) = house.user_query(user_id, query).await? else {
        return Err(surprise("Devices"));
    };
    for device in devices {
        line(json!({
            "kind": "device", "device_id": device.device_id, "display_name": device.display_name, "last_seen_ts": device.last_seen_ms,
            "last_seen_ip": device.last_seen_address
        }));
    }
    Ok(())
}

/// Account data in force, gathered from the user's records.
async fn account_data(house: &House, user_id: &UserId) -> Result<(), Problem> {
    let entity = Entity::user(user_id.as_str());
    let mut data = BTreeMap::new();
    let mut from = 1;
    loop {
        let range = EntityRange {
            from,
            to: u64::MAX >> 1,
            backwards: false,
            limit: PAGE_RECORDS,
        };
        let page = house.store().read_entity(&entity, range).await?;
        for stored in &page {
            from = stored.sequence + 1;
            let (room_id, piece) = match UserRecord::decode(stored)? {
                Some(UserRecord::AccountDataSet(piece)) => (None, piece),
                Some(UserRecord::RoomAccountDataSet(set)) => (Some(set.room_id), set.data),
                _ => continue,
            };
            let NamedJson { name, json } = piece;
            match json {
                Some(json) => data.insert((room_id, name), json),
                None => data.remove(&(room_id, name)),
            };
        }
        if page.len() < PAGE_RECORDS {
            break;
        }
    }
    for ((room_id, event_type), content) in data {
        let content: Value = serde_json::from_slice(&content)?;
        let mut told = json!({ "kind": "account_data", "type": event_type, "content": content });
        if let Some(room_id) = room_id {
            told["room_id"] = json!(room_id);
        }
        line(told);
    }
    Ok(())
}

/// The events of a room that the user may see.
async fn events(house: &House, user_id: &UserId, room_id: &RoomId) -> Result<(), Problem> {
    let reading = UserQuery::Reading(room_id.to_owned());
    let UserAnswer::Reading(_, forgotten) = house.user_query(user_id, reading).await? else {
        return Err(surprise("Reading"));
    };
    let mut from = None;
    loop {
        let query = RoomQuery::Messages(Box::new(MessagesQuery {
            reader: Reader {
                user_id: user_id.to_owned(),
                device_id: None,
                ignored: Vec::new(),
                forgotten,
                sees_all: false,
            },
            from,
            to: None,
            backwards: false,
            limit: PAGE_EVENTS,
            filter: None,
        }));
        let page = match house.room_query(room_id, query).await {
            Ok(RoomAnswer::Page(page)) => page,
            Ok(_) => return Err(surprise("Messages")),
            // Who is only invited sees nothing yet.
            Err(RoomError::Forbidden(_) | RoomError::UnknownRoom) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        for event in &page.chunk {
            let event: &RawValue = serde_json::from_slice(event)?;
            say(format_args!("{{\"kind\":\"event\",\"event\":{event}}}"));
        }
        match page.end {
            Some(end) => from = Some(end.into()),
            None => return Ok(()),
        }
    }
}
