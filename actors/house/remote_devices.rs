//! Devices of other servers' users who share a room with somebody here: fetched when they are first asked for, and kept current by what their servers tell.
//!
//! A list is good as long as the user and the local one for whom it was fetched stay in a room together: for that long the user's server tells of every
//! change. A change that does not follow the one before makes the list unknown, which those who share a room hear of like any change; whoever asks for keys
//! then is answered by the user's server, and the list is fetched anew behind that.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use parking_lot::Mutex;
use playhouse_schema::{
    address::Entity,
    models::memberships,
    record::peer_user::{
        FetchedDevices, PeerDevice, PeerDeviceChanged, PeerSigningKeys, SharedRoom,
    },
};
use ruma::{OwnedDeviceId, OwnedUserId, RoomId, ServerName, UserId};
use serde::Deserialize;
use serde_json::{json, value::RawValue};
use tokio::sync::Semaphore;

use super::{
    House, HouseError,
    peers::{Patience, segment},
    remote_keys::{DEVICES_MAX, device_keys, signing_key},
};
use crate::{
    env::JsonObject,
    peer_users::{DeviceList, PeerUserAnswer, PeerUserCommand, PeerUserError, PeerUserQuery},
    room::message::JsonText,
    user::message::IdentityKeys,
};

/// So many users are looked up at once.
const USERS_AT_ONCE: usize = 32;

/// So many lists are fetched at once; so many wait for that. Further ones are fetched when they are asked for again.
const FETCHES_MAX: (usize, usize) = (8, 2_000);

/// A list that changes while it is fetched is fetched so often.
const ATTEMPTS_MAX: usize = 3;

/// A larger list is not kept, but asked for again and again.
const LIST_BYTES_MAX: usize = 1024 * 1024;

/// A device's name is cut to so many characters.
const NAME_CHARS_MAX: usize = 200;

/// In so many of a user's rooms it is looked for somebody of this server.
const ROOMS_MAX: usize = 100;

/// How a list is asked for.
const PATIENCE: Patience = Patience {
    within: Duration::from_secs(30),
    bytes_max: 4 * 1024 * 1024,
};

/// Users whose devices are being fetched.
pub(super) struct Fetching {
    under_way: Mutex<BTreeSet<OwnedUserId>>,
    turns: Semaphore,
}

impl Default for Fetching {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
            turns: Semaphore::new(FETCHES_MAX.0),
        }
    }
}

/// A device list as a user's server gives it.
#[derive(Deserialize)]
struct Answer {
    user_id: String,
    stream_id: u64,
    devices: Vec<Device>,
    master_key: Option<Box<RawValue>>,
    self_signing_key: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct Device {
    device_id: String,
    device_display_name: Option<String>,
    keys: Option<Box<RawValue>>,
}

/// A change of a device, as the user's server tells of it.
#[derive(Deserialize)]
pub(super) struct DeviceListUpdate {
    user_id: OwnedUserId,
    device_id: String,
    device_display_name: Option<String>,
    keys: Option<Box<RawValue>>,
    stream_id: u64,
    #[serde(default)]
    prev_id: Option<Vec<u64>>,
    #[serde(default)]
    deleted: Option<bool>,
}

/// Other cross-signing keys, as the user's server tells of them.
#[derive(Deserialize)]
pub(super) struct SigningKeyUpdate {
    user_id: OwnedUserId,
    master_key: Option<Box<RawValue>>,
    self_signing_key: Option<Box<RawValue>>,
}

impl Device {
    /// The keys with the device's name, if they are this device's.
    fn keys(&self, user_id: &str) -> Option<JsonText> {
        let keys = device_keys(user_id, &self.device_id, self.keys.as_ref()?.get())?;
        let mut keys: JsonObject = serde_json::from_str(&keys).ok()?;
        keys.remove("unsigned");
        if let Some(name) = &self.device_display_name {
            let name: String = name.chars().take(NAME_CHARS_MAX).collect();
            keys.insert(
                "unsigned".to_owned(),
                json!({ "device_display_name": name }),
            );
        }
        Some(serde_json::Value::Object(keys).to_string())
    }
}

/// The keys that are what they should be.
fn signing_keys(
    user_id: &str,
    master: Option<&RawValue>,
    self_signing: Option<&RawValue>,
) -> PeerSigningKeys {
    let key = |key: Option<&RawValue>, usage| signing_key(user_id, usage, key?.get());
    PeerSigningKeys {
        master: key(master, "master"),
        self_signing: key(self_signing, "self_signing"),
    }
}

impl Answer {
    fn list(self, witness: SharedRoom, at_ms: u64) -> Option<FetchedDevices> {
        let user_id = &self.user_id;
        let devices = self.devices.iter().take(DEVICES_MAX - 1);
        let devices = devices.filter_map(|device| {
            Some(PeerDevice {
                device_id: device.device_id.clone(),
                keys: device.keys(user_id)?,
            })
        });
        let devices: Vec<_> = devices.collect();
        let bytes: usize = devices.iter().map(|device| device.keys.len()).sum();
        (bytes <= LIST_BYTES_MAX && self.devices.len() < DEVICES_MAX).then(|| FetchedDevices {
            stream_id: self.stream_id,
            devices,
            keys: signing_keys(
                user_id,
                self.master_key.as_deref(),
                self.self_signing_key.as_deref(),
            ),
            witness,
            at_ms,
        })
    }
}

/// The keys of these devices; of all when none is named.
fn identity_keys(list: &DeviceList, wanted: &[OwnedDeviceId]) -> IdentityKeys {
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|one| one.as_str() == name);
    let devices = list.devices.iter().filter(|(name, _)| is_wanted(name));
    IdentityKeys {
        devices: devices
            .map(|(name, keys)| (OwnedDeviceId::from(name.as_str()), keys.clone()))
            .collect(),
        master: list.keys.master.clone(),
        self_signing: list.keys.self_signing.clone(),
        user_signing: None,
    }
}

impl House {
    /// Takes out of `wanted` the users whose devices are known.
    pub(super) async fn known_keys(
        &self,
        wanted: &mut BTreeMap<OwnedUserId, Vec<OwnedDeviceId>>,
    ) -> BTreeMap<OwnedUserId, IdentityKeys> {
        let questions: Vec<_> = wanted
            .keys()
            .cloned()
            .map(|user_id| {
                async move {
                    let list = self.known_devices(&user_id).await?;
                    Some((user_id, list))
                }
                .boxed()
            })
            .collect();
        let lists = stream::iter(questions).buffer_unordered(USERS_AT_ONCE);
        let lists: Vec<_> = lists.filter_map(std::future::ready).collect().await;
        let mut known = BTreeMap::new();
        for (user_id, list) in lists {
            let devices = wanted.remove(&user_id).unwrap_or_default();
            known.insert(user_id, identity_keys(&list, &devices));
        }
        known
    }

    /// A user's devices, if they are known for certain.
    async fn known_devices(&self, user_id: &UserId) -> Option<Arc<DeviceList>> {
        let list = self.peer_user(user_id).await.ok()?.list?;
        match self.holds(user_id, &list.witness).await {
            Ok(holds) => holds.then_some(list),
            Err(error) => {
                tracing::debug!(%user_id, %error, "cannot tell whether a device list is good");
                None
            }
        }
    }

    async fn peer_user(&self, user_id: &UserId) -> Result<PeerUserAnswer, PeerUserError> {
        let entity = Entity::peer_user(user_id.as_str());
        self.elsewhere.users.query(entity, PeerUserQuery).await
    }

    async fn tell_peer_user(
        &self,
        user_id: &UserId,
        command: PeerUserCommand,
    ) -> Result<bool, PeerUserError> {
        let entity = Entity::peer_user(user_id.as_str());
        self.elsewhere.users.command(entity, command).await
    }

    async fn holds(&self, user_id: &UserId, witness: &SharedRoom) -> Result<bool, HouseError> {
        let store = &**self.models.store();
        let both = (user_id.as_str(), witness.local_user_id.as_str());
        let since = memberships::of_both(store, &witness.room_id, both).await?;
        Ok(since == Some((witness.since, witness.local_since)))
    }

    /// Fetches these users' devices behind the scenes, as far as they share a room with who asks.
    pub(super) fn fetch_devices_later(&self, asker: &UserId, users: Vec<OwnedUserId>) {
        if !self.env.network.is_on() || !self.is_local(asker.server_name()) {
            return;
        }
        for user_id in users {
            {
                let mut under_way = self.elsewhere.fetching.under_way.lock();
                if under_way.len() >= FETCHES_MAX.1 || !under_way.insert(user_id.clone()) {
                    continue;
                }
            }
            let Some(house) = self.myself.upgrade() else {
                return;
            };
            let asker = asker.to_owned();
            self.background(async move {
                let fetching = &house.elsewhere.fetching;
                if let Ok(_turn) = fetching.turns.acquire().await
                    && let Err(error) = house.fetch_devices(&asker, &user_id).await
                {
                    tracing::debug!(%user_id, %error, "cannot fetch a user's devices");
                }
                fetching.under_way.lock().remove(&user_id);
            });
        }
    }

    async fn fetch_devices(&self, asker: &UserId, user_id: &UserId) -> Result<(), HouseError> {
        for _ in 0..ATTEMPTS_MAX {
            let known = self.peer_user(user_id).await.map_err(unavailable)?;
            if let Some(list) = known.list
                && self.holds(user_id, &list.witness).await?
            {
                return Ok(());
            }
            let Some(witness) = self.witness(asker, user_id).await? else {
                return Ok(());
            };
            let path = format!(
                "/_matrix/federation/v1/user/devices/{}",
                segment(user_id.as_str())
            );
            let server = user_id.server_name();
            let asked = self.ask_peer::<Answer>(server, path, PATIENCE).await;
            let answer = asked.map_err(|_| HouseError::Unreachable(server.to_owned()))?;
            if answer.user_id != user_id.as_str() {
                return Ok(());
            }
            let Some(list) = answer.list(witness, self.env.now_ms()) else {
                return Ok(());
            };
            let keep = PeerUserCommand::Keep {
                list: Box::new(list),
                round: known.round,
            };
            // What has changed meanwhile leaves it as it was: that is looked at again.
            self.tell_peer_user(user_id, keep)
                .await
                .map_err(unavailable)?;
        }
        Ok(())
    }

    /// That two users are in a room together, if they are.
    async fn witness(
        &self,
        asker: &UserId,
        user_id: &UserId,
    ) -> Result<Option<SharedRoom>, HouseError> {
        let store = &**self.models.store();
        let found = memberships::shared_room(store, user_id.as_str(), asker.as_str()).await?;
        Ok(found.map(|(room_id, since, local_since)| SharedRoom {
            room_id,
            since,
            local_user_id: asker.to_string(),
            local_since,
        }))
    }

    #[cfg(test)]
    pub(super) fn is_fetching_devices(&self) -> bool {
        !self.elsewhere.fetching.under_way.lock().is_empty()
    }

    /// Whether another server's user is in a room with anybody here.
    pub(super) async fn is_neighbour(&self, user_id: &UserId) -> Result<bool, HouseError> {
        let store = &**self.models.store();
        let found = memberships::of_user(store, user_id.as_str()).await?;
        let joined = found.iter().filter(|found| found.membership == "join");
        for found in joined.take(ROOMS_MAX) {
            let Ok(room_id) = RoomId::parse(&found.room_id) else {
                continue;
            };
            let gate = self.room_gate(&room_id, user_id.server_name()).await;
            if gate.is_ok_and(|gate| gate.inhabited) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// A server tells of a change of one of its users' devices.
    pub(super) async fn receive_device_list_update(
        &self,
        origin: &ServerName,
        update: DeviceListUpdate,
    ) -> Result<(), HouseError> {
        let user_id = &update.user_id;
        let is_gone = update.deleted == Some(true);
        let device = Device {
            device_id: update.device_id,
            device_display_name: update.device_display_name,
            keys: update.keys,
        };
        let keys = device.keys(user_id.as_str());
        let command = if device.device_id.len() > 255
            || (device.keys.is_some() && keys.is_none() && !is_gone)
        {
            PeerUserCommand::Outdate
        } else {
            PeerUserCommand::Change {
                change: PeerDeviceChanged {
                    stream_id: update.stream_id,
                    device_id: device.device_id,
                    keys: keys.filter(|_| !is_gone),
                },
                after: update.prev_id.unwrap_or_default(),
            }
        };
        self.receive_change(origin, user_id, command).await
    }

    /// A server tells of other cross-signing keys of one of its users.
    pub(super) async fn receive_signing_key_update(
        &self,
        origin: &ServerName,
        update: SigningKeyUpdate,
    ) -> Result<(), HouseError> {
        let user_id = &update.user_id;
        let keys = signing_keys(
            user_id.as_str(),
            update.master_key.as_deref(),
            update.self_signing_key.as_deref(),
        );
        self.receive_change(origin, user_id, PeerUserCommand::ChangeKeys(keys))
            .await
    }

    async fn receive_change(
        &self,
        origin: &ServerName,
        user_id: &UserId,
        command: PeerUserCommand,
    ) -> Result<(), HouseError> {
        if user_id.server_name() != origin || !self.is_neighbour(user_id).await? {
            return Ok(());
        }
        self.tell_peer_user(user_id, command)
            .await
            .map_err(unavailable)?;
        Ok(())
    }
}

fn unavailable(PeerUserError::Unavailable(error): PeerUserError) -> HouseError {
    error.into()
}
