//! Canonical JSON (appendices, "Canonical JSON"): strict from room version 6, lenient before.
//!
//! Rooms of versions 1 to 5 tolerate numbers that canonical JSON cannot say. Here they travel through the canonical tree as strings that no sender can
//! guess and get their digits back when the text is written, so that hashing, redaction and signing are the same for all versions.

use std::borrow::Cow;

use playhouse_schema::chain::digest;
use ruma::{CanonicalJsonObject, CanonicalJsonValue};
use serde_json::Value as JsonValue;

use super::RoomError;
use crate::env::Env;

/// A JSON object in canonical form.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Canonical {
    /// The tree; with stand-ins for the loose numbers.
    pub(crate) object: CanonicalJsonObject,
    loose: Option<LooseNumbers>,
}

/// Numbers that canonical JSON cannot say.
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
        let value: JsonValue =
            serde_json::from_str(text).map_err(|error| refusal("not JSON", &error))?;
        let mut loose = LooseNumbers {
            mark: mark(),
            numbers: Vec::new(),
        };
        let CanonicalJsonValue::Object(object) = loose.canonical(value) else {
            return Err(RoomError::BadJson("not a JSON object".to_owned()));
        };
        Ok(Self {
            object,
            loose: Some(loose),
        })
    }

    /// Parses a whole event leniently. No text contains its own hash, so that is the mark.
    pub(crate) fn received(text: &str) -> Result<Self, RoomError> {
        Self::lenient(text, || {
            digest(text.as_bytes())
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect()
        })
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
        let mut finished = text.into_owned();
        for (index, number) in loose.numbers.iter().enumerate() {
            finished = finished.replace(&format!("\"{}-{index}-\"", loose.mark), number);
        }
        Cow::Owned(finished)
    }

    /// The canonical text.
    pub(crate) fn to_text(&self) -> String {
        let text = serde_json::to_string(&self.object)
            .expect("a canonical tree is always representable in JSON");
        self.finish(text).into_owned()
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
    fn canonical(&mut self, value: JsonValue) -> CanonicalJsonValue {
        match value {
            JsonValue::Array(values) => CanonicalJsonValue::Array(
                values
                    .into_iter()
                    .map(|value| self.canonical(value))
                    .collect(),
            ),
            JsonValue::Object(map) => CanonicalJsonValue::Object(
                map.into_iter()
                    .map(|(key, value)| (key, self.canonical(value)))
                    .collect(),
            ),
            JsonValue::Number(number) => {
                let text = number.to_string();
                CanonicalJsonValue::try_from(JsonValue::Number(number)).unwrap_or_else(|_| {
                    let stand_in = format!("{}-{}-", self.mark, self.numbers.len());
                    self.numbers.push(text);
                    CanonicalJsonValue::String(stand_in)
                })
            }
            JsonValue::String(text) => CanonicalJsonValue::String(text),
            JsonValue::Bool(value) => CanonicalJsonValue::Bool(value),
            JsonValue::Null => CanonicalJsonValue::Null,
        }
    }
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
        let text = r#"{"b":[1.5,{"c":9007199254740993}],"a":2}"#;
        let canonical = Canonical::lenient(text, || "mark".to_owned()).unwrap();
        assert_eq!(
            canonical.to_text(),
            r#"{"a":2,"b":[1.5,{"c":9007199254740993}]}"#
        );
    }
}
