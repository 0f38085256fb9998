//! The user of a token, in the words of OpenID Connect.

use std::sync::Arc;

use actix_web::http::header;
use ruma::api::error::ErrorCode;
use serde_json::{Value, json};

use super::{answer::answer, offered};
use crate::edge::{App, Failure, Prepared, Visit};

/// Tells who the token's user is.
pub(super) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    offered(&app, visit.header(header::HOST))?;
    let Some(session) = visit.session().await? else {
        return Err(Failure::new(
            ErrorCode::MissingToken,
            "access token is missing",
        ));
    };
    let profile = app.house.profile(&session.user_id).await?;
    let name = profile.iter().find(|(name, _)| name == "displayname");
    let name: Option<Value> = name.and_then(|(_, json)| serde_json::from_str(json).ok());
    let mut body = json!({
        "sub": session.user_id,
        "preferred_username": session.user_id.localpart(),
    });
    if let Some(name) = name {
        body["name"] = name;
    }
    Ok(answer(&body))
}
