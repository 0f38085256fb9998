//! Keys for end-to-end encryption.

mod claim_keys;
mod claim_several_keys;
mod get_keys;

use ruma::api::federation::keys as api;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_peer_raw::<api::claim_keys::v1::Request, _, _, _>(claim_keys::handle)
        .fields(&["one_time_keys"]);
    routes.mount_peer_raw::<claim_several_keys::Request, _, _, _>(claim_several_keys::handle);
    routes
        .mount_peer_raw::<api::get_keys::v1::Request, _, _, _>(get_keys::handle)
        .fields(&["device_keys"]);
}
