//! `POST /_matrix/client/*/keys/claim`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedDeviceId, OwnedUserId, api::client::keys::claim_keys::v3::Request};
use serde_json::value::RawValue;

use super::get_keys::failures;
use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session},
};

type Claimed = BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, Box<RawValue>>>>;

/// Gives out one-time keys, each only once; the fallback key when none is left.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let wanted = request.one_time_keys.into_iter().map(|(user_id, devices)| {
        let devices = devices
            .into_iter()
            .map(|(device_id, algorithm)| (device_id, algorithm.to_string()));
        (user_id, devices.collect())
    });
    claimed(&app, wanted.collect()).await
}

/// Claims keys and writes them out.
pub(super) async fn claimed(
    app: &App,
    wanted: BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String)>>,
) -> Result<RawJson, Failure> {
    let found = app.house.claim_keys(wanted).await?;
    let mut claimed = Claimed::new();
    for (user_id, devices) in found.one_time_keys {
        let of_user = claimed.entry(user_id).or_default();
        for (device_id, keys) in devices {
            let of_device = of_user.entry(device_id).or_default();
            for (key_id, key) in keys {
                let key = RawValue::from_string(key).map_err(Failure::internal)?;
                of_device.insert(key_id, key);
            }
        }
    }
    let claimed = serde_json::to_vec(&claimed).map_err(Failure::internal)?;
    Ok(page::Object::new()
        .raw("one_time_keys", &claimed)
        .raw("failures", &failures(found.failures))
        .finish())
}
