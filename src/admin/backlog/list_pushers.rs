//! `GET /_playhouse/admin/v1/pushers`

use std::sync::Arc;

use playhouse_schema::models::pushers::ListedPusher;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::{Deserialize, Serialize};

use crate::{
    admin::paging::Sheet,
    edge::{Admin, App, Failure},
};

/// A page has so many pushers, and never more than these.
const LIMITS: (u64, u64) = (100, 1_000);

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/pushers",
}

/// Which pushers are wanted: those after one.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    from_user: Option<String>,
    from_app: Option<String>,
    from_key: Option<String>,
    limit: Option<u64>,
}

/// Asks for pushers.
#[request]
pub(crate) struct Request {
    /// Which.
    #[ruma_api(query_all)]
    pub(crate) query: Query,
}

/// Pushers.
#[response]
pub(crate) struct Response {
    /// By user, application and key.
    pub(crate) pushers: Vec<Shown>,
    /// There are more: those after the last one.
    pub(crate) limited: bool,
}

/// A pusher.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Shown {
    user_id: String,
    app_id: String,
    /// The key under which the application is reached.
    pushkey: String,
    /// The device that set it.
    device_id: Option<String>,
}

impl From<ListedPusher> for Shown {
    fn from(pusher: ListedPusher) -> Self {
        Self {
            user_id: pusher.user_id,
            app_id: pusher.app_id,
            pushkey: pusher.pushkey,
            device_id: pusher.device_id,
        }
    }
}

/// Tells who is notified where. What became of notifications is not kept.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let query = request.query;
    let sheet = Sheet::of(query.limit, LIMITS);
    let after = ListedPusher {
        user_id: query.from_user.unwrap_or_default(),
        app_id: query.from_app.unwrap_or_default(),
        pushkey: query.from_key.unwrap_or_default(),
        device_id: None,
    };
    let mut found = app.house.pushers(&after, sheet.wanted()).await?;
    let limited = sheet.cut(&mut found);
    Ok(Response {
        pushers: found.into_iter().map(Shown::from).collect(),
        limited,
    })
}
