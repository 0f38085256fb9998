//! The fields of events that a sync wants (`event_fields`; appendices, "Dot-separated property paths").
//!
//! Room events of timelines and state are cut down to them. Everything else is told whole: a server may send more fields than were asked for. Without
//! `event_fields` no event is looked into.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use bytes::Bytes;
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::value::RawValue;

use crate::room::event::push_json_string;

/// A filter with more paths than this gets whole events.
const PATHS_MAX: usize = 256;

/// So deep goes a path; what lies below is told whole.
const DEPTH_MAX: usize = 16;

/// The properties of an object that are wanted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct EventFields(BTreeMap<String, Wanted>);

/// How much of a property is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Wanted {
    Whole,
    Parts(EventFields),
}

impl EventFields {
    /// Fields from their paths; `None` when events are wanted whole.
    pub(crate) fn new(paths: &[String]) -> Option<Self> {
        if paths.is_empty() || paths.len() > PATHS_MAX {
            return None;
        }
        let mut fields = Self::default();
        for path in paths {
            let names = names(path);
            fields.add(&names[..names.len().min(DEPTH_MAX)]);
        }
        Some(fields)
    }

    fn add(&mut self, path: &[String]) {
        match path {
            [] => {}
            [name] => {
                self.0.insert(name.clone(), Wanted::Whole);
            }
            [name, rest @ ..] => {
                let parts = || Wanted::Parts(Self::default());
                if let Wanted::Parts(parts) = self.0.entry(name.clone()).or_insert_with(parts) {
                    parts.add(rest);
                }
            }
        }
    }

    /// An event with these fields only.
    pub(crate) fn cut(&self, event: &Bytes) -> Bytes {
        let mut out = String::with_capacity(event.len());
        match std::str::from_utf8(event) {
            Ok(event) if self.write(event, &mut out) => Bytes::from(out),
            _ => Bytes::from_static(b"{}"),
        }
    }

    /// Appends what is wanted of an object; `false`, and nothing appended, when that is nothing. Values are copied as they are.
    fn write(&self, object: &str, out: &mut String) -> bool {
        let Ok(members) = serde_json::from_str::<Members<'_>>(object) else {
            return false;
        };
        let start = out.len();
        for (name, value) in &members.0 {
            let Some(wanted) = self.0.get(&**name) else {
                continue;
            };
            let before = out.len();
            out.push(if before == start { '{' } else { ',' });
            push_json_string(out, name);
            out.push(':');
            let written = match wanted {
                Wanted::Whole => {
                    out.push_str(value.get());
                    true
                }
                Wanted::Parts(fields) => fields.write(value.get(), out),
            };
            if !written {
                out.truncate(before);
            }
        }
        let written = out.len() > start;
        if written {
            out.push('}');
        }
        written
    }
}

/// The names in a path: a dot stands between them, `\.` and `\\` are a dot and a backslash, any other backslash is one.
fn names(path: &str) -> Vec<String> {
    let mut names = vec![String::new()];
    let mut letters = path.chars().peekable();
    while let Some(letter) = letters.next() {
        let escaped = (letter == '\\')
            .then(|| letters.next_if(|next| matches!(next, '.' | '\\')))
            .flatten();
        match (escaped, names.last_mut()) {
            (None, _) if letter == '.' => names.push(String::new()),
            (escaped, Some(name)) => name.push(escaped.unwrap_or(letter)),
            (_, None) => {}
        }
    }
    names
}

/// The members of a JSON object in their order, values unparsed.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some((Name(name), value)) = map.next_entry::<Name<'de>, _>()? {
                    members.push((name, value));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

/// Borrowed where no escape forbids it.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(paths: &[&str], event: &'static str) -> String {
        let paths: Vec<_> = paths.iter().map(|path| (*path).to_owned()).collect();
        let fields = EventFields::new(&paths).unwrap();
        String::from_utf8(fields.cut(&Bytes::from_static(event.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn keeps_what_is_wanted_and_its_bytes() {
        let event = r#"{"content":{"body":"h\u0069","m.relates_to":{"a":1,"b" : [2]},"x":{}},"event_id":"$1","type":"t"}"#;
        assert_eq!(
            cut(&["type", "content.body"], event),
            r#"{"content":{"body":"h\u0069"},"type":"t"}"#
        );
        assert_eq!(
            cut(&[r"content.m\.relates_to.b"], event),
            r#"{"content":{"m.relates_to":{"b":[2]}}}"#
        );
        assert_eq!(
            cut(&["content.x", "content.body.deeper", "none"], event),
            r#"{"content":{"x":{}}}"#
        );
        assert_eq!(cut(&["none.at.all", ""], event), "{}");
        // The wider of two paths holds, in either order.
        for paths in [["event_id", "event_id.x"], ["event_id.x", "event_id"]] {
            assert_eq!(cut(&paths, event), r#"{"event_id":"$1"}"#);
        }
    }

    #[test]
    fn paths_are_unescaped() {
        assert_eq!(names(r"a.b\.c.d\\.e"), ["a", "b.c", r"d\", "e"]);
        assert_eq!(names(r"\x.y\"), [r"\x", r"y\"]);
    }

    #[test]
    fn no_paths_want_everything() {
        assert_eq!(EventFields::new(&[]), None);
        assert_eq!(EventFields::new(&vec!["a".to_owned(); PATHS_MAX + 1]), None);
    }
}
