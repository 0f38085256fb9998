//! The token endpoint: codes and refresh tokens are exchanged for tokens.

use std::sync::Arc;

use actix_web::http::header;
use playhouse_actors::oauth::Progress;
use serde_json::{Value, json};

use super::{
    answer::{Refusal, told},
    client::{AUTHORIZATION_CODE, DEVICE_CODE, REFRESH_TOKEN},
    code::{self, Shown},
    offered,
    scope::Scope,
};
use crate::edge::{App, Failure, Fields, Prepared, Visit};

/// Answers with tokens, or says why not in the words of OAuth.
pub(super) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    offered(&app, visit.header(header::HOST))?;
    told(exchange(&app, &visit).await)
}

async fn exchange(app: &Arc<App>, visit: &Visit) -> Result<Value, Refusal> {
    let form = visit
        .form()
        .ok_or_else(|| Refusal::invalid_request("the body is no form"))?;
    let client_id = need(&form, "client_id")?;
    match need(&form, "grant_type")? {
        AUTHORIZATION_CODE => {
            let proof = (need(&form, "redirect_uri")?, need(&form, "code_verifier")?);
            let shown = Shown {
                client_id,
                proof: Some(proof),
            };
            code::exchange(app, need(&form, "code")?, shown).await
        }
        REFRESH_TOKEN => refresh(app, need(&form, "refresh_token")?, client_id).await,
        DEVICE_CODE => device(app, need(&form, "device_code")?, client_id).await,
        _ => Err(Refusal::new(
            "unsupported_grant_type",
            "tokens are not given out in this way",
        )),
    }
}

async fn refresh(app: &Arc<App>, refresh_token: &str, client_id: &str) -> Result<Value, Refusal> {
    let unknown = || Refusal::invalid_grant("unknown or ended refresh token");
    let grant = app.house.grant_of_token(refresh_token).await?;
    let (_, grant) = grant.ok_or_else(unknown)?;
    if grant.client_id.as_deref() != Some(client_id) {
        return Err(unknown());
    }
    let session = app.house.refresh(refresh_token).await?;
    Ok(json!({
        "access_token": session.access_token,
        "token_type": "Bearer",
        "expires_in": session.expires_in_ms.map(|ms| ms / 1000),
        "refresh_token": session.refresh_token,
        "scope": Scope::of(grant.device_id).granted(),
    }))
}

async fn device(app: &Arc<App>, device_code: &str, client_id: &str) -> Result<Value, Refusal> {
    let refused = |code, why: &str| Err(Refusal::new(code, why));
    match app.house.poll_device(device_code, client_id).await? {
        Progress::Waiting => refused("authorization_pending", "the user has not decided yet"),
        Progress::TooFast => refused("slow_down", "wait longer between questions"),
        Progress::Denied => refused("access_denied", "the user said no"),
        Progress::Gone => refused("expired_token", "unknown or ended device code"),
        Progress::Admitted(code) => {
            let proof = None;
            code::exchange(app, &code, Shown { client_id, proof }).await
        }
    }
}

pub(super) fn need<'a>(form: &'a Fields, name: &str) -> Result<&'a str, Refusal> {
    form.get(name)
        .filter(|value| !value.is_empty())
        .ok_or_else(|| Refusal::invalid_request(format!("{name} is missing")))
}
