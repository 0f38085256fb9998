//! What the canary needs before it can sing: an account into which nobody can log in, and a room.

use playhouse_actors::{
    house::{House, HouseError, RoomWish},
    room::{
        RoomAnswer,
        message::{Preset, Reader, RoomQuery},
    },
    user::{
        UserCommand, UserError,
        message::{Account, Login, Register},
    },
};
use ruma::{DeviceId, OwnedRoomId, OwnedUserId, RoomId, UserId, events::StateEventType};
use serde::Deserialize;

use super::EVENT_TYPE;

/// What kind of account it is.
const KIND: &str = "bot";

/// The room is for nobody elsewhere, and can be told from any other.
const CREATION: &str = r#"{"m.federate":false,"type":"playhouse.canary"}"#;

/// Its user ID, with the node's name where there are several.
pub(super) fn user_id(house: &House, localpart: &str) -> Result<OwnedUserId, HouseError> {
    let server_name = house.env().server_name();
    let node = house.ward().map(|ward| ward.name().as_str().to_lowercase());
    let localpart = match node {
        Some(node) => format!("{localpart}-{node}"),
        None => localpart.to_owned(),
    };
    let user_id = UserId::parse(format!("@{localpart}:{server_name}"));
    user_id.map_err(|error| HouseError::InvalidParam(format!("no name for a canary: {error}")))
}

/// Whether it is an account such as a canary makes: a person's has a password, or is no bot.
pub(super) fn is_nobodys(account: &Account) -> bool {
    account.password_hash.is_none() && account.user_type.as_deref() == Some(KIND)
}

/// Makes the account, unless it is there, and its device. An account that somebody could log in to is somebody else's.
pub(super) async fn have_account(
    house: &House,
    user_id: &UserId,
    device_id: &DeviceId,
) -> Result<(), HouseError> {
    let account = Register {
        password_hash: None,
        admin: false,
        guest: false,
        user_type: Some(KIND.to_owned()),
        displayname: None,
        login: None,
        terms: None,
    };
    let command = UserCommand::Register(Box::new(account));
    match house.user_command(user_id, command).await {
        Ok(_) => {}
        Err(UserError::UserInUse) => {
            let known = house.account(user_id).await?;
            if !is_nobodys(&known) {
                let why = format!("{user_id} is somebody's account, the canary needs another name");
                return Err(HouseError::InvalidParam(why));
            }
            if known.deactivated {
                return Err(UserError::Deactivated.into());
            }
        }
        Err(error) => return Err(error.into()),
    }
    // Its token is told to nobody, and ends with the next life.
    let login = UserCommand::Login(Login {
        device_id: Some(device_id.to_owned()),
        display_name: None,
        refresh: false,
        access_lifetime_ms: 0,
    });
    house.user_command(user_id, login).await?;
    Ok(())
}

/// The event with which a room began.
#[derive(Deserialize)]
struct Created {
    sender: OwnedUserId,
    content: CreatedContent,
}

#[derive(Deserialize)]
struct CreatedContent {
    #[serde(rename = "type")]
    room_type: Option<String>,
}

/// The room that it has made; a new one if there is none. Others may have taken it into theirs, where it must neither sing nor clear anything away.
pub(super) async fn room_of(house: &House, user_id: &UserId) -> Result<OwnedRoomId, HouseError> {
    for room_id in house.joined_rooms(user_id).await? {
        if is_made_by(house, &room_id, user_id).await? {
            return Ok(room_id);
        }
    }
    let wish = RoomWish {
        creator: user_id.to_owned(),
        version: None,
        preset: Some(Preset::PrivateChat),
        creation_content: Some(CREATION.to_owned()),
        alias_localpart: None,
        name: Some("Canary".to_owned()),
        topic: None,
        invites: Vec::new(),
        is_direct: false,
        public: false,
        initial_state: Vec::new(),
        power_level_content_override: None,
    };
    Ok(house.create_room(wish).await?.room_id)
}

async fn is_made_by(house: &House, room_id: &RoomId, user_id: &UserId) -> Result<bool, HouseError> {
    let server_name = house.env().server_name();
    if room_id
        .server_name()
        .is_some_and(|name| name != server_name)
    {
        return Ok(false);
    }
    let query = RoomQuery::StateEvent {
        reader: Reader::of(user_id.to_owned()),
        event_type: StateEventType::RoomCreate,
        state_key: String::new(),
        content_only: false,
    };
    let RoomAnswer::Event(event) = house.room_query(room_id, query).await? else {
        return Ok(false);
    };
    let created = serde_json::from_slice::<Created>(&event);
    Ok(created.is_ok_and(|created| {
        *created.sender == *user_id && created.content.room_type.as_deref() == Some(EVENT_TYPE)
    }))
}
