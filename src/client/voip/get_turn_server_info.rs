//! `GET /_matrix/client/*/voip/turnServer`

use std::sync::Arc;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use ruma::api::client::voip::get_turn_server_info::v3::Request;
use serde_json::json;
use sha1::Sha1;

use crate::{
    client::empty,
    config::Voip,
    edge::{App, Failure, RawJson, Session},
};

/// Gives credentials for the TURN servers; an empty object when there are none for the caller.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<RawJson, Failure> {
    let voip = &app.config.voip;
    if voip.turn_uris.is_empty() || (caller.guest && !voip.turn_guests) {
        return Ok(empty());
    }
    let now_ms = app.env().now_ms();
    let Some((username, password)) = credentials(voip, caller.user_id.as_str(), now_ms)? else {
        return Ok(empty());
    };
    let answer = json!({
        "username": username, "password": password, "uris": voip.turn_uris, "ttl": voip.turn_lifetime_ms / 1000
    });
    Ok(RawJson(Bytes::from(answer.to_string())))
}

/// With a shared secret: a name that says until when it holds, and its HMAC, which TURN servers compute too.
fn credentials(
    voip: &Voip,
    user_id: &str,
    now_ms: u64,
) -> Result<Option<(String, String)>, Failure> {
    let Some(secret) = &voip.turn_shared_secret else {
        return Ok(voip.turn_username.clone().zip(voip.turn_password.clone()));
    };
    let until = now_ms.saturating_add(voip.turn_lifetime_ms) / 1000;
    let username = format!("{until}:{user_id}");
    let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes()).map_err(Failure::internal)?;
    mac.update(username.as_bytes());
    let password = STANDARD.encode(mac.finalize().into_bytes());
    Ok(Some((username, password)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shared_secret_makes_names_that_end() {
        let voip = Voip {
            turn_shared_secret: Some("key".to_owned()),
            turn_lifetime_ms: 60_000,
            ..Voip::default()
        };
        let made = credentials(&voip, "@a:example.org", 40_000).expect("credentials");
        let (username, password) = made.expect("credentials");
        assert_eq!(username, "100:@a:example.org");
        assert_eq!(STANDARD.decode(password).expect("base64").len(), 20);
    }

    #[test]
    fn fixed_credentials_need_both() {
        let mut voip = Voip {
            turn_username: Some("n".to_owned()),
            ..Voip::default()
        };
        assert_eq!(credentials(&voip, "@a:b", 0).expect("an answer"), None);
        voip.turn_password = Some("p".to_owned());
        let made = credentials(&voip, "@a:b", 0).expect("an answer");
        assert_eq!(made, Some(("n".to_owned(), "p".to_owned())));
    }
}
