//! `POST /_matrix/policy/v1/sign`

use std::sync::Arc;

use crate::edge::{App, Arguments, Failure, Peer, RawJson};

/// Refuses: this server judges no events for others. A policy server under its name stands before it, at this very path.
pub(crate) async fn handle(
    _app: Arc<App>,
    _peer: Peer,
    _arguments: Arguments,
) -> Result<RawJson, Failure> {
    Err(Failure::not_found("this server is no policy server"))
}
