//! Rooms as wholes: making, upgrading, and single events of them.

mod aliases;
pub(crate) mod create_room;
mod get_event_by_timestamp;
mod get_room_event;
mod get_summary;
mod report_content;
mod report_room;
mod upgrade_room;

use ruma::api::client::room::get_room_event as get_event;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(aliases::handle);
    routes
        .mount_fast::<ruma::api::client::room::create_room::v3::Request, _, _, _, _>(
            create_room::handle,
        )
        .class(Class::CreateRoom);
    routes
        .mount_raw::<get_event::v3::Request, _, _, _, _>(get_room_event::handle)
        .guests();
    routes.mount(get_event_by_timestamp::handle);
    routes
        .mount(get_summary::handle)
        .guests()
        .also("/_matrix/client/unstable/im.nheko.summary/summary/{room_id_or_alias}");
    routes.mount(report_content::handle);
    routes.mount(report_room::handle);
    routes.mount(upgrade_room::handle).class(Class::CreateRoom);
}
