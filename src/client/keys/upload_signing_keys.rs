//! `POST /_matrix/client/*/keys/device_signing/upload`

use std::sync::Arc;

use playhouse_actors::{
    house::HouseError,
    user::{UserError, message::UploadSigningKeys},
};
use ruma::api::client::uiaa::AuthData;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    client::{account::stages::prove_password, empty},
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
            let operation = "keys/device_signing/upload";
            prove_password(&app, &caller, operation, body.auth.as_ref()).await?;
            keys.proven = true;
            app.house.upload_signing_keys(&caller.user_id, keys).await?;
        }
        done => done?,
    }
    Ok(empty())
}
