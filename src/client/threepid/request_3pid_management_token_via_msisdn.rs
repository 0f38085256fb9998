//! `POST /_matrix/client/*/account/3pid/msisdn/requestToken`

use std::sync::Arc;

use ruma::api::client::account::request_3pid_management_token_via_msisdn::v3::{Request, Response};

use super::{
    phone::{Asked, send},
    validation::Purpose,
};
use crate::edge::{App, Failure, Visitor};

/// Has a code sent to a phone number that somebody wants to add to an account.
pub(crate) async fn handle(
    app: Arc<App>,
    _visitor: Visitor,
    request: Request,
) -> Result<Response, Failure> {
    let asked = Asked {
        purpose: Purpose::Add,
        country: request.country,
        number: request.phone_number,
        client_secret: request.client_secret,
        send_attempt: request.send_attempt,
    };
    let (sid, submit_url) = send(&app, asked).await?;
    let mut response = Response::new(sid);
    response.submit_url = Some(submit_url);
    Ok(response)
}
