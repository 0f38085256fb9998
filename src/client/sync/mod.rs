//! Syncing.

mod sliding_sync;
mod sync_events;

use ruma::api::client::sync::sync_events::{v3, v5};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<v3::Request, _, _, _, _>(sync_events::handle)
        .closes()
        .guests();
    routes
        .mount_fast::<v5::Request, _, _, _, _>(sliding_sync::handle)
        .closes()
        .guests();
}
