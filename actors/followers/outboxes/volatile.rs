//! What is told to other servers and stands in no log: who types, who is present.

use std::{collections::BTreeSet, sync::Arc};

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
    /// A local user's presence, for those in these rooms and for these servers.
    Presence {
        user_id: OwnedUserId,
        presence: Arc<Presence>,
        rooms: Vec<OwnedRoomId>,
        servers: BTreeSet<OwnedServerName>,
    },
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
        observers: &BTreeSet<OwnedUserId>,
    ) {
        if user_id.server_name() == self.own {
            let elsewhere = observers
                .iter()
                .map(|observer| observer.server_name())
                .filter(|server| *server != self.own)
                .map(ToOwned::to_owned);
            let changed = Volatile::Presence {
                user_id: user_id.clone(),
                presence: presence.clone(),
                rooms: rooms.to_vec(),
                servers: elsewhere.collect(),
            };
            let _ = self.sender.try_send(changed);
        }
    }
}

#[cfg(test)]
mod tests {
    use ruma::{owned_server_name, owned_user_id, presence::PresenceState};

    use super::*;

    #[test]
    fn servers_of_observers_are_told_of_everybody_here() {
        let (ears, mut heard) = ears(owned_server_name!("here.test"));
        let presence = Arc::new(Presence {
            presence: PresenceState::Online,
            status_msg: None,
            active_ms: 0,
            currently_active: true,
        });
        let observers = ["@bot:here.test", "@bot:far.test"];
        let observers = observers.map(|name| OwnedUserId::try_from(name).unwrap());
        let observers = BTreeSet::from(observers);
        for user_id in [
            owned_user_id!("@anna:far.test"),
            owned_user_id!("@ben:here.test"),
        ] {
            ears.presence_changed(&user_id, &presence, &[], &observers);
        }
        let Ok(Volatile::Presence {
            user_id, servers, ..
        }) = heard.try_recv()
        else {
            panic!("nothing was heard");
        };
        assert_eq!(user_id, "@ben:here.test");
        assert_eq!(servers, BTreeSet::from([owned_server_name!("far.test")]));
        assert!(heard.try_recv().is_err());
    }
}
