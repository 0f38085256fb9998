//! `POST /_matrix/client/*/register/msisdn/requestToken`

use std::sync::Arc;

use ruma::api::client::account::request_registration_token_via_msisdn::v3::{Request, Response};

use super::{
    phone::{Asked, send},
    validation::Purpose,
};
use crate::edge::{App, Failure, Visitor};

/// Has a code sent to the phone of somebody who wants to register.
pub(crate) async fn handle(
    app: Arc<App>,
    _visitor: Visitor,
    request: Request,
) -> Result<Response, Failure> {
    let asked = Asked {
        purpose: Purpose::Register,
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
