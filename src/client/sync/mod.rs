//! Syncing.

mod sync_events;

use ruma::api::client::sync::sync_events::v3;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<v3::Request, _, _, _, _>(sync_events::handle)
        .guests();
}
