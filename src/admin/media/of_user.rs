//! A piece of the list of a user's media, as two endpoints are asked for it.

use playhouse_schema::models::{media::KeptMedia, media_lists::MediaOrder};
use ruma::UserId;

use crate::edge::{App, Failure};

/// So many pieces are told at once.
const LIMIT_MAX: u64 = 1_000;

/// What is asked for.
pub(super) struct Asked<'a> {
    pub(super) user_id: &'a UserId,
    pub(super) from: u64,
    pub(super) limit: u64,
    pub(super) order_by: Option<&'a str>,
    pub(super) dir: Option<&'a str>,
}

/// The pieces, and how many there are in all. The newest come first unless an order is asked for.
pub(super) async fn list(app: &App, asked: Asked<'_>) -> Result<(Vec<KeptMedia>, u64), Failure> {
    if !app.house.is_local(asked.user_id.server_name()) {
        return Err(Failure::invalid_param("this user is not of this server"));
    }
    app.house.account(asked.user_id).await?;
    let order = match asked.order_by {
        None | Some("created_ts") => MediaOrder::Created,
        Some("media_id") => MediaOrder::Id,
        Some("upload_name") => MediaOrder::Name,
        Some("last_access_ts") => MediaOrder::Used,
        Some("media_length") => MediaOrder::Size,
        Some("media_type") => MediaOrder::Type,
        Some("quarantined_by") => MediaOrder::Quarantined,
        Some("safe_from_quarantine") => MediaOrder::Protected,
        Some(_) => return Err(Failure::invalid_param("there is no such order")),
    };
    let falling = match asked.dir {
        None => asked.order_by.is_none(),
        Some("f") => false,
        Some("b") => true,
        Some(_) => return Err(Failure::invalid_param("dir is neither f nor b")),
    };
    let page = (asked.from, asked.limit.min(LIMIT_MAX));
    let listed = app
        .house
        .media_of_user(asked.user_id, (order, falling), page);
    Ok(listed.await?)
}
