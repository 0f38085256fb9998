//! One-time keys are given out once: under load, over kills, and in the order of upload.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Map, Value, json};

use crate::harness::{Client, TestServer};

const UPLOAD: &str = "/_matrix/client/v3/keys/upload";
const CLAIM: &str = "/_matrix/client/v3/keys/claim";

fn one_time(ids: impl Iterator<Item = usize>) -> Value {
    let keys: Map<_, _> = ids
        .map(|id| {
            (
                format!("signed_curve25519:{id:06}"),
                json!({ "key": id.to_string() }),
            )
        })
        .collect();
    json!({ "one_time_keys": keys })
}

fn wish(of: &Client) -> Value {
    json!({ "one_time_keys": { &of.user_id: { &of.device_id: "signed_curve25519" } } })
}

fn given(answer: &Value, of: &Client) -> Option<String> {
    let keys = answer["one_time_keys"][&of.user_id][&of.device_id].as_object()?;
    keys.keys().next().cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_and_fallback_keys_are_told_by_sync() {
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let answer = alice.sync(None, "").await;
    assert_eq!(
        answer["device_one_time_keys_count"],
        json!({ "signed_curve25519": 0 })
    );
    assert_eq!(answer["device_unused_fallback_key_types"], json!([]));
    let fallback = json!({ "signed_curve25519:F": { "key": "f", "fallback": true } });
    let mut body = one_time(0..2);
    body["org.matrix.msc2732.fallback_keys"] = fallback;
    let answer = alice.post(UPLOAD, body).await.ok();
    assert_eq!(
        answer["one_time_key_counts"],
        json!({ "signed_curve25519": 2 })
    );
    let answer = alice.sync(None, "").await;
    assert_eq!(
        answer["device_one_time_keys_count"],
        json!({ "signed_curve25519": 2 })
    );
    for name in ["", "org.matrix.msc2732."] {
        let unused = &answer[format!("{name}device_unused_fallback_key_types")];
        assert_eq!(*unused, json!(["signed_curve25519"]));
    }
    for expected in ["000000", "000001", "F", "F"] {
        let answer = bob.at(server.base()).post(CLAIM, wish(&alice)).await.ok();
        assert_eq!(
            given(&answer, &alice),
            Some(format!("signed_curve25519:{expected}"))
        );
        server.restart();
    }
    let answer = alice.at(server.base()).sync(None, "").await;
    assert_eq!(answer["device_unused_fallback_key_types"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_never_given_out_twice() {
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    alice.post(UPLOAD, one_time(0..1)).await.ok();
    let other = json!({ "one_time_keys": { "signed_curve25519:000000": { "key": "other" } } });
    alice
        .post(UPLOAD, other.clone())
        .await
        .refused(400, "M_UNKNOWN");
    let answer = bob.post(CLAIM, wish(&alice)).await.ok();
    assert!(given(&answer, &alice).is_some());
    let answer = alice.post(UPLOAD, one_time(0..1)).await.ok();
    assert_eq!(
        answer["one_time_key_counts"],
        json!({ "signed_curve25519": 0 })
    );
    alice.post(UPLOAD, other).await.refused(400, "M_UNKNOWN");
    let answer = bob.post(CLAIM, wish(&alice)).await.ok();
    assert_eq!(answer["one_time_keys"], json!({}));
    let far = json!({ "one_time_keys": { "@far:elsewhere.test": { "D": "signed_curve25519" } } });
    let answer = bob.post(CLAIM, far).await.ok();
    assert!(answer["failures"]["elsewhere.test"].is_object());
}

/// Claims keys until the server is gone: the key IDs in the order in which they came.
async fn claim_on(alice: Client, bob: Client, count: Arc<AtomicUsize>) -> Vec<String> {
    let mut claimed = Vec::new();
    while let Ok(answer) = bob
        .try_request(Method::POST, CLAIM, Some(wish(&alice)))
        .await
    {
        if let Some(key_id) = given(&answer.body, &alice) {
            claimed.push(key_id);
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
    claimed
}

/// Ten thousand claims run against uploads while the server is killed again and again; what was acknowledged was given out once, and in order.
#[tokio::test(flavor = "multi_thread")]
async fn kills_never_give_a_key_out_twice() {
    const CLAIMS: usize = 10_000;
    const ROUNDS: usize = 10;
    const CLAIMERS: usize = 64;
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let mut owners = BTreeMap::<String, usize>::new();
    for round in 0..ROUNDS {
        let (alice, bob) = (alice.at(server.base()), bob.at(server.base()));
        let uploader = tokio::spawn({
            let alice = alice.clone();
            async move {
                for batch in 0.. {
                    // Each upload repeats half of the one before: of those some are given out by now.
                    let first = round * 50_000 + batch * 30;
                    let body = one_time(first..first + 60);
                    if alice
                        .try_request(Method::POST, UPLOAD, Some(body))
                        .await
                        .is_err()
                    {
                        return;
                    }
                }
            }
        });
        let count = Arc::new(AtomicUsize::new(0));
        let claimers: Vec<_> = (0..CLAIMERS)
            .map(|_| tokio::spawn(claim_on(alice.clone(), bob.clone(), count.clone())))
            .collect();
        let deadline = Instant::now() + Duration::from_secs(600);
        while count.load(Ordering::Relaxed) < CLAIMS / ROUNDS {
            assert!(Instant::now() < deadline, "claims take too long");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        server.kill();
        uploader.await.expect("the uploader ends");
        for claimer in claimers {
            let claimed = claimer.await.expect("a claimer ends");
            assert!(
                claimed.is_sorted(),
                "keys come in the order of upload: {claimed:?}"
            );
            for key_id in claimed {
                let former = owners.insert(key_id.clone(), round);
                assert_eq!(
                    former, None,
                    "{key_id} was given out again in round {round}"
                );
            }
        }
        server.start_again();
    }
    let claims = owners.len();
    assert!(claims >= CLAIMS, "{claims} claims");
    println!("{claims} claims by {CLAIMERS} claimers over {ROUNDS} kills, no key given out twice");
    let answer = bob.at(server.base()).post(CLAIM, wish(&alice)).await.ok();
    if let Some(key_id) = given(&answer, &alice) {
        assert!(
            !owners.contains_key(&key_id),
            "{key_id} was given out again"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn several_keys_are_claimed_at_once() {
    const CLAIM_SEVERAL: &str = "/_matrix/client/unstable/org.matrix.msc3983/keys/claim";
    let server = TestServer::start().await;
    let alice = server.register("alice").await;
    let bob = server.register("bob").await;
    let mut body = one_time(0..4);
    body["fallback_keys"] = json!({ "signed_curve25519:F": { "key": "f", "fallback": true } });
    alice.post(UPLOAD, body).await.ok();
    let wish = |count: u64| json!({ "one_time_keys": { &alice.user_id: { &alice.device_id: { "signed_curve25519": count } } } });
    let names = async |count: u64| {
        let answer = bob.post(CLAIM_SEVERAL, wish(count)).await.ok();
        let keys = answer["one_time_keys"][&alice.user_id][&alice.device_id].as_object();
        let names = keys.into_iter().flatten().map(|(name, _)| name.clone());
        names.collect::<Vec<_>>()
    };
    let name = |id: &str| format!("signed_curve25519:{id}");
    assert_eq!(names(3).await, ["000000", "000001", "000002"].map(name));
    assert_eq!(names(3).await, ["000003", "F"].map(name));
    let many = bob.post(CLAIM_SEVERAL, wish(10_001)).await;
    many.refused(400, "M_INVALID_PARAM");
}
