//! `GET /_matrix/federation/*/openid/userinfo`

use std::sync::Arc;

use ruma::api::error::ErrorCode;

use crate::{
    client::{page::Object, query::parameter},
    edge::{App, Arguments, Failure, RawJson},
};

/// Tells anybody whom a token is about.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let token = parameter(arguments.query.as_deref(), "access_token")
        .ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access_token is missing"))?;
    let user_id = app.house.openid_user(&token).await?;
    let user_id = user_id
        .ok_or_else(|| Failure::new(ErrorCode::UnknownToken, "unknown or ended access token"))?;
    Ok(Object::new().text("sub", user_id.as_str()).finish())
}
