//! Media as administrators see it: what there is, deleting it, putting it away and giving it out again.

mod delete_media;
mod delete_media_of_user;
mod delete_unused_media;
mod describe_media;
mod list_media_in_room;
mod list_media_of_user;
mod list_quarantine_changes;
mod of_user;
mod protect_media;
mod purge_media_cache;
mod quarantine_media;
mod quarantine_media_in_room;
mod quarantine_media_of_user;
mod unprotect_media;
mod unquarantine_media;

use ruma::{ServerName, UInt};

use crate::edge::{App, Failure, Routes};

/// So many pieces of media are deleted by one request.
const AT_ONCE_MAX: usize = 10_000;

/// What is earlier was meant as seconds.
const TIME_MIN_MS: u64 = 30_000_000_000;

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(delete_media::handle);
    routes.mount(delete_media_of_user::handle);
    routes.mount(delete_unused_media::handle);
    routes.mount(delete_unused_media::old::handle);
    routes.mount(describe_media::handle);
    routes.mount(list_media_in_room::handle);
    routes.mount(list_media_of_user::handle);
    routes.mount(list_quarantine_changes::handle);
    routes.mount(protect_media::handle);
    routes.mount(purge_media_cache::handle);
    routes.mount(quarantine_media::handle);
    routes.mount(quarantine_media_in_room::handle);
    routes.mount(quarantine_media_in_room::old::handle);
    routes.mount(quarantine_media_of_user::handle);
    routes.mount(unprotect_media::handle);
    routes.mount(unquarantine_media::handle);
}

/// Only media of this server can be deleted for ever.
fn must_be_local(app: &App, server_name: &ServerName) -> Result<(), Failure> {
    if app.house.is_local(server_name) {
        return Ok(());
    }
    Err(Failure::invalid_param("this media is not of this server"))
}

/// A time in milliseconds: one of 1970 is a mistake.
fn must_be_a_time(at: UInt) -> Result<u64, Failure> {
    let at_ms = u64::from(at);
    if at_ms < TIME_MIN_MS {
        return Err(Failure::invalid_param(
            "before_ts is a time in milliseconds, and this one is of 1970",
        ));
    }
    Ok(at_ms)
}
