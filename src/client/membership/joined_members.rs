//! `GET /_matrix/client/*/rooms/{roomId}/joined_members`

use std::sync::Arc;

use bytes::Bytes;
use playhouse_actors::room::{RoomAnswer, RoomQuery};
use ruma::api::client::membership::joined_members::v3::Request;
use serde_json::{Map, Value, json};

use crate::{
    client::reader,
    edge::{App, Failure, RawJson, Session},
};

/// Lists who has joined a room, with names and avatars.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let query = RoomQuery::JoinedMembers {
        reader: Some(reader(&caller)),
    };
    let RoomAnswer::Joined(members) = app.house.room_query(&request.room_id, query).await? else {
        return Err(Failure::internal("unexpected answer to JoinedMembers"));
    };
    let joined: Map<String, Value> = members
        .into_iter()
        .map(|(user_id, profile)| {
            let shown =
                json!({ "display_name": profile.displayname, "avatar_url": profile.avatar_url });
            (user_id.to_string(), shown)
        })
        .collect();
    Ok(RawJson(Bytes::from(
        json!({ "joined": joined }).to_string(),
    )))
}
