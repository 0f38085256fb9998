//! `GET /_synapse/admin/v1/users/{user_id}/accountdata`

use std::sync::Arc;

use playhouse_actors::user::{UserAnswer, UserQuery};
use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde_json::{Map, Value, json};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/users/{user_id}/accountdata",
}

/// Asks for account data.
#[request]
pub(crate) struct Request {
    /// Whose.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// The account data.
#[response]
pub(crate) struct Response {
    /// `global`, and `rooms` by room ID; in each, contents by type.
    pub(crate) account_data: Value,
}

/// Shows an administrator all account data of a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let query = UserQuery::AllAccountData;
    let UserAnswer::AllData(data) = app.house.user_query(&request.user_id, query).await? else {
        return Err(Failure::internal("unexpected answer to AllAccountData"));
    };
    let (mut global, mut rooms) = (Map::new(), Map::new());
    for (room_id, event_type, content) in data {
        let content: Value = serde_json::from_str(&content).map_err(Failure::internal)?;
        let Some(room_id) = room_id else {
            global.insert(event_type, content);
            continue;
        };
        let of_room = rooms
            .entry(room_id.to_string())
            .or_insert_with(|| json!({}));
        if let Some(of_room) = of_room.as_object_mut() {
            of_room.insert(event_type, content);
        }
    }
    Ok(Response {
        account_data: json!({ "global": global, "rooms": rooms }),
    })
}
