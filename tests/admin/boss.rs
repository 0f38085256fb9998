//! Administrators for tests.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::json;
use sha1::Sha1;

use crate::harness::{Client, TestServer};

const SECRET: &str = "a secret for bosses";

/// The setting by which a server lets tests make administrators.
pub(crate) const SETTING: (&str, &str) = ("PLAYHOUSE_REGISTRATION_SHARED_SECRET", SECRET);

/// A client of a new administrator, on a server with [`SETTING`].
pub(crate) async fn boss(server: &TestServer) -> Client {
    let nobody = server.client();
    let path = "/_synapse/admin/v1/register";
    let nonce = nobody.get(path).await.ok()["nonce"].clone();
    let text = nonce.as_str().expect("a nonce");
    let mut mac = Hmac::<Sha1>::new_from_slice(SECRET.as_bytes()).expect("any length is right");
    mac.update(format!("{text}\0boss\0correct horse\0admin").as_bytes());
    let bytes = mac.finalize().into_bytes();
    let digits: Vec<_> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let body = json!({
        "nonce": text, "username": "boss", "password": "correct horse", "admin": true, "mac": digits.concat()
    });
    let answer = nobody.post(path, body).await.ok();
    nobody.clone().with_session(&answer)
}
