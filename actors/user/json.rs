//! JSON text as commands bring it: checked, and brought into one form so that equal things are equal bytes.

use playhouse_schema::record::user::NamedJson;
use ruma::CanonicalJsonValue;
use serde_bytes::ByteBuf;
use serde_json::Value as JsonValue;

use super::error::UserError;
use crate::{env::JsonObject, room::message::JsonText};

/// Parses any JSON value.
pub(super) fn value(text: &str) -> Result<JsonValue, UserError> {
    serde_json::from_str(text).map_err(|error| UserError::BadJson(error.to_string()))
}

/// Parses a JSON object.
pub(super) fn object(text: &str) -> Result<JsonObject, UserError> {
    match value(text)? {
        JsonValue::Object(object) => Ok(object),
        _ => Err(UserError::BadJson("expected a JSON object".to_owned())),
    }
}

/// Brings a JSON value into canonical form, in which floats have no place.
pub(super) fn canonical(value: JsonValue) -> Result<CanonicalJsonValue, UserError> {
    value
        .try_into()
        .map_err(|error| UserError::BadJson(format!("not canonical JSON: {error:?}")))
}

/// As [`canonical`] for text, and back to text.
pub(super) fn canonical_text(text: &str) -> Result<String, UserError> {
    Ok(canonical(value(text)?)?.to_string())
}

/// JSON text in a record.
pub(super) fn bytes(text: impl Into<String>) -> ByteBuf {
    ByteBuf::from(text.into().into_bytes())
}

/// A name and its JSON in a record.
pub(super) fn named(name: String, json: Option<JsonText>) -> NamedJson {
    NamedJson {
        name,
        json: json.map(bytes),
    }
}

/// Adds the members of a `signatures` object (user, key ID, signature) to another; later ones win. What is no JSON object counts as empty.
pub(super) fn merge_signatures(into: &mut JsonObject, added: &str) {
    let Ok(JsonValue::Object(added)) = serde_json::from_str(added) else {
        return;
    };
    for (user_id, signatures) in added {
        let JsonValue::Object(signatures) = signatures else {
            continue;
        };
        let known = into
            .entry(user_id)
            .or_insert_with(|| JsonValue::Object(JsonObject::new()));
        if let JsonValue::Object(known) = known {
            known.extend(signatures);
        }
    }
}
