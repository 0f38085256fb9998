//! Typing notifications.

mod create_typing_event;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(create_typing_event::handle);
}
