//! Query parameters that are read by hand.

/// The values of a parameter as they stand there; empty where there is no `=`.
pub(super) fn raw<'a>(query: Option<&'a str>, name: &str) -> impl Iterator<Item = &'a str> {
    let pairs = query.unwrap_or_default().split('&');
    let pairs = pairs.map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs.filter(move |(key, _)| *key == name);
    named.map(|(_, value)| value)
}

/// The value of a parameter, percent-decoded; `None` when it is absent or not UTF-8.
pub(crate) fn parameter(query: Option<&str>, name: &str) -> Option<String> {
    raw(query, name).next().and_then(decode)
}

/// All values of a parameter that may stand there several times.
pub(crate) fn parameters(query: Option<&str>, name: &str) -> Vec<String> {
    raw(query, name).filter_map(decode).collect()
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
