//! Keys of devices (client-server API, "Key management API").

mod claim_keys;
mod claim_several_keys;
mod get_key_changes;
mod get_keys;
mod trees;
mod upload_keys;
mod upload_signatures;
mod upload_signing_keys;

use ruma::api::client::keys::{
    claim_keys as claim, get_key_changes as changes, get_keys as get, upload_keys as upload,
    upload_signatures as signatures, upload_signing_keys as signing,
};

pub(crate) use trees::{by_user, claimed_by_user, devices_by_user, repeated};

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
    routes
        .mount_raw::<claim_several_keys::Request, _, _, _, _>(claim_several_keys::handle)
        .guests()
        .also("/_matrix/client/unstable/keys/claim");
    routes.mount_fast::<changes::v3::Request, _, _, _, _>(get_key_changes::handle);
    routes.mount_fast::<signing::v3::Request, _, _, _, _>(upload_signing_keys::handle);
    routes.mount_fast::<signatures::v3::Request, _, _, _, _>(upload_signatures::handle);
}
