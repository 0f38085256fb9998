//! `POST /_matrix/client/*/account/password/email/requestToken`

use std::sync::Arc;

use ruma::api::client::account::request_password_change_token_via_email::v3::{Request, Response};

use super::validation::{Asked, Purpose, send};
use crate::edge::{App, Failure, Visitor};

/// Mails a token to somebody who has forgotten the password.
pub(crate) async fn handle(
    app: Arc<App>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Failure> {
    let asked = Asked {
        purpose: Purpose::Password,
        email: request.email,
        client_secret: request.client_secret,
        send_attempt: request.send_attempt,
        next_link: request.next_link,
    };
    Ok(Response::new(send(&app, &visitor, asked).await?))
}
