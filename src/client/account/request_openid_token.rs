//! `POST /_matrix/client/*/user/{userId}/openid/request_token`

use std::{sync::Arc, time::Duration};

use ruma::{
    api::client::account::request_openid_token::v3::{Request, Response},
    authentication::TokenType,
};

use crate::{
    client::must_be_own,
    edge::{App, Failure, Session},
};

/// Gives the caller a token by which somebody else can make sure who the caller is.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    must_be_own(&caller, &request.user_id)?;
    let (token, life_ms) = app.house.openid_token(&caller.user_id);
    Ok(Response::new(
        token,
        TokenType::Bearer,
        app.env().server_name().to_owned(),
        Duration::from_millis(life_ms),
    ))
}
