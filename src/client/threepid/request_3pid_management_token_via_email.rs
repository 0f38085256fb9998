//! `POST /_matrix/client/*/account/3pid/email/requestToken`

use std::sync::Arc;

use ruma::api::client::account::request_3pid_management_token_via_email::v3::{Request, Response};

use super::validation::{Asked, Purpose, send};
use crate::edge::{App, Failure, Visitor};

/// Mails a token to an address that somebody wants to add to an account.
pub(crate) async fn handle(
    app: Arc<App>,
    visitor: Visitor,
    request: Request,
) -> Result<Response, Failure> {
    let asked = Asked {
        purpose: Purpose::Add,
        email: request.email,
        client_secret: request.client_secret,
        send_attempt: request.send_attempt,
        next_link: request.next_link,
    };
    Ok(Response::new(send(&app, &visitor, asked).await?))
}
