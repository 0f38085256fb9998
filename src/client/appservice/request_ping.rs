//! `POST /_matrix/client/*/appservice/{appserviceId}/ping`

use std::sync::Arc;

use ruma::api::client::appservice::request_ping::v1::{Request, Response};

use crate::edge::{App, Bridge, Failure};

/// Asks the application service whether it hears this server.
pub(crate) async fn handle(
    app: Arc<App>,
    bridge: Arc<Bridge>,
    request: Request,
) -> Result<Response, Failure> {
    if request.appservice_id != bridge.id {
        return Err(Failure::forbidden(
            "the token is another application service's",
        ));
    }
    let transaction_id = request.transaction_id.as_deref();
    let took = app
        .third_party
        .ping(&bridge, transaction_id.map(|id| id.as_str()))
        .await?;
    Ok(Response::new(took))
}
