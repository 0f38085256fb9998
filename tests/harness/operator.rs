//! What the operator of a test server can do that nobody else can.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;

use super::{Client, client::Answer, server::SHARED_SECRET};

const PATH: &str = "/_synapse/admin/v1/register";

/// A client of a new administrator of the server at which another client is.
pub(crate) async fn administrator(anybody: &Client, name: &str) -> Client {
    let nonce = nonce(anybody).await;
    let answer = register_by_nonce(anybody, &nonce, name).await.ok();
    anybody.nobody().with_session(&answer)
}

/// A nonce that serves once.
pub(crate) async fn nonce(anybody: &Client) -> String {
    let given = anybody.nobody().get(PATH).await.ok();
    given["nonce"].as_str().expect("a nonce").to_owned()
}

/// Makes a new administrator by the shared secret.
pub(crate) async fn register_by_nonce(anybody: &Client, nonce: &str, name: &str) -> Answer {
    let mut mac =
        Hmac::<Sha1>::new_from_slice(SHARED_SECRET.as_bytes()).expect("any length is right");
    mac.update(format!("{nonce}\0{name}\0correct horse\0admin").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({
        "nonce": nonce, "username": name, "password": "correct horse", "admin": true, "mac": digits.concat()
    });
    anybody.nobody().post(PATH, body).await
}
