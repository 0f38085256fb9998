//! `GET /_matrix/client/*/register/available`

use std::sync::Arc;

use ruma::api::client::account::get_username_availability::v3::{Request, Response};

use crate::edge::{App, Failure};

/// Tells whether a user name may be registered; the refusal says why not.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<Response, Failure> {
    let user_id = app.house.available_user_id(&request.username).await?;
    app.bridges.check_user(&user_id)?;
    Ok(Response::new(true))
}
