//! State of rooms.

mod get_state_event_for_key;
mod get_state_events;
mod send_state_event;

use ruma::api::client::state::{
    get_state_event_for_key as get_one, get_state_events as get_all, send_state_event as send,
};

use super::message::EVENT_BODY_BYTES_MAX;
use crate::edge::{Class, Routes};

/// Mounts the area. An empty state key may be left out together with its slash, or with the slash there.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_raw::<get_all::v3::Request, _, _, _, _>(get_state_events::handle)
        .guests();
    without_key(
        routes
            .mount_fast::<get_one::v3::Request, _, _, _, _>(get_state_event_for_key::handle)
            .guests(),
    );
    without_key(
        routes
            .mount_fast::<send::v3::Request, _, _, _, _>(send_state_event::handle)
            .guests()
            .class(Class::Message)
            .body_bytes_max(EVENT_BODY_BYTES_MAX),
    );
}

fn without_key(endpoint: &mut crate::edge::endpoint::Endpoint) {
    for version in ["r0", "v3"] {
        for slash in ["", "/"] {
            endpoint.also(&format!(
                "/_matrix/client/{version}/rooms/{{room_id}}/state/{{event_type}}{slash}"
            ));
        }
    }
}
