//! What an event is signed with, and how many others it may name.

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, RoomId, RoomVersionId, server_name,
    signatures::{PublicKeyMap, add_content_hash_to_event, sign_event},
};
use serde_json::json;

use crate::{
    env::{Env, Identity, RetiredKey, Signer},
    network::KeysWanted,
    room::receive::{
        Flaw,
        check::{RawPdu, with_own_keys},
    },
};

fn env() -> Env {
    let retired = RetiredKey {
        key_id: "ed25519:old".to_owned(),
        public_key: vec![3; 32],
        expired_ts: 1_000,
    };
    let beside = Signer::from_seed("2", &[2; 32]).unwrap();
    let signer = Signer::from_seed("1", &[1; 32]).unwrap();
    Env::system(Identity {
        server_name: server_name!("a").to_owned(),
        signer: signer.with_others(vec![beside], vec![retired]),
    })
}

/// A message with so many predecessors and authorising events, signed by the server that `env` is.
fn message(env: &Env, (prev_events, auth_events): (usize, usize)) -> CanonicalJsonObject {
    let ids = |count: usize| -> Vec<String> { (0..count).map(|id| format!("$e{id}")).collect() };
    let event = json!({
        "type": "m.room.message", "sender": "@alice:a", "room_id": "!room:a", "depth": 7, "content": {"body": "hello"},
        "origin_server_ts": 5_000, "prev_events": ids(prev_events), "auth_events": ids(auth_events),
    });
    let mut event: CanonicalJsonObject = serde_json::from_value(event).unwrap();
    let rules = RoomVersionId::V11.rules().unwrap();
    add_content_hash_to_event(&mut event).unwrap();
    sign_event("a", &env.identity.signer, &mut event, &rules.redaction).unwrap();
    event
}

#[test]
fn own_keys_hold_while_they_are_in_use() {
    let env = env();
    let ids = |at_ms: Option<u64>| -> Vec<String> {
        let wanted = at_ms.map(|at_ms| ("ed25519:old".to_owned(), at_ms));
        let wanted: BTreeMap<_, _> = wanted.into_iter().collect();
        let keys = with_own_keys(PublicKeyMap::new(), &wanted, &env);
        keys["a"].keys().cloned().collect()
    };
    let in_use = ["ed25519:1", "ed25519:2"];
    assert_eq!(ids(None), in_use);
    assert_eq!(ids(Some(1_001)), in_use);
    for at_ms in [0, 1_000] {
        assert_eq!(ids(Some(at_ms)), ["ed25519:1", "ed25519:2", "ed25519:old"]);
    }
}

#[test]
fn a_policy_servers_key_is_no_key_of_the_server() {
    let env = env();
    let rules = RoomVersionId::V11.rules().unwrap();
    let mut event = message(&env, (1, 1));
    let signatures = event.get_mut("signatures").unwrap().as_object_mut();
    let by_server = signatures.unwrap().get_mut("a").unwrap().as_object_mut();
    let by_server = by_server.unwrap();
    let more = ["policy_server", "0a", "0b", "0c", "0d"];
    for version in more {
        by_server.insert(format!("ed25519:{version}"), "c2ln".to_owned().into());
    }
    let text = serde_json::to_string(&event).unwrap();
    let mut wanted = KeysWanted::new();
    let raw = RawPdu::read(&text, &rules).unwrap();
    raw.want_keys(&rules, &mut wanted).unwrap();
    let wanted = &wanted[server_name!("a")];
    assert_eq!(wanted.len(), 5);
    assert_eq!(wanted["ed25519:1"], 5_000);
    assert!(!wanted.contains_key("ed25519:policy_server"));
}

#[test]
fn the_past_may_name_more_events_than_news() {
    let env = env();
    let rules = RoomVersionId::V11.rules().unwrap();
    let room_id = RoomId::parse("!room:a").unwrap();
    let keys = with_own_keys(PublicKeyMap::new(), &BTreeMap::new(), &env);
    for (counts, is_news) in [((20, 10), true), ((21, 1), false), ((1, 11), false)] {
        let text = serde_json::to_string(&message(&env, counts)).unwrap();
        let raw = RawPdu::read(&text, &rules).unwrap();
        let news = raw.clone().check(&room_id, &rules, &keys);
        assert_eq!(news.is_ok(), is_news);
        if let Err(flaw) = news {
            assert!(matches!(flaw, Flaw::TooLarge(_)), "{flaw}");
        }
        raw.of_past().check(&room_id, &rules, &keys).unwrap();
    }
}

#[test]
fn who_has_no_key_does_not_know_whether_a_signature_is_good() {
    let env = env();
    let rules = RoomVersionId::V11.rules().unwrap();
    let room_id = RoomId::parse("!room:a").unwrap();
    let keys = with_own_keys(PublicKeyMap::new(), &BTreeMap::new(), &env);
    let signed = message(&env, (1, 1));
    let mut forged = signed.clone();
    forged.insert("sender".to_owned(), "@eve:a".to_owned().into());
    let checked = |event: &CanonicalJsonObject, keys: &PublicKeyMap| {
        let text = serde_json::to_string(event).unwrap();
        let raw = RawPdu::read(&text, &rules).unwrap();
        raw.check(&room_id, &rules, keys)
    };
    checked(&signed, &keys).unwrap();
    let mut others = keys.clone();
    let of_server = others.get_mut("a").unwrap();
    of_server.remove("ed25519:1");
    for none in [&PublicKeyMap::new(), &others] {
        for event in [&signed, &forged] {
            let flaw = checked(event, none).unwrap_err();
            assert!(matches!(flaw, Flaw::Keyless(_)), "{flaw}");
        }
    }
    let flaw = checked(&forged, &keys).unwrap_err();
    assert!(matches!(flaw, Flaw::Signature(_)), "{flaw}");
}
