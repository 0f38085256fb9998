//! The event closest to a time, also where other servers know of it and this one does not (client-server API, `GET /rooms/{roomId}/timestamp_to_event`).
//!
//! Other servers only tell whether it is worth while to look further back: what is answered is what is recorded here after their word for it was checked, as
//! for all that is fetched of a room's past. So the timeline stays one piece, and a client can read on from the event in both directions.

use std::time::Duration;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use ruma::{OwnedEventId, RoomId, ServerName};
use serde::Deserialize;

use super::{
    House, HouseError,
    backfill::servers,
    peers::{Patience, segment},
    surprise,
};
use crate::room::{
    RoomAnswer, RoomError, RoomQuery,
    message::{EventAt, EventAtQuery, FoundEvent},
};

/// So long other servers are asked and the past is fetched.
const WITHIN: Duration = Duration::from_secs(10);

/// So many stretches of the past are fetched for one answer.
const FETCHES_MAX: usize = 50;

/// How one server is asked for an event's ID.
const PATIENCE: Patience = Patience {
    within: Duration::from_secs(4),
    bytes_max: 64 * 1024,
};

/// What another server says.
#[derive(Deserialize)]
struct Told {
    event_id: OwnedEventId,
    origin_server_ts: u64,
}

impl House {
    /// The event closest to a time that the reader may see. Where the room's past is not known here, it is fetched from other servers, as far as they
    /// have something closer and as far as the time reaches; what was fetched stays, so that who asks again gets further.
    pub async fn event_at(
        &self,
        room_id: &RoomId,
        query: EventAtQuery,
    ) -> Result<FoundEvent, HouseError> {
        let mut here = self.event_at_here(room_id, &query).await?;
        if here.wants_past && self.env.network.is_on() {
            let look = self.look_further_back(room_id, &query, &mut here).boxed();
            match tokio::time::timeout(WITHIN, look).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::info!(%room_id, %error, "a room's past is not searched for a time");
                }
                Err(_) => {
                    tracing::info!(%room_id, "the search for a time in a room's past takes too long");
                }
            }
        }
        here.found.ok_or_else(|| RoomError::NotFound.into())
    }

    async fn event_at_here(
        &self,
        room_id: &RoomId,
        query: &EventAtQuery,
    ) -> Result<EventAt, HouseError> {
        let query = RoomQuery::EventAt(Box::new(query.clone()));
        match self.room_query(room_id, query).await? {
            RoomAnswer::Found(found) => Ok(found),
            _ => Err(surprise("EventAt")),
        }
    }

    /// Fetches the past until nothing unknown lies between the time and what is known, if another server says that there is something. `here` is what is
    /// known at any moment: whoever loses patience has it.
    async fn look_further_back(
        &self,
        room_id: &RoomId,
        query: &EventAtQuery,
        here: &mut EventAt,
    ) -> Result<(), HouseError> {
        if !self.is_closer_elsewhere(room_id, query, here).await? {
            return Ok(());
        }
        for _ in 0..FETCHES_MAX {
            if !here.wants_past || !self.fetch_past(room_id).await? {
                break;
            }
            *here = self.event_at_here(room_id, query).await?;
        }
        Ok(())
    }

    /// Whether some servers of the room tell of an event that is closer to the time.
    async fn is_closer_elsewhere(
        &self,
        room_id: &RoomId,
        query: &EventAtQuery,
        here: &EventAt,
    ) -> Result<bool, HouseError> {
        let ends = self.old_ends(room_id).await?;
        let gate = self.room_gate(room_id, self.env.server_name()).await?;
        if ends.is_empty() || !gate.inhabited {
            return Ok(false);
        }
        let asked = servers(&gate, &ends);
        let at_once = asked.len().max(1);
        let asked = stream::iter(asked)
            .map(|server| async move { self.ask_for_event_at(&server, room_id, query).await });
        let mut answers = asked.buffer_unordered(at_once);
        while let Some(told) = answers.next().await {
            if let Some(told) = told.filter(|told| is_closer(told, query, here)) {
                let event_id = told.event_id;
                tracing::debug!(%room_id, %event_id, "another server tells of an event closer to a time");
                return Ok(true);
            }
        }
        Ok(false)
    }

    async fn ask_for_event_at(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        query: &EventAtQuery,
    ) -> Option<Told> {
        let room = segment(room_id.as_str());
        let (ts, dir) = (query.ts_ms, if query.backwards { "b" } else { "f" });
        let path = format!("/_matrix/federation/v1/timestamp_to_event/{room}?ts={ts}&dir={dir}");
        let asked = self.ask_peer(server, path, PATIENCE).await;
        asked
            .inspect_err(|error| {
                tracing::debug!(%server, %room_id, %error, "no event is told for a time");
            })
            .ok()
    }
}

/// Whether an event that another server tells would be a better answer than the one that is known. What it says of the time is believed so far only that it
/// is looked for.
fn is_closer(told: &Told, query: &EventAtQuery, here: &EventAt) -> bool {
    let sent_ms = told.origin_server_ts;
    match &here.found {
        _ if query.backwards != (sent_ms <= query.ts_ms) && sent_ms != query.ts_ms => false,
        None => true,
        Some(found) if query.backwards => sent_ms > found.sent_ms,
        Some(found) => sent_ms < found.sent_ms,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::room::message::Reader;

    fn closer(sent_ms: u64, backwards: bool, found_ms: Option<u64>) -> bool {
        let event_id = OwnedEventId::try_from("$event").expect("an event ID");
        let told = Told {
            event_id: event_id.clone(),
            origin_server_ts: sent_ms,
        };
        let query = EventAtQuery {
            reader: Reader {
                user_id: "@anna:house.test".try_into().expect("a user ID"),
                device_id: None,
                ignored: Vec::new(),
                forgotten: None,
                sees_all: false,
            },
            ts_ms: 100,
            backwards,
        };
        let found = found_ms.map(|sent_ms| FoundEvent { event_id, sent_ms });
        let here = EventAt {
            found,
            wants_past: true,
        };
        is_closer(&told, &query, &here)
    }

    #[test]
    fn only_what_lies_nearer_in_the_direction_is_looked_for() {
        for (sent_ms, backwards, found_ms, expected) in [
            (100, false, None, true),
            (100, true, None, true),
            (99, false, None, false),
            (101, true, None, false),
            (101, false, Some(200), true),
            (200, false, Some(200), false),
            (201, false, Some(200), false),
            (99, false, Some(200), false),
            (99, true, Some(50), true),
            (50, true, Some(50), false),
            (101, true, Some(50), false),
        ] {
            let case = (sent_ms, backwards, found_ms);
            assert_eq!(closer(sent_ms, backwards, found_ms), expected, "{case:?}");
        }
    }
}
