//! `POST /_matrix/key/v2/query`

use std::{collections::BTreeMap, sync::Arc};

use ruma::api::federation::discovery::get_remote_server_keys_batch::v2::Request;

use super::notary::{self, Asked};
use crate::edge::{App, Failure, RawJson};

/// Tells the keys of several servers, signed by this one too.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: (),
    request: Request,
) -> Result<RawJson, Failure> {
    let now_ms = app.env().now_ms();
    let wanted = request.server_keys.into_iter().map(|(server_name, keys)| {
        let until = |minimum: Option<u64>| minimum.unwrap_or(now_ms);
        let key_ids: BTreeMap<_, _> = keys
            .into_iter()
            .map(|(key_id, wish)| {
                let minimum = wish.minimum_valid_until_ts.map(|minimum| minimum.0.into());
                (key_id.to_string(), until(minimum))
            })
            .collect();
        let asked = Asked {
            valid_until_ts: key_ids.values().copied().max().unwrap_or(now_ms),
            key_ids,
        };
        (server_name, asked)
    });
    Ok(notary::answer(&app, wanted.collect()).await)
}
