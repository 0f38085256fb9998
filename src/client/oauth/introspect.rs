//! The introspection endpoint (RFC 7662): services of the operator ask whether a token is good, and whose it is.

use std::sync::Arc;

use actix_web::http::header::{self, HeaderValue};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::{
    answer::{Refusal, told},
    offered,
    scope::Scope,
    token::need,
};
use crate::edge::{App, Failure, Fields, Prepared, Visit};

/// Tells what a token is good for. Only services with a secret may ask: what strangers learn here they could try with stolen tokens.
pub(super) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let base = offered(&app, visit.header(header::HOST))?;
    if app.config.oauth.introspection_clients.is_empty() {
        return Err(Failure::new(
            ruma::api::error::ErrorCode::Unrecognized,
            "introspection is not offered here",
        ));
    }
    let outcome = introspect(&app, &visit, &base).await;
    let is_stranger = matches!(&outcome, Err(refusal) if refusal.code == "invalid_client");
    let answer = told(outcome)?;
    if is_stranger {
        let challenge = HeaderValue::from_static("Basic realm=\"introspection\"");
        return Ok(answer.with_header(header::WWW_AUTHENTICATE, challenge));
    }
    Ok(answer)
}

async fn introspect(app: &Arc<App>, visit: &Visit, base: &str) -> Result<Value, Refusal> {
    let form = visit
        .form()
        .ok_or_else(|| Refusal::invalid_request("the body is no form"))?;
    check_client(app, visit.header(header::AUTHORIZATION), &form)?;
    let token = need(&form, "token")?;
    // Whatever the reason is: RFC 7662, section 2.2, tells no more of a token that is not good.
    let inactive = Ok(json!({ "active": false }));
    let Some((user_id, grant)) = app.house.grant_of_token(token).await? else {
        return inactive;
    };
    let now_ms = app.env().now_ms();
    let account = app.house.account(&user_id).await?;
    let has_ended = grant.expires_ms.is_some_and(|until_ms| until_ms <= now_ms);
    if has_ended || account.deactivated || account.locked {
        return inactive;
    }
    let mut told = json!({
        "active": true,
        "iss": format!("{base}/"),
        "sub": user_id,
        "username": user_id.localpart(),
        "device_id": grant.device_id,
        "scope": Scope::of(grant.device_id.clone()).granted(),
        "token_type": "Bearer",
    });
    if let Some(client_id) = grant.client_id {
        told["client_id"] = json!(client_id);
    }
    if let Some(expires_ms) = grant.expires_ms {
        told["exp"] = json!(expires_ms / 1_000);
    }
    Ok(told)
}

/// A service shows its secret by `Basic` or in the form (RFC 6749, section 2.3.1), not in both.
fn check_client(app: &App, header: Option<&str>, form: &Fields) -> Result<(), Refusal> {
    let refused = || Refusal::new("invalid_client", "unknown client or wrong secret");
    let (id, secret) = match (header, form.get("client_secret")) {
        (Some(header), None) => basic(header).ok_or_else(refused)?,
        (None, Some(secret)) => {
            let id = form.get("client_id").unwrap_or_default();
            (id.to_owned(), secret.to_owned())
        }
        (None, None) => return Err(refused()),
        (Some(_), Some(_)) => {
            let why = "the client shows its secret twice";
            return Err(Refusal::invalid_request(why));
        }
    };
    let mut clients = app.config.oauth.introspection_clients.iter();
    let known = clients.find(|client| client.client_id == id);
    // Digests are of one length: how long it takes tells nothing of the secret.
    let print = |text: &str| digest::digest(&digest::SHA256, text.as_bytes());
    let expected = print(known.map_or("", |client| client.client_secret.as_str()));
    let is_right = bool::from(expected.as_ref().ct_eq(print(&secret).as_ref()));
    if known.is_some() && is_right {
        Ok(())
    } else {
        Err(refused())
    }
}

fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, encoded) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let pair = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (id, secret) = pair.split_once(':')?;
    // Both are encoded as in a form.
    let form = Fields::parse(&format!("id={id}&secret={secret}"));
    Some((form.get("id")?.to_owned(), form.get("secret")?.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_read_from_the_header() {
        let header = |text: &str| format!("Basic {}", STANDARD.encode(text));
        let pair = |id: &str, secret: &str| Some((id.to_owned(), secret.to_owned()));
        assert_eq!(basic(&header("a:b:c")), pair("a", "b:c"));
        assert_eq!(basic(&header("a%3Ab:c+d")), pair("a:b", "c d"));
        assert_eq!(basic(&header("a")), None);
        assert_eq!(basic("Bearer abc"), None);
        assert_eq!(basic("Basic"), None);
    }
}
