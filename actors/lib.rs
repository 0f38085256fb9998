//! The domain: rooms, users and remote servers as actors over the log.
//!
//! Inside this package a module imports only from the left: network, env, trace, kernel, writers, cluster, room, alias, user, active_users, backup, media, purges, joins, registration, reports, admins, threepid, delays, gateway,
//! passes, oauth, externals, peer_keys, peer_users, server, followers, pushers, desks, house. No HTTP, no SQL, no `ruma::api`.

pub mod active_users;
pub mod admins;
pub mod alias;
pub mod backup;
pub mod cluster;
pub mod delays;
pub mod desks;
pub mod env;
pub mod externals;
pub mod followers;
pub mod gateway;
pub mod house;
pub mod joins;
pub mod kernel;
pub mod media;
pub mod network;
pub mod oauth;
pub mod passes;
pub mod peer_keys;
pub mod peer_users;
pub mod purges;
pub mod pushers;
pub mod registration;
pub mod reports;
pub mod room;
pub mod server;
pub mod threepid;
pub mod trace;
pub mod user;
pub mod writers;
