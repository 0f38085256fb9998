//! `POST /_matrix/client/*/keys/device_signing/upload`

use std::sync::Arc;

use playhouse_actors::{
    house::HouseError,
    user::{UserError, message::UploadSigningKeys},
};
use ruma::api::client::uiaa::AuthData;
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    client::{account::stages::prove_identity, empty, oauth::cross_signing_reset_url},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// The body. Read here and not by ruma so that keys stay as they were signed.
#[derive(Default, Deserialize)]
struct Body {
    auth: Option<AuthData>,
    master_key: Option<Box<RawValue>>,
    self_signing_key: Option<Box<RawValue>>,
    user_signing_key: Option<Box<RawValue>>,
}

/// Publishes the caller's cross-signing keys. Replacing keys that are there needs the password; application services are trusted with it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = match arguments.body.as_ref() {
        b"" => Body::default(),
        body => serde_json::from_slice(body)?,
    };
    let text = |key: Option<Box<RawValue>>| key.map(|key| key.get().to_owned());
    let mut keys = UploadSigningKeys {
        master: text(body.master_key),
        self_signing: text(body.self_signing_key),
        user_signing: text(body.user_signing_key),
        proven: caller.bridge.is_some(),
    };
    let first = app
        .house
        .upload_signing_keys(&caller.user_id, keys.clone())
        .await;
    match first {
        Err(HouseError::User(UserError::ProofNeeded)) => {
            prove(&app, &caller, body.auth.as_ref()).await?;
            keys.proven = true;
            app.house.upload_signing_keys(&caller.user_id, keys).await?;
        }
        done => done?,
    }
    Ok(empty())
}

/// The password proves it; for a session that began by OAuth, the user says so on the account's pages.
async fn prove(app: &Arc<App>, caller: &Session, auth: Option<&AuthData>) -> Result<(), Failure> {
    let by_oauth = match &caller.device_id {
        Some(device_id) => {
            let client = app.house.client_of_device(&caller.user_id, device_id);
            client.await?.is_some()
        }
        None => false,
    };
    let url = cross_signing_reset_url(app).filter(|_| by_oauth);
    let Some(url) = url else {
        let operation = "keys/device_signing/upload";
        prove_identity(app, caller, operation, auth).await?;
        return Ok(());
    };
    if app.house.use_cross_signing_reset(&caller.user_id).await? {
        return Ok(());
    }
    let session = auth.and_then(AuthData::session).map(str::to_owned);
    // Nothing is kept of the session: what counts is what the user said.
    let session = session.unwrap_or_else(|| app.env().random_string(24));
    // The second name is that of before version 1.17.
    Err(Failure::authentication_needed(json!({
        "session": session,
        "flows": [{ "stages": ["m.oauth"] }, { "stages": ["org.matrix.cross_signing_reset"] }],
        "params": { "m.oauth": { "url": url }, "org.matrix.cross_signing_reset": { "url": url } },
    })))
}
