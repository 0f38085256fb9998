//! Room lists of other servers (server-server API, "Published Room Directory").

use std::time::Duration;

use ruma::{ServerName, UInt, directory::PublicRoomsChunk};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use super::{
    House, HouseError,
    peers::{Patience, segment},
};
use crate::network::{PeerError, PeerMethod};

/// How a list is asked for.
const PATIENCE: Patience = Patience {
    within: Duration::from_secs(20),
    bytes_max: 10 * 1024 * 1024,
};

/// The list without a filter is believed for so long.
const KEPT_FOR: Duration = Duration::from_secs(60);

/// A page shows at most so many rooms, whatever was answered.
const ROOMS_MAX: usize = 1_000;

/// A token of another server is no longer.
const TOKEN_BYTES_MAX: usize = 2_048;

/// Which part of another server's list somebody wants.
#[derive(Clone, Debug, Default)]
pub struct RemoteListWish {
    /// At most so many rooms.
    pub limit: usize,
    /// That server's token.
    pub since: Option<String>,
    /// Only rooms that fit this.
    pub term: Option<String>,
    /// Only rooms of these types (`None`: of no type); empty for all.
    pub room_types: Vec<Option<String>>,
    /// A network that is bridged there, and no other; an empty text stands for all networks.
    pub network: Option<String>,
}

/// A page of another server's list, as that server tells it.
#[derive(Clone, Debug, Default)]
pub struct RemoteListPage {
    /// The rooms, as far as they are some.
    pub rooms: Vec<PublicRoomsChunk>,
    /// What follows.
    pub next: Option<String>,
    /// What precedes.
    pub previous: Option<String>,
    /// How many rooms are listed, about.
    pub listed: Option<UInt>,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    chunk: Vec<Box<RawValue>>,
    next_batch: Option<String>,
    prev_batch: Option<String>,
    total_room_count_estimate: Option<UInt>,
}

impl From<Answer> for RemoteListPage {
    fn from(answer: Answer) -> Self {
        let rooms = answer.chunk.iter().take(ROOMS_MAX);
        let token = |token: Option<String>| token.filter(|it| it.len() <= TOKEN_BYTES_MAX);
        Self {
            rooms: rooms
                .filter_map(|room| serde_json::from_str(room.get()).ok())
                .collect(),
            next: token(answer.next_batch),
            previous: token(answer.prev_batch),
            listed: answer.total_room_count_estimate,
        }
    }
}

impl RemoteListWish {
    fn is_plain(&self) -> bool {
        self.term.is_none() && self.room_types.is_empty()
    }

    fn query(&self) -> String {
        let mut query = format!("limit={}", self.limit);
        if let Some(since) = &self.since {
            query.push_str(&format!("&since={}", segment(since)));
        }
        match self.network.as_deref() {
            None => {}
            Some("") => query.push_str("&include_all_networks=true"),
            Some(network) => {
                query.push_str(&format!("&third_party_instance_id={}", segment(network)));
            }
        }
        query
    }

    fn body(&self) -> serde_json::Value {
        let mut filter = json!({});
        if let Some(term) = &self.term {
            filter["generic_search_term"] = json!(term);
        }
        if !self.room_types.is_empty() {
            filter["room_types"] = json!(self.room_types);
        }
        let mut body = json!({ "limit": self.limit, "filter": filter });
        if let Some(since) = &self.since {
            body["since"] = json!(since);
        }
        match self.network.as_deref() {
            None => {}
            Some("") => body["include_all_networks"] = json!(true),
            Some(network) => body["third_party_instance_id"] = json!(network),
        }
        body
    }
}

impl House {
    /// A page of another server's room list.
    pub async fn public_rooms_of(
        &self,
        server: &ServerName,
        wish: RemoteListWish,
    ) -> Result<RemoteListPage, HouseError> {
        let path = "/_matrix/federation/v1/publicRooms";
        let asked: Result<Answer, _> = if wish.is_plain() {
            let path = format!("{path}?{}", wish.query());
            self.ask_peer_once(server, path, (PATIENCE, KEPT_FOR)).await
        } else {
            let how = (PeerMethod::Post, path.to_owned());
            self.tell_peer(server, how, &wish.body(), PATIENCE).await
        };
        asked.map(Into::into).map_err(|error| match error {
            PeerError::Refused { errcode, error, .. } if !errcode.is_empty() => {
                HouseError::RefusedElsewhere { errcode, error }
            }
            error => {
                tracing::debug!(%server, %error, "no room list");
                HouseError::Unreachable(server.to_owned())
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_room_is_left_out() {
        let answer = r#"{"chunk": [
            {"room_id": "!a:far", "num_joined_members": 3, "world_readable": true, "guest_can_join": false, "name": "A"},
            {"room_id": 7}, null, {}
        ], "next_batch": "n", "total_room_count_estimate": 9}"#;
        let page = RemoteListPage::from(serde_json::from_str::<Answer>(answer).unwrap());
        assert_eq!(page.rooms.len(), 1);
        assert_eq!(page.next.as_deref(), Some("n"));
        let long = json!({ "next_batch": "x".repeat(TOKEN_BYTES_MAX + 1) });
        let page = RemoteListPage::from(serde_json::from_value::<Answer>(long).unwrap());
        assert_eq!(page.next, None);
    }

    #[test]
    fn wishes_are_passed_on() {
        let wish = RemoteListWish {
            limit: 5,
            since: Some("a b&c".to_owned()),
            network: Some(String::new()),
            ..RemoteListWish::default()
        };
        assert_eq!(
            wish.query(),
            "limit=5&since=a%20b%26c&include_all_networks=true"
        );
        let wish = RemoteListWish {
            limit: 5,
            term: Some("x".to_owned()),
            room_types: vec![None, Some("m.space".to_owned())],
            ..RemoteListWish::default()
        };
        let body = json!({
            "limit": 5, "filter": {"generic_search_term": "x", "room_types": [null, "m.space"]}
        });
        assert_eq!(wish.body(), body);
    }
}
