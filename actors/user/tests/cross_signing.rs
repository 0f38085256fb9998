//! Cross-signing keys, signatures, and what goes with a device.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
use ruma::{
    OwnedUserId, owned_user_id,
    signatures::{Ed25519KeyPair, KeyPair as _},
};
use serde_json::{Value, json};

use super::{keys, trial::Trial};
use crate::user::{
    error::UserError,
    message::{
        AddSignatures, SetDehydratedDevice, SignatureFailure, ToDeviceIndex, UploadKeys,
        UploadSigningKeys, UserAnswer, UserCommand, UserReply,
    },
};

const ALICE: &str = "@alice:example.org";

struct Key {
    pair: Ed25519KeyPair,
    public: String,
}

impl Key {
    fn new() -> Self {
        let pair = Ed25519KeyPair::from_der(&Ed25519KeyPair::generate(), "1".to_owned()).unwrap();
        let public = STANDARD_NO_PAD.encode(pair.public_key());
        Self { pair, public }
    }

    fn published(&self, user_id: &str, usage: &str) -> Value {
        let name = format!("ed25519:{}", self.public);
        json!({ "user_id": user_id, "usage": [usage], "keys": { name: self.public } })
    }

    fn sign(&self, object: &Value, user_id: &str, name: &str) -> Value {
        let mut bare = object.clone();
        bare.as_object_mut().unwrap().remove("signatures");
        let canonical = ruma::CanonicalJsonValue::try_from(bare)
            .unwrap()
            .to_string();
        let mut signed = object.clone();
        let signature = self.pair.sign(canonical.as_bytes()).base64();
        signed["signatures"][user_id][format!("ed25519:{name}")] = signature.into();
        signed
    }
}

struct Keys {
    master: Key,
    self_signing: Key,
    user_signing: Key,
}

impl Keys {
    fn new() -> Self {
        Self {
            master: Key::new(),
            self_signing: Key::new(),
            user_signing: Key::new(),
        }
    }

    fn upload(&self, proven: bool) -> UserCommand {
        let signed = |key: &Key, usage: &str| {
            let key = key.published(ALICE, usage);
            self.master
                .sign(&key, ALICE, &self.master.public)
                .to_string()
        };
        UserCommand::UploadSigningKeys(Box::new(UploadSigningKeys {
            master: Some(self.master.published(ALICE, "master").to_string()),
            self_signing: Some(signed(&self.self_signing, "self_signing")),
            user_signing: Some(signed(&self.user_signing, "user_signing")),
            proven,
        }))
    }
}

fn failures(trial: &mut Trial, signed: &[(&str, &str, &Value)]) -> Vec<SignatureFailure> {
    let bob = Key::new().published("@bob:example.org", "master");
    let upload = AddSignatures {
        signed: signed
            .iter()
            .map(|(user_id, key_id, key)| {
                let user_id = OwnedUserId::try_from(*user_id).unwrap();
                (user_id, (*key_id).to_owned(), key.to_string())
            })
            .collect(),
        masters: BTreeMap::from([(owned_user_id!("@bob:example.org"), bob.to_string())]),
    };
    match trial.run(UserCommand::AddSignatures(Box::new(upload))) {
        Ok(UserReply::SignatureFailures(failures)) => failures,
        other => panic!("expected failures, got {other:?}"),
    }
}

#[test]
fn only_the_first_keys_come_without_proof() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let (first, second) = (Keys::new(), Keys::new());
    let change = alice.user.device_list_change;
    assert_eq!(alice.done(first.upload(false)), 1);
    assert!(alice.user.device_list_change.sequence > change.sequence);
    assert_eq!(alice.done(first.upload(false)), 0, "the same again");
    assert_eq!(alice.refused(second.upload(false)), UserError::ProofNeeded);
    assert_eq!(alice.done(second.upload(true)), 1);
    let told = alice.user.identity_keys(&[]);
    assert!(told.master.unwrap().contains(&second.master.public));
    assert!(
        told.user_signing
            .unwrap()
            .contains(&second.user_signing.public)
    );
}

#[test]
fn a_key_must_not_be_named_like_a_device() {
    let keys = Keys::new();
    let mut alice = Trial::with_devices(&[&keys.self_signing.public]);
    let refused = alice.refused(keys.upload(false));
    assert!(matches!(refused, UserError::Forbidden(_)));
}

#[test]
fn signatures_are_kept_once_and_end_with_the_device() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let own = Keys::new();
    alice.done(own.upload(false));
    let keys = keys::keys_of("ONE");
    alice.done(keys::identity("ONE", &keys));
    let signed = own
        .self_signing
        .sign(&keys, ALICE, &own.self_signing.public);
    let upload = [(ALICE, "ONE", &signed)];
    assert_eq!(failures(&mut alice, &upload), []);
    let before = alice.log.len();
    assert_eq!(failures(&mut alice, &upload), []);
    assert_eq!(alice.log.len(), before, "the same signature again");
    let told: Value = serde_json::from_str(&alice.user.keys(&[])[0].1).unwrap();
    let name = format!("ed25519:{}", own.self_signing.public);
    assert!(told["signatures"][ALICE][&name].is_string());
    let by_other = own.master.sign(&keys, ALICE, &own.self_signing.public);
    let failed = failures(&mut alice, &[(ALICE, "ONE", &by_other)]);
    assert!(matches!(failed[0].error, UserError::InvalidSignature(_)));
    let bobs = own
        .user_signing
        .sign(&json!({}), ALICE, &own.user_signing.public);
    let failed = failures(&mut alice, &[("@bob:example.org", "other", &bobs)]);
    assert!(matches!(failed[0].error, UserError::UnknownKey(_)));
    assert_eq!(alice.user.signatures.len(), 1);
    alice.done(UserCommand::RemoveDevices {
        device_ids: vec!["ONE".into()],
    });
    assert!(alice.user.signatures.is_empty());
}

#[test]
fn what_may_have_been_given_out_is_dropped_and_stays_known() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let keys = [("a:1", "\"x\""), ("a:2", "\"y\"")];
    alice.done(keys::upload("ONE", &keys));
    assert_eq!(alice.done(UserCommand::DropOneTimeKeys("ONE".into())), 1);
    assert_eq!(alice.done(UserCommand::DropOneTimeKeys("ONE".into())), 0);
    assert_eq!(keys::claim(&mut alice, "ONE", "a"), None);
    assert_eq!(alice.done(keys::upload("ONE", &keys)), 0);
    assert_eq!(keys::claim(&mut alice, "ONE", "a"), None);
}

#[test]
fn a_dehydrated_device_takes_the_place_of_another() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let set = |device_id: &str| {
        UserCommand::SetDehydratedDevice(Box::new(SetDehydratedDevice {
            display_name: None,
            data: "{}".to_owned(),
            keys: UploadKeys {
                device_id: device_id.into(),
                device_keys: Some(keys::keys_of(device_id).to_string()),
                one_time_keys: vec![("a:1".to_owned(), "\"x\"".to_owned())],
                fallback_keys: Vec::new(),
            },
        }))
    };
    assert!(matches!(
        alice.refused(set("ONE")),
        UserError::InvalidParam(_)
    ));
    assert_eq!(
        alice.refused(UserCommand::RemoveDehydratedDevice),
        UserError::NotFound
    );
    alice.done(set("TWO"));
    alice.done(super::to_device::queue(&[("TWO", "{}")]));
    let events = |alice: &Trial, device_id: &str| {
        let begin = ToDeviceIndex::default();
        crate::user::dehydrate::events(&alice.user, device_id.into(), begin, 10)
    };
    let Ok(UserAnswer::ToDevice(messages, _)) = events(&alice, "TWO") else {
        panic!("the dehydrated device has messages");
    };
    assert_eq!(messages.len(), 1);
    assert!(matches!(
        events(&alice, "ONE"),
        Err(UserError::Forbidden(_))
    ));
    // The same ID again is another device: its one-time keys are its own.
    alice.done(set("TWO"));
    assert_eq!(keys::claim(&mut alice, "TWO", "a").as_deref(), Some("a:1"));
    alice.done(set("THREE"));
    assert!(alice.user.device("TWO".into()).is_none());
    alice.done(UserCommand::RemoveDehydratedDevice);
    assert_eq!(alice.user.dehydrated, None);
    assert_eq!(alice.user.devices.len(), 1);
}
