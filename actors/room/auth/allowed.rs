//! What the state in force has allowed already: so that the hundredth message of a member is not judged like the first.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedUserId, events::TimelineEventType};

use crate::room::pdu::Pdu;

/// Of so many senders at most.
const SENDERS_MAX: usize = 128;

/// Of so many kinds of event per sender at most.
const TYPES_MAX: usize = 8;

/// Kinds of event, by sender, that were accepted on the state in force. Whoever changes that state forgets them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Allowed {
    senders: Arc<BTreeMap<OwnedUserId, Vec<TimelineEventType>>>,
}

impl Allowed {
    /// Whether an event like this one was accepted on the same state.
    pub(crate) fn covers(&self, event: &Pdu) -> bool {
        depends_on_state_alone(event)
            && self
                .senders
                .get(&event.sender)
                .is_some_and(|types| types.contains(&event.event_type))
    }

    /// An event was accepted on the state in force.
    pub(crate) fn remember(&mut self, event: &Pdu) {
        if !depends_on_state_alone(event) || self.covers(event) {
            return;
        }
        if self.senders.len() >= SENDERS_MAX {
            self.forget();
        }
        let senders = Arc::make_mut(&mut self.senders);
        let types = senders.entry(event.sender.clone()).or_default();
        if types.len() < TYPES_MAX {
            types.push(event.event_type.clone());
        }
    }

    /// Of how many senders it knows.
    pub(crate) fn len(&self) -> usize {
        self.senders.len()
    }

    /// The state in force has changed.
    pub(crate) fn forget(&mut self) {
        if !self.senders.is_empty() {
            self.senders = Arc::default();
        }
    }
}

/// Whether the authorisation rules look at no more of the event than its sender and type: true of messages, whose content no rule reads.
fn depends_on_state_alone(event: &Pdu) -> bool {
    event.state_key.is_none()
        && event.redacts.is_none()
        && matches!(
            event.event_type,
            TimelineEventType::RoomMessage
                | TimelineEventType::RoomEncrypted
                | TimelineEventType::Reaction
                | TimelineEventType::Sticker
        )
}

#[cfg(test)]
mod tests {
    use ruma::{RoomVersionId, events::StateEventType};

    use crate::room::{
        RoomError,
        message::Preset,
        testing::{Stage, message, state},
    };

    #[test]
    fn a_change_of_power_is_not_overlooked() {
        let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
        stage.join("bob").unwrap();
        stage.send(message("bob", "judged")).unwrap();
        stage.send(message("bob", "covered")).unwrap();
        let mut levels = stage.content(StateEventType::RoomPowerLevels, "");
        levels["events_default"] = 50.into();
        let levels = levels.to_string();
        stage
            .send(state("alice", "m.room.power_levels", "", &levels))
            .unwrap();
        let refused = stage.send(message("bob", "too low"));
        assert!(
            matches!(refused, Err(RoomError::Forbidden(_))),
            "{refused:?}"
        );
        stage.send(message("alice", "high enough")).unwrap();
    }

    #[test]
    fn who_has_left_is_not_covered() {
        let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
        stage.join("bob").unwrap();
        stage.send(message("bob", "judged")).unwrap();
        let leave = r#"{"membership":"leave"}"#;
        stage
            .send(state("bob", "m.room.member", "@bob:localhost", leave))
            .unwrap();
        assert!(stage.send(message("bob", "from outside")).is_err());
    }
}
