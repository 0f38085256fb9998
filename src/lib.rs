//! Playhouse, a Matrix homeserver: the edges that speak HTTP, configuration, command line, and the launch of a node.

mod admin;
mod backups;
mod canary;
pub mod cli;
mod client;
pub mod cluster;
pub mod config;
mod edge;
mod federation;
mod federation_api;
mod media;
pub mod node;
mod operator;
mod outbound;
mod pages;
mod push;
mod third_party;

pub use node::{RunningGateway, RunningNode, StartError, start, start_gateway};
