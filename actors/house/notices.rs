//! What the server itself tells its users, each in a room of its own (client-server API, "Server Notices"), and that it is closed.
//!
//! A user's notice room is the one in which both the user and the server's own user are: nothing else is remembered of it. One is made at a time.

use std::collections::BTreeSet;

use parking_lot::Mutex;
use playhouse_schema::{
    models::{
        Model as _,
        memberships::{self, Memberships},
    },
    record::room::Transaction,
};
use ruma::{
    OwnedEventId, OwnedMxcUri, OwnedRoomId, OwnedUserId, RoomId, UserId,
    events::{StateEventType, TimelineEventType, room::member::MembershipState},
};
use serde::Deserialize;
use serde_json::json;

use super::{House, HouseError, JoinWish, MemberWish, Places, RoomWish, surprise};
use crate::{
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{JsonText, Preset, Reader, SendEvent},
    },
    user::{UserCommand, UserError, message::Register},
};

/// The tag by which clients know the room.
const TAG: &str = "m.server_notice";

/// Nobody but the server speaks there.
const POWERS: &str = r#"{"users_default":-10}"#;

/// The room is for nobody elsewhere.
const CREATION: &str = r#"{"m.federate":false}"#;

/// Of so many users it is remembered that they know whether the server is closed.
const KNOWING_MAX: usize = 100_000;

/// How the server tells its users something.
#[derive(Clone, Debug)]
pub struct NoticeSettings {
    /// As whom.
    pub user_id: OwnedUserId,
    /// The name of that user.
    pub displayname: String,
    /// The picture of that user.
    pub avatar_url: Option<OwnedMxcUri>,
    /// The name of the rooms.
    pub room_name: String,
    /// The topic of the rooms.
    pub room_topic: Option<String>,
    /// Users are in the rooms at once instead of being invited.
    pub auto_join: bool,
}

/// Something to be told.
#[derive(Clone, Debug)]
pub struct Notice {
    /// To whom.
    pub user_id: OwnedUserId,
    /// The type of the event.
    pub event_type: TimelineEventType,
    /// The state key of a state event.
    pub state_key: Option<String>,
    /// The content.
    pub content: JsonText,
    /// What makes a repeat known as one.
    pub transaction_id: Option<String>,
}

/// Why nobody can use the server.
#[derive(Clone, Debug)]
pub struct LimitNotice {
    /// In words.
    pub message: String,
    /// `hs_disabled` or another limit.
    pub limit_type: &'static str,
    /// Whom to ask.
    pub admin_contact: Option<String>,
}

/// What is remembered of notices in memory.
#[derive(Default)]
pub(super) struct Noticeboard {
    /// One room is made at a time.
    turn: tokio::sync::Mutex<()>,
    /// Who knows whether the server is closed: in a life of the server that does not change.
    knowing: Mutex<BTreeSet<OwnedUserId>>,
}

impl House {
    /// Tells a user something. `InvalidParam` when the operator wants no notices, or the user is not of this server.
    pub async fn send_notice(&self, notice: Notice) -> Result<OwnedEventId, HouseError> {
        let settings = self.notice_settings()?;
        if !self.is_local(notice.user_id.server_name()) {
            let why = "server notices go to users of this server";
            return Err(HouseError::InvalidParam(why.to_owned()));
        }
        if !self.has_open_account(&notice.user_id).await? {
            return Err(UserError::UnknownUser.into());
        }
        let room_id = self.notice_room(settings, &notice.user_id).await?;
        let transaction = notice.transaction_id.map(|transaction_id| Transaction {
            user_id: settings.user_id.to_string(),
            device_id: String::new(),
            transaction_id: format!("notice/{transaction_id}"),
        });
        let event = SendEvent {
            transaction,
            state_key: notice.state_key,
            ..SendEvent::new(settings.user_id.clone(), notice.event_type, notice.content)
        };
        self.send_event(&room_id, event).await
    }

    /// Sees to it, once in the life of the server for each user, that the user has been told that nobody can use it; or, with `None`, that this is not so any
    /// more. Nothing of it makes fail what it goes with.
    pub async fn tell_limit(&self, user_id: &UserId, limit: Option<&LimitNotice>) {
        let Some(settings) = &self.config.notices else {
            return;
        };
        if !self.is_local(user_id.server_name()) || settings.user_id == *user_id {
            return;
        }
        {
            let mut knowing = self.notices.knowing.lock();
            if knowing.len() >= KNOWING_MAX {
                knowing.clear();
            }
            if !knowing.insert(user_id.to_owned()) {
                return;
            }
        }
        let told = match limit {
            Some(limit) => self.pin_limit(settings, (user_id, limit)).await,
            None => self.unpin_limit(settings, user_id).await,
        };
        if let Err(error) = told {
            tracing::warn!(%user_id, %error, "a user is not told whether the server is closed");
            self.notices.knowing.lock().remove(user_id);
        }
    }

    /// The same, without waiting for it.
    pub fn tell_limit_soon(&self, user_id: &UserId, limit: LimitNotice) {
        if self.config.notices.is_none() || self.notices.knowing.lock().contains(user_id) {
            return;
        }
        let (house, user_id) = (self.myself.clone(), user_id.to_owned());
        self.runtime.spawn(async move {
            if let Some(house) = house.upgrade() {
                house.tell_limit(&user_id, Some(&limit)).await;
            }
        });
    }

    /// Refuses to let somebody reject the invite to a notice room.
    pub(super) async fn check_rejection(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        let Some(settings) = &self.config.notices else {
            return Ok(());
        };
        if self.membership_here(room_id, user_id).await? == Some(MembershipState::Invite)
            && self.membership_here(room_id, &settings.user_id).await?
                == Some(MembershipState::Join)
        {
            return Err(HouseError::NoticeRoom);
        }
        Ok(())
    }

    async fn membership_here(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<MembershipState>, HouseError> {
        match self.room_access(room_id, user_id).await {
            Ok(access) => Ok(access.membership),
            Err(HouseError::Room(RoomError::UnknownRoom)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether somebody is the user as whom the server speaks: nobody gets into that account, whoever vouches for them.
    pub fn is_notifier(&self, user_id: &UserId) -> bool {
        let notices = self.config.notices.as_ref();
        notices.is_some_and(|notices| notices.user_id == *user_id)
    }

    /// Refuses a session to the user as whom the server speaks.
    pub(super) fn must_not_be_notifier(&self, user_id: &UserId) -> Result<(), HouseError> {
        if self.is_notifier(user_id) {
            let why = "this account is the server's own";
            return Err(HouseError::Forbidden(why.to_owned()));
        }
        Ok(())
    }

    fn notice_settings(&self) -> Result<&NoticeSettings, HouseError> {
        let why = || HouseError::InvalidParam("this server sends no notices".to_owned());
        self.config.notices.as_ref().ok_or_else(why)
    }

    async fn pin_limit(
        &self,
        settings: &NoticeSettings,
        (user_id, limit): (&UserId, &LimitNotice),
    ) -> Result<(), HouseError> {
        let room_id = self.notice_room(settings, user_id).await?;
        if !self.pinned(settings, &room_id).await?.is_empty() {
            return Ok(());
        }
        let mut content = json!({
            "msgtype": "m.server_notice",
            "server_notice_type": "m.server_notice.usage_limit_reached",
            "body": limit.message,
            "limit_type": limit.limit_type,
        });
        if let Some(contact) = &limit.admin_contact {
            content["admin_contact"] = json!(contact);
        }
        let notice = Notice {
            user_id: user_id.to_owned(),
            event_type: TimelineEventType::RoomMessage,
            state_key: None,
            content: content.to_string(),
            transaction_id: None,
        };
        let event_id = self.send_notice(notice).await?;
        self.pin(settings, &room_id, &[event_id]).await
    }

    async fn unpin_limit(
        &self,
        settings: &NoticeSettings,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        let Some(room_id) = self.known_notice_room(settings, user_id).await? else {
            return Ok(());
        };
        if self.pinned(settings, &room_id).await?.is_empty() {
            return Ok(());
        }
        self.pin(settings, &room_id, &[]).await
    }

    /// The events that are pinned in a notice room.
    async fn pinned(
        &self,
        settings: &NoticeSettings,
        room_id: &RoomId,
    ) -> Result<Vec<String>, HouseError> {
        #[derive(Default, Deserialize)]
        struct Content {
            #[serde(default)]
            pinned: Vec<String>,
        }
        let query = RoomQuery::StateEvent {
            reader: Reader {
                user_id: settings.user_id.clone(),
                device_id: None,
                ignored: Vec::new(),
                forgotten: None,
                sees_all: false,
            },
            event_type: StateEventType::RoomPinnedEvents,
            state_key: String::new(),
            content_only: true,
        };
        match self.room_query(room_id, query).await {
            Ok(RoomAnswer::Event(content)) => {
                let content: Content = serde_json::from_slice(&content).unwrap_or_default();
                Ok(content.pinned)
            }
            Ok(_) => Err(surprise("StateEvent")),
            Err(RoomError::NotFound) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }

    async fn pin(
        &self,
        settings: &NoticeSettings,
        room_id: &RoomId,
        events: &[OwnedEventId],
    ) -> Result<(), HouseError> {
        let event = SendEvent::new(
            settings.user_id.clone(),
            TimelineEventType::RoomPinnedEvents,
            json!({ "pinned": events }).to_string(),
        )
        .with_state_key("");
        self.send_event(room_id, event).await?;
        Ok(())
    }

    /// The notice room of a user, made if there is none.
    async fn notice_room(
        &self,
        settings: &NoticeSettings,
        user_id: &UserId,
    ) -> Result<OwnedRoomId, HouseError> {
        let _turn = self.notices.turn.lock().await;
        let _everywhere = self.desks.lock("notices", Places::ONE).await?;
        if let Some(room_id) = self.known_notice_room(settings, user_id).await? {
            return Ok(room_id);
        }
        self.be_there(settings).await?;
        let wish = RoomWish {
            creator: settings.user_id.clone(),
            version: None,
            preset: Some(Preset::PrivateChat),
            creation_content: Some(CREATION.to_owned()),
            alias_localpart: None,
            name: Some(settings.room_name.clone()),
            topic: settings.room_topic.clone(),
            invites: Vec::new(),
            is_direct: false,
            public: false,
            initial_state: Vec::new(),
            power_level_content_override: Some(POWERS.to_owned()),
        };
        let room_id = self.create_room(wish).await?.room_id;
        let tag = UserCommand::SetTag {
            room_id: room_id.clone(),
            tag: TAG.to_owned(),
            content: Some("{}".to_owned()),
        };
        self.user_command(user_id, tag).await?;
        self.invite_unasked(MemberWish {
            room_id: room_id.clone(),
            sender: settings.user_id.clone(),
            target: user_id.to_owned(),
            reason: None,
            extra_content: None,
            guest: false,
        })
        .await?;
        if settings.auto_join {
            let wish = JoinWish {
                user_id: user_id.to_owned(),
                guest: false,
                room: room_id.clone().into(),
                via: Vec::new(),
                reason: None,
                extra_content: None,
            };
            self.join(wish).await?;
        }
        Ok(room_id)
    }

    /// The notice room in which a user is, or into which the user is invited.
    async fn known_notice_room(
        &self,
        settings: &NoticeSettings,
        user_id: &UserId,
    ) -> Result<Option<OwnedRoomId>, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let both = (user_id.as_str(), settings.user_id.as_str());
        let found = memberships::room_with(&**self.models.store(), both).await?;
        Ok(found.and_then(|room_id| RoomId::parse(room_id).ok()))
    }

    /// The server's own user has an account into which nobody can log in, and looks as the operator wants.
    async fn be_there(&self, settings: &NoticeSettings) -> Result<(), HouseError> {
        let account = Register {
            password_hash: None,
            admin: false,
            guest: false,
            user_type: Some("bot".to_owned()),
            displayname: None,
            login: None,
            terms: None,
        };
        let command = UserCommand::Register(Box::new(account));
        match self.user_command(&settings.user_id, command).await {
            Ok(_) | Err(UserError::UserInUse) => {}
            Err(error) => return Err(error.into()),
        }
        let profile = self.profile(&settings.user_id).await?;
        let avatar = settings.avatar_url.as_ref().map(|url| json!(url));
        for (name, wanted) in [
            ("displayname", Some(json!(settings.displayname))),
            ("avatar_url", avatar),
        ] {
            let wanted = wanted.map(|value| value.to_string());
            let has = profile.iter().find(|(field, _)| field.as_str() == name);
            if has.map(|(_, value)| value.clone()) != wanted {
                self.set_profile_field(&settings.user_id, name, wanted)
                    .await?;
            }
        }
        Ok(())
    }
}
