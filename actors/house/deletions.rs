//! Deleting rooms, and keeping rooms out. What is wanted stands in the log: a restart goes on with it.

use std::time::Duration;

use playhouse_schema::{
    address::Entity,
    models::{
        Model as _,
        memberships::{self, Memberships},
    },
    record::purge::{Deletion, DeletionRoom, RoomBlockSet},
};
use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, UserId, events::TimelineEventType};
use tokio::time::Instant;

use super::{
    House, HouseError, JoinWish, MemberWish, RoomWish,
    purges::{ID_CHARACTERS, PAUSE, purges},
    surprise,
};
use crate::{
    purges::{DeletionStanding, PurgeAnswer, PurgeCommand, PurgeQuery},
    room::{
        RoomError,
        message::{Preset, SendEvent},
    },
    user::{UserAnswer, UserQuery},
};

/// So many members are looked up at once.
const PAGE_MEMBERS: usize = 200;

/// Other servers have so long to hear that everybody has left; a first moment passes until it is on its way.
const PARTING: (Duration, Duration) = (Duration::from_millis(300), Duration::from_secs(10));

/// Who waits for the end of a deletion looks so often.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// Where members come of a deleted room, and what they read there.
const NEW_ROOM_NAME: &str = "Room closed";
const NEW_ROOM_MESSAGE: &str =
    "The room you were in was closed by the administrators of this server.";

/// In the new room only its maker speaks.
const NEW_ROOM_POWERS: &str = r#"{"users_default":-10}"#;

/// A room that an administrator wants deleted.
#[derive(Clone, Debug)]
pub struct DeletionWish {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Nobody of this server comes in any more.
    pub block: bool,
    /// The room's data goes, too.
    pub purge: bool,
    /// Also when somebody could not be made to leave.
    pub force_purge: bool,
    /// Who makes a room for the members to come into.
    pub new_room_user_id: Option<OwnedUserId>,
    /// The name of that room.
    pub room_name: Option<String>,
    /// What is said in that room.
    pub message: Option<String>,
}

impl House {
    /// Begins to delete a room. Gives the name by which to ask how it stands.
    pub async fn begin_deletion(
        &self,
        wish: DeletionWish,
        by: &UserId,
    ) -> Result<String, HouseError> {
        if let Some(creator) = &wish.new_room_user_id
            && !(self.is_local(creator.server_name()) && self.has_open_account(creator).await?)
        {
            return Err(HouseError::InvalidParam(
                "new_room_user_id is nobody of this server".to_owned(),
            ));
        }
        if wish.block {
            self.set_room_block(&wish.room_id, by, true).await?;
        }
        let new_room = wish.new_room_user_id.map(|creator| DeletionRoom {
            creator: creator.to_string(),
            name: wish.room_name.unwrap_or_else(|| NEW_ROOM_NAME.to_owned()),
            message: wish.message.unwrap_or_else(|| NEW_ROOM_MESSAGE.to_owned()),
        });
        let now_ms = self.env.now_ms();
        let id = self.env.random_string(ID_CHARACTERS);
        let deletion = Deletion {
            id: id.clone(),
            room_id: wish.room_id.to_string(),
            by: Some(by.to_string()),
            at_ms: now_ms,
            due_ms: now_ms,
            purge: wish.purge,
            force_purge: wish.force_purge,
            new_room,
        };
        let command = PurgeCommand::Delete(Box::new(deletion));
        self.purges.command(purges(), command).await?;
        self.purge_bells.wanted.notify_one();
        Ok(id)
    }

    /// How a deletion stands.
    pub async fn deletion(&self, id: &str) -> Result<DeletionStanding, HouseError> {
        let found = self
            .ask_deletions(PurgeQuery::Deletion(id.to_owned()))
            .await?;
        found.into_iter().next().ok_or_else(|| surprise("Deletion"))
    }

    /// Waits until a deletion has come to its end.
    pub async fn deletion_ended(&self, id: &str) -> Result<DeletionStanding, HouseError> {
        loop {
            let ended = self.purge_bells.ended.notified();
            let standing = self.deletion(id).await?;
            if standing.ended.is_some() {
                return Ok(standing);
            }
            // It may come to its end on another node.
            let _ = tokio::time::timeout(LOOK_EVERY, ended).await;
        }
    }

    /// All deletions of a room that are remembered.
    pub async fn deletions_of(
        &self,
        room_id: &RoomId,
    ) -> Result<Vec<DeletionStanding>, HouseError> {
        self.ask_deletions(PurgeQuery::DeletionsOf(room_id.to_string()))
            .await
    }

    /// Who keeps a room out, if anybody does.
    pub async fn room_block(&self, room_id: &RoomId) -> Result<Option<String>, HouseError> {
        let query = PurgeQuery::Block(room_id.to_string());
        match self.purges.query(purges(), query).await? {
            PurgeAnswer::Block(by) => Ok(by),
            _ => Err(surprise("Block")),
        }
    }

    /// Keeps a room out, or no more.
    pub async fn set_room_block(
        &self,
        room_id: &RoomId,
        by: impl AsRef<str>,
        blocked: bool,
    ) -> Result<(), HouseError> {
        let set = RoomBlockSet {
            room_id: room_id.to_string(),
            blocked,
            by: by.as_ref().to_owned(),
            at_ms: self.env.now_ms(),
        };
        let command = PurgeCommand::SetBlock(set);
        self.purges.command(purges(), command).await?;
        // The caller may hear of the commit before the board does: an answer comes after both.
        self.room_block(room_id).await?;
        Ok(())
    }

    /// Refuses a room that is kept out.
    pub(super) async fn refuse_blocked(&self, room_id: &RoomId) -> Result<(), HouseError> {
        let known = self.blocks.is_blocked(room_id.as_str());
        let is_current = || self.among.is_none() || self.is_here(&purges());
        let is_blocked = match known.filter(|_| is_current()) {
            Some(is_blocked) => is_blocked,
            // The actor has not woken since the house opened, or lives on another node.
            None => self.room_block(room_id).await?.is_some(),
        };
        if is_blocked {
            return Err(HouseError::Forbidden(
                "this room is blocked on this server".to_owned(),
            ));
        }
        Ok(())
    }

    async fn ask_deletions(&self, query: PurgeQuery) -> Result<Vec<DeletionStanding>, HouseError> {
        match self.purges.query(purges(), query).await? {
            PurgeAnswer::Deletions(found) => Ok(found),
            _ => Err(surprise("Deletions")),
        }
    }

    /// The room that members of a deleted one come into.
    pub(super) async fn make_refuge(
        &self,
        wanted: &DeletionRoom,
    ) -> Result<OwnedRoomId, HouseError> {
        let creator = user_of(&wanted.creator)?;
        let wish = RoomWish {
            creator: creator.clone(),
            version: None,
            preset: Some(Preset::PublicChat),
            creation_content: None,
            alias_localpart: None,
            name: Some(wanted.name.clone()),
            topic: None,
            invites: Vec::new(),
            is_direct: false,
            public: false,
            initial_state: Vec::new(),
            power_level_content_override: Some(NEW_ROOM_POWERS.to_owned()),
        };
        let room_id = self.create_room(wish).await?.room_id;
        let content = serde_json::json!({"msgtype": "m.text", "body": wanted.message});
        let event = SendEvent::new(creator, TimelineEventType::RoomMessage, content.to_string());
        self.send_event(&room_id, event).await?;
        Ok(room_id)
    }

    /// Users of this server whose membership of a room is this one.
    pub(super) async fn own_members(
        &self,
        room_id: &RoomId,
        membership: &str,
    ) -> Result<Vec<OwnedUserId>, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let (mut after, mut found) = (String::new(), Vec::new());
        loop {
            let store = &**self.models.store();
            let room_id = room_id.as_str();
            let page =
                memberships::of_room(store, room_id, membership, &after, PAGE_MEMBERS).await?;
            let Some(last) = page.last() else {
                return Ok(found);
            };
            after.clone_from(&last.user_id);
            let users = page.iter().filter_map(|row| user_of(&row.user_id).ok());
            found.extend(users.filter(|user_id| self.is_local(user_id.server_name())));
        }
    }

    /// Whether nobody of this server is in a room or on the way into it, and all who were have forgotten it.
    pub async fn is_forgotten(&self, room_id: &RoomId) -> Result<bool, HouseError> {
        for membership in ["join", "invite", "knock"] {
            if !self.own_members(room_id, membership).await?.is_empty() {
                return Ok(false);
            }
        }
        for membership in ["leave", "ban"] {
            for user_id in self.own_members(room_id, membership).await? {
                if !self.has_forgotten(room_id, &user_id).await? {
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    async fn has_forgotten(&self, room_id: &RoomId, user_id: &UserId) -> Result<bool, HouseError> {
        // Who has no open account remembers nothing.
        if !self.has_open_account(user_id).await? {
            return Ok(true);
        }
        match self.user_query(user_id, UserQuery::Rooms).await? {
            UserAnswer::Rooms(rooms) => Ok(rooms.iter().all(|(known, _)| known != room_id)),
            _ => Err(surprise("Rooms")),
        }
    }

    /// Brings a user out of a room, and into the new one.
    pub(super) async fn move_out(
        &self,
        user_id: &UserId,
        (room_id, refuge): (&RoomId, Option<&RoomId>),
    ) -> Result<(), HouseError> {
        if let Some(refuge) = refuge {
            let wish = JoinWish {
                user_id: user_id.to_owned(),
                guest: false,
                room: refuge.to_owned().into(),
                via: Vec::new(),
                reason: None,
                extra_content: None,
            };
            self.join(wish).await?;
        }
        let wish = MemberWish::of_oneself(room_id, user_id);
        self.leave_anyway(wish).await?;
        self.forget_gone(room_id, user_id).await
    }

    pub(super) async fn forget_gone(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        match self.forget(room_id, user_id).await {
            // Who has no open account remembers nothing.
            Err(HouseError::Room(RoomError::UnknownRoom) | HouseError::User(_)) => Ok(()),
            outcome => outcome,
        }
    }

    /// Waits a little until other servers have heard who has left a room.
    pub(super) async fn part(&self, room_id: &RoomId, servers: &[OwnedServerName]) {
        let Some(outboxes) = self.outboxes.as_ref().filter(|_| !servers.is_empty()) else {
            return;
        };
        let entity = Entity::room(room_id.as_str());
        let shard = self.store.layout().shard_of(&entity);
        let left_at = self.tail().head(shard);
        // On a busy machine the reader of the log comes to it later than in a moment: what it would find deleted goes to nobody.
        let is_unread = || {
            let read = outboxes.board.positions().rooms;
            let mut read = read.iter();
            read.any(|(number, position)| *number == shard.number && *position < left_at)
        };
        let deadline = Instant::now() + PARTING.1;
        tokio::time::sleep(PARTING.0).await;
        let waits = || is_unread() || servers.iter().any(|name| outboxes.board.waits(name));
        while Instant::now() < deadline && waits() {
            tokio::time::sleep(PAUSE).await;
        }
    }
}

fn user_of(name: &str) -> Result<OwnedUserId, HouseError> {
    UserId::parse(name).map_err(|error| HouseError::InvalidParam(error.to_string()))
}
