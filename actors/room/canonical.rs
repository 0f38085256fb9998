//! Canonical JSON (appendices, "Canonical JSON"): strict from room version 6, lenient before.
//!
//! Rooms of versions 1 to 5 tolerate numbers that canonical JSON cannot say. Here they travel through the canonical tree as strings that no sender can
//! guess and get their digits back when the text is written, so that hashing, redaction and signing are the same for all versions. Local users may send
//! such numbers into these rooms, too, as Synapse lets its users: clients change parts of what others wrote, power levels say, and send the rest as it was.

use std::{borrow::Cow, fmt::Write as _};

use playhouse_schema::chain::digest;
use ruma::{CanonicalJsonObject, CanonicalJsonValue, room_version_rules::RoomVersionRules};

use super::{
    RoomError,
    numbers::{Written, rewritten, written},
};
use crate::env::Env;

/// A JSON object in canonical form.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Canonical {
    /// The tree; with stand-ins for the loose numbers.
    pub(crate) object: CanonicalJsonObject,
    loose: Option<LooseNumbers>,
}

/// Numbers that canonical JSON cannot say, as other servers write them.
#[derive(Clone, Debug, PartialEq)]
struct LooseNumbers {
    mark: String,
    numbers: Vec<String>,
}

impl Canonical {
    /// Parses an object strictly: floats, integers beyond 2^53-1 and minus zero are refused.
    pub(crate) fn strict(text: &str) -> Result<Self, RoomError> {
        let object = serde_json::from_str::<CanonicalJsonObject>(text)
            .map_err(|error| refusal("not canonical JSON", &error))?;
        Ok(object.into())
    }

    /// Parses an object and keeps any numbers. `mark` must be unguessable.
    pub(crate) fn lenient(text: &str, mark: impl FnOnce() -> String) -> Result<Self, RoomError> {
        if let Ok(strict) = Self::strict(text) {
            return Ok(strict);
        }
        let mut loose = LooseNumbers {
            mark: mark(),
            numbers: Vec::new(),
        };
        let marked = rewritten(text, |number, out| loose.write(number, out))?;
        let object =
            serde_json::from_str(&marked).map_err(|error| refusal("not a JSON object", &error))?;
        let loose = (!loose.numbers.is_empty()).then_some(loose);
        Ok(Self { object, loose })
    }

    /// Parses a whole event leniently. Nothing that others have made may be added to it: see [`Canonical::received_beside`].
    pub(crate) fn received(text: &str) -> Result<Self, RoomError> {
        Self::marked(text, "")
    }

    /// Parses a whole event leniently, to which others' words are added afterwards. No text contains its own hash, so the hash of both is the mark: whoever has
    /// made either could otherwise name the mark in the other.
    pub(crate) fn received_beside(
        text: &str,
        added: &CanonicalJsonObject,
    ) -> Result<Self, RoomError> {
        Self::marked(text, &written_out(added))
    }

    fn marked(text: &str, added: &str) -> Result<Self, RoomError> {
        Self::lenient(text, || {
            digest([text, added].concat().as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
    }

    /// Parses a whole event by the rules of its room's version.
    pub(crate) fn event(text: &str, rules: &RoomVersionRules) -> Result<Self, RoomError> {
        if rules.authorization.strict_canonical_json {
            Self::strict(text)
        } else {
            Self::received(text)
        }
    }

    /// Parses an object by the rules of a room version.
    pub(crate) fn parse(text: &str, is_strict: bool, env: &Env) -> Result<Self, RoomError> {
        if is_strict {
            Self::strict(text)
        } else {
            Self::lenient(text, || env.random_string(24))
        }
    }

    /// Puts the digits of loose numbers back into a text made from the tree.
    pub(crate) fn finish<'a>(&self, text: impl Into<Cow<'a, str>>) -> Cow<'a, str> {
        let text = text.into();
        let Some(loose) = &self.loose else {
            return text;
        };
        let opening = format!("\"{}-", loose.mark);
        let mut finished = String::with_capacity(text.len());
        let mut rest = &*text;
        while let Some((before, behind)) = rest.split_once(&opening) {
            let stand_in = behind.split_once("-\"");
            let number = stand_in.and_then(|(index, after)| {
                let number = loose.numbers.get(index.parse::<usize>().ok()?)?;
                Some((number, after))
            });
            let Some((number, after)) = number else {
                break;
            };
            finished.push_str(before);
            finished.push_str(number);
            rest = after;
        }
        finished.push_str(rest);
        Cow::Owned(finished)
    }

    /// Whether the tree says all: canonical JSON can say its numbers.
    pub(crate) fn is_plain(&self) -> bool {
        self.loose.is_none()
    }

    /// The canonical text.
    pub(crate) fn to_text(&self) -> String {
        self.finish(written_out(&self.object)).into_owned()
    }

    /// A string under a key.
    pub(crate) fn string(&self, key: &str) -> Option<&str> {
        self.object.get(key).and_then(CanonicalJsonValue::as_str)
    }

    /// Sets a string.
    pub(crate) fn set_string(&mut self, key: &str, value: impl Into<String>) {
        self.object
            .insert(key.to_owned(), CanonicalJsonValue::String(value.into()));
    }
}

impl From<CanonicalJsonObject> for Canonical {
    fn from(object: CanonicalJsonObject) -> Self {
        Self {
            object,
            loose: None,
        }
    }
}

impl LooseNumbers {
    /// Writes a number, or what stands in for it.
    fn write(&mut self, number: &str, out: &mut String) -> Result<(), RoomError> {
        match written(number)? {
            Written::Plain(number) => out.push_str(&number),
            Written::Loose(number) => {
                let _ = write!(out, "\"{}-{}-\"", self.mark, self.numbers.len());
                self.numbers.push(number);
            }
        }
        Ok(())
    }
}

fn written_out(object: &CanonicalJsonObject) -> String {
    serde_json::to_string(object).expect("a canonical tree is always representable in JSON")
}

/// What is no JSON is told apart from JSON that says what it must not.
fn refusal(what: &str, error: &serde_json::Error) -> RoomError {
    let message = format!("{what}: {error}");
    if error.is_data() {
        RoomError::BadJson(message)
    } else {
        RoomError::NotJson(message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strict_refuses_what_canonical_json_cannot_say() {
        for text in [
            r#"{"a":1.5}"#,
            r#"{"a":1e3}"#,
            r#"{"a":9007199254740992}"#,
            r#"{"a":-0}"#,
            "[]",
            "1",
        ] {
            assert!(
                matches!(Canonical::strict(text), Err(RoomError::BadJson(_))),
                "{text}"
            );
        }
        for text in ["", "nonsense", r#"{"a":"#] {
            assert!(
                matches!(Canonical::strict(text), Err(RoomError::NotJson(_))),
                "{text}"
            );
        }
        assert_eq!(
            Canonical::strict(r#"{ "b" : 1, "a" : "\u00e9" }"#)
                .unwrap()
                .to_text(),
            r#"{"a":"é","b":1}"#
        );
    }

    #[test]
    fn lenient_keeps_the_numbers() {
        let text = r#"{"b":[1.5,{"c":9007199254740993}],"a":2,"d":"1.5","e":[1e10,-0,-7E-9]}"#;
        let canonical = Canonical::lenient(text, || "mark".to_owned()).unwrap();
        assert!(!canonical.is_plain());
        assert_eq!(
            canonical.to_text(),
            r#"{"a":2,"b":[1.5,{"c":9007199254740993}],"d":"1.5","e":[10000000000.0,0,-7e-09]}"#
        );
        let plain = Canonical::received(r#"{"a":-0,"b":[-1]}"#).unwrap();
        assert!(plain.is_plain());
        assert_eq!(plain.to_text(), r#"{"a":0,"b":[-1]}"#);
    }

    #[test]
    fn lenient_refuses_what_no_server_can_read() {
        for (text, is_json) in [
            (r#"{"a":1e400}"#, true),
            (r#"{"a":[1.5}"#, false),
            (r#"{"a":01.5}"#, false),
            (r#"{"a":1.}"#, false),
            ("[1.5]", true),
            ("1.5", true),
        ] {
            let refused = Canonical::received(text);
            assert_eq!(
                matches!(refused, Err(RoomError::BadJson(_))),
                is_json,
                "{text}"
            );
            assert!(refused.is_err(), "{text}");
        }
    }

    #[test]
    fn many_numbers_are_put_back() {
        let numbers = vec!["0.5"; 20_000].join(",");
        let text = format!(r#"{{"a":[{numbers}]}}"#);
        assert_eq!(Canonical::received(&text).unwrap().to_text(), text);
    }
}
