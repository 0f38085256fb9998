//! Flows on the real SQLite driver.

mod backlog;
mod cluster;
mod desks;
mod event_keys;
mod forgetting;
mod gateway;
mod handshakes;
mod journeys;
mod outboxes;
mod parcels;
mod remote;
mod reporting;
mod stale_devices;
mod standing;
mod upkeep;
mod wired;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    sync::Arc,
    time::Duration,
};

use playhouse_schema::{
    address::Family,
    drivers::{self, DatabaseConfig},
    port::{LogStore, StoreError},
};
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedUserId, RoomId, RoomVersionId, UserId,
    events::{TimelineEventType, room::member::MembershipState},
    server_name,
};
use serde_json::json;

use super::{
    House, HouseConfig, HouseError, JoinWish, MemberWish, NewAccount, RoomWish, UpgradeWish,
};
use crate::{
    alias::AliasError,
    env::{Env, Identity, Signer},
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{JsonText, Preset, Reader, SendEvent, StateContent},
    },
    user::message::UploadKeys,
};

mod erasing;

const PATIENCE: Duration = Duration::from_secs(120);

async fn store(folder: &Path) -> Arc<dyn LogStore> {
    let config = DatabaseConfig::Sqlite {
        folder: folder.to_owned(),
        writers: 1,
    };
    // What the last house held is let go a moment after it was dropped.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        match drivers::open(config.clone()).await {
            Ok(store) => return store,
            Err(StoreError::Locked(_)) if tokio::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            Err(error) => panic!("{error}"),
        }
    }
}

fn env() -> Env {
    Env::system(Identity {
        server_name: server_name!("example.org").to_owned(),
        signer: Signer::from_seed("1", &[7; 32]).unwrap(),
    })
}

/// Settings with which passwords cost little.
fn config(env: Env) -> HouseConfig {
    let mut config = HouseConfig::new(env);
    config.passwords.memory_kib = 8;
    config.passwords.passes = 1;
    config
}

async fn open(folder: &Path) -> Arc<House> {
    open_with(folder, env()).await
}

async fn open_with(folder: &Path, env: Env) -> Arc<House> {
    House::open(store(folder).await, config(env)).await.unwrap()
}

struct Trial {
    folder: tempfile::TempDir,
    house: Arc<House>,
}

impl Trial {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let house = open(folder.path()).await;
        Self { folder, house }
    }

    async fn restart(self) -> Self {
        let Self { folder, house } = self;
        house.close(PATIENCE).await;
        drop(house);
        let house = open(folder.path()).await;
        Self { folder, house }
    }

    async fn user(&self, name: &str) -> OwnedUserId {
        let new = NewAccount {
            username: Some(name.to_owned()),
            password: Some("secret".to_owned()),
            displayname: Some(name.to_uppercase()),
            ..NewAccount::default()
        };
        self.house.register(new).await.unwrap().user_id
    }

    async fn room(&self, creator: &UserId, wish: impl FnOnce(&mut RoomWish)) -> OwnedRoomId {
        let mut room = wish_of(creator);
        wish(&mut room);
        self.house.create_room(room).await.unwrap().room_id
    }

    async fn join(&self, user_id: &UserId, room_id: &RoomId) -> Result<OwnedRoomId, HouseError> {
        let wish = JoinWish {
            user_id: user_id.to_owned(),
            guest: false,
            room: room_id.to_owned().into(),
            via: Vec::new(),
            reason: None,
            extra_content: None,
        };
        self.house.join(wish).await
    }

    async fn send(&self, room_id: &RoomId, event: SendEvent) -> OwnedEventId {
        self.house.send_event(room_id, event).await.unwrap()
    }

    async fn membership(&self, room_id: &RoomId, user_id: &UserId) -> Option<MembershipState> {
        let access = self.house.room_access(room_id, user_id).await;
        access.unwrap().membership
    }

    async fn state(&self, room_id: &RoomId, user_id: &UserId) -> Vec<JsonText> {
        let reader = Reader {
            user_id: user_id.to_owned(),
            device_id: None,
            ignored: Vec::new(),
            forgotten: None,
            sees_all: false,
        };
        let answer = self.house.room_query(room_id, RoomQuery::State { reader });
        let RoomAnswer::Events(events) = answer.await.unwrap() else {
            panic!("State answers Events");
        };
        let texts = events
            .iter()
            .map(|event| without_age(&String::from_utf8_lossy(event)));
        let mut texts: Vec<_> = texts.collect();
        texts.sort();
        texts
    }
}

/// `unsigned.age` depends on when one asks.
fn without_age(event: &str) -> String {
    let mut event: serde_json::Value = serde_json::from_str(event).unwrap();
    if let Some(unsigned) = event["unsigned"].as_object_mut() {
        unsigned.remove("age");
    }
    event.to_string()
}

fn wish_of(creator: &UserId) -> RoomWish {
    RoomWish {
        creator: creator.to_owned(),
        version: None,
        preset: Some(Preset::PublicChat),
        creation_content: None,
        alias_localpart: None,
        name: Some("The Globe".to_owned()),
        topic: None,
        invites: Vec::new(),
        is_direct: false,
        public: false,
        initial_state: Vec::new(),
        power_level_content_override: None,
    }
}

fn message(sender: &UserId, body: &str) -> SendEvent {
    SendEvent::new(
        sender.to_owned(),
        TimelineEventType::RoomMessage,
        json!({ "msgtype": "m.text", "body": body }).to_string(),
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_conversation_survives_a_restart() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let room_id = trial
        .room(&alice, |wish| {
            wish.alias_localpart = Some("globe".to_owned());
        })
        .await;
    let house = &trial.house;
    assert!(!house.shares_a_room(&alice, &bob).await.unwrap());
    trial.join(&bob, &room_id).await.unwrap();
    // What was acknowledged counts at once.
    assert!(house.shares_a_room(&alice, &bob).await.unwrap());
    let joined = house.joined_rooms(&bob).await.unwrap();
    assert_eq!(joined, std::slice::from_ref(&room_id));
    let event_id = trial.send(&room_id, message(&bob, "to be")).await;
    let before = trial.state(&room_id, &alice).await;
    assert!(before.iter().any(|event| event.contains("\"BOB\"")));
    let trial = trial.restart().await;
    assert_eq!(trial.state(&room_id, &alice).await, before);
    let stored = trial.house.store.find(Family::Rooms, event_id.as_str());
    assert!(stored.await.unwrap().is_some());
    let alias = ruma::owned_room_alias_id!("#globe:example.org");
    let resolved = trial.house.resolve_alias(&alias).await.unwrap();
    assert_eq!(resolved.room_id, room_id);
    let aliases = trial.house.room_aliases(&room_id, &bob).await.unwrap();
    assert_eq!(aliases, [alias]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_two_rooms_gets_the_alias() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let mut wish = wish_of(&alice);
    wish.alias_localpart = Some("globe".to_owned());
    let (one, other) = tokio::join!(
        trial.house.create_room(wish.clone()),
        trial.house.create_room(wish)
    );
    let (won, lost) = if one.is_ok() {
        (one, other)
    } else {
        (other, one)
    };
    assert!(matches!(lost, Err(HouseError::Alias(AliasError::Taken(_)))));
    let alias = ruma::owned_room_alias_id!("#globe:example.org");
    let resolved = trial.house.resolve_alias(&alias).await.unwrap();
    assert_eq!(resolved.room_id, won.unwrap().room_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_room_lets_in_members_of_another() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let club = trial.room(&alice, |_| {}).await;
    let rules = json!({
        "join_rule": "restricted",
        "allow": [{ "type": "m.room_membership", "room_id": club }],
    });
    let room_id = trial
        .room(&alice, |wish| {
            wish.preset = Some(Preset::PrivateChat);
            wish.initial_state.push(StateContent {
                event_type: "m.room.join_rules".into(),
                state_key: String::new(),
                content: rules.to_string(),
            });
        })
        .await;
    let refused = trial.join(&bob, &room_id).await;
    assert!(matches!(
        refused,
        Err(HouseError::Room(RoomError::Forbidden(_)))
    ));
    trial.join(&bob, &club).await.unwrap();
    trial.join(&bob, &room_id).await.unwrap();
    let membership = trial.membership(&room_id, &bob).await;
    assert_eq!(membership, Some(MembershipState::Join));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upgrade_moves_what_can_move_and_can_be_repeated() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    for (from, to) in [
        (RoomVersionId::V10, RoomVersionId::V12),
        (RoomVersionId::V12, RoomVersionId::V11),
    ] {
        let old = trial
            .room(&alice, |wish| {
                wish.version = Some(from.clone());
                wish.alias_localpart = Some(format!("globe{from}"));
                wish.public = true;
            })
            .await;
        trial.join(&bob, &old).await.unwrap();
        let wish = UpgradeWish {
            room_id: old.clone(),
            user_id: alice.clone(),
            version: to.clone(),
            additional_creators: Vec::new(),
        };
        let mut by_bob = wish.clone();
        by_bob.user_id = bob.clone();
        assert!(trial.house.upgrade_room(by_bob).await.is_err());
        let new = trial.house.upgrade_room(wish.clone()).await.unwrap();
        assert_eq!(trial.house.upgrade_room(wish).await.unwrap(), new);
        let access = trial.house.room_access(&new, &alice).await.unwrap();
        assert_eq!((access.version, access.public), (to, true));
        assert_eq!(access.name.as_deref(), Some("The Globe"));
        let alias = access.canonical_alias.unwrap();
        let resolved = trial.house.resolve_alias(&alias).await.unwrap();
        assert_eq!(resolved.room_id, new);
        let old_state = trial.state(&old, &alice).await.concat();
        assert!(old_state.contains("m.room.tombstone") && old_state.contains(new.as_str()));
        assert!(
            trial
                .state(&new, &alice)
                .await
                .concat()
                .contains(old.as_str())
        );
        let muted = trial.house.send_event(&old, message(&bob, "hello?")).await;
        assert!(matches!(
            muted,
            Err(HouseError::Room(RoomError::Forbidden(_)))
        ));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redaction_erases_the_payload() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let room_id = trial.room(&alice, |_| {}).await;
    let event_id = trial.send(&room_id, message(&alice, "damned spot")).await;
    let stored = async || {
        let stored = trial.house.store.find(Family::Rooms, event_id.as_str());
        let payload = stored.await.unwrap().unwrap().payload;
        String::from_utf8_lossy(&payload).into_owned()
    };
    assert!(stored().await.contains("damned spot"));
    let redaction = SendEvent {
        event_type: TimelineEventType::RoomRedaction,
        content: json!({ "redacts": event_id }).to_string(),
        redacts: Some(event_id.clone()),
        ..message(&alice, "")
    };
    trial.send(&room_id, redaction).await;
    assert!(!stored().await.contains("damned spot"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_and_passwords() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let login = || crate::user::message::Login {
        device_id: None,
        display_name: None,
        refresh: false,
        access_lifetime_ms: 300_000,
    };
    for (user, password) in [("alice", "wrong"), ("nobody", "secret"), ("@x:y", "secret")] {
        let refused = trial
            .house
            .login_by_password(user, password.to_owned(), login())
            .await;
        assert_eq!(refused.unwrap_err(), HouseError::BadLogin);
    }
    let (user_id, session) = trial
        .house
        .login_by_password("alice", "secret".to_owned(), login())
        .await
        .unwrap();
    assert_eq!(user_id, alice);
    for _ in 0..2 {
        let found = trial
            .house
            .authenticate(&session.access_token)
            .await
            .unwrap();
        assert_eq!(found.user_id, alice);
    }
    let found = trial
        .house
        .authenticate(&session.access_token)
        .await
        .unwrap();
    trial.house.logout(&found).await.unwrap();
    assert!(
        trial
            .house
            .authenticate(&session.access_token)
            .await
            .is_err()
    );
    let taken = trial.house.available_user_id("ALICE").await;
    assert!(matches!(
        taken,
        Err(HouseError::User(crate::user::UserError::UserInUse))
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_and_departures_reach_the_rooms() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let room_id = trial.room(&alice, |_| {}).await;
    trial.join(&bob, &room_id).await.unwrap();
    let name = Some("\"Robert\"".to_owned());
    let set = trial.house.set_profile_field(&bob, "displayname", name);
    set.await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !trial
        .state(&room_id, &alice)
        .await
        .concat()
        .contains("Robert")
    {
        assert!(
            tokio::time::Instant::now() < deadline,
            "the name never came"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    trial.house.deactivate(&bob, false).await.unwrap();
    while trial.membership(&room_id, &bob).await == Some(MembershipState::Join) {
        assert!(tokio::time::Instant::now() < deadline, "never left");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Thousands of claims at once, while keys are uploaded again and again: each key goes to one claimer, in the order of upload.
#[tokio::test(flavor = "multi_thread")]
async fn concurrent_claims_never_share_a_key() {
    const CLAIMERS: usize = 40;
    const CLAIMS: usize = 100;
    const UPLOADS: usize = 60;
    const BATCH: usize = 50;
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let login = crate::user::message::Login {
        device_id: Some("ONE".into()),
        display_name: None,
        refresh: false,
        access_lifetime_ms: 300_000,
    };
    trial.house.login(&alice, login).await.unwrap();
    let uploader = async {
        for upload in 0..UPLOADS {
            // Half of each upload was there before.
            let first = upload * BATCH / 2;
            let keys = (first..first + BATCH).map(|id| (format!("a:{id:05}"), format!("\"{id}\"")));
            let upload = UploadKeys {
                device_id: "ONE".into(),
                device_keys: None,
                one_time_keys: keys.collect(),
                fallback_keys: Vec::new(),
            };
            trial.house.upload_keys(&alice, upload).await.unwrap();
        }
    };
    let claimer = |_| async {
        let mut claimed = Vec::new();
        for _ in 0..CLAIMS {
            let wish = BTreeMap::from([(alice.clone(), vec![("ONE".into(), "a".to_owned())])]);
            let answer = trial.house.claim_keys(wish, Duration::ZERO).await.unwrap();
            let keys = answer.one_time_keys.into_values().flatten();
            claimed.extend(keys.flat_map(|(_, keys)| keys.into_keys()));
        }
        assert!(claimed.is_sorted(), "keys come in the order of upload");
        claimed
    };
    let claimers = futures_util::future::join_all((0..CLAIMERS).map(claimer));
    let ((), claimed) = tokio::join!(uploader, claimers);
    let all: Vec<_> = claimed.into_iter().flatten().collect();
    let distinct: BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len(), "no key is given out twice");
    let uploaded = (UPLOADS + 1) * BATCH / 2;
    let counts = trial.house.upload_keys(
        &alice,
        UploadKeys {
            device_id: "ONE".into(),
            device_keys: None,
            one_time_keys: Vec::new(),
            fallback_keys: Vec::new(),
        },
    );
    let left: u64 = counts.await.unwrap().iter().map(|(_, count)| *count).sum();
    assert_eq!(all.len() + left as usize, uploaded, "no key is lost");
}
