//! `GET /_matrix/key/v2/server`

use std::sync::Arc;

use crate::{
    edge::{App, Arguments, Failure, RawJson},
    federation::own_keys::own_keys_json,
};

use super::notary::text_of;

/// Tells this server's keys.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _arguments: Arguments,
) -> Result<RawJson, Failure> {
    Ok(RawJson(text_of(&own_keys_json(app.env()))))
}
