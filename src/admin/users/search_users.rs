//! `GET /_synapse/admin/v1/search_users/{user_id}`

use std::sync::Arc;

use playhouse_schema::models::users::{Page, User, Wanted, Which};
use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

/// So many accounts are told.
const LIMIT: u64 = 1_000;

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/search_users/{user_id}",
}

/// Asks for accounts; an older form of the list of users.
#[request]
pub(crate) struct Request {
    /// Some user of this server: it makes no difference which.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
    /// What the name has in it.
    #[ruma_api(query)]
    pub(crate) term: String,
}

/// Accounts.
#[response]
pub(crate) struct Response {
    /// By name.
    #[ruma_api(body)]
    pub(crate) found: Vec<Found>,
}

/// An account. Hashes of passwords are told to nobody.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Found {
    name: String,
    is_guest: bool,
    admin: bool,
    user_type: Option<String>,
}

impl From<User> for Found {
    fn from(user: User) -> Self {
        Self {
            name: user.user_id,
            is_guest: user.guest,
            admin: user.admin,
            user_type: user.user_type,
        }
    }
}

/// Lists accounts whose name has something in it.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let wanted = Wanted {
        name: Some(request.term),
        guests: true,
        locked: true,
        deactivated: Which::Both,
        ..Wanted::default()
    };
    let page = Page {
        order_by: "name".to_owned(),
        backwards: false,
        from: 0,
        limit: LIMIT,
    };
    let (users, _) = app.house.find_accounts(&wanted, &page).await?;
    Ok(Response {
        found: users.into_iter().map(Found::from).collect(),
    })
}
