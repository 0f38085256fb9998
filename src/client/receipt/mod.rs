//! Receipts.

mod create_receipt;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_whole(create_receipt::handle).guests();
}
