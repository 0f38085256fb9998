//! `POST /_matrix/client/unstable/add_threepid/msisdn/submit_token`

use std::sync::Arc;

use ruma::{
    OwnedClientSecret, OwnedSessionId,
    api::{auth_scheme::NoAccessToken, request, response},
    metadata,
};

use crate::edge::{App, Failure};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: NoAccessToken,
    path: "/_matrix/client/unstable/add_threepid/msisdn/submit_token",
}

/// The code that was sent to a phone.
#[request]
pub(crate) struct Request {
    /// The session.
    pub(crate) sid: OwnedSessionId,
    /// The client's secret.
    pub(crate) client_secret: OwnedClientSecret,
    /// The code.
    pub(crate) token: String,
}

/// Whether it was the right one.
#[response]
pub(crate) struct Response {
    /// Yes or no.
    pub(crate) success: bool,
}

/// Hands the code on to the delegate.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    let session = (request.sid.as_str(), request.client_secret.as_str());
    let success = app.third_party.submit_code(session, &request.token).await?;
    Ok(Response { success })
}
