//! Messages: sending them, paging through them.

pub(crate) mod get_message_events;
pub(crate) mod send_message_event;

use ruma::api::client::message::{get_message_events as get, send_message_event as send};

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<get::v3::Request, _, _, _, _>(get_message_events::handle)
        .guests();
    routes
        .mount_fast::<send::v3::Request, _, _, _, _>(send_message_event::handle)
        .guests()
        .class(Class::Message)
        .body_bytes_max(EVENT_BODY_BYTES_MAX);
}

/// The content of an event cannot be larger than an event; some room is left for spaces between tokens.
pub(crate) const EVENT_BODY_BYTES_MAX: u64 = 128 << 10;
