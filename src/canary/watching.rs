//! What syncs tell of the canary's messages, and what they leave out.

use std::collections::BTreeMap;

use playhouse_actors::house::HouseError;
use ruma::{OwnedRoomId, RoomId};
use serde::Deserialize;
use serde_json::json;

use super::EVENT_TYPE;

/// The messages of one life that were seen.
pub(super) struct Watching {
    life: String,
    seen: u64,
}

#[derive(Deserialize)]
struct Synced {
    next_batch: String,
    #[serde(default)]
    rooms: Rooms,
}

#[derive(Default, Deserialize)]
struct Rooms {
    #[serde(default)]
    join: BTreeMap<OwnedRoomId, Joined>,
}

#[derive(Default, Deserialize)]
struct Joined {
    #[serde(default)]
    timeline: Timeline,
}

#[derive(Default, Deserialize)]
struct Timeline {
    #[serde(default)]
    events: Vec<Event>,
}

#[derive(Deserialize)]
struct Event {
    content: Content,
}

/// Of another event nothing is there.
#[derive(Default, Deserialize)]
struct Content {
    life: Option<String>,
    number: Option<u64>,
}

/// Nothing but the canary's messages is to be told.
pub(super) fn filter(room_id: &RoomId) -> String {
    let nothing = json!({"types": []});
    json!({
        "presence": nothing,
        "account_data": nothing,
        "room": {
            "rooms": [room_id],
            "timeline": {"types": [EVENT_TYPE], "limit": 50},
            "ephemeral": nothing,
            "account_data": nothing,
        },
    })
    .to_string()
}

impl Watching {
    /// Nothing was seen yet.
    pub(super) fn new(life: String) -> Self {
        Self { life, seen: 0 }
    }

    /// What its messages say of it.
    pub(super) fn life(&self) -> &str {
        &self.life
    }

    /// The number of the newest message that was seen.
    pub(super) fn seen(&self) -> u64 {
        self.seen
    }

    /// Takes in a sync's answer: where it ended, and how many messages were left out.
    pub(super) fn take(
        &mut self,
        room_id: &RoomId,
        body: &[u8],
    ) -> Result<(String, u64), HouseError> {
        let mut synced: Synced = serde_json::from_slice(body)
            .map_err(|error| HouseError::Broken(format!("a sync cannot be read: {error}")))?;
        let joined = synced.rooms.join.remove(room_id).unwrap_or_default();
        let mut gaps = 0;
        for Event { content } in joined.timeline.events {
            let Some(number) = content.number else {
                continue;
            };
            if content.life.as_deref() != Some(&*self.life) || number <= self.seen {
                continue;
            }
            gaps += number - self.seen - 1;
            self.seen = number;
        }
        Ok((synced.next_batch, gaps))
    }
}

#[cfg(test)]
mod tests {
    use ruma::room_id;

    use super::*;

    #[test]
    fn what_is_left_out_is_noticed() {
        let room_id = room_id!("!canary:example.org");
        let mut watching = Watching::new("now".to_owned());
        let synced = |life: &str, numbers: &[u64]| {
            let events = numbers.iter();
            let events: Vec<_> = events
                .map(|number| json!({"content": {"life": life, "number": number}}))
                .collect();
            let joined = json!({"timeline": {"events": events, "limited": false}});
            let body = json!({"next_batch": "s1", "rooms": {"join": {(room_id.as_str()): joined}}});
            body.to_string()
        };
        let mut take = |body: &str| watching.take(room_id, body.as_bytes()).unwrap().1;
        assert_eq!(take(r#"{"next_batch": "s0"}"#), 0);
        assert_eq!(take(&synced("before", &[7, 8])), 0);
        assert_eq!(take(&synced("now", &[1, 2])), 0);
        // A sync that is asked again may tell them again.
        assert_eq!(take(&synced("now", &[2, 3])), 0);
        assert_eq!(take(&synced("now", &[6])), 2);
        assert_eq!(watching.seen(), 6);
        assert!(watching.take(room_id, b"nothing").is_err());
    }
}
