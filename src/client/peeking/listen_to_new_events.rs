//! `GET /_matrix/client/*/events`

use std::sync::Arc;

use crate::{
    client::legacy,
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Tells what happens in a room, or to the caller in all rooms.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    legacy::listen(&app, &caller, &arguments).await
}
