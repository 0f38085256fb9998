//! Presence of other servers' users, as their servers tell it. Kept in memory only. Servers tell again and again of those who stay: whoever is not told of
//! for a while has gone.

use std::{
    collections::BTreeMap,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::models::memberships;
use ruma::{OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId, presence::PresenceState};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{House, HouseError, active_users};
use crate::{
    env::Env,
    followers::task::Running,
    user::{feed::surroundings::Board as _, message::Presence},
};

/// So many users of one event are looked at.
const PUSHES_MAX: usize = 200;

/// A status has at most so many characters.
const STATUS_CHARS_MAX: usize = 500;

/// In so many of a user's rooms others hear of it.
const ROOMS_MAX: usize = 1_000;

/// Who is not told of for so long has gone.
const GONE_AFTER_MS: u64 = 30 * 60 * 1000;

/// Between two looks for those who have gone.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Of whom another node was told has gone so much later.
const LONGER_MS: u64 = 2 * 60 * 1000;

/// So many users are there at once; of further ones nothing is believed.
const HEARD_MAX: usize = 10_000;

/// The places from here on are for those of whom this node is told.
const OVERHEARD_MAX: usize = HEARD_MAX / 2;

/// When each of other servers' users who are there was last told of, in ms since the epoch.
#[derive(Debug, Default)]
pub(super) struct Heard(Mutex<BTreeMap<OwnedUserId, u64>>);

impl Heard {
    /// Somebody is told of. Whether that is believed.
    fn note(&self, user_id: &UserId, presence: &PresenceState, now_ms: u64) -> bool {
        let mut heard = self.0.lock();
        if *presence == PresenceState::Offline {
            heard.remove(user_id);
            return true;
        }
        let has_room = heard.len() < HEARD_MAX || heard.contains_key(user_id);
        if has_room {
            heard.insert(user_id.to_owned(), now_ms);
        }
        has_room
    }

    /// Another node was told of somebody at a time: it notices the end. This one does a little later, in case that one has ended before.
    fn overhear(&self, user_id: &UserId, at_ms: u64) {
        let mut heard = self.0.lock();
        let known = heard.get(user_id);
        let is_news = known.is_none_or(|known| *known <= at_ms);
        if is_news && (known.is_some() || heard.len() < OVERHEARD_MAX) {
            heard.insert(user_id.to_owned(), at_ms.saturating_add(LONGER_MS));
        }
    }

    /// Takes out who has not been told of for too long.
    fn gone(&self, now_ms: u64) -> Vec<OwnedUserId> {
        let mut gone = Vec::new();
        self.0.lock().retain(|user_id, at_ms| {
            let stays = now_ms.saturating_sub(*at_ms) < GONE_AFTER_MS;
            if !stays {
                gone.push(user_id.clone());
            }
            stays
        });
        gone
    }
}

/// The followers, and what looks at something now and then as long as there is a house: where there are other servers, for those who have gone; and at who is active.
pub(super) fn watched(mut followers: Vec<Running>, env: &Env, house: &Weak<House>) -> Vec<Running> {
    let watch = env.network.is_on().then(|| watch(house.clone()));
    followers.extend(watch);
    followers.push(active_users::watch(house.clone()));
    followers
}

fn watch(house: Weak<House>) -> Running {
    Running::start(|mut stop| {
        Box::pin(async move {
            while stop.pause(LOOK_EVERY).await {
                match house.upgrade() {
                    Some(house) => house.let_the_silent_go().await,
                    None => return,
                }
            }
        })
    })
}

#[derive(Deserialize)]
pub(super) struct Pushes {
    push: Vec<Box<RawValue>>,
}

impl Pushes {
    /// Those of the first ones that make sense.
    fn good(&self) -> impl Iterator<Item = Push> {
        let first = self.push.iter().take(PUSHES_MAX);
        first.filter_map(|push| serde_json::from_str(push.get()).ok())
    }
}

#[derive(Deserialize)]
struct Push {
    user_id: OwnedUserId,
    presence: PresenceState,
    #[serde(default)]
    status_msg: Option<String>,
    #[serde(default)]
    last_active_ago: u64,
    #[serde(default)]
    currently_active: bool,
}

impl House {
    /// A server tells who of its users is there. Lost when nobody here listens.
    pub(super) async fn receive_presence(&self, origin: &ServerName, told: Pushes) {
        let now_ms = self.env.now_ms();
        let pushes: Vec<_> = told.good().collect();
        for push in pushes {
            let is_theirs = push.user_id.server_name() == origin;
            let is_known = matches!(
                push.presence,
                PresenceState::Online | PresenceState::Unavailable | PresenceState::Offline
            );
            if !is_theirs || !is_known {
                continue;
            }
            if !self
                .elsewhere
                .heard
                .note(&push.user_id, &push.presence, now_ms)
            {
                continue;
            }
            let status = push.status_msg.filter(|status| !status.is_empty());
            let presence = Presence {
                currently_active: push.currently_active && push.presence == PresenceState::Online,
                presence: push.presence,
                status_msg: status.map(|text| text.chars().take(STATUS_CHARS_MAX).collect()),
                active_ms: now_ms.saturating_sub(push.last_active_ago),
            };
            self.announce_other(&push.user_id, presence).await;
        }
    }

    pub(super) async fn announce_other(&self, user_id: &UserId, presence: Presence) {
        match self.rooms_of_other(user_id).await {
            Ok(rooms) if !rooms.is_empty() => {
                let board = &self.elsewhere.board;
                board.announce_presence(user_id, Arc::new(presence), &rooms);
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%user_id, %error, "presence is passed over"),
        }
    }

    /// Users of other servers that have not been told of for a while are offline.
    pub(super) async fn let_the_silent_go(&self) {
        let now_ms = self.env.now_ms();
        for (user_id, since) in self.elsewhere.board.take_overheard() {
            let since_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
            let at_ms = now_ms.saturating_sub(since_ms);
            let presence = self.remote_presence(&user_id).presence;
            let heard = &self.elsewhere.heard;
            if presence == PresenceState::Offline {
                heard.note(&user_id, &presence, at_ms);
            } else if !self.is_local(user_id.server_name()) {
                heard.overhear(&user_id, at_ms);
            }
        }
        for user_id in self.elsewhere.heard.gone(now_ms) {
            let known = self.remote_presence(&user_id);
            let gone = Presence {
                presence: PresenceState::Offline,
                currently_active: false,
                ..known
            };
            self.announce_other(&user_id, gone).await;
        }
    }

    async fn rooms_of_other(&self, user_id: &UserId) -> Result<Vec<OwnedRoomId>, HouseError> {
        let found = memberships::of_user(&**self.models.store(), user_id.as_str()).await?;
        let joined = found.iter().filter(|found| found.membership == "join");
        Ok(joined
            .filter_map(|found| RoomId::parse(&found.room_id).ok())
            .take(ROOMS_MAX)
            .collect())
    }

    /// What is known of the presence of another server's user.
    pub(super) fn remote_presence(&self, user_id: &UserId) -> Presence {
        let known = self.elsewhere.board.presence_of(user_id);
        known.map_or_else(
            || Presence {
                presence: PresenceState::Offline,
                status_msg: None,
                active_ms: 0,
                currently_active: false,
            },
            |known| (*known).clone(),
        )
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    #[test]
    fn who_is_not_told_of_has_gone() {
        let heard = Heard::default();
        let (anna, bert) = (user_id!("@anna:far.example"), user_id!("@bert:far.example"));
        assert!(heard.note(anna, &PresenceState::Online, 0));
        assert!(heard.note(bert, &PresenceState::Unavailable, 0));
        assert!(heard.note(bert, &PresenceState::Online, 1));
        assert!(heard.gone(GONE_AFTER_MS - 1).is_empty());
        assert_eq!(heard.gone(GONE_AFTER_MS), [anna]);
        // Of her the other node is told, which ends before it notices anything.
        heard.overhear(anna, 2);
        heard.overhear(anna, 3);
        assert!(!heard.gone(GONE_AFTER_MS + 3).contains(&anna.to_owned()));
        assert!(
            heard
                .gone(GONE_AFTER_MS + LONGER_MS + 2)
                .contains(&anna.to_owned())
        );
        // Of him this one was told later than the other.
        assert!(heard.note(bert, &PresenceState::Online, 9));
        heard.overhear(bert, 8);
        assert_eq!(heard.gone(GONE_AFTER_MS + 9), [bert]);
        assert!(heard.note(bert, &PresenceState::Offline, 2));
        assert!(heard.gone(u64::MAX).is_empty());
    }

    #[test]
    fn who_is_no_user_takes_nobody_with_it() {
        let told = r#"{"push": [
            5, {}, {"user_id": "nobody", "presence": "online"}, {"user_id": "@a:x"},
            {"user_id": "@b:x", "presence": "online", "last_active_ago": -5},
            {"user_id": "@c:x", "presence": "online", "last_active_ago": 5, "status_msg": null}
        ]}"#;
        let told: Pushes = serde_json::from_str(told).expect("a list");
        let users: Vec<_> = told.good().map(|push| push.user_id.to_string()).collect();
        assert_eq!(users, ["@c:x"]);
    }

    #[test]
    fn they_are_not_without_number() {
        let heard = Heard::default();
        let user = |number: usize| UserId::parse(format!("@{number}:far.example")).expect("one");
        for number in 0..HEARD_MAX {
            assert!(heard.note(&user(number), &PresenceState::Online, 0));
        }
        assert!(!heard.note(&user(HEARD_MAX), &PresenceState::Online, 0));
        assert!(heard.note(&user(0), &PresenceState::Online, 0));
    }
}
