//! `GET /_matrix/client/*/profile/{userId}/{keyName}`

use std::sync::Arc;

use super::user_and_field;
use crate::{
    client::json_object,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Tells one field of a user's profile.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let (user_id, field) = user_and_field(&arguments.path)?;
    super::may_see(&app, caller.as_ref(), user_id).await?;
    let value = app.house.profile_field(user_id, field).await?;
    Ok(json_object([(field, value.as_str())]))
}
