//! `POST /_matrix/client/*/user_directory/search`

use std::sync::Arc;

use playhouse_schema::models::user_names::FoundUser;
use ruma::{
    OwnedUserId,
    api::client::user_directory::search_users::v3::{Request, Response, User},
};

use crate::edge::{App, Failure, Session};

/// So many users an answer has at most.
const LIMIT_MAX: u64 = 50;

/// So long a term may be.
const TERM_BYTES_MAX: usize = 512;

/// Finds users by name.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    if request.search_term.len() > TERM_BYTES_MAX {
        return Err(Failure::invalid_param("search_term is too long"));
    }
    let limit = u64::from(request.limit).clamp(1, LIMIT_MAX) as usize;
    let (users, limited) = app
        .house
        .find_users(&caller.user_id, &request.search_term, limit)
        .await?;
    Ok(Response::new(
        users.into_iter().filter_map(shown).collect(),
        limited,
    ))
}

/// `None` for a user ID that ruma does not take.
fn shown(found: FoundUser) -> Option<User> {
    let mut user = User::new(OwnedUserId::try_from(found.user_id).ok()?);
    user.display_name = found.displayname;
    user.avatar_url = found.avatar_url.map(Into::into);
    Some(user)
}
