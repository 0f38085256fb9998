//! `GET /_playhouse/admin/v1/parked`

use std::sync::Arc;

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use super::{Place, Shown};
use crate::{
    admin::paging::Sheet,
    edge::{Admin, App, Failure},
};

/// A page has so many records, and never more than these.
const LIMITS: (u64, u64) = (50, 500);

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/parked",
}

/// Which records are wanted: those after one, which takes all of the four that name it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    reader: Option<String>,
    family: Option<String>,
    shard: Option<u16>,
    position: Option<u64>,
    limit: Option<u64>,
}

/// Asks for records.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(query_all)]
    pub(crate) query: Query,
}

/// Records.
#[response]
pub(crate) struct Response {
    /// By reader and place. The next page is what is after the last one.
    pub(crate) parked: Vec<Shown>,
    /// There are more.
    pub(crate) limited: bool,
    /// So many on all pages.
    pub(crate) total: u64,
}

/// Tells which records readers of the log could not take in, and why.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let Query {
        reader,
        family,
        shard,
        position,
        limit,
    } = request.query;
    let after = match (reader, family, shard, position) {
        (None, None, None, None) => None,
        (Some(reader), Some(family), Some(shard), Some(position)) => {
            let place = Place {
                reader,
                family,
                shard,
                position,
            };
            Some(place.parked()?)
        }
        _ => {
            return Err(Failure::missing_param(
                "reader, family, shard and position name a record together",
            ));
        }
    };
    let sheet = Sheet::of(limit, LIMITS);
    let (mut found, total) = app.house.parked(after.as_ref(), sheet.wanted()).await?;
    let limited = sheet.cut(&mut found);
    Ok(Response {
        parked: found.into_iter().map(Shown::from).collect(),
        limited,
        total,
    })
}
