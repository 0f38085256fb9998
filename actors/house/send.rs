//! Sending events: messages, state, redactions.

use std::collections::BTreeSet;

use playhouse_schema::address::Family;
use ruma::{OwnedEventId, OwnedRoomAliasId, RoomId, UserId, events::TimelineEventType};
use serde::Deserialize;

use super::{House, HouseError, surprise};
use crate::room::{
    RoomAnswer, RoomCommand, RoomError, RoomQuery, RoomReply,
    message::{Reader, Redact, RedactionTarget, SendEvent},
    redact::read_target,
};

#[derive(Default, Deserialize)]
struct CanonicalAlias {
    alias: Option<String>,
    #[serde(default)]
    alt_aliases: Vec<String>,
}

impl CanonicalAlias {
    fn all(&self) -> BTreeSet<&str> {
        let alternatives = self.alt_aliases.iter().map(String::as_str);
        self.alias
            .as_deref()
            .into_iter()
            .chain(alternatives)
            .collect()
    }
}

/// So many aliases a canonical alias event may add at once.
const ADDED_ALIASES_MAX: usize = 50;

impl House {
    /// Sends a message, a state event or a redaction (`redacts`), and gives the event's ID: the earlier one when the transaction was seen before.
    pub async fn send_event(
        &self,
        room_id: &RoomId,
        event: SendEvent,
    ) -> Result<OwnedEventId, HouseError> {
        let canonical_alias = event.event_type == TimelineEventType::RoomCanonicalAlias
            && event.state_key.as_deref() == Some("");
        if canonical_alias {
            self.check_canonical_alias(room_id, &event).await?;
        }
        if event.event_type == TimelineEventType::RoomMember {
            self.check_member_event(room_id, &event).await?;
        }
        let command = if event.event_type == TimelineEventType::RoomRedaction {
            let target = self.redaction_target(room_id, &event).await?;
            RoomCommand::Redact(Box::new(Redact { event, target }))
        } else {
            RoomCommand::SendEvent(Box::new(event))
        };
        match self.room_command(room_id, command).await? {
            RoomReply::Sent(event_id) => Ok(event_id),
            RoomReply::Done => Err(surprise("SendEvent")),
        }
    }

    /// An invite by hand asks the invited user like any other.
    async fn check_member_event(
        &self,
        room_id: &RoomId,
        event: &SendEvent,
    ) -> Result<(), HouseError> {
        #[derive(Deserialize)]
        struct Content {
            membership: Option<String>,
        }
        let invited = event.state_key.as_deref().map(UserId::parse);
        let Some(Ok(invited)) = invited else {
            return Ok(());
        };
        let content = serde_json::from_str::<Content>(&event.content).ok();
        let membership = content.and_then(|content| content.membership);
        if matches!(membership.as_deref(), Some("invite" | "join" | "knock")) {
            self.refuse_blocked(room_id).await?;
        }
        if membership.as_deref() != Some("invite") || !self.is_local(invited.server_name()) {
            return Ok(());
        }
        self.check_invite(&event.sender, &invited).await
    }

    /// What the log knows of the event to redact. From room version 11 on its ID stands in the content.
    async fn redaction_target(
        &self,
        room_id: &RoomId,
        event: &SendEvent,
    ) -> Result<Option<RedactionTarget>, HouseError> {
        #[derive(Deserialize)]
        struct Content {
            redacts: Option<OwnedEventId>,
        }
        let named = || {
            let content = serde_json::from_str::<Content>(&event.content).ok()?;
            content.redacts
        };
        let Some(event_id) = event.redacts.clone().or_else(named) else {
            return Ok(None);
        };
        let stored = self.store.find(Family::Rooms, event_id.as_str()).await?;
        Ok(stored.and_then(|stored| read_target(room_id, &stored)))
    }

    /// Aliases that a canonical alias event adds must exist and point here (client-server API, "Room aliases"): else `M_BAD_ALIAS`.
    async fn check_canonical_alias(
        &self,
        room_id: &RoomId,
        event: &SendEvent,
    ) -> Result<(), HouseError> {
        let new: CanonicalAlias = serde_json::from_str(&event.content)
            .map_err(|error| RoomError::BadJson(error.to_string()))?;
        let old = self.canonical_alias(room_id, event).await?;
        let old = old.all();
        let added: Vec<&str> = new.all().difference(&old).copied().collect();
        if added.len() > ADDED_ALIASES_MAX {
            return Err(RoomError::BadAlias("too many aliases at once".to_owned()).into());
        }
        for alias in added {
            let parsed = OwnedRoomAliasId::try_from(alias)
                .map_err(|_| HouseError::InvalidParam(format!("{alias} is no alias")))?;
            if !self.alias_points_to(&parsed, room_id).await? {
                let reason = format!("{alias} does not point to this room");
                return Err(RoomError::BadAlias(reason).into());
            }
        }
        Ok(())
    }

    /// The canonical alias in force, as far as the sender may see it.
    async fn canonical_alias(
        &self,
        room_id: &RoomId,
        event: &SendEvent,
    ) -> Result<CanonicalAlias, HouseError> {
        let query = RoomQuery::StateEvent {
            reader: Reader {
                user_id: event.sender.clone(),
                device_id: None,
                ignored: Vec::new(),
                forgotten: None,
                sees_all: false,
            },
            event_type: ruma::events::StateEventType::RoomCanonicalAlias,
            state_key: String::new(),
            content_only: true,
        };
        match self.room_query(room_id, query).await {
            Ok(RoomAnswer::Event(content)) => {
                Ok(serde_json::from_slice(&content).unwrap_or_default())
            }
            Ok(_) => Err(surprise("StateEvent")),
            Err(RoomError::NotFound) => Ok(CanonicalAlias::default()),
            Err(error) => Err(error.into()),
        }
    }
}
