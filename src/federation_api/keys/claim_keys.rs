//! `POST /_matrix/federation/v1/user/keys/claim`

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{OwnedDeviceId, OwnedUserId, api::federation::keys::claim_keys::v1::Request};

use crate::{
    client::{keys::claimed_by_user, page::Object},
    edge::{App, Failure, Peer, RawJson},
};

/// Gives out one-time keys, each only once; the fallback key when none is left.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
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

/// Claims keys of this server's users and writes them out.
pub(super) async fn claimed(
    app: &App,
    mut wanted: BTreeMap<OwnedUserId, Vec<(OwnedDeviceId, String)>>,
) -> Result<RawJson, Failure> {
    wanted.retain(|user_id, _| app.house.is_local(user_id.server_name()));
    let found = app.house.claim_keys(wanted, Duration::ZERO).await?;
    let claimed = claimed_by_user(found.one_time_keys)?;
    Ok(Object::new().raw("one_time_keys", &claimed).finish())
}
