//! `POST /_matrix/client/*/createRoom`

use std::sync::Arc;

use playhouse_actors::{
    alias::AliasError,
    house::{HouseError, RoomWish},
    room::message::{Preset, StateContent},
};
use ruma::{
    OwnedRoomAliasId, OwnedUserId, RoomAliasId, RoomVersionId,
    api::{client::membership::Invite3pid, error::ErrorCode},
    events::StateEventType,
};
use serde::Deserialize;
use serde_json::{json, value::RawValue};

use crate::{
    client::{
        membership::{invite_address, permission},
        page,
    },
    edge::{App, Arguments, Failure, RawJson, Session},
    third_party::Check,
};

/// So many users may be invited at once.
const INVITES_MAX: usize = 100;

/// So many state events may be given at once.
const INITIAL_STATE_MAX: usize = 1_000;

/// The body. Read here and not by ruma so that contents stay as they were sent.
#[derive(Deserialize)]
struct Body {
    visibility: Option<String>,
    room_alias_name: Option<String>,
    name: Option<String>,
    topic: Option<String>,
    #[serde(default)]
    invite: Vec<OwnedUserId>,
    #[serde(default)]
    invite_3pid: Vec<Invite3pid>,
    room_version: Option<RoomVersionId>,
    creation_content: Option<Box<RawValue>>,
    #[serde(default)]
    initial_state: Vec<InitialState>,
    preset: Option<String>,
    #[serde(default)]
    is_direct: bool,
    power_level_content_override: Option<Box<RawValue>>,
}

#[derive(Deserialize)]
struct InitialState {
    #[serde(rename = "type")]
    event_type: StateEventType,
    #[serde(default)]
    state_key: String,
    content: Box<RawValue>,
}

/// Makes a room.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    caller.not_suspended()?;
    if app.config.rooms.make == "admins" && !caller.admin {
        return Err(Failure::forbidden("rooms are made by administrators here"));
    }
    let body = if arguments.body.is_empty() {
        b"{}"
    } else {
        arguments.body.as_ref()
    };
    let mut body: Body = serde_json::from_slice(body)?;
    for invited in &body.invite_3pid {
        invite_address::address_of(invited)?;
    }
    if !(body.invite.is_empty() && body.invite_3pid.is_empty()) {
        permission::may_invite(&app, &caller)?;
    }
    may_make(&app, &caller, &body).await?;
    if let Some(localpart) = &body.room_alias_name {
        // What is no alias is refused when the room is made.
        let alias = RoomAliasId::parse(format!("#{localpart}:{}", app.env().server_name()));
        let check =
            |alias: OwnedRoomAliasId| app.bridges.check_alias(&alias, caller.bridge.as_deref());
        alias.map_or(Ok(()), check)?;
    }
    if caller.shadow_banned {
        // The room is there, and nobody hears of it.
        body.invite.clear();
        body.invite_3pid.clear();
    }
    let (addresses, is_direct) = (body.invite_3pid.clone(), body.is_direct);
    let mut wish = wish(caller.clone(), body)?;
    encrypt(&app.config.rooms.encrypted_by_default, &mut wish);
    let made = app.house.create_room(wish).await;
    let made = made.map_err(|error| match error {
        HouseError::Alias(AliasError::Taken(_)) => {
            Failure::new(ErrorCode::RoomInUse, "alias is taken")
        }
        error => error.into(),
    })?;
    for invited in &addresses {
        let place = (&*made.room_id, is_direct);
        // The room is there: to be told otherwise, the client would make another one.
        if let Err(failure) = invite_address::invite(&app, &caller, place, invited).await {
            let reason = failure.message();
            tracing::info!(room_id = %made.room_id, reason, "an address was not invited");
        }
    }
    let alias = made.alias.as_ref().map(|alias| alias.as_str());
    Ok(page::Object::new()
        .text("room_id", made.room_id.as_str())
        .maybe_text("room_alias", alias)
        .finish())
}

/// Whether what the operator asks lets somebody make such a room.
async fn may_make(app: &App, caller: &Session, body: &Body) -> Result<(), Failure> {
    permission::ask(app, caller, Check::CreateRoom, || {
        let addresses = body.invite_3pid.iter().map(|invited| &invited.address);
        json!({
            "user_id": caller.user_id,
            "visibility": body.visibility,
            "preset": body.preset,
            "alias": body.room_alias_name,
            "name": body.name,
            "topic": body.topic,
            "invite": body.invite,
            "invite_3pid": addresses.collect::<Vec<_>>(),
            "is_direct": body.is_direct,
        })
    })
    .await
}

/// Encrypts a room whose maker says nothing of it, as the operator wants. Spaces have nothing that could be encrypted.
fn encrypt(by_default: &str, wish: &mut RoomWish) {
    let is_public = match wish.preset {
        Some(preset) => preset == Preset::PublicChat,
        None => wish.public,
    };
    let content = wish.creation_content.as_deref();
    let content: Option<serde_json::Value> =
        content.and_then(|content| serde_json::from_str(content).ok());
    let is_space = content.is_some_and(|content| content["type"] == "m.space");
    let is_said = wish
        .initial_state
        .iter()
        .any(|state| state.event_type == StateEventType::RoomEncryption);
    let wanted = by_default == "all" || (by_default == "invite" && !is_public);
    if wanted && !is_space && !is_said {
        wish.initial_state.push(StateContent {
            event_type: StateEventType::RoomEncryption,
            state_key: String::new(),
            content: r#"{"algorithm":"m.megolm.v1.aes-sha2"}"#.to_owned(),
        });
    }
}

fn wish(caller: Session, body: Body) -> Result<RoomWish, Failure> {
    if body.invite.len() + body.invite_3pid.len() > INVITES_MAX
        || body.initial_state.len() > INITIAL_STATE_MAX
    {
        return Err(Failure::invalid_param(
            "too many invites or state events at once",
        ));
    }
    let public = match body.visibility.as_deref() {
        None | Some("private") => false,
        Some("public") => true,
        Some(_) => return Err(Failure::invalid_param("visibility is public or private")),
    };
    Ok(RoomWish {
        creator: caller.known.user_id,
        version: body.room_version,
        preset: body.preset.as_deref().map(preset).transpose()?,
        creation_content: body
            .creation_content
            .map(|content| content.get().to_owned()),
        alias_localpart: body.room_alias_name.filter(|name| !name.is_empty()),
        name: body.name.filter(|name| !name.is_empty()),
        topic: body.topic,
        invites: body.invite,
        is_direct: body.is_direct,
        public,
        initial_state: body.initial_state.into_iter().map(state_content).collect(),
        power_level_content_override: body
            .power_level_content_override
            .map(|content| content.get().to_owned()),
    })
}

fn preset(name: &str) -> Result<Preset, Failure> {
    match name {
        "private_chat" => Ok(Preset::PrivateChat),
        "trusted_private_chat" => Ok(Preset::TrustedPrivateChat),
        "public_chat" => Ok(Preset::PublicChat),
        _ => Err(Failure::invalid_param("unknown preset")),
    }
}

fn state_content(state: InitialState) -> StateContent {
    StateContent {
        event_type: state.event_type,
        state_key: state.state_key,
        content: state.content.get().to_owned(),
    }
}
