//! The admin HTTP API in the form that tools for Synapse speak: `/_synapse/admin`. One folder per area, one file per endpoint.
//!
//! What Synapse has nothing like is under `/_playhouse/admin`, where tools may have tokens of their own, and administrators roles. An endpoint asks for the
//! access token of an administrator of this server and turns the request into a message for an actor; it decides nothing.

mod audit;
mod backlog;
mod backups;
mod cluster;
mod dashboard;
mod devices;
mod events;
mod federation;
mod fields;
mod joins;
mod media;
pub(crate) mod openapi;
mod paging;
mod policies;
mod purge_history;
mod registration_tokens;
mod reports;
mod room_care;
mod rooms;
mod server;
mod server_notices;
mod statistics;
mod tokens;
mod users;

use crate::edge::{Failure, Routes, Session};

/// Mounts all of it.
pub(crate) fn mount(routes: &mut Routes) {
    audit::mount(routes);
    backlog::mount(routes);
    backups::mount(routes);
    cluster::mount(routes);
    dashboard::mount(routes);
    devices::mount(routes);
    events::mount(routes);
    federation::mount(routes);
    joins::mount(routes);
    media::mount(routes);
    openapi::mount(routes);
    policies::mount(routes);
    purge_history::mount(routes);
    registration_tokens::mount(routes);
    reports::mount(routes);
    room_care::mount(routes);
    rooms::mount(routes);
    server::mount(routes);
    server_notices::mount(routes);
    statistics::mount(routes);
    tokens::mount(routes);
    users::mount(routes);
}

/// Refuses everybody but administrators: 403 `M_FORBIDDEN`.
pub(crate) fn only_administrators(caller: &Session) -> Result<(), Failure> {
    if caller.admin {
        Ok(())
    } else {
        Err(Failure::forbidden("only for server administrators"))
    }
}
