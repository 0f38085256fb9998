//! History for servers that were not there.

mod get_backfill;

use ruma::api::federation::backfill::get_backfill::v1::Request as Backfill;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<Backfill, _, _, _>(get_backfill::handle);
}
