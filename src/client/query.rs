//! Query parameters that hot endpoints read by hand.

use crate::edge::{Arguments, Failure, Session};

/// The value of a parameter, percent-decoded; `None` when it is absent or not UTF-8.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    let pairs = query?
        .split('&')
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    decode(value)
}

/// All values of a parameter that may stand there several times.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> Vec<String> {
    let pairs = query.unwrap_or_default().split('&');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(|(key, _)| *key == name);
    named.filter_map(|(_, value)| decode(value)).collect()
}

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

fn decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'+' => bytes.push(b' '),
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                let digits = std::str::from_utf8(&digits).ok()?;
                bytes.push(u8::from_str_radix(digits, 16).ok()?);
            }
            byte => bytes.push(byte),
        }
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decodes() {
        let query = Some("a=1&filter=%7B%22x%22%3A1%7D&since=s+1&flag");
        assert_eq!(parameter(query, "filter").as_deref(), Some("{\"x\":1}"));
        assert_eq!(parameter(query, "since").as_deref(), Some("s 1"));
        assert_eq!(parameter(query, "flag").as_deref(), Some(""));
        assert_eq!(parameter(query, "none"), None);
        assert_eq!(parameters(Some("a=1&b=2&a=%33"), "a"), ["1", "3"]);
        assert_eq!(parameter(Some("a=%zz"), "a"), None);
        assert_eq!(parameter(Some("a=%ff"), "a"), None);
    }
}
