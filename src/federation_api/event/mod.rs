//! Events and states of rooms.

mod get_event;
mod get_event_by_timestamp;
mod get_extremities;
mod get_missing_events;
mod get_room_state;
mod get_room_state_ids;

use ruma::api::federation::event as api;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_peer_raw::<api::get_event::v1::Request, _, _, _>(get_event::handle);
    routes.mount_peer(get_event_by_timestamp::handle);
    routes.mount_peer(get_extremities::handle);
    routes
        .mount_peer_raw::<api::get_missing_events::v1::Request, _, _, _>(get_missing_events::handle)
        .fields(&["earliest_events", "latest_events"]);
    routes.mount_peer_raw::<api::get_room_state::v1::Request, _, _, _>(get_room_state::handle);
    routes.mount_peer_raw::<api::get_room_state_ids::v1::Request, _, _, _>(
        get_room_state_ids::handle,
    );
}
