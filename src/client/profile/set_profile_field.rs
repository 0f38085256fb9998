//! `PUT /_matrix/client/*/profile/{userId}/{keyName}`

use std::{collections::BTreeMap, sync::Arc};

use serde_json::value::RawValue;

use super::{must_be_open_to, user_and_field};
use crate::{
    client::{empty, must_be_own},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Sets one field of the caller's profile. That member events follow is the log's doing.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let (user_id, field) = user_and_field(&arguments.path)?;
    must_be_own(&caller, user_id)?;
    caller.not_suspended()?;
    must_be_open_to(&caller, field)?;
    let body: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(&arguments.body)?;
    let value = body
        .get(field)
        .ok_or_else(|| Failure::missing_param(format!("body has no {field}")))?;
    // Old clients remove a name or an avatar by an empty text or null.
    let removes =
        matches!(field, "displayname" | "avatar_url") && matches!(value.get(), "null" | "\"\"");
    let value = (!removes).then(|| value.get().to_owned());
    app.house.set_profile_field(user_id, field, value).await?;
    Ok(empty())
}
