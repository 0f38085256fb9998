//! Changes of a user's devices as other servers hear of them.
//!
//! The stream ID of a change is made of the number of its record among the user's; the one before it is named with it. So the sequence is gap free without
//! anything kept for each destination: who was not told of a change finds that the next one names an ID it does not know, and asks for the whole list.
//!
//! Changes of cross-signing keys have no place in that sequence: nothing may name as the one before it what has no ID.
//!
//! A record may concern many devices, each of which has an EDU and an ID of its own. The last of them always has the last ID that the record can give, so that
//! what comes next can name it whatever has become of the devices meanwhile.
//!
//! A log that was restored from a backup gives the numbers of the lost stretch again, for something else. Its IDs are others, so that nobody takes a change for
//! one that was told in the life before, and whoever heard of that asks for the whole list.

use std::collections::BTreeMap;

use playhouse_schema::{
    address::{Entity, Sequence},
    port::{EntityRange, LogStore, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        user::{SignedKey, UserRecord},
    },
};
use ruma::{OwnedUserId, UserId};
use serde::de::IgnoredAny;
use serde_json::{Value as JsonValue, json};

use super::{ServerContext, body::edu};
use crate::user::{UserAnswer, UserQuery, cross_signing::is_public_key, message::IdentityKeys};

/// So many records are searched for the change before a change; further away it counts as unknown, and who hears of it asks for the whole list.
const SEARCHED_MAX: usize = 256;

/// So many stream IDs a record can give.
const IDS_EACH: u64 = 1 << 20;

/// Whoever is told of all devices is told so under other IDs than those who were told of the change: up to here, and from here on.
const IDS_TOLD: u64 = IDS_EACH / 2;

/// So many lives of the log are told apart.
const ERAS: u64 = 1 << 14;

/// By how much the IDs of a life are others than those of a log that was never restored.
fn shift(era: u32) -> u64 {
    u64::from(era) % ERAS
}

/// The last of a record's stream IDs, by which it is known.
fn stream_id(sequence: Sequence, era: u32) -> u64 {
    sequence * IDS_EACH + (IDS_EACH - 1 - shift(era))
}

/// Where EDUs stand in the sequence.
#[derive(Clone, Copy)]
struct Chain {
    /// The record.
    sequence: Sequence,
    /// The change before it.
    before: Option<Sequence>,
    /// The first of its IDs that is used.
    first: u64,
    /// The life of the log.
    era: u32,
}

impl Chain {
    /// Gives EDUs their IDs: each names the one before it.
    fn link(self, mut contents: Vec<JsonValue>) -> Vec<JsonValue> {
        let last = contents.len().saturating_sub(1);
        let mut prev = self.before.map(|before| stream_id(before, self.era));
        for (content, index) in contents.iter_mut().zip(0..) {
            let id = if index == last {
                stream_id(self.sequence, self.era)
            } else {
                self.sequence * IDS_EACH + self.first + shift(self.era) + index as u64
            };
            content["stream_id"] = json!(id);
            content["prev_id"] = json!(Vec::from_iter(prev));
            prev = Some(id);
        }
        let contents = contents.into_iter();
        contents
            .map(|content| edu("m.device_list_update", content))
            .collect()
    }
}

/// What a record says about devices.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// This device changed.
    Device(String),
    /// This device was removed.
    Removed(String),
    /// These devices got signatures, and perhaps the master key.
    Signed {
        /// Which.
        devices: Vec<String>,
        /// The master key, too.
        keys: bool,
    },
    /// The cross-signing keys changed, or the master key got signatures.
    Keys,
    /// Nothing that others hear of.
    Nothing,
}

impl Change {
    /// Whether it has stream IDs.
    fn is_in_sequence(&self) -> bool {
        !matches!(self, Change::Keys | Change::Nothing)
    }
}

fn change(record: &StoredRecord) -> Result<Change, StoreError> {
    Ok(match UserRecord::decode(record)? {
        Some(UserRecord::DeviceAdded(added)) => Change::Device(added.device_id),
        Some(UserRecord::DeviceRenamed(renamed)) => Change::Device(renamed.device_id),
        Some(UserRecord::DeviceRemoved(device_id)) => Change::Removed(device_id),
        Some(UserRecord::DeviceKeysSet(keys)) => Change::Device(keys.device_id),
        Some(UserRecord::CrossSigningKeysSet(_)) => Change::Keys,
        Some(UserRecord::SignaturesAdded(signed)) => {
            let own = record.entity.name();
            // Signatures on the keys of others are no change of one's own.
            let signed = signed.into_iter().filter(|key| key.user_id == own);
            let (devices, keys): (Vec<_>, Vec<_>) = signed.partition(is_of_device);
            match (devices.is_empty(), keys.is_empty()) {
                (true, true) => Change::Nothing,
                (true, false) => Change::Keys,
                (false, has_none) => Change::Signed {
                    devices: devices.into_iter().map(|key| key.key_id).collect(),
                    keys: !has_none,
                },
            }
        }
        _ => Change::Nothing,
    })
}

/// Whether what a user signed of the own is a device: that is signed by a key, which is called by its public part, and the master key by devices. The names
/// of what is signed do not tell: that of a dehydrated device is a public key, too.
fn is_of_device(key: &SignedKey) -> bool {
    let signatures: BTreeMap<String, BTreeMap<String, IgnoredAny>> =
        serde_json::from_slice(&key.signatures).unwrap_or_default();
    let mut signers = signatures.values().flat_map(|by| by.keys());
    signers.any(|signer| {
        let name = signer.strip_prefix("ed25519:");
        name.is_some_and(|name| name != key.key_id && is_public_key(name))
    })
}

/// The EDUs of a change that stands in a record with this number.
pub(super) async fn edus(
    context: &ServerContext,
    user_id: &UserId,
    sequence: Sequence,
) -> Result<Vec<JsonValue>, StoreError> {
    let entity = Entity::user(user_id.as_str());
    let found = context.store.read_some(&entity, &[sequence]).await?;
    match found.first() {
        Some(record) => edus_of(context, user_id, (sequence, change(record)?)).await,
        None => Ok(Vec::new()),
    }
}

/// The EDUs of a change.
async fn edus_of(
    context: &ServerContext,
    user_id: &UserId,
    (sequence, change): (Sequence, Change),
) -> Result<Vec<JsonValue>, StoreError> {
    if change == Change::Nothing {
        return Ok(Vec::new());
    }
    let entity = Entity::user(user_id.as_str());
    let keys = keys(context, &entity).await?;
    let user_id = user_id.to_owned();
    if change == Change::Keys {
        return Ok(signing_keys(&user_id, &keys));
    }
    let before = before(&*context.store, &entity, sequence).await?;
    let has_keys = matches!(change, Change::Signed { keys: true, .. });
    let contents = contents(&user_id, change, &keys);
    let chain = Chain {
        sequence,
        before,
        first: 0,
        era: context.store.layout().era,
    };
    let mut edus = chain.link(contents);
    if has_keys {
        edus.extend(signing_keys(&user_id, &keys));
    }
    Ok(edus)
}

/// What is told of the devices that a change concerns. Never nothing where the change has IDs: what comes next names the last of them.
fn contents(user_id: &OwnedUserId, change: Change, keys: &IdentityKeys) -> Vec<JsonValue> {
    let told = |device_id: &str| device(user_id, device_id, keys);
    let gone = |device_id: &str| {
        let mut content = told(device_id);
        content["deleted"] = json!(true);
        content
    };
    match change {
        Change::Device(device_id) => vec![told(&device_id)],
        Change::Removed(device_id) => vec![gone(&device_id)],
        Change::Signed { devices, .. } => {
            let is_known = |name: &str| keys.devices.iter().any(|(known, _)| known == name);
            let devices = devices.iter();
            devices
                .map(|name| {
                    if is_known(name) {
                        told(name)
                    } else {
                        gone(name)
                    }
                })
                .collect()
        }
        Change::Keys | Change::Nothing => Vec::new(),
    }
}

/// The EDUs of the newest change, which is in this record, for a server that may have missed others. Where it has no ID, those of the newest one that has come
/// before: by the ID is found what was missed.
pub(super) async fn newest_edus(
    context: &ServerContext,
    user_id: &UserId,
    record: &StoredRecord,
) -> Result<Vec<JsonValue>, StoreError> {
    let (sequence, change) = (record.sequence, change(record)?);
    let mut told = Vec::new();
    if !change.is_in_sequence()
        && let Some(earlier) = before(&*context.store, &record.entity, sequence).await?
    {
        told = edus(context, user_id, earlier).await?;
    }
    told.extend(edus_of(context, user_id, (sequence, change)).await?);
    Ok(told)
}

/// The EDUs that tell of all devices of a user as they are now, under the ID of the newest change: who knows that one already learns nothing new.
pub(super) async fn all(
    context: &ServerContext,
    user_id: &UserId,
) -> Result<Vec<JsonValue>, StoreError> {
    let entity = Entity::user(user_id.as_str());
    let heads = context
        .store
        .entity_heads(std::slice::from_ref(&entity))
        .await?;
    let Some(head) = heads.into_iter().next().flatten() else {
        return Ok(Vec::new());
    };
    let keys = keys(context, &entity).await?;
    let Some(newest) = before(&*context.store, &entity, head.sequence + 1).await? else {
        return Ok(Vec::new());
    };
    let before = before(&*context.store, &entity, newest).await?;
    let user_id = user_id.to_owned();
    let devices = keys.devices.iter();
    let devices = devices.map(|(device_id, _)| device(&user_id, device_id.as_str(), &keys));
    let chain = Chain {
        sequence: newest,
        before,
        first: IDS_TOLD,
        era: context.store.layout().era,
    };
    let mut edus = chain.link(devices.collect());
    if keys.master.is_some() {
        edus.extend(signing_keys(&user_id, &keys));
    }
    Ok(edus)
}

async fn keys(context: &ServerContext, entity: &Entity) -> Result<IdentityKeys, StoreError> {
    let query = UserQuery::IdentityKeys(Vec::new());
    match context.users.query(entity.clone(), query).await {
        Ok(UserAnswer::IdentityKeys(keys)) if context.settings.device_names => Ok(*keys),
        Ok(UserAnswer::IdentityKeys(keys)) => Ok(keys.without_names()),
        Err(crate::user::UserError::Unavailable(error)) => {
            Err(StoreError::Database(error.to_string()))
        }
        // A closed account has no keys and no devices.
        Ok(_) | Err(_) => Ok(IdentityKeys::default()),
    }
}

/// The stream ID of the newest change of which others are told, at or before this record. 0 when there was none.
pub(crate) async fn newest(
    store: &dyn LogStore,
    user_id: &UserId,
    sequence: Sequence,
) -> Result<u64, StoreError> {
    let entity = Entity::user(user_id.as_str());
    let newest = before(store, &entity, sequence + 1).await?;
    let era = store.layout().era;
    Ok(newest.map_or(0, |newest| stream_id(newest, era)))
}

/// The change of devices before a change.
async fn before(
    store: &dyn LogStore,
    entity: &Entity,
    sequence: Sequence,
) -> Result<Option<Sequence>, StoreError> {
    let range = EntityRange {
        from: 1,
        to: sequence.saturating_sub(1),
        backwards: true,
        limit: SEARCHED_MAX,
    };
    if range.to == 0 {
        return Ok(None);
    }
    for record in store.read_entity(entity, range).await? {
        if change(&record)?.is_in_sequence() {
            return Ok(Some(record.sequence));
        }
    }
    Ok(None)
}

/// What others are told of a device, but for its place in the sequence.
fn device(user_id: &OwnedUserId, device_id: &str, keys: &IdentityKeys) -> JsonValue {
    let mut content = json!({ "user_id": user_id, "device_id": device_id });
    let found = keys.devices.iter().find(|(known, _)| known == device_id);
    let found = found.and_then(|(_, text)| serde_json::from_str::<JsonValue>(text).ok());
    if let Some(mut keys) = found {
        let unsigned = keys
            .as_object_mut()
            .and_then(|keys| keys.remove("unsigned"));
        let name = unsigned.and_then(|mut all| Some(all.get_mut("device_display_name")?.take()));
        if let Some(name) = name {
            content["device_display_name"] = name;
        }
        content["keys"] = keys;
    }
    content
}

/// The cross-signing keys that others may see.
fn signing_keys(user_id: &OwnedUserId, keys: &IdentityKeys) -> Vec<JsonValue> {
    let parse = |key: &Option<String>| {
        let key = key.as_deref()?;
        serde_json::from_str::<JsonValue>(key).ok()
    };
    let mut content = json!({ "user_id": user_id });
    if let Some(master) = parse(&keys.master) {
        content["master_key"] = master;
    }
    if let Some(key) = parse(&keys.self_signing) {
        content["self_signing_key"] = key;
    }
    vec![edu("m.signing_key_update", content)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(count: usize, chain: Chain) -> Vec<(u64, Vec<u64>)> {
        let edus = chain.link(vec![json!({}); count]);
        let numbers = |value: &JsonValue| serde_json::from_value(value.clone()).unwrap();
        let links = edus.iter().map(|edu| {
            let content = &edu["content"];
            (
                content["stream_id"].as_u64().unwrap(),
                numbers(&content["prev_id"]),
            )
        });
        links.collect()
    }

    fn signed(key_id: &str, signer: &str) -> SignedKey {
        let signatures = json!({"@a:x": {format!("ed25519:{signer}"): "s"}});
        SignedKey {
            user_id: "@a:x".to_owned(),
            key_id: key_id.to_owned(),
            signatures: signatures.to_string().into_bytes().into(),
        }
    }

    #[test]
    fn what_is_signed_by_a_key_is_a_device() {
        let (key, other) = ("A".repeat(43), format!("{}E", "B".repeat(42)));
        assert!(is_of_device(&signed("DEVICE", &key)));
        // A dehydrated one.
        assert!(is_of_device(&signed(&other, &key)));
        assert!(!is_of_device(&signed(&key, "DEVICE")));
        // Some clients have the master key sign itself.
        assert!(!is_of_device(&signed(&key, &key)));
        let mut broken = signed("DEVICE", &key);
        broken.signatures = b"[]".to_vec().into();
        assert!(!is_of_device(&broken));
    }

    #[test]
    fn a_change_with_ids_is_never_told_by_nothing() {
        let (user_id, keys) = (UserId::parse("@a:x").unwrap(), IdentityKeys::default());
        let devices = vec!["GONE".to_owned()];
        let change = Change::Signed {
            devices,
            keys: false,
        };
        assert!(change.is_in_sequence());
        let told = contents(&user_id, change, &keys);
        assert_eq!(told.len(), 1);
        assert_eq!(
            (&told[0]["device_id"], &told[0]["deleted"]),
            (&json!("GONE"), &json!(true))
        );
        assert!(!Change::Keys.is_in_sequence() && !Change::Nothing.is_in_sequence());
    }

    #[test]
    fn each_has_an_id_of_its_own_and_names_the_one_before() {
        let first = Chain {
            sequence: 3,
            before: None,
            first: 0,
            era: 0,
        };
        let second = Chain {
            sequence: 7,
            before: Some(3),
            first: 0,
            era: 0,
        };
        let mut all = link(2, first);
        all.extend(link(3, second));
        assert_eq!(all[0].1, [] as [u64; 0]);
        for pair in all.windows(2) {
            assert_eq!(pair[1].1, [pair[0].0]);
            assert!(pair[0].0 < pair[1].0, "{all:?}");
        }
        // A record of one device is known by the same ID as one of many.
        assert_eq!(link(1, second)[0].0, stream_id(7, 0));
        assert_eq!(all[4].0, stream_id(7, 0));
        assert!(link(0, second).is_empty());
    }

    #[test]
    fn who_is_told_of_all_devices_hears_other_ids() {
        let told = |first| {
            let (sequence, before) = (7, Some(3));
            link(
                3,
                Chain {
                    sequence,
                    before,
                    first,
                    era: 0,
                },
            )
        };
        let (change, all) = (told(0), told(IDS_TOLD));
        assert!(change[..2].iter().all(|one| !all.contains(one)));
        assert_eq!((change[2].0, all[2].0), (stream_id(7, 0), stream_id(7, 0)));
        assert!(stream_id(1 << 32, 0) < 1 << 53);
    }

    #[test]
    fn a_restored_log_gives_other_ids() {
        let told = |era, first| {
            let (sequence, before) = (7, Some(3));
            link(
                3,
                Chain {
                    sequence,
                    before,
                    first,
                    era,
                },
            )
        };
        for first in [0, IDS_TOLD] {
            let (lost, now) = (told(0, first), told(1_763_838_000, first));
            for (id, prev) in &now {
                let is_known = |known: &u64| lost.iter().any(|(id, _)| id == known);
                assert!(!is_known(id) && *id / IDS_EACH == 7);
                // Who heard of the life that is lost finds that something is missing.
                assert!(!prev.iter().any(is_known) && *prev != lost[0].1);
            }
            assert!(now.is_sorted_by(|one, next| one.0 < next.0 && next.1 == [one.0]));
        }
    }
}
