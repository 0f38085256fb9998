//! The devices of accounts, as administrators see and remove them.

mod create_device;
mod delete_device;
mod delete_devices;
mod get_device;
mod get_devices;
mod update_device;

use playhouse_actors::user::{UserAnswer, UserQuery, message::Device};
use ruma::{OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::users::local_account;
use crate::edge::{App, Failure, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(get_devices::handle);
    routes.mount_raw(create_device::handle);
    routes.mount(get_device::handle);
    routes.mount(update_device::handle);
    routes.mount(delete_device::handle);
    routes.mount(delete_devices::handle);
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Shown {
    user_id: OwnedUserId,
    device_id: OwnedDeviceId,
    display_name: Option<String>,
    last_seen_ip: Option<String>,
    last_seen_ts: Option<u64>,
    last_seen_user_agent: Option<String>,
    /// It waits for a user who has no other device at hand.
    dehydrated: bool,
}

/// All devices of a user, or one.
async fn devices(
    app: &App,
    user_id: &UserId,
    device_id: Option<OwnedDeviceId>,
) -> Result<Vec<Shown>, Failure> {
    let query = UserQuery::Devices { device_id };
    let UserAnswer::Devices(devices) = app.house.user_query(user_id, query).await? else {
        return Err(Failure::internal("unexpected answer to Devices"));
    };
    let shown = devices.into_iter().map(|device| shown(user_id, device));
    Ok(shown.collect())
}

fn shown(user_id: &UserId, device: Device) -> Shown {
    Shown {
        user_id: user_id.to_owned(),
        device_id: device.device_id,
        display_name: device.display_name,
        last_seen_ip: device.last_seen_address,
        last_seen_ts: device.last_seen_ms,
        last_seen_user_agent: device.user_agent,
        dehydrated: device.dehydrated,
    }
}
