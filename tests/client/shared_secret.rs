//! Registration by the shared secret: its nonces.

use std::sync::Arc;

use playhouse::node::SigningKey;
use playhouse_actors::{
    env::{Clock, Env, Identity},
    registration::give_nonce,
};
use serde_json::json;

use super::stage::{fresh, on_each_engine, on_own_servers};
use crate::harness::{TestServer, made::now_ms, nonce, register_by_nonce, server::SERVER_NAME};

/// A nonce is good for so long.
const LIFETIME_MS: u64 = 60_000;

/// Longer than a test takes.
const LONG_MS: u64 = 24 * 60 * 60 * 1_000;

/// A clock that stands.
struct Standing(u64);

impl Clock for Standing {
    fn now_ms(&self) -> u64 {
        self.0
    }
}

/// The nonce that a server would have given at another time.
fn nonce_of(server: &TestServer, given_ms: u64) -> String {
    let key = SigningKey::load_or_create(&server.data().join("signing.key"));
    let key = key.expect("the server's key");
    let identity = Identity {
        server_name: SERVER_NAME.try_into().expect("a server name"),
        signer: key.signer().expect("a key"),
    };
    give_nonce(&Env {
        clock: Arc::new(Standing(given_ms)),
        ..Env::system(identity)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_nonce_serves_once() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let given = nonce(&client).await;
        // Who does not know the secret does not use it up.
        let path = "/_synapse/admin/v1/register";
        let body = json!({"nonce": given, "username": "x", "password": "y", "mac": "00"});
        client.post(path, body).await.refused(403, "M_FORBIDDEN");
        let made = register_by_nonce(&client, &given, &fresh("boss")).await;
        made.ok();
        for wrong in [given.as_str(), "nonsense", ""] {
            let refused = register_by_nonce(&client, wrong, &fresh("boss")).await;
            refused.refused(400, "M_UNKNOWN");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nonces_outlive_a_restart_but_not_their_time() {
    on_own_servers(&[], async |server| {
        let over = nonce_of(server, now_ms() - LIFETIME_MS);
        let (used, unused) = (
            nonce_of(server, now_ms() + LONG_MS),
            nonce_of(server, now_ms() + LONG_MS),
        );
        let client = server.client();
        let refused = register_by_nonce(&client, &over, "eve").await;
        refused.refused(400, "M_UNKNOWN");
        register_by_nonce(&client, &used, "boss").await.ok();
        server.restart();
        let client = server.client();
        let refused = register_by_nonce(&client, &used, "eve").await;
        refused.refused(400, "M_UNKNOWN");
        register_by_nonce(&client, &unused, "second").await.ok();
    })
    .await;
}
