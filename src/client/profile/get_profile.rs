//! `GET /_matrix/client/*/profile/{userId}`

use std::sync::Arc;

use ruma::api::client::profile::get_profile::v3::Request;

use crate::{
    client::json_object,
    edge::{App, Failure, RawJson, Session},
};

/// Tells a user's whole profile.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Option<Session>,
    request: Request,
) -> Result<RawJson, Failure> {
    super::may_see(&app, caller.as_ref(), &request.user_id).await?;
    let fields = app.house.profile(&request.user_id).await?;
    Ok(json_object(
        fields
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str())),
    ))
}
