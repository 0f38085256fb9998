//! The admin API over HTTP, mirroring `src/admin/`: one file for each area.

mod accounts;
mod federation;
mod looking;
mod media;
mod power;
mod purge_history;
mod quarantine;
mod redaction;
mod registration_tokens;
mod reports;
mod rooms;
mod server_notices;
mod standing;
mod users;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;

use crate::harness::{Client, server::SHARED_SECRET};

/// A client of a new administrator of the server at which another client is.
pub(crate) async fn administrator(anybody: &Client, name: &str) -> Client {
    let path = "/_synapse/admin/v1/register";
    let nobody = anybody.nobody();
    let nonce = nobody.get(path).await.ok()["nonce"].clone();
    let text = nonce.as_str().expect("a nonce");
    let mut mac =
        Hmac::<Sha1>::new_from_slice(SHARED_SECRET.as_bytes()).expect("any length is right");
    mac.update(format!("{text}\0{name}\0correct horse\0admin").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({
        "nonce": text, "username": name, "password": "correct horse", "admin": true, "mac": digits.concat()
    });
    let answer = nobody.post(path, body).await.ok();
    nobody.with_session(&answer)
}
