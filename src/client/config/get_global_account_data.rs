//! `GET /_matrix/client/*/user/{userId}/account_data/{type}`

use std::sync::Arc;

use ruma::api::client::config::get_global_account_data::v3::Request;

use crate::{
    client::must_be_own,
    edge::{App, Failure, RawJson, Session},
};

/// Reads one piece of the caller's global account data.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    must_be_own(&caller, &request.user_id)?;
    let event_type = request.event_type.to_string();
    super::read(&app, &caller.user_id, None, event_type).await
}
