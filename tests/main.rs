//! All tests that need a whole server, in one program.

mod admin;
mod book;
mod client;
mod cluster;
mod e2ee;
mod fault;
mod federation;
mod harness;
mod journey;
mod push;
mod replay;
mod tidy;
mod watching;
