//! Searching (client-server API, "Server Side Search").

mod search_events;

use ruma::api::client::search::search_events::v3::Request;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_fast::<Request, _, _, _, _>(search_events::handle);
}
