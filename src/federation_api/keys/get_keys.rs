//! `POST /_matrix/federation/v1/user/keys/query`

use std::sync::Arc;

use ruma::api::federation::keys::get_keys::v1::Request;

use crate::{
    client::{
        keys::{by_user, devices_by_user},
        page::Object,
    },
    edge::{App, Failure, Peer, RawJson},
};

/// Gives the identity keys of this server's users and their devices.
pub(crate) async fn handle(
    app: Arc<App>,
    peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    let mut wanted = request.device_keys;
    wanted.retain(|user_id, _| app.house.is_local(user_id.server_name()));
    let found = app.house.keys_for_peer(&peer.origin, wanted).await?;
    Ok(Object::new()
        .raw("device_keys", &devices_by_user(found.device_keys)?)
        .raw("master_keys", &by_user(found.master_keys)?)
        .raw("self_signing_keys", &by_user(found.self_signing_keys)?)
        .finish())
}
