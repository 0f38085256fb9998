//! What is written once for all endpoints: routing, mounting, callers, failures, limits, CORS, tracing.
//!
//! Decides nothing about Matrix rooms or users and never touches the database: it parses, authenticates, limits, and hands typed requests to handlers.

pub(crate) mod administrator;
pub(crate) mod answer;
pub(crate) mod app;
mod audit;
pub(crate) mod bridges;
mod browse;
pub(crate) mod caller;
mod compress;
pub(crate) mod endpoint;
pub(crate) mod failure;
pub(crate) mod incoming;
mod json;
pub(crate) mod limits;
mod masked;
pub(crate) mod mount;
pub(crate) mod open;
mod origins;
pub(crate) mod peer;
pub(crate) mod query;
mod queue;
pub(crate) mod ranged;
mod refusals;
pub(crate) mod repeats;
pub(crate) mod route;
#[cfg(test)]
mod tests;
pub(crate) mod trace;
pub(crate) mod uiaa;

pub(crate) use self::{
    administrator::Admin,
    answer::{Prepared, RawJson},
    app::App,
    bridges::Bridge,
    browse::{Browser, Fields},
    caller::{Addressed, Leaver, Session, Visitor},
    failure::Failure,
    incoming::{Arguments, Upload},
    limits::Class,
    masked::acted_for,
    mount::Routes,
    open::Visit,
    peer::{Peer, TRANSACTION_BYTES_MAX},
    queue::Admission,
    ranged::{AskedRange, Ranged},
};
