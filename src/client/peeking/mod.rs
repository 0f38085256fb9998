//! Looking into rooms without joining them.

mod get_current_state;
mod listen_to_new_events;

use ruma::api::client::peeking::{
    get_current_state::v3::Request as Look, listen_to_new_events::v3::Request as Listen,
};

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<Look, _, _, _, _>(get_current_state::handle)
        .guests();
    routes
        .mount_fast::<Listen, _, _, _, _>(listen_to_new_events::handle)
        .guests();
}
