//! `POST /_matrix/client/*/keys/claim`

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use ruma::{OwnedDeviceId, OwnedUserId, api::client::keys::claim_keys::v3::Request};

use super::{get_keys::failures, trees::claimed_by_user};
use crate::{
    client::page,
    edge::{App, Failure, RawJson, Session},
};

/// Other servers give out keys within this time.
const WITHIN: Duration = Duration::from_secs(10);

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
    let found = app.house.claim_keys(wanted, WITHIN).await?;
    let claimed = claimed_by_user(found.one_time_keys)?;
    Ok(page::Object::new()
        .raw("one_time_keys", &claimed)
        .raw("failures", &failures(&found.failures))
        .finish())
}
