//! The revocation endpoint (RFC 7009): a token ends, and with it the session that it belongs to.

use std::sync::Arc;

use actix_web::http::header;
use playhouse_actors::{house::HouseError, user::UserCommand};
use serde_json::{Value, json};

use super::{
    answer::{Refusal, told},
    offered,
    token::need,
};
use crate::edge::{App, Failure, Prepared, Visit};

/// Ends the session of an access or refresh token. Whoever shows the token may: who has it could do worse.
pub(super) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    offered(&app, visit.header(header::HOST))?;
    told(revoke(&app, &visit).await)
}

async fn revoke(app: &Arc<App>, visit: &Visit) -> Result<Value, Refusal> {
    let form = visit
        .form()
        .ok_or_else(|| Refusal::invalid_request("the body is no form"))?;
    let token = need(&form, "token")?;
    let hint = form.get("token_type_hint").unwrap_or("access_token");
    if !["access_token", "refresh_token"].contains(&hint) {
        return Err(Refusal::new(
            "unsupported_token_type",
            "only access and refresh tokens can be revoked",
        ));
    }
    if let Some((user_id, grant)) = app.house.grant_of_token(token).await? {
        let command = UserCommand::RemoveDevices {
            device_ids: vec![grant.device_id],
        };
        app.house
            .user_command(&user_id, command)
            .await
            .map_err(HouseError::from)?;
    }
    Ok(json!({}))
}
