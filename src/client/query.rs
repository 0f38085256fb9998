//! Query parameters that hot endpoints read by hand.

pub(crate) use crate::edge::query::{parameter, parameters};
use crate::edge::{Arguments, Failure, Session};

/// `filter`: the text as the client wrote it. Its type leaves out what asks for related events.
pub(crate) fn filter(arguments: &Arguments) -> Option<String> {
    parameter(arguments.query.as_deref(), "filter").filter(|filter| !filter.is_empty())
}

/// `ts`: application services may say when an event was sent. From others it is ignored.
pub(crate) fn timestamp(caller: &Session, query: Option<&str>) -> Result<Option<u64>, Failure> {
    if caller.bridge.is_none() {
        return Ok(None);
    }
    let value = parameter(query, "ts");
    let parsed = value.map(|value| value.parse::<u64>());
    parsed
        .transpose()
        .map_err(|_| Failure::invalid_param("ts is not a time in milliseconds"))
}

/// `org.matrix.msc4354.sticky_duration_ms`: how long an event sticks to its room.
pub(crate) fn sticky_ms(query: Option<&str>) -> Result<Option<u64>, Failure> {
    let value = parameter(query, "org.matrix.msc4354.sticky_duration_ms");
    let parsed = value.map(|value| value.parse::<u64>());
    parsed.transpose().map_err(|_| {
        Failure::invalid_param("org.matrix.msc4354.sticky_duration_ms is a number of milliseconds")
    })
}
