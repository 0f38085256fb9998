//! What is told to other servers and stands in no log: who types, who is present.

use std::sync::Arc;

use ruma::{OwnedRoomId, OwnedServerName, OwnedUserId};
use tokio::sync::mpsc;

use crate::{
    followers::feeds::board::Hearsay, room::context::TypingListener, user::message::Presence,
};

/// So much may wait; more is dropped.
const WAITING_MAX: usize = 1_024;

/// Something volatile.
pub(super) enum Volatile {
    /// These local users type in a room.
    Typing(OwnedRoomId, Vec<OwnedUserId>),
    /// A local user's presence, for those in these rooms.
    Presence(OwnedUserId, Arc<Presence>, Vec<OwnedRoomId>),
}

/// Where rooms and users tell it.
pub struct Ears {
    own: OwnedServerName,
    sender: mpsc::Sender<Volatile>,
}

/// Ears, and what they heard.
pub(super) fn ears(own: OwnedServerName) -> (Ears, mpsc::Receiver<Volatile>) {
    let (sender, receiver) = mpsc::channel(WAITING_MAX);
    (Ears { own, sender }, receiver)
}

impl TypingListener for Ears {
    fn typing_changed(&self, room_id: &OwnedRoomId, mut users: Vec<OwnedUserId>) {
        users.retain(|user_id| user_id.server_name() == self.own);
        let typing = Volatile::Typing(room_id.clone(), users);
        let _ = self.sender.try_send(typing);
    }
}

impl Hearsay for Ears {
    fn presence_changed(
        &self,
        user_id: &OwnedUserId,
        presence: &Arc<Presence>,
        rooms: &[OwnedRoomId],
    ) {
        if user_id.server_name() == self.own {
            let changed = Volatile::Presence(user_id.clone(), presence.clone(), rooms.to_vec());
            let _ = self.sender.try_send(changed);
        }
    }
}
