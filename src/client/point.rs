//! Pagination tokens: `t<sequence>` is a point in a room's timeline, `h<sequence>` one in what was fetched from before this server came in. Tokens of `/sync` are understood too.

use playhouse_actors::room::message::{Place, TimelinePoint};
use playhouse_schema::address::Sequence;

use ruma::RoomId;

use crate::edge::{App, Failure};

/// The token of a record's place in the timeline.
pub(crate) fn token(sequence: Sequence) -> String {
    format!("t{sequence}")
}

/// The token of a place.
pub(crate) fn of_place(place: Place) -> String {
    match place {
        Place::Live(sequence) => token(sequence),
        Place::Past(sequence) => format!("h{sequence}"),
    }
}

/// The point of a token.
pub(crate) fn parse(app: &App, room_id: &RoomId, token: &str) -> Result<TimelinePoint, Failure> {
    if let Some(number) = token
        .strip_prefix('t')
        .and_then(|number| number.parse().ok())
    {
        return Ok(TimelinePoint::Sequence(number));
    }
    if let Some(number) = token
        .strip_prefix('h')
        .and_then(|number| number.parse().ok())
    {
        return Ok(TimelinePoint::Past(number));
    }
    app.house
        .sync_position(room_id, token)
        .map(TimelinePoint::Position)
        .ok_or_else(|| Failure::invalid_param("this is not a pagination token"))
}
