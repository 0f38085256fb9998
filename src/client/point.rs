//! Pagination tokens: `t<sequence>` is a point in a room's timeline. Tokens of `/sync` are understood too.

use playhouse_actors::room::message::TimelinePoint;
use playhouse_schema::address::Sequence;

use crate::edge::Failure;

/// The token of a point.
pub(crate) fn token(sequence: Sequence) -> String {
    format!("t{sequence}")
}

/// The point of a token.
pub(crate) fn parse(token: &str) -> Result<TimelinePoint, Failure> {
    token
        .strip_prefix('t')
        .and_then(|number| number.parse().ok())
        .map(TimelinePoint::Sequence)
        .ok_or_else(|| Failure::invalid_param("this is not a pagination token"))
}
