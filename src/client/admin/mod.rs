//! Registration by shared secret, as scripts for Synapse use it.

mod register_by_secret;

use crate::edge::{Class, Routes};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount(register_by_secret::handle_nonce)
        .class(Class::Registration);
    routes
        .mount(register_by_secret::handle)
        .class(Class::Registration);
}
