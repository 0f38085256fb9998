//! `GET /_matrix/client/*/thirdparty/protocols`

use std::{collections::BTreeMap, sync::Arc};

use ruma::api::client::thirdparty::get_protocols::v3::{Request, Response};

use crate::edge::{App, Failure, Session};

/// Lists the bridged protocols: there are no bridges, so none.
pub(crate) async fn handle(
    _app: Arc<App>,
    _caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    Ok(Response::new(BTreeMap::new()))
}
