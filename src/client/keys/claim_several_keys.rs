//! `POST /_matrix/client/unstable/org.matrix.msc3983/keys/claim`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{claim_keys::claimed, trees::repeated};
use crate::edge::{App, Failure, RawJson, Session};

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
    claimed(&app, repeated(request.one_time_keys)?).await
}
