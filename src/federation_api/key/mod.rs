//! Keys with which servers sign: our own, and as a notary those of others.

mod get_remote_server_keys;
mod get_remote_server_keys_batch;
mod get_server_keys;
mod notary;

use ruma::api::federation::discovery as api;

use crate::{config::Resource, edge::Routes};

/// Mounts the area. Old paths end with the ID of a key, which says nothing any more.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<api::get_server_keys::v2::Request, _, _, _, _>(get_server_keys::handle)
        .also("/_matrix/key/v2/server/{key_id}")
        .resource(Resource::Federation);
    routes
        .mount_fast::<api::get_remote_server_keys::v2::Request, _, _, _, _>(
            get_remote_server_keys::handle,
        )
        .also("/_matrix/key/v2/query/{server_name}/{key_id}")
        .resource(Resource::Federation);
    routes
        .mount_raw::<api::get_remote_server_keys_batch::v2::Request, _, _, _, _>(
            get_remote_server_keys_batch::handle,
        )
        .fields(&["server_keys"])
        .resource(Resource::Federation);
}
