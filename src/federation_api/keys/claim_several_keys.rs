//! `POST /_matrix/federation/unstable/user/keys/claim` (MSC3983)

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedDeviceId, OwnedUserId,
    api::{federation::authentication::ServerSignatures, request, response},
    metadata,
};

use super::claim_keys::claimed;
use crate::{
    client::keys::repeated,
    edge::{App, Failure, Peer, RawJson},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: ServerSignatures,
    path: "/_matrix/federation/unstable/user/keys/claim",
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
    _peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    claimed(&app, repeated(request.one_time_keys)?).await
}
