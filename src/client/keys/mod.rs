//! Keys of devices (client-server API, "Key management API").

mod claim_keys;
mod get_keys;
mod upload_keys;

use ruma::api::client::keys::{claim_keys as claim, get_keys as get, upload_keys as upload};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<upload::v3::Request, _, _, _, _>(upload_keys::handle)
        .guests();
    routes
        .mount_raw::<get::v3::Request, _, _, _, _>(get_keys::handle)
        .guests();
    routes
        .mount_raw::<claim::v3::Request, _, _, _, _>(claim_keys::handle)
        .guests();
}
