//! `PUT /_matrix/client/*/user/{userId}/account_data/{type}`

use std::sync::Arc;

use crate::{
    client::{empty, must_be_own, parse_id},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Writes one piece of the caller's global account data, as it was sent.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let [user_id, event_type] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    must_be_own(&caller, parse_id(user_id)?)?;
    super::write(&app, &caller.user_id, None, event_type, &arguments.body).await?;
    Ok(empty())
}
