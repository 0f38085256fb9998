//! Identity keys, one-time keys and fallback keys.

use serde_json::{Value, json};

use super::trial::Trial;
use crate::user::{
    error::UserError,
    message::{UploadKeys, UserCommand, UserReply},
};

pub(super) fn upload(device_id: &str, one_time_keys: &[(&str, &str)]) -> UserCommand {
    UserCommand::UploadKeys(Box::new(UploadKeys {
        device_id: device_id.into(),
        device_keys: None,
        one_time_keys: pairs(one_time_keys),
        fallback_keys: Vec::new(),
    }))
}

fn fallback(device_id: &str, fallback_keys: &[(&str, &str)]) -> UserCommand {
    UserCommand::UploadKeys(Box::new(UploadKeys {
        device_id: device_id.into(),
        device_keys: None,
        one_time_keys: Vec::new(),
        fallback_keys: pairs(fallback_keys),
    }))
}

pub(super) fn identity(device_id: &str, keys: &Value) -> UserCommand {
    UserCommand::UploadKeys(Box::new(UploadKeys {
        device_id: device_id.into(),
        device_keys: Some(keys.to_string()),
        one_time_keys: Vec::new(),
        fallback_keys: Vec::new(),
    }))
}

fn pairs(keys: &[(&str, &str)]) -> Vec<(String, String)> {
    keys.iter()
        .map(|(key_id, key)| ((*key_id).to_owned(), (*key).to_owned()))
        .collect()
}

/// Claims one key of an algorithm.
pub(super) fn claim(trial: &mut Trial, device_id: &str, algorithm: &str) -> Option<String> {
    let wanted = vec![(device_id.into(), algorithm.to_owned())];
    match trial.run(UserCommand::ClaimKeys(wanted)) {
        Ok(UserReply::Claimed(mut keys)) => keys.pop().map(|(_, key_id, _)| key_id),
        other => panic!("expected keys, got {other:?}"),
    }
}

pub(super) fn keys_of(device_id: &str) -> Value {
    json!({
        "user_id": "@alice:example.org",
        "device_id": device_id,
        "algorithms": ["m.olm.v1.curve25519-aes-sha2"],
        "keys": { format!("ed25519:{device_id}"): "key" },
        "signatures": { "@alice:example.org": { format!("ed25519:{device_id}"): "own" } },
    })
}

#[test]
fn identity_keys_must_be_the_devices_own() {
    let mut alice = Trial::with_devices(&["ONE"]);
    assert_eq!(alice.done(identity("ONE", &keys_of("ONE"))), 1);
    assert_eq!(alice.done(identity("ONE", &keys_of("ONE"))), 0);
    assert!(matches!(
        alice.refused(identity("ONE", &keys_of("TWO"))),
        UserError::InvalidParam(_)
    ));
    let mut other = keys_of("ONE");
    other["user_id"] = "@bob:example.org".into();
    assert!(matches!(
        alice.refused(identity("ONE", &other)),
        UserError::InvalidParam(_)
    ));
    let mut incomplete = keys_of("ONE");
    incomplete["keys"] = Value::Null;
    assert!(matches!(
        alice.refused(identity("ONE", &incomplete)),
        UserError::BadJson(_)
    ));
    assert_eq!(
        alice.refused(identity("NONE", &keys_of("NONE"))),
        UserError::NotFound
    );
}

#[test]
fn identity_keys_are_told_with_name_and_signatures() {
    let mut alice = Trial::with_devices(&["ONE", "TWO"]);
    let before = alice.user.device_list_change.position;
    alice.done(identity("ONE", &keys_of("ONE")));
    assert!(alice.user.device_list_change.position > before);
    let signed = playhouse_schema::record::user::SignedKey {
        user_id: "@alice:example.org".to_owned(),
        key_id: "ONE".to_owned(),
        signatures: serde_bytes::ByteBuf::from(
            br#"{"@alice:example.org":{"ed25519:self":"added"}}"#.to_vec(),
        ),
    };
    let record = playhouse_schema::record::user::UserRecord::SignaturesAdded(vec![signed]);
    let next = super::trial::change(alice.user.sequence + 1, 1_000);
    alice.user.fold(next, &record);
    assert_eq!(alice.user.device_list_change, next);
    let keys = alice.user.keys(&[]);
    assert_eq!(keys.len(), 1);
    let told: Value = serde_json::from_str(&keys[0].1).unwrap();
    assert_eq!(told["unsigned"]["device_display_name"], "phone");
    assert_eq!(
        told["signatures"]["@alice:example.org"],
        json!({ "ed25519:ONE": "own", "ed25519:self": "added" })
    );
    assert!(alice.user.keys(&["TWO".into()]).is_empty());
}

#[test]
fn keys_are_given_out_once_in_upload_order() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let reply = alice.run(upload(
        "ONE",
        &[("a:2", "\"x\""), ("a:1", "{}"), ("b:1", "\"y\"")],
    ));
    let Ok(UserReply::KeyCounts(counts)) = reply else {
        panic!("{reply:?}")
    };
    assert_eq!(counts, [("a".to_owned(), 2), ("b".to_owned(), 1)]);
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:2"));
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:1"));
    assert_eq!(claim(&mut alice, "ONE", "a"), None);
    assert_eq!(claim(&mut alice, "ONE", "b").as_deref(), Some("b:1"));
    assert_eq!(claim(&mut alice, "NONE", "b"), None);
}

#[test]
fn one_command_never_claims_a_key_twice() {
    let mut alice = Trial::with_devices(&["ONE"]);
    alice.done(upload("ONE", &[("a:1", "\"x\""), ("a:2", "\"y\"")]));
    let wanted = vec![("ONE".into(), "a".to_owned()); 3];
    let reply = alice.run(UserCommand::ClaimKeys(wanted));
    let Ok(UserReply::Claimed(keys)) = reply else {
        panic!("{reply:?}")
    };
    let key_ids: Vec<_> = keys.iter().map(|(_, key_id, _)| key_id.as_str()).collect();
    assert_eq!(key_ids, ["a:1", "a:2"]);
    assert_eq!(
        alice.user.device("ONE".into()).unwrap().one_time.waiting(),
        0
    );
}

#[test]
fn a_key_id_stands_for_one_content() {
    let mut alice = Trial::with_devices(&["ONE"]);
    alice.done(upload("ONE", &[("a:1", "{\"k\":1,\"l\":2}")]));
    let same = [("a:1", "{ \"l\":2, \"k\":1 }")];
    assert_eq!(alice.done(upload("ONE", &same)), 0);
    let other = [("a:2", "\"new\""), ("a:1", "{\"k\":2}")];
    assert!(matches!(
        alice.refused(upload("ONE", &other)),
        UserError::KeyExists(_)
    ));
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:1"));
    assert_eq!(alice.done(upload("ONE", &same)), 0);
    assert_eq!(claim(&mut alice, "ONE", "a"), None);
    assert!(matches!(
        alice.refused(upload("ONE", &other)),
        UserError::KeyExists(_)
    ));
    let twice = [("a:3", "\"x\""), ("a:3", "\"y\"")];
    assert!(matches!(
        alice.refused(upload("ONE", &twice)),
        UserError::KeyExists(_)
    ));
}

#[test]
fn keys_are_bounded_and_well_named() {
    let mut alice = Trial::with_devices(&["ONE"]);
    alice.limits.one_time_keys_max = 2;
    let three = [("a:1", "\"x\""), ("a:2", "\"x\""), ("a:3", "\"x\"")];
    assert!(matches!(
        alice.refused(upload("ONE", &three)),
        UserError::TooLarge(_)
    ));
    for name in ["a", "a:", ":1"] {
        assert!(matches!(
            alice.refused(upload("ONE", &[(name, "\"x\"")])),
            UserError::InvalidParam(_)
        ));
    }
    assert!(matches!(
        alice.refused(upload("ONE", &[("a:1", "7")])),
        UserError::BadJson(_)
    ));
}

#[test]
fn the_fallback_key_comes_last_and_stays() {
    let mut alice = Trial::with_devices(&["ONE"]);
    alice.done(upload("ONE", &[("a:1", "\"x\"")]));
    alice.done(fallback("ONE", &[("a:f", "\"f\"")]));
    let unused = |alice: &Trial| {
        let device = alice.user.device("ONE".into()).unwrap();
        device.unused_fallback_algorithms().len()
    };
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:1"));
    assert_eq!(unused(&alice), 1);
    let before = alice.log.len();
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:f"));
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:f"));
    assert_eq!(alice.log.len(), before + 1);
    assert_eq!(unused(&alice), 0);
    assert_eq!(alice.done(fallback("ONE", &[("a:f", "\"f\"")])), 0);
    assert_eq!(unused(&alice), 0);
    alice.done(fallback("ONE", &[("a:g", "\"g\"")]));
    assert_eq!(unused(&alice), 1);
    assert_eq!(claim(&mut alice, "ONE", "a").as_deref(), Some("a:g"));
}
