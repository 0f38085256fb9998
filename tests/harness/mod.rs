//! What tests stand on: real servers, real databases, a small client.

pub(crate) mod client;
pub(crate) mod database;
pub(crate) mod server;
pub(crate) mod web;

pub(crate) use client::Client;
pub(crate) use database::Database;
pub(crate) use server::{Options, TestServer};
