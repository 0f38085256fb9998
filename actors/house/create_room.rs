//! Making rooms.

use ruma::{OwnedRoomAliasId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId};

use super::{House, HouseError, MemberWish};
use crate::room::{
    RoomCommand, RoomError,
    create::prepare,
    message::{CreateRoom, JsonText, NewRoom, Preset, StateContent},
};

/// A room that a user wants (client-server API, `POST /createRoom`).
#[derive(Clone, Debug)]
pub struct RoomWish {
    /// Who makes it.
    pub creator: OwnedUserId,
    /// The version; the house's default when absent.
    pub version: Option<RoomVersionId>,
    /// The preset; absent: `PublicChat` for a public room, else `PrivateChat`.
    pub preset: Option<Preset>,
    /// Further content of the create event, as a JSON object.
    pub creation_content: Option<JsonText>,
    /// Local part of the alias to take.
    pub alias_localpart: Option<String>,
    /// The name.
    pub name: Option<String>,
    /// The topic.
    pub topic: Option<String>,
    /// Whom to invite.
    pub invites: Vec<OwnedUserId>,
    /// The invites are to a direct chat.
    pub is_direct: bool,
    /// List it in the public room list.
    pub public: bool,
    /// Further state.
    pub initial_state: Vec<StateContent>,
    /// Overrides of the default power levels' content.
    pub power_level_content_override: Option<JsonText>,
}

/// A room that was made.
#[derive(Clone, Debug)]
pub struct MadeRoom {
    /// Its ID.
    pub room_id: OwnedRoomId,
    /// The alias, when one was asked for.
    pub alias: Option<OwnedRoomAliasId>,
}

/// So many users one request may invite.
const INVITES_MAX: usize = 1_000;

impl House {
    /// Makes a room: alias taken first, then the room with all its state in one commit; a failure gives the alias back.
    pub async fn create_room(&self, wish: RoomWish) -> Result<MadeRoom, HouseError> {
        if wish.invites.len() > INVITES_MAX {
            return Err(HouseError::InvalidParam("too many invites".to_owned()));
        }
        let alias = match &wish.alias_localpart {
            Some(localpart) => Some(self.alias_of(localpart)?),
            None => None,
        };
        let preset = wish.preset.unwrap_or(if wish.public {
            Preset::PublicChat
        } else {
            Preset::PrivateChat
        });
        let mut invites = Vec::with_capacity(wish.invites.len());
        let is_ours = |user_id: &OwnedUserId| self.is_local(user_id.server_name());
        let (ours, others): (Vec<_>, Vec<_>) = wish.invites.into_iter().partition(is_ours);
        let creator = wish.creator.clone();
        for user_id in ours {
            let profile = self.invitee_profile(&wish.creator, &user_id).await?;
            invites.push((user_id, profile));
        }
        let creator_profile = self.member_profile(&wish.creator).await?;
        let version = wish
            .version
            .unwrap_or_else(|| self.config.default_room_version.clone());
        let is_direct = wish.is_direct;
        let request = NewRoom {
            creator: wish.creator,
            creator_profile,
            version,
            creation_content: wish.creation_content,
            preset,
            power_level_content_override: wish.power_level_content_override,
            alias: alias.clone(),
            initial_state: wish.initial_state,
            name: wish.name,
            topic: wish.topic,
            invites,
            is_direct: wish.is_direct,
            public: wish.public,
        };
        let (room_id, create) = prepare(&self.env, request)?;
        self.make_room(&room_id, create).await?;
        // The room is there whatever their servers say.
        for target in others {
            let wish = MemberWish {
                room_id: room_id.clone(),
                sender: creator.clone(),
                target,
                reason: None,
                extra_content: None,
                guest: false,
            };
            if let Err(error) = self.invite(wish, is_direct).await {
                tracing::info!(%room_id, %error, "a user of another server is not invited");
            }
        }
        Ok(MadeRoom { room_id, alias })
    }

    /// Takes the alias and makes the room; a failure gives the alias back.
    pub(super) async fn make_room(
        &self,
        room_id: &RoomId,
        create: CreateRoom,
    ) -> Result<(), HouseError> {
        let creator = create.wish.creator.clone();
        let alias = create.wish.alias.clone();
        if let Some(alias) = &alias {
            self.take_alias(alias, room_id, &creator).await?;
        }
        let command = RoomCommand::Create(Box::new(create));
        let Err(error) = self.room_command(room_id, command).await else {
            return Ok(());
        };
        if matches!(error, RoomError::Unavailable(_)) {
            // It may have been made all the same; when even that cannot be told, the alias stays and counts as abandoned later.
            match self.room_access(room_id, &creator).await {
                Ok(_) => return Ok(()),
                Err(HouseError::Room(RoomError::UnknownRoom)) => {}
                Err(_) => return Err(error.into()),
            }
        }
        if let Some(alias) = &alias {
            self.release_alias(alias, room_id).await?;
        }
        Err(error.into())
    }

    fn alias_of(&self, localpart: &str) -> Result<OwnedRoomAliasId, HouseError> {
        if localpart.is_empty() || localpart.contains([':', '\0']) || localpart.starts_with('#') {
            return Err(HouseError::InvalidParam(
                "an alias's local part is not empty and has no colon".to_owned(),
            ));
        }
        OwnedRoomAliasId::try_from(format!("#{localpart}:{}", self.env.server_name()))
            .map_err(|error| HouseError::InvalidParam(error.to_string()))
    }
}
