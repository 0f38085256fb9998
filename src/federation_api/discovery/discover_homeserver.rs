//! `GET /.well-known/matrix/server`

use std::sync::Arc;

use ruma::api::federation::discovery::discover_homeserver::Request;

use crate::{
    client::page::Object,
    edge::{App, Failure, RawJson},
};

/// Tells where other servers reach this one, when that is not where its name leads.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    _request: Request,
) -> Result<RawJson, Failure> {
    let address = app.config.federation.well_known.as_deref();
    let address =
        address.ok_or_else(|| Failure::not_found("other servers reach this one by its name"))?;
    Ok(Object::new().text("m.server", address).finish())
}
