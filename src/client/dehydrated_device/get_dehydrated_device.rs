//! `GET /_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    client::page,
    edge::{App, Arguments, Failure, RawJson, Session},
};
metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3814.v1/dehydrated_device",
}

/// Gives the dehydrated device, from which a client makes its own again.
#[request]
pub(crate) struct Request {}

/// The answer, which is written by hand.
#[response]
pub(crate) struct Response {}

/// Gives the dehydrated device, from which a client makes its own again.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _arguments: Arguments,
) -> Result<RawJson, Failure> {
    let (device_id, data) = app.house.dehydrated_device(&caller.user_id).await?;
    Ok(page::Object::new()
        .text("device_id", device_id.as_str())
        .raw("device_data", data.as_bytes())
        .finish())
}
