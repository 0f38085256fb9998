//! Identity servers: publishing and forgetting addresses, inviting addresses, phone numbers.

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use serde_json::{Value, json};

use super::stage::{fresh, on_own_servers};
use crate::harness::{Client, Double, TestServer, client::encode};

/// The seed of the identity server's key.
const SEED: [u8; 32] = [3; 32];

fn key() -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&SEED).expect("a key")
}

fn public_key() -> String {
    STANDARD_NO_PAD.encode(key().public_key().as_ref())
}

/// What the identity server signs when the invited one has come.
fn signed(sender: &str, mxid: &str, token: &str) -> Value {
    let text = json!({"mxid": mxid, "sender": sender, "token": token}).to_string();
    let signature = STANDARD_NO_PAD.encode(key().sign(text.as_bytes()).as_ref());
    json!({
        "mxid": mxid, "sender": sender, "token": token,
        "signatures": {"id.test": {"ed25519:0": signature}}
    })
}

/// An identity server that knows `known@example.org` as `@known…` of whoever asks, and one phone code.
async fn identity_server(known: String) -> Double {
    Double::start(move |asked| {
        let (what, body) = (asked.what.as_str(), asked.json());
        let told = if what.contains("/hash_details") {
            json!({"lookup_pepper": "salt", "algorithms": ["none", "sha256"]})
        } else if what.contains("/lookup") {
            // SHA-256 of `known@example.org email salt`.
            let hash = body["addresses"][0].as_str().unwrap_or_default().to_owned();
            let expected = aws_lc_rs::digest::digest(
                &aws_lc_rs::digest::SHA256,
                b"known@example.org email salt",
            );
            let expected =
                base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(expected.as_ref());
            if hash == expected {
                json!({"mappings": {hash: known}})
            } else {
                json!({"mappings": {}})
            }
        } else if what.contains("/store-invite") {
            json!({
                "token": format!("token-{}", body["address"].as_str().unwrap_or_default()),
                "display_name": "u...@e...",
                "public_keys": [{"public_key": public_key(), "key_validity_url": "https://id.test/valid"}]
            })
        } else if what.contains("/3pid/bind") {
            json!({"medium": "email", "address": "bound@example.org", "mxid": body["mxid"]})
        } else if what.contains("/3pid/unbind") {
            json!({})
        } else if what.contains("/msisdn/requestToken") {
            json!({"success": true, "sid": "phone-session"})
        } else if what.contains("/msisdn/submitToken") {
            json!({"success": body["token"] == "1234"})
        } else if what.contains("getValidated3pid?sid=phone-session&client_secret=s3cret") {
            json!({"medium": "msisdn", "address": "4917012345", "validated_at": 1_700_000_000_000_u64})
        } else {
            return (404, json!({"errcode": "M_NOT_FOUND", "error": "what?"}));
        };
        (200, told)
    })
    .await
}

async fn with_identity(play: impl AsyncFn(&mut TestServer, &Double)) {
    let double = identity_server("@known:playhouse.test".to_owned()).await;
    let environment = [
        (
            "PLAYHOUSE_IDENTITY_ALLOW_NETWORKS",
            "127.0.0.0/8".to_owned(),
        ),
        ("PLAYHOUSE_IDENTITY_PLAIN_HTTP_SERVERS", double.host()),
        ("PLAYHOUSE_IDENTITY_MSISDN_DELEGATE", double.base()),
    ];
    let environment: Vec<(&str, &str)> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    on_own_servers(&environment, async |server| play(server, &double).await).await;
}

fn invite(double: &Double, address: &str) -> Value {
    json!({"id_server": double.host(), "id_access_token": "t0ken", "medium": "email", "address": address})
}

fn password_stage(client: &Client) -> Value {
    json!({
        "type": "m.login.password", "password": "correct horse",
        "identifier": {"type": "m.id.user", "user": client.user_id}
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn addresses_are_invited() {
    with_identity(async |server, double| {
        let anna = server.register(&fresh("anna")).await;
        let known = server.register("known").await;
        let room_id = anna.create_room(json!({"preset": "private_chat"})).await;
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id));
        anna.post(&path, invite(double, "Known@Example.org"))
            .await
            .ok();
        known.join(&room_id).await;

        known
            .nobody()
            .post(&path, invite(double, "x@example.org"))
            .await
            .refused(401, "M_MISSING_TOKEN");
        let before = double.asked("POST /_matrix/identity/v2/store-invite").len();
        anna.post(&path, invite(double, "new@example.org"))
            .await
            .ok();
        let stored = double.asked("POST /_matrix/identity/v2/store-invite");
        assert_eq!(stored.len(), before + 1);
        assert_eq!(stored[before].authorization, "Bearer t0ken");
        assert_eq!(stored[before].json()["sender"], anna.user_id.as_str());
        let state = format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.third_party_invite/token-new@example.org",
            encode(&room_id)
        );
        let content = anna.get(&state).await.ok();
        assert_eq!(content["public_key"], public_key());
        assert_eq!(content["display_name"], "u...@e...");

        let newcomer = server.register(&fresh("newcomer")).await;
        let join = format!("/_matrix/client/v3/rooms/{}/join", encode(&room_id));
        let forged = signed(&anna.user_id, &known.user_id, "token-new@example.org");
        newcomer
            .post(&join, json!({"third_party_signed": forged}))
            .await
            .refused(403, "M_FORBIDDEN");
        let mut forged = signed(&anna.user_id, &newcomer.user_id, "token-new@example.org");
        forged["signatures"]["id.test"]["ed25519:0"] = json!(STANDARD_NO_PAD.encode([1; 64]));
        newcomer
            .post(&join, json!({"third_party_signed": forged}))
            .await
            .refused(403, "M_FORBIDDEN");
        newcomer
            .post(&join, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");

        let good = signed(&anna.user_id, &newcomer.user_id, "token-new@example.org");
        newcomer
            .post(&join, json!({"third_party_signed": good}))
            .await
            .ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rooms_begin_with_invited_addresses() {
    with_identity(async |server, double| {
        let anna = server.register(&fresh("anna")).await;
        let room_id = anna
            .create_room(json!({"invite_3pid": [invite(double, "first@example.org")]}))
            .await;
        let state = format!(
            "/_matrix/client/v3/rooms/{}/state/m.room.third_party_invite/token-first@example.org",
            encode(&room_id)
        );
        anna.get(&state).await.ok();
        let path = format!("/_matrix/client/v3/rooms/{}/invite", encode(&room_id));
        for (server, errcode) in [
            ("169.254.169.254", "M_SERVER_NOT_TRUSTED"),
            ("[::1]:8008", "M_SERVER_NOT_TRUSTED"),
            ("user@example.org", "M_INVALID_PARAM"),
            ("example.org/path", "M_INVALID_PARAM"),
        ] {
            let mut invite = invite(double, "x@example.org");
            invite["id_server"] = json!(server);
            let status = if errcode == "M_INVALID_PARAM" {
                400
            } else {
                403
            };
            anna.post(&path, invite).await.refused(status, errcode);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_published_is_forgotten() {
    with_identity(async |server, double| {
        let anna = server.register(&fresh("anna")).await;
        let bind = json!({
            "id_server": double.host(), "id_access_token": "t0ken", "client_secret": "s3cret", "sid": "their-session"
        });
        anna.post("/_matrix/client/v3/account/3pid/bind", bind.clone()).await.ok();
        let address = json!({"medium": "email", "address": "bound@example.org"});
        let unbind = "/_matrix/client/v3/account/3pid/unbind";
        let told = anna.post(unbind, address.clone()).await.ok();
        assert_eq!(told["id_server_unbind_result"], "success");
        let asked = double.asked("POST /_matrix/identity/v2/3pid/unbind");
        let last = asked.last().expect("it was asked");
        assert!(last.authorization.starts_with("X-Matrix origin=\"playhouse.test\",key=\"ed25519:"), "{last:?}");
        assert_eq!(last.json()["threepid"], address);
        let told = anna.post(unbind, address).await.ok();
        assert_eq!(told["id_server_unbind_result"], "no-support");

        anna.post("/_matrix/client/v3/account/3pid/bind", bind).await.ok();
        let before = double.asked("POST /_matrix/identity/v2/3pid/unbind").len();
        let close = json!({"auth": password_stage(&anna)});
        let told = anna.post("/_matrix/client/v3/account/deactivate", close).await.ok();
        assert_eq!(told["id_server_unbind_result"], "success");
        let after = double.asked("POST /_matrix/identity/v2/3pid/unbind").len();
        assert_eq!(after, before + 1);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn phone_numbers_are_proven_elsewhere() {
    with_identity(async |server, _double| {
        let anna = server.register(&fresh("anna")).await;
        let ask = json!({"client_secret": "s3cret", "country": "DE", "phone_number": "017012345", "send_attempt": 1});
        let path = "/_matrix/client/v3/account/3pid/msisdn/requestToken";
        let sent = anna.post(path, ask).await.ok();
        let url = sent["submit_url"].as_str().expect("a URL");
        let submit = &url[url.find("/_matrix").expect("a path")..];
        let code = |code: &str| json!({"sid": sent["sid"], "client_secret": "s3cret", "token": code});
        assert_eq!(anna.post(submit, code("0000")).await.ok()["success"], false);
        assert_eq!(anna.post(submit, code("1234")).await.ok()["success"], true);
        let mut add = json!({"sid": sent["sid"], "client_secret": "wrong", "auth": password_stage(&anna)});
        let path = "/_matrix/client/v3/account/3pid/add";
        anna.post(path, add.clone()).await.refused(400, "M_THREEPID_AUTH_FAILED");
        add["client_secret"] = json!("s3cret");
        anna.post(path, add).await.ok();
        let login = json!({
            "type": "m.login.password", "password": "correct horse",
            "identifier": {"type": "m.id.phone", "country": "DE", "phone": "+49 170 12345"}
        });
        let session = anna.nobody().post("/_matrix/client/v3/login", login).await.ok();
        assert_eq!(session["user_id"], anna.user_id.as_str());
    })
    .await;
}
