//! Events that this server signs together with another: member events that were begun elsewhere.

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId,
    room_version_rules::{EventIdFormatVersion, RoomVersionRules},
};
use serde_json::value::RawValue;

use super::{Flaw, hashes};
use crate::{env::Env, room::canonical::Canonical};

/// What of a template another server decides; everything else is this server's.
const KEPT: [&str; 7] = [
    "auth_events",
    "content",
    "depth",
    "prev_events",
    "room_id",
    "sender",
    "type",
];

/// A member event that is finished from another server's template, with this server's hash and signature.
#[derive(Clone, Debug)]
pub struct SignedPdu {
    /// Its ID.
    pub event_id: OwnedEventId,
    /// The event.
    pub json: Box<RawValue>,
}

/// Finishes a template (server-server API, "Joining Rooms"). `content` is put over what the template has, but for who vouches.
pub fn finish_template(
    template: &str,
    user_id: &str,
    content: CanonicalJsonObject,
    (rules, env): (&RoomVersionRules, &Env),
) -> Result<SignedPdu, Flaw> {
    let malformed = |what: &str| Flaw::Malformed(what.to_owned());
    // In rooms of old versions the depth may be more than canonical JSON can say.
    let is_strict = rules.authorization.strict_canonical_json;
    let mut event = Canonical::parse(template, is_strict, env)
        .map_err(|error| Flaw::Malformed(error.to_string()))?;
    let object = &mut event.object;
    object.retain(|key, _| KEPT.contains(&key.as_str()) || key == "state_key");
    let is = |key: &str, value: &str| {
        object.get(key).and_then(CanonicalJsonValue::as_str) == Some(value)
    };
    if !is("sender", user_id) || !is("state_key", user_id) || !is("type", "m.room.member") {
        return Err(malformed("the template is not what was asked for"));
    }
    let told = object.get_mut("content");
    let Some(CanonicalJsonValue::Object(told)) = told else {
        return Err(malformed("the template has no content"));
    };
    told.retain(|key, _| key == "join_authorised_via_users_server" || key == "membership");
    let asked = content.get("membership");
    if told.get("membership") != asked {
        return Err(malformed("the template has another membership"));
    }
    told.extend(content);
    let now = ruma::Int::try_from(env.now_ms()).map_err(|_| malformed("the time"))?;
    object.insert(
        "origin_server_ts".to_owned(),
        CanonicalJsonValue::Integer(now),
    );
    if rules.event_id_format == EventIdFormatVersion::V1 {
        let event_id = format!("${}:{}", env.random_string(18), env.server_name());
        object.insert("event_id".to_owned(), CanonicalJsonValue::String(event_id));
    }
    hashes::add_content_hash(&mut event)?;
    co_sign(event, rules, env)
}

/// Adds this server's signature to an event.
pub(crate) fn co_sign(
    event: impl Into<Canonical>,
    rules: &RoomVersionRules,
    env: &Env,
) -> Result<SignedPdu, Flaw> {
    let mut event = event.into();
    hashes::sign(&mut event, rules, env)?;
    let event_id = hashes::event_id(&event, rules)?;
    let json = RawValue::from_string(event.to_text())
        .map_err(|error| Flaw::Malformed(error.to_string()))?;
    Ok(SignedPdu { event_id, json })
}
