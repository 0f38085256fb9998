//! Account data, global and of rooms (client-server API, "Client Config").

mod delete_account_data;
mod get_global_account_data;
mod get_room_account_data;
mod set_global_account_data;
mod set_room_account_data;

use bytes::Bytes;
use playhouse_actors::user::{UserAnswer, UserCommand, UserQuery};
use ruma::{
    OwnedRoomId, UserId,
    api::{
        client::config::{
            get_global_account_data as get_global, get_room_account_data as get_room,
            set_global_account_data as set_global, set_room_account_data as set_room,
        },
        error::ErrorCode,
    },
};

use crate::edge::{App, Failure, RawJson, Routes};

/// Types that have endpoints of their own and are not set as account data.
const SERVER_TYPES: [&str; 2] = ["m.fully_read", "m.push_rules"];

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount_raw::<delete_account_data::Request, _, _, _, _>(delete_account_data::handle);
    routes.mount_raw::<delete_account_data::of_room::Request, _, _, _, _>(
        delete_account_data::handle_of_room,
    );
    routes.mount_raw::<get_global::v3::Request, _, _, _, _>(get_global_account_data::handle);
    routes.mount_fast::<set_global::v3::Request, _, _, _, _>(set_global_account_data::handle);
    routes.mount_raw::<get_room::v3::Request, _, _, _, _>(get_room_account_data::handle);
    routes.mount_fast::<set_room::v3::Request, _, _, _, _>(set_room_account_data::handle);
}

async fn read(
    app: &App,
    user_id: &UserId,
    room_id: Option<OwnedRoomId>,
    event_type: String,
) -> Result<RawJson, Failure> {
    let query = UserQuery::AccountData {
        room_id,
        event_type,
    };
    match app.house.user_query(user_id, query).await? {
        UserAnswer::Json(json) => Ok(RawJson(Bytes::from(json))),
        _ => Err(Failure::internal("unexpected answer to AccountData")),
    }
}

async fn write(
    app: &App,
    user_id: &UserId,
    room_id: Option<OwnedRoomId>,
    event_type: &str,
    body: &[u8],
) -> Result<(), Failure> {
    must_be_clients(event_type)?;
    let content: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(body)?;
    let command = UserCommand::SetAccountData {
        room_id,
        event_type: event_type.to_owned(),
        content: Some(serde_json::Value::Object(content).to_string()),
    };
    app.house.user_command(user_id, command).await?;
    Ok(())
}

/// Nothing happens when there is none.
async fn delete(
    app: &App,
    user_id: &UserId,
    room_id: Option<OwnedRoomId>,
    event_type: String,
) -> Result<(), Failure> {
    must_be_clients(&event_type)?;
    let command = UserCommand::SetAccountData {
        room_id,
        event_type,
        content: None,
    };
    app.house.user_command(user_id, command).await?;
    Ok(())
}

fn must_be_clients(event_type: &str) -> Result<(), Failure> {
    if SERVER_TYPES.contains(&event_type) {
        return Err(Failure::new(
            ErrorCode::BadJson,
            format!("{event_type} is set through its own endpoint"),
        )
        .with_status(405));
    }
    Ok(())
}
