//! How things stand with a destination: whether it has what happened, and if not, why not.

use playhouse_schema::{
    address::{Position, Sequence, Shard},
    record::server::Lag,
};
use ruma::{OwnedRoomId, ServerName};
use serde::{Deserialize, Serialize};

use super::{
    board::{OutboxBoard, position_in},
    slot::Inner,
    state::Server,
};

/// An event that is meant for a destination.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SentEvent {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its shard.
    pub shard: Shard,
    /// The event's position there.
    pub position: Position,
    /// Its number among the room's records.
    pub sequence: Sequence,
}

/// Whether a destination has an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrival {
    /// It has acknowledged it, or was not in need of it.
    Delivered,
    /// It is in the transaction that is on its way.
    InFlight,
    /// It waits for the next transaction.
    Waiting,
    /// The destination is behind: it gets what it missed once it can be reached.
    Behind,
    /// The reader of the log has not come so far.
    Undistributed,
}

/// How things stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Outlook {
    /// Whether it has the event that was asked about.
    pub arrival: Option<Arrival>,
    /// The transaction on its way, and when it was made, milliseconds since the Unix epoch.
    pub in_flight: Option<(String, u64)>,
    /// It is behind.
    pub is_behind: bool,
    /// So much waits in memory.
    pub waiting: u64,
    /// The oldest event that is on its way or waits, by room and number.
    pub oldest: Option<(String, Sequence)>,
    /// Somebody is sending to it right now.
    pub is_delivering: bool,
    /// Failures since the last success.
    pub failures: u64,
    /// The first of them, milliseconds since the Unix epoch; 0 when there is none.
    pub failing_since_ms: u64,
    /// No attempt is made before this time; 0 when nothing hinders.
    pub next_ms: u64,
    /// The last success that was recorded; 0 when there was none.
    pub acknowledged_ms: u64,
}

impl Outlook {
    /// Looks at what is recorded of a destination, and at what waits for it in memory.
    pub(super) fn of(
        server: &Server,
        (board, name): (&OutboxBoard, &ServerName),
        event: Option<&SentEvent>,
    ) -> Self {
        let distributed = board.positions();
        let slot = board.slot(name);
        let inner = slot.inner.lock();
        let in_flight = server.in_flight.as_ref();
        let travelling = in_flight.and_then(|departed| {
            let run = departed.events.first()?;
            Some((run.room_id.clone(), *run.sequences.first()?))
        });
        let waiting = inner.waiting.events.front();
        let waiting = waiting.map(|(room_id, place)| (room_id.to_string(), place.sequence));
        Self {
            arrival: event.map(|event| arrival(server, (&*inner, &distributed), event)),
            in_flight: in_flight.map(|sent| (sent.transaction_id.clone(), sent.at_ms)),
            is_behind: server.lag.is_some() || inner.behind.is_some(),
            waiting: inner.waiting.places().count() as u64,
            oldest: travelling.or(waiting),
            is_delivering: inner.is_delivering,
            failures: server.failures,
            failing_since_ms: server.failing_since_ms,
            next_ms: server.next_ms,
            acknowledged_ms: server.acknowledged_ms,
        }
    }
}

fn arrival(server: &Server, (inner, distributed): (&Inner, &Lag), event: &SentEvent) -> Arrival {
    let room_id = event.room_id.as_str();
    let is_travelling = server.in_flight.as_ref().is_some_and(|departed| {
        let mut runs = departed.events.iter();
        runs.any(|run| run.room_id == room_id && run.sequences.contains(&event.sequence))
    });
    if is_travelling {
        return Arrival::InFlight;
    }
    let is_after = |lag: &Lag| event.position > position_in(lag, event.shard);
    let mut waiting = inner.waiting.events.iter();
    let waits = waiting.any(|(room, place)| {
        // What was sent may be read again, after a crash.
        let is_left = place.position > position_in(&server.done, place.shard);
        is_left && *room == event.room_id && place.sequence == event.sequence
    });
    if waits {
        return Arrival::Waiting;
    }
    let caught = server.caught.get(room_id).copied().unwrap_or(0);
    let lags = server.lag.as_ref().is_some_and(|lag| is_after(lag));
    let falls = inner.behind.as_ref();
    let falls = falls.is_some_and(|behind| !behind.is_noted && is_after(&behind.from));
    let is_undone = is_after(&server.done);
    if (lags || falls) && is_undone && caught < event.position {
        return Arrival::Behind;
    }
    if is_after(distributed) && is_undone {
        return Arrival::Undistributed;
    }
    Arrival::Delivered
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use playhouse_schema::{
        address::{Family, Layout},
        record::server::{Departed, EventRun},
    };
    use ruma::{room_id, server_name};

    use super::*;
    use crate::server::board::{Place, Positions};

    #[test]
    fn an_event_is_followed_to_its_destination() {
        let positions = Positions::from([(0, 9)]);
        let layout = Layout { shards: 1, era: 0 };
        let board = OutboxBoard::new(layout, &positions, &positions);
        let (name, room_id) = (
            server_name!("b.example"),
            room_id!("!r:a.example").to_owned(),
        );
        let shard = Shard {
            family: Family::Rooms,
            number: 0,
        };
        let event = |position| SentEvent {
            room_id: room_id.clone(),
            shard,
            position,
            sequence: position,
        };
        let mut server = Server::default();
        let asked = |server: &Server, position| {
            let outlook = Outlook::of(server, (&board, name), Some(&event(position)));
            outlook.arrival.expect("it was asked")
        };
        assert_eq!(asked(&server, 9), Arrival::Delivered);
        assert_eq!(asked(&server, 10), Arrival::Undistributed);
        let place = Place {
            shard,
            position: 8,
            sequence: 8,
        };
        board.post_event(name, &room_id, &place);
        assert_eq!(asked(&server, 8), Arrival::Waiting);
        let run = EventRun {
            room_id: room_id.to_string(),
            sequences: vec![7],
        };
        server.in_flight = Some(Arc::new(Departed {
            events: vec![run],
            ..Departed::default()
        }));
        assert_eq!(asked(&server, 7), Arrival::InFlight);
        server.lag = Some(Arc::new(Lag {
            rooms: vec![(0, 5)],
            users: Vec::new(),
        }));
        assert_eq!(asked(&server, 6), Arrival::Behind);
        assert_eq!(asked(&server, 5), Arrival::Delivered);
        server.caught = Arc::new([(room_id.to_string(), 6)].into());
        assert_eq!(asked(&server, 6), Arrival::Delivered);
        server.lag = None;
        server.done = Arc::new(Lag {
            rooms: vec![(0, 12)],
            users: Vec::new(),
        });
        // The log is read again up to there.
        assert_eq!(asked(&server, 8), Arrival::Delivered);
        assert_eq!(asked(&server, 12), Arrival::Delivered);
        assert_eq!(asked(&server, 13), Arrival::Undistributed);
    }
}
