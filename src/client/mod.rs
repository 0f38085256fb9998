//! The client-server API: one folder per area, one file per endpoint.
//!
//! An endpoint turns a request into a message for an actor and its answer into a response; it decides nothing.

mod discovery;

use crate::edge::Routes;

/// Mounts all of it.
pub(crate) fn mount(routes: &mut Routes) {
    discovery::mount(routes);
}
