//! Redactions.

pub(crate) mod redact_event;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(redact_event::handle).class(Class::Message);
}
