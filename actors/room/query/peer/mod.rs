//! What other servers are told of a room (server-server API): events, states and auth chains, with the room's server ACL and history visibility judged for
//! the server that asks.

mod event_at;
mod finder;
mod handed;
mod sight;
mod state;
mod walks;

use bytes::Bytes;
use ruma::EventId;

use self::{
    finder::Finder,
    sight::{PeerSight, standing},
};
use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        peer::{PeerAnswer, PeerQuery, PeerQuestion, PeerStanding},
        redact::as_if_redacted,
        state::Room,
        wire::wire_form,
    },
    View,
    event_at::Time,
};

/// Answers another server.
pub(super) async fn peer(view: &mut View, query: &PeerQuery) -> Result<PeerAnswer, RoomError> {
    let room = view.room().clone();
    let standing = standing(&room, &query.server);
    if matches!(query.question, PeerQuestion::Standing) {
        return Ok(PeerAnswer::Standing(standing));
    }
    if !standing.admitted {
        return Err(RoomError::Forbidden(
            "the server ACL of this room denies your server".to_owned(),
        ));
    }
    let mut sight = PeerSight::new(&room, &query.server, standing.joined);
    if let PeerQuestion::Event { event_id } = &query.question {
        let event = event(view, (&mut sight, standing), event_id).await?;
        return Ok(PeerAnswer::Events(vec![event]));
    }
    if let PeerQuestion::Handed {
        event_id,
        handshake,
    } = &query.question
    {
        let handed = handed::handed(view, &query.server, (event_id, *handshake)).await?;
        return Ok(PeerAnswer::Handed(Box::new(handed)));
    }
    if !standing.joined {
        return Err(RoomError::Forbidden(
            "your server is not in this room".to_owned(),
        ));
    }
    match &query.question {
        PeerQuestion::Standing | PeerQuestion::Event { .. } | PeerQuestion::Handed { .. } => {
            Err(RoomError::NotFound)
        }
        PeerQuestion::State { event_id } => state::state(view, event_id).await,
        PeerQuestion::StateIds { event_id } => state::state_ids(view, event_id).await,
        PeerQuestion::AuthChain { event_id } => {
            let chain = state::auth_chain(view, event_id).await?;
            Ok(PeerAnswer::Events(chain))
        }
        PeerQuestion::Backfill { from, limit } => {
            let events = walks::backfill(view, &mut sight, (from, *limit)).await?;
            Ok(PeerAnswer::Events(events))
        }
        PeerQuestion::MissingEvents(gap) => {
            let events = walks::missing_events(view, &mut sight, gap).await?;
            Ok(PeerAnswer::Events(events))
        }
        PeerQuestion::EventAt { ts_ms, backwards } => {
            let time = Time {
                ts_ms: *ts_ms,
                backwards: *backwards,
            };
            let found = event_at::event_at(view, &mut sight, time).await?;
            Ok(PeerAnswer::Found(found))
        }
        PeerQuestion::Extremities => {
            let ends = room.extremities.iter();
            let ids = ends.map(|extremity| extremity.event_id.clone()).collect();
            Ok(PeerAnswer::Ids(ids))
        }
    }
}

/// One event. A server that is not in the room is told only what it may see; one that is gets the rest without its content.
async fn event(
    view: &mut View,
    (sight, standing): (&mut PeerSight, PeerStanding),
    event_id: &EventId,
) -> Result<Bytes, RoomError> {
    let room = view.room().clone();
    let found = Finder::new(&room).one(&mut view.history, event_id).await?;
    let event = found
        .filter(|event| finder::is_told(event))
        .ok_or(RoomError::NotFound)?;
    if sight.sees(&mut view.history, &event).await? {
        Ok(wire_form(&event.pdu))
    } else if standing.joined {
        Ok(veiled(&room, &event))
    } else {
        Err(RoomError::NotFound)
    }
}

/// An event as a server is told of it that may not see its content: so the graph has no holes.
fn veiled(room: &Room, event: &RoomEvent) -> Bytes {
    as_if_redacted(room, event).map_or_else(Bytes::new, |event| wire_form(&event.pdu))
}

/// An event as the server may see it.
async fn shown(
    view: &mut View,
    sight: &mut PeerSight,
    event: &RoomEvent,
) -> Result<Bytes, RoomError> {
    if sight.sees(&mut view.history, event).await? {
        Ok(wire_form(&event.pdu))
    } else {
        Ok(veiled(view.room(), event))
    }
}
