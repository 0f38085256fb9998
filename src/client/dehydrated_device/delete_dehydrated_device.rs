//! `DELETE /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::named;
use crate::edge::{App, Arguments, Failure, RawJson, Session};
metadata! {
    method: DELETE,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
}

/// Removes the dehydrated device with what it collected.
#[request]
pub(crate) struct Request {}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// Removes the dehydrated device with what it collected.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _arguments: Arguments,
) -> Result<RawJson, Failure> {
    let removed = app.house.remove_dehydrated_device(&caller.user_id).await?;
    Ok(named(&removed))
}
