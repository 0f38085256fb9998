//! Authorization codes: what a user allowed a client, until the client fetches its tokens.

use std::sync::Arc;

use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_actors::{
    house::{HouseError, Origin},
    passes::{PassError, PassKind},
    user::{
        UserCommand,
        message::{ClientLogin, Login},
    },
};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;

use super::{answer::Refusal, client::Client, scope::Scope};
use crate::edge::App;

/// A code is good for so long.
const LIFETIME_MS: u64 = 2 * 60 * 1000;

/// A code for a device without a browser waits until the device asks again.
const DEVICE_LIFETIME_MS: u64 = 15 * 60 * 1000;

/// What a user allowed a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Allowed {
    pub(super) client_id: String,
    pub(super) scope: String,
    /// Where the code was sent, and what its owner must prove; absent for devices without a browser.
    pub(super) sent: Option<Sent>,
    /// By what another system recognised the user, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) origin: Option<Origin>,
}

/// Where a code was sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Sent {
    pub(super) redirect_uri: String,
    /// The `S256` challenge of RFC 7636.
    pub(super) challenge: String,
}

/// What a client shows with a code.
pub(super) struct Shown<'a> {
    pub(super) client_id: &'a str,
    /// Address and verifier; absent for devices without a browser.
    pub(super) proof: Option<(&'a str, &'a str)>,
}

/// Makes a code.
pub(super) async fn make(
    app: &Arc<App>,
    user_id: &UserId,
    allowed: &Allowed,
) -> Result<String, HouseError> {
    let lifetime_ms = if allowed.sent.is_some() {
        LIFETIME_MS
    } else {
        DEVICE_LIFETIME_MS
    };
    let detail =
        serde_json::to_string(allowed).map_err(|error| HouseError::Broken(error.to_string()))?;
    app.house
        .make_pass(user_id, PassKind::Code, lifetime_ms, detail)
        .await
}

/// Exchanges a code for a session. A code that is shown a second time by whom it was given to ends the session that it began.
pub(super) async fn exchange(
    app: &Arc<App>,
    code: &str,
    shown: Shown<'_>,
) -> Result<Value, Refusal> {
    let (user_id, seen) = app.house.look_at_pass(PassKind::Code, code).await?;
    let allowed: Allowed = serde_json::from_str(&seen.detail)
        .map_err(|error| Refusal::new("server_error", error.to_string()))?;
    if !fits(&allowed, &shown) {
        return Err(Refusal::invalid_grant(
            "the code was given to another client, for another address, or with another challenge",
        ));
    }
    let scope = Scope::parse(&allowed.scope)?;
    let client = client_of(app, &allowed.client_id).await?;
    match app.house.use_pass(PassKind::Code, code).await {
        Ok(_) => {}
        Err(HouseError::Pass(PassError::Used)) => {
            end_session(app, &user_id, (&allowed.client_id, scope.device_id)).await?;
            return Err(Refusal::invalid_grant("the code was used before"));
        }
        Err(error) => return Err(error.into()),
    }
    let login = ClientLogin {
        client_id: allowed.client_id,
        login: Login {
            device_id: Some(scope.device_id.clone()),
            display_name: Some(client.name().to_owned()),
            refresh: true,
            access_lifetime_ms: app.config.registration.access_token_lifetime_ms,
        },
    };
    let session = app.house.login_of_client(&user_id, login).await?;
    if let Some(origin) = allowed.origin {
        app.house
            .note_origin(&user_id, &session.device_id, origin)
            .await?;
    }
    Ok(json!({
        "access_token": session.access_token,
        "token_type": "Bearer",
        "expires_in": session.expires_in_ms.map(|ms| ms / 1000),
        "refresh_token": session.refresh_token,
        "scope": scope.granted(),
    }))
}

/// A registered client.
pub(super) async fn client_of(app: &Arc<App>, client_id: &str) -> Result<Client, Refusal> {
    let unknown = || Refusal::new("invalid_client", "unknown client: register again");
    let kept = app.house.client(client_id).await?.ok_or_else(unknown)?;
    serde_json::from_str(&kept).map_err(|_| unknown())
}

async fn end_session(
    app: &Arc<App>,
    user_id: &OwnedUserId,
    (client_id, device_id): (&str, OwnedDeviceId),
) -> Result<(), Refusal> {
    let owner = app.house.client_of_device(user_id, &device_id).await?;
    if owner.as_deref() == Some(client_id) {
        let device_ids = vec![device_id];
        let command = UserCommand::RemoveDevices { device_ids };
        app.house
            .user_command(user_id, command)
            .await
            .map_err(HouseError::from)?;
    }
    Ok(())
}

fn fits(allowed: &Allowed, shown: &Shown<'_>) -> bool {
    if allowed.client_id != shown.client_id {
        return false;
    }
    match (&allowed.sent, shown.proof) {
        (Some(sent), Some((redirect_uri, verifier))) => {
            let proof =
                URL_SAFE_NO_PAD.encode(digest::digest(&digest::SHA256, verifier.as_bytes()));
            sent.redirect_uri == redirect_uri
                && bool::from(proof.as_bytes().ct_eq(sent.challenge.as_bytes()))
        }
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_for_one_client_address_and_verifier() {
        // The example of RFC 7636, appendix B.
        let verifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
        let allowed = Allowed {
            client_id: "c".to_owned(),
            scope: String::new(),
            sent: Some(Sent {
                redirect_uri: "https://a.test/".to_owned(),
                challenge: "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM".to_owned(),
            }),
            origin: None,
        };
        let shown = |client_id, proof| Shown { client_id, proof };
        let right = Some(("https://a.test/", verifier));
        assert!(fits(&allowed, &shown("c", right)));
        assert!(!fits(&allowed, &shown("d", right)));
        assert!(!fits(&allowed, &shown("c", None)));
        assert!(!fits(
            &allowed,
            &shown("c", Some(("https://b.test/", verifier)))
        ));
        assert!(!fits(
            &allowed,
            &shown("c", Some(("https://a.test/", "other")))
        ));
        let device = Allowed {
            sent: None,
            ..allowed
        };
        assert!(fits(&device, &shown("c", None)));
        assert!(!fits(&device, &shown("c", right)));
    }
}
