//! `GET /_matrix/key/v2/query/{serverName}`

use std::{collections::BTreeMap, sync::Arc};

use ruma::OwnedServerName;

use super::notary::{self, Asked};
use crate::{
    client::query::parameter,
    edge::{App, Arguments, Failure, RawJson},
};

/// Tells the keys of a server, signed by this one too.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let server_name = arguments.path.first().map_or("", String::as_str);
    let server_name = OwnedServerName::try_from(server_name)
        .map_err(|_| Failure::invalid_param("this is no server name"))?;
    let minimum = parameter(arguments.query.as_deref(), "minimum_valid_until_ts");
    let minimum = minimum.map(|text| text.parse::<u64>()).transpose();
    let minimum = minimum.map_err(|_| {
        Failure::invalid_param("minimum_valid_until_ts is not a time in milliseconds")
    })?;
    let asked = Asked {
        key_ids: BTreeMap::new(),
        valid_until_ts: minimum.unwrap_or_else(|| app.env().now_ms()),
    };
    Ok(notary::answer(&app, [(server_name, asked)].into()).await)
}
