//! In which encoding a page is written.

use std::borrow::Cow;

use encoding_rs::{Encoding, UTF_8, WINDOWS_1252};

/// A page declares its encoding within so many bytes.
const DECLARED_WITHIN_BYTES: usize = 1_024;

/// The page as text: by its byte order mark, the header, its own declaration, or else as UTF-8 where it is valid and as what browsers assume where it is not.
pub(super) fn text<'a>(body: &'a [u8], content_type: Option<&str>) -> Cow<'a, str> {
    let encoding = content_type
        .and_then(parameter)
        .and_then(|label| Encoding::for_label(label.as_bytes()))
        .or_else(|| declared(body))
        .unwrap_or_else(|| {
            if std::str::from_utf8(body).is_ok() {
                UTF_8
            } else {
                WINDOWS_1252
            }
        });
    // A byte order mark has the last word.
    encoding.decode(body).0
}

/// `charset` of a content type.
fn parameter(content_type: &str) -> Option<&str> {
    content_type.split(';').skip(1).find_map(|parameter| {
        let (name, value) = parameter.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("charset")
            .then(|| value.trim().trim_matches(['"', '\'']))
    })
}

/// `<meta charset=…>`, `<meta … content="…; charset=…">` or `<?xml … encoding="…"?>` at the beginning.
fn declared(body: &[u8]) -> Option<&'static Encoding> {
    let start = &body[..body.len().min(DECLARED_WITHIN_BYTES)];
    let start = String::from_utf8_lossy(start).to_ascii_lowercase();
    let found = ["charset=", "encoding="].into_iter().find_map(|word| {
        let (_, rest) = start.split_once(word)?;
        let rest = rest.trim_start_matches(['"', '\'', ' ']);
        let end = rest
            .find(|end: char| !(end.is_ascii_alphanumeric() || "-_:.".contains(end)))
            .unwrap_or(rest.len());
        Encoding::for_label(&rest.as_bytes()[..end])
    })?;
    // Who can read the declaration byte by byte does not read UTF-16.
    Some(if found.is_ascii_compatible() {
        found
    } else {
        UTF_8
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_the_ways_to_say_it() {
        let latin: &[u8] = b"<title>caf\xe9</title>";
        for (body, content_type) in [
            (latin, Some("text/html; charset=iso-8859-1")),
            (latin, Some("text/html; Charset=\"windows-1252\"")),
            (latin, None),
            (b"<meta charset=latin1><title>caf\xe9", None),
            (
                b"<meta http-equiv=content-type content='text/html; charset=iso-8859-1'>caf\xe9",
                None,
            ),
            (b"<?xml version='1.0' encoding='iso-8859-1'?>caf\xe9", None),
            ("<title>caf\u{e9}".as_bytes(), Some("text/html")),
            ("<meta charset=utf-16>caf\u{e9}".as_bytes(), None),
            (
                b"\xef\xbb\xbfcaf\xc3\xa9",
                Some("text/html; charset=latin1"),
            ),
            (b"\xff\xfec\0a\0f\0\xe9\0", None),
        ] {
            let text = text(body, content_type);
            assert!(text.contains("caf\u{e9}"), "{content_type:?}: {text}");
        }
        assert_eq!(
            text("日本".as_bytes(), Some("text/html; charset=nonsense")),
            "日本"
        );
        let japanese = text(b"\x93\xfa\x96\x7b", Some("text/html; charset=shift_jis"));
        assert_eq!(japanese, "日本");
    }
}
