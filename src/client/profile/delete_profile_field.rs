//! `DELETE /_matrix/client/*/profile/{userId}/{keyName}`

use std::sync::Arc;

use super::{must_be_open_to, user_and_field};
use crate::{
    client::{empty, must_be_own},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Removes one field of the caller's profile; one that is not there is removed too.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let (user_id, field) = user_and_field(&arguments.path)?;
    must_be_own(&caller, user_id)?;
    caller.not_suspended()?;
    must_be_open_to(&caller, field)?;
    app.house.set_profile_field(user_id, field, None).await?;
    Ok(empty())
}
