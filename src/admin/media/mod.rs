//! Media as administrators see it: putting it away and giving it out again.

mod list_quarantine_changes;
mod protect_media;
mod quarantine_media;
mod quarantine_media_in_room;
mod quarantine_media_of_user;
mod unprotect_media;
mod unquarantine_media;

use crate::edge::Routes;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(list_quarantine_changes::handle);
    routes.mount(protect_media::handle);
    routes.mount(quarantine_media::handle);
    routes.mount(quarantine_media_in_room::handle);
    routes.mount(quarantine_media_in_room::old::handle);
    routes.mount(quarantine_media_of_user::handle);
    routes.mount(unprotect_media::handle);
    routes.mount(unquarantine_media::handle);
}
