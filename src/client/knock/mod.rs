//! Knocking.

mod knock_room;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(knock_room::handle).class(Class::Join);
}
