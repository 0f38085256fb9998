//! The policy server's part (server-server API, "Policy Servers").

mod sign_event;

use ruma::api::federation::policy::sign_event::v1::Request as Sign;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_peer_fast::<Sign, _, _, _>(sign_event::handle)
        .also("/_matrix/policy/unstable/org.matrix.msc4284/sign");
}
