//! Changes of a user's devices as other servers hear of them.
//!
//! The stream ID of a change is the number of its record among the user's; the one before it is named with it. So the sequence is gap free without anything
//! kept for each destination: who was not told of a change finds that the next one names an ID it does not know, and asks for the whole list.

use playhouse_schema::{
    address::{Entity, Sequence},
    port::{EntityRange, LogStore, StoreError, StoredRecord},
    record::{codec::Record as _, user::UserRecord},
};
use ruma::{OwnedUserId, UserId};
use serde_json::{Value as JsonValue, json};

use super::{ServerContext, body::edu};
use crate::user::{UserAnswer, UserQuery, message::IdentityKeys};

/// So many records are searched for the change before a change; further away it counts as unknown, and who hears of it asks for the whole list.
const SEARCHED_MAX: usize = 256;

/// What a record says about devices.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Change {
    /// This device changed.
    Device(String),
    /// This device was removed.
    Removed(String),
    /// These devices, or cross-signing keys, got signatures.
    Signed(Vec<String>),
    /// The cross-signing keys changed.
    Keys,
    /// Nothing that others hear of.
    Nothing,
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
            let own = signed.into_iter().filter(|key| key.user_id == own);
            Change::Signed(own.map(|key| key.key_id).collect())
        }
        _ => Change::Nothing,
    })
}

/// The EDUs of a change.
pub(super) async fn edus(
    context: &ServerContext,
    user_id: &UserId,
    sequence: Sequence,
) -> Result<Vec<JsonValue>, StoreError> {
    let entity = Entity::user(user_id.as_str());
    let found = context.store.read_some(&entity, &[sequence]).await?;
    let Some(record) = found.first() else {
        return Ok(Vec::new());
    };
    let change = change(record)?;
    if change == Change::Nothing {
        return Ok(Vec::new());
    }
    let keys = keys(context, &entity).await?;
    let user_id = user_id.to_owned();
    if change == Change::Keys {
        return Ok(signing_keys(&user_id, &keys));
    }
    let before = before(&*context.store, &entity, sequence).await?;
    let told = |device_id: &str| device(&user_id, device_id, &keys, (sequence, before));
    Ok(match change {
        Change::Device(device_id) => vec![told(&device_id)],
        Change::Removed(device_id) => {
            let mut edu = told(&device_id);
            edu["content"]["deleted"] = json!(true);
            vec![edu]
        }
        Change::Signed(names) => {
            let known =
                |name: &String| keys.devices.iter().any(|(known, _)| known == name.as_str());
            let devices = names.iter().filter(|name| known(name));
            devices.map(|device_id| told(device_id)).collect()
        }
        Change::Keys | Change::Nothing => Vec::new(),
    })
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
    let mut edus: Vec<_> = devices
        .map(|(device_id, _)| device(&user_id, device_id.as_str(), &keys, (newest, before)))
        .collect();
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

/// The newest change of which others are told, at or before this one. 0 when there was none.
pub(crate) async fn newest(
    store: &dyn LogStore,
    user_id: &UserId,
    sequence: Sequence,
) -> Result<Sequence, StoreError> {
    let entity = Entity::user(user_id.as_str());
    Ok(before(store, &entity, sequence + 1).await?.unwrap_or(0))
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
        let is_told = !matches!(change(&record)?, Change::Keys | Change::Nothing);
        if is_told {
            return Ok(Some(record.sequence));
        }
    }
    Ok(None)
}

fn device(
    user_id: &OwnedUserId,
    device_id: &str,
    keys: &IdentityKeys,
    (sequence, before): (Sequence, Option<Sequence>),
) -> JsonValue {
    let mut content = json!({
        "user_id": user_id,
        "device_id": device_id,
        "stream_id": sequence,
        "prev_id": Vec::from_iter(before),
    });
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
    edu("m.device_list_update", content)
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
