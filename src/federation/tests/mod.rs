//! Requests as one server signs them and another judges them; and, in `loopback`, real connections.

mod loopback;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_actors::{
    env::{Env, Identity, RetiredKey, Signer},
    network::{KeysWanted, Network, PeerError, PeerMethod, PeerRequest},
};
use ruma::{
    CanonicalJsonObject, ServerName,
    signatures::{PublicKeyMap, verify_json},
};

use super::{
    own_keys::{own_keys_json, own_public_keys, sign_as_notary},
    x_matrix::{Signed, Unbelieved, authenticate, sign},
};

/// Knows the keys of some servers.
pub(super) struct Knows(pub(super) PublicKeyMap);

impl Network for Knows {
    fn ask(&self, _request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        Box::pin(async { Err(PeerError::Off) })
    }

    fn keys(&self, wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        let mut found = self.0.clone();
        found.retain(|name, _| wanted.keys().any(|wanted| wanted == name.as_str()));
        Box::pin(async move { found })
    }
}

/// A server with a key of its own.
pub(super) fn env(name: &str, seed: u8) -> Env {
    Env::system(Identity {
        server_name: ServerName::parse(name).unwrap(),
        signer: Signer::from_seed("a", &[seed; 32]).unwrap(),
    })
}

fn request(destination: &str, body: Option<&'static str>) -> PeerRequest {
    PeerRequest {
        destination: ServerName::parse(destination).unwrap(),
        method: PeerMethod::Put,
        path: "/_matrix/federation/v1/send/1?a=b%20c".to_owned(),
        body: body.map(Bytes::from),
        within: std::time::Duration::from_secs(1),
        answer_bytes_max: 1,
    }
}

fn incoming<'a>(authorization: &'a [&'a str], body: Option<&'a str>) -> Signed<'a> {
    Signed {
        method: "PUT",
        uri: "/_matrix/federation/v1/send/1?a=b%20c",
        authorization,
        body: body.map(str::as_bytes),
    }
}

#[tokio::test]
async fn a_signed_request_is_believed() {
    let them = env("them.example:8448", 1);
    let known = PublicKeyMap::from([(
        "them.example:8448".to_owned(),
        own_public_keys(&them, them.now_ms()),
    )]);
    let us = env("us.example", 2).with_network(Arc::new(Knows(known)));
    for body in [None, Some(r#"{"b":1, "a":[1.50,"é"]}"#), Some("{}")] {
        let (header, body) = sign(&them, &request("us.example", body)).unwrap();
        let judge = async |authorization: &[&str], body: Option<&str>| {
            authenticate(&us, &incoming(authorization, body)).await
        };
        let origin = judge(&["Bearer x", &header], body.as_deref()).await;
        assert_eq!(origin.as_deref(), Ok(them.server_name()));
        // Another body, another method, another signature.
        let forged = Unbelieved::Forged(them.server_name().to_owned());
        let other = judge(&[&header], Some("{\"c\":2}")).await;
        assert_eq!(other, Err(forged.clone()));
        let headers = [header.as_str()];
        let get = Signed {
            method: "GET",
            ..incoming(&headers, body.as_deref())
        };
        assert_eq!(authenticate(&us, &get).await, Err(forged.clone()));
        let unknown_key = header.replace("ed25519:a", "ed25519:b");
        assert_eq!(
            judge(&[&unknown_key], body.as_deref()).await,
            Err(forged.clone())
        );
        // One right signature among several is enough.
        let several = judge(&[&unknown_key, &header], body.as_deref()).await;
        assert_eq!(several.as_deref(), Ok(them.server_name()));
    }
}

#[tokio::test]
async fn a_request_without_a_destination_is_believed() {
    let them = env("them.example", 1);
    let known = PublicKeyMap::from([("them.example".to_owned(), own_public_keys(&them, 0))]);
    let us = env("us.example", 2).with_network(Arc::new(Knows(known)));
    let (header, _) = sign(&them, &request("us.example", None)).unwrap();
    let header = header.replace("destination=\"us.example\",", "");
    let origin = authenticate(&us, &incoming(&[&header], None)).await;
    assert_eq!(origin.as_deref(), Ok(them.server_name()));
}

#[tokio::test]
async fn what_is_not_believed() {
    let (them, us) = (env("them.example", 1), env("us.example", 2));
    let judge = async |header: &str| {
        authenticate(&us, &incoming(&[header], None))
            .await
            .unwrap_err()
    };
    let header = |from: &Env, to: &str| sign(from, &request(to, None)).unwrap().0;
    assert_eq!(
        judge(&header(&them, "others.example")).await,
        Unbelieved::NotForUs
    );
    assert_eq!(judge(&header(&us, "us.example")).await, Unbelieved::FromUs);
    assert_eq!(judge("Bearer abc").await, Unbelieved::Missing);
    assert!(matches!(
        judge("X-Matrix origin=them.example").await,
        Unbelieved::Malformed(_)
    ));
    let unknown = judge(&header(&them, "us.example")).await;
    assert_eq!(
        unknown,
        Unbelieved::NoKey(them.server_name().to_owned()),
        "nobody knows its keys"
    );
    let both = [
        header(&them, "us.example"),
        header(&env("third.example", 3), "us.example"),
    ];
    let both: Vec<&str> = both.iter().map(String::as_str).collect();
    let two = authenticate(&us, &incoming(&both, None)).await;
    assert!(matches!(two, Err(Unbelieved::Malformed(_))));
}

#[test]
fn published_keys_are_signed_by_all_that_are_in_use() {
    let signer = |version: &str, seed| Signer::from_seed(version, &[seed; 32]).unwrap();
    let retired = RetiredKey {
        key_id: "ed25519:old".to_owned(),
        public_key: vec![7; 32],
        expired_ts: 1_000,
    };
    let us = Env::system(Identity {
        server_name: ServerName::parse("us.example").unwrap(),
        signer: signer("new", 1).with_others(vec![signer("beside", 2)], vec![retired]),
    });
    let published = own_keys_json(&us);
    let text = serde_json::to_value(&published).unwrap();
    assert_eq!(
        text["old_verify_keys"]["ed25519:old"]["expired_ts"],
        serde_json::json!(1_000)
    );
    assert_eq!(text["verify_keys"].as_object().unwrap().len(), 2);
    assert_eq!(
        text["signatures"]["us.example"].as_object().unwrap().len(),
        2
    );
    let keys = PublicKeyMap::from([("us.example".to_owned(), own_public_keys(&us, us.now_ms()))]);
    assert_eq!(keys["us.example"].len(), 2);
    assert_eq!(own_public_keys(&us, 1_000).len(), 3);
    assert_eq!(own_public_keys(&us, 0).len(), 3);
    verify_json(&keys, &published).unwrap();
    let mut passed_on: CanonicalJsonObject = published;
    sign_as_notary(&env("notary.example", 9), &mut passed_on);
    let text = serde_json::to_value(&passed_on).unwrap();
    assert!(text["signatures"]["notary.example"]["ed25519:a"].is_string());
}
