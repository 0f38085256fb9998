//! `GET /_matrix/federation/v1/query/{queryType}`

use std::sync::Arc;

use ruma::api::federation::query::get_custom_information::v1::Request;

use crate::edge::{App, Failure, Peer, RawJson};

/// Refuses questions that nobody has defined.
pub(crate) async fn handle(
    _app: Arc<App>,
    _peer: Peer,
    _request: Request,
) -> Result<RawJson, Failure> {
    Err(Failure::not_found("unknown query type"))
}
