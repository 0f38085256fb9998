//! `POST /_matrix/client/unstable/org.matrix.msc3983/keys/claim`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::claim_keys::claimed;
use crate::edge::{App, Failure, RawJson, Session};

/// So many keys may be asked for at once.
const KEYS_MAX: u64 = 10_000;

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/org.matrix.msc3983/keys/claim",
}

/// Which keys to claim.
#[request]
pub(crate) struct Request {
    /// By user and device: how many of which algorithm.
    pub(crate) one_time_keys: BTreeMap<OwnedUserId, BTreeMap<OwnedDeviceId, BTreeMap<String, u64>>>,
}

/// The keys.
#[response]
pub(crate) struct Response {}

/// Gives out several one-time keys of a device, each only once; the fallback key when none is left.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let counts = request
        .one_time_keys
        .values()
        .flat_map(|devices| devices.values().flat_map(BTreeMap::values));
    if counts.fold(0u64, |sum, count| sum.saturating_add(*count)) > KEYS_MAX {
        return Err(Failure::invalid_param("too many keys at once"));
    }
    let wanted = request.one_time_keys.into_iter().map(|(user_id, devices)| {
        let keys = devices.into_iter().flat_map(|(device_id, algorithms)| {
            algorithms.into_iter().flat_map(move |(algorithm, count)| {
                std::iter::repeat_n((device_id.clone(), algorithm), count as usize)
            })
        });
        (user_id, keys.collect())
    });
    claimed(&app, wanted.collect()).await
}
