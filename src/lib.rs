//! Playhouse, a Matrix homeserver: the edges that speak HTTP, configuration, command line, and the launch of a node.

mod client;
pub mod config;
mod edge;
mod media;
