//! What tests stand on: real servers, real databases, a small client.

pub(crate) mod acme;
mod browser;
pub(crate) mod chromium;
pub(crate) mod client;
pub(crate) mod crowd;
pub(crate) mod database;
pub(crate) mod double;
mod front;
pub(crate) mod gateway;
pub(crate) mod glance;
mod graph;
pub(crate) mod ldap;
pub(crate) mod made;
pub(crate) mod mail;
mod operator;
pub(crate) mod peer;
mod process;
pub(crate) mod script;
pub(crate) mod server;
mod synapse;
mod town;
pub(crate) mod web;
mod wishes;

pub(crate) use chromium::Chromium;
pub(crate) use client::Client;
pub(crate) use database::{Database, Postgres};
pub(crate) use double::Double;
pub(crate) use front::Front;
pub(crate) use gateway::PushGateway;
pub(crate) use mail::MailSink;
pub(crate) use operator::administrator;
pub(crate) use peer::Peers;
pub(crate) use server::{Options, TestServer};
pub(crate) use synapse::Synapse;
pub(crate) use town::Town;
pub(crate) use wishes::{nodes_wished, only_alone, wish};
