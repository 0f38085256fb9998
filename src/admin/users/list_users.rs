//! `GET /_synapse/admin/v2/users` and `GET /_synapse/admin/v3/users`
//!
//! They differ in what `deactivated` means: the older one adds closed accounts to the others, the newer one asks for either or, without it, for both.

use std::sync::Arc;

use playhouse_schema::models::users::{Page, User, Wanted, Which};
use serde::{Deserialize, Serialize};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

/// A page has so many accounts.
const LIMIT: u64 = 100;

/// And never more than these.
const LIMIT_MAX: u64 = 1_000;

/// By what a list can be sorted.
const ORDERS: [&str; 11] = [
    "name",
    "displayname",
    "is_guest",
    "admin",
    "deactivated",
    "user_type",
    "avatar_url",
    "shadow_banned",
    "creation_ts",
    "last_seen_ts",
    "locked",
];

/// Which accounts are wanted, and in what order.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Query {
    from: Option<u64>,
    limit: Option<u64>,
    user_id: Option<String>,
    name: Option<String>,
    guests: Option<bool>,
    admins: Option<bool>,
    deactivated: Option<bool>,
    locked: Option<bool>,
    order_by: Option<String>,
    dir: Option<String>,
    #[serde(default)]
    not_user_type: Vec<String>,
}

/// An account in the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Listed {
    name: String,
    user_type: Option<String>,
    is_guest: bool,
    admin: bool,
    deactivated: bool,
    erased: bool,
    locked: bool,
    shadow_banned: bool,
    displayname: Option<String>,
    avatar_url: Option<String>,
    creation_ts: u64,
    last_seen_ts: Option<u64>,
}

impl From<User> for Listed {
    fn from(user: User) -> Self {
        Self {
            name: user.user_id,
            user_type: user.user_type,
            is_guest: user.guest,
            admin: user.admin,
            deactivated: user.deactivated,
            erased: user.erased,
            locked: user.locked,
            shadow_banned: user.shadow_banned,
            displayname: user.displayname,
            avatar_url: user.avatar_url,
            creation_ts: user.created_ms,
            last_seen_ts: user.last_seen_ms,
        }
    }
}

/// A page of the list.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Found {
    users: Vec<Listed>,
    /// How many there are on all pages.
    total: u64,
    /// `from` of the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_token: Option<String>,
}

/// The older endpoint.
pub(crate) mod v2 {
    use ruma::{
        api::{auth_scheme::AccessToken, request, response},
        metadata,
    };

    use super::{Found, Query};

    metadata! {
        method: GET,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v2/users",
    }

    /// Asks for accounts.
    #[request]
    pub(crate) struct Request {
        /// Which.
        #[ruma_api(query_all)]
        pub(crate) query: Query,
    }

    /// Accounts.
    #[response]
    pub(crate) struct Response {
        /// A page of them.
        #[ruma_api(body)]
        pub(crate) found: Found,
    }
}

/// The newer endpoint.
pub(crate) mod v3 {
    use ruma::{
        api::{auth_scheme::AccessToken, request, response},
        metadata,
    };

    use super::{Found, Query};

    metadata! {
        method: GET,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v3/users",
    }

    /// Asks for accounts.
    #[request]
    pub(crate) struct Request {
        /// Which.
        #[ruma_api(query_all)]
        pub(crate) query: Query,
    }

    /// Accounts.
    #[response]
    pub(crate) struct Response {
        /// A page of them.
        #[ruma_api(body)]
        pub(crate) found: Found,
    }
}

/// Lists accounts for an administrator; closed ones when they are asked for.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: v2::Request,
) -> Result<v2::Response, Failure> {
    only_administrators(&caller)?;
    let deactivated = match request.query.deactivated {
        Some(true) => Which::Both,
        Some(false) | None => Which::Without,
    };
    let found = find(&app, request.query, deactivated).await?;
    Ok(v2::Response { found })
}

/// Lists accounts for an administrator; closed ones, open ones or both.
pub(crate) async fn handle_v3(
    app: Arc<App>,
    caller: Session,
    request: v3::Request,
) -> Result<v3::Response, Failure> {
    only_administrators(&caller)?;
    let deactivated = Which::from(request.query.deactivated);
    let found = find(&app, request.query, deactivated).await?;
    Ok(v3::Response { found })
}

async fn find(app: &App, query: Query, deactivated: Which) -> Result<Found, Failure> {
    let order_by = query.order_by.unwrap_or_else(|| "name".to_owned());
    if !ORDERS.contains(&order_by.as_str()) {
        return Err(Failure::invalid_param("cannot sort by this order_by"));
    }
    let backwards = match query.dir.as_deref() {
        None | Some("f") => false,
        Some("b") => true,
        Some(_) => return Err(Failure::invalid_param("dir is neither f nor b")),
    };
    let page = Page {
        order_by,
        backwards,
        from: query.from.unwrap_or(0),
        limit: query.limit.unwrap_or(LIMIT).min(LIMIT_MAX),
    };
    let wanted = Wanted {
        name: query.name,
        user_id: query.user_id,
        guests: query.guests.unwrap_or(true),
        locked: query.locked.unwrap_or(false),
        deactivated,
        admins: query.admins,
        not_types: query.not_user_type,
    };
    let (users, total) = app.house.find_accounts(&wanted, &page).await?;
    let next = page.from.saturating_add(users.len() as u64);
    Ok(Found {
        next_token: (next < total && !users.is_empty()).then(|| next.to_string()),
        users: users.into_iter().map(Listed::from).collect(),
        total,
    })
}
