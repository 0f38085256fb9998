//! Set or remove a profile field.

use playhouse_schema::record::user::UserRecord;
use ruma::CanonicalJsonValue;

use super::{error::UserError, json, message::UserReply, state::User};
use crate::{kernel::Decision, room::message::JsonText};

/// The whole profile as canonical JSON.
const PROFILE_BYTES_MAX: usize = 64 * 1024;
const NAME_BYTES_MAX: usize = 255;
const DISPLAYNAME_CHARACTERS_MAX: usize = 256;
const AVATAR_URL_BYTES_MAX: usize = 1_000;

pub(super) fn decide(
    user: &User,
    name: String,
    value: Option<JsonText>,
) -> Result<Decision<User>, UserError> {
    user.open()?;
    if name.is_empty() {
        return Err(UserError::InvalidParam("field has no name".to_owned()));
    }
    if name.len() > NAME_BYTES_MAX {
        return Err(UserError::KeyTooLarge);
    }
    let value = checked(&name, value.as_deref())?;
    let known = user.profile_field(&name).map(|json| &**json);
    if known == value.as_deref() {
        return Ok(Decision::unchanged(UserReply::Done));
    }
    if let Some(value) = &value
        && size_with(user, &name, value) > PROFILE_BYTES_MAX
    {
        return Err(UserError::ProfileTooLarge);
    }
    let records = vec![UserRecord::ProfileFieldSet(json::named(name, value))];
    Ok(Decision::new(records, UserReply::Done))
}

/// A value in canonical form. For display name and avatar, null and nothing mean that it is removed; other fields may hold null.
pub(super) fn checked(name: &str, value: Option<&str>) -> Result<Option<JsonText>, UserError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let value = json::canonical(json::value(value)?)?;
    let text = match (name, &value) {
        ("displayname" | "avatar_url", CanonicalJsonValue::Null) => return Ok(None),
        ("displayname" | "avatar_url", CanonicalJsonValue::String(text)) => text,
        ("displayname" | "avatar_url" | "m.tz", value) if !value.is_string() => {
            return Err(UserError::BadJson(format!("{name} must be a string")));
        }
        _ => return Ok(Some(value.to_string())),
    };
    if text.is_empty() {
        return Ok(None);
    }
    if name == "displayname" && text.chars().count() > DISPLAYNAME_CHARACTERS_MAX {
        return Err(UserError::InvalidParam(format!(
            "displayname is longer than {DISPLAYNAME_CHARACTERS_MAX} characters"
        )));
    }
    if name == "avatar_url" && text.len() > AVATAR_URL_BYTES_MAX {
        return Err(UserError::InvalidParam(format!(
            "avatar_url is longer than {AVATAR_URL_BYTES_MAX} bytes"
        )));
    }
    Ok(Some(value.to_string()))
}

/// The size of the profile as canonical JSON, with a field set.
fn size_with(user: &User, name: &str, value: &str) -> usize {
    let quoted = |name: &str| {
        CanonicalJsonValue::String(name.to_owned())
            .to_string()
            .len()
    };
    let others: usize = user
        .profile
        .iter()
        .filter(|(other, _)| *other != name)
        .filter_map(|(other, item)| Some(quoted(other) + item.json.as_ref()?.len() + 2))
        .sum();
    // The braces; a colon behind each name, a comma between two fields.
    others + quoted(name) + value.len() + 1 + 2
}
