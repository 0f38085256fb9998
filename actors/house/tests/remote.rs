//! What is asked of other servers and kept of them, against a scripted one.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::models::device_lists;
use ruma::{OwnedUserId, RoomId, UserId, server_name, signatures::PublicKeyMap, user_id};
use serde_json::Value as JsonValue;

use super::*;
use crate::{
    house::ReceivedEdu,
    network::{KeysWanted, Network, PeerError, PeerRequest},
    room::{
        RoomCommand,
        message::{ChangeMembership, MemberProfile, MembershipAction},
    },
};

/// Servers that give what they are told to give, by path.
#[derive(Default)]
pub(super) struct Script {
    answers: Mutex<BTreeMap<String, JsonValue>>,
    asked: Mutex<Vec<String>>,
}

impl Script {
    pub(super) fn set(&self, path: &str, answer: JsonValue) {
        self.answers.lock().insert(path.to_owned(), answer);
    }

    /// What was asked since the last time.
    pub(super) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock())
    }
}

struct Line(Arc<Script>);

impl Network for Line {
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let script = self.0.clone();
        Box::pin(async move {
            if request.path.contains("/send/") {
                return Ok(Bytes::from_static(b"{}"));
            }
            script.asked.lock().push(request.path.clone());
            let answer = script.answers.lock().get(&request.path).cloned();
            let answer = answer.ok_or(PeerError::Unreachable("gone".to_owned()))?;
            match answer["refused"].as_u64() {
                Some(status) => Err(PeerError::Refused {
                    status: status as u16,
                    errcode: "M_NOT_FOUND".to_owned(),
                    error: "no".to_owned(),
                }),
                None => Ok(Bytes::from(answer.to_string())),
            }
        })
    }

    fn keys(&self, _wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        Box::pin(async { PublicKeyMap::new() })
    }
}

pub(super) struct Stage {
    pub(super) trial: Trial,
    pub(super) script: Arc<Script>,
    pub(super) alice: OwnedUserId,
}

impl Stage {
    pub(super) async fn new() -> Self {
        let script = Arc::<Script>::default();
        let folder = tempfile::tempdir().unwrap();
        let env = env().with_network(Arc::new(Line(script.clone())));
        let house = open_with(folder.path(), env).await;
        let trial = Trial { folder, house };
        let alice = trial.user("alice").await;
        Self {
            trial,
            script,
            alice,
        }
    }

    pub(super) async fn room(&self) -> OwnedRoomId {
        let public = |wish: &mut RoomWish| wish.preset = Some(Preset::PublicChat);
        self.trial.room(&self.alice, public).await
    }

    pub(super) async fn become_member(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
        action: MembershipAction,
    ) {
        let change = ChangeMembership {
            sender: user_id.to_owned(),
            target: user_id.to_owned(),
            action,
            reason: None,
            profile: MemberProfile::default(),
            extra_content: None,
            restriction_met: false,
            guest: false,
        };
        let command = RoomCommand::ChangeMembership(Box::new(change));
        let house = &self.trial.house;
        house.room_command(room_id, command).await.unwrap();
    }

    async fn edu(&self, edu_type: &str, content: JsonValue) {
        let edu = json!({ "edu_type": edu_type, "content": content });
        let edu: ReceivedEdu = serde_json::from_value(edu).unwrap();
        let origin = server_name!("far.example");
        self.trial.house.receive_edu(origin, edu).await.unwrap();
    }

    /// The IDs of bob's devices, as alice is told.
    async fn devices(&self) -> Option<Vec<String>> {
        let bob = user_id!("@bob:far.example").to_owned();
        let wanted = BTreeMap::from([(bob.clone(), Vec::new())]);
        let within = Duration::from_secs(60);
        let house = &self.trial.house;
        let mut found = house.query_keys(&self.alice, wanted, within).await.unwrap();
        let devices = found.device_keys.remove(&bob);
        assert_eq!(devices.is_none(), found.failures.len() == 1);
        Some(devices?.into_keys().map(|name| name.to_string()).collect())
    }

    /// Waits until nothing more is being fetched.
    async fn settle(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(120);
        while self.trial.house.is_fetching_devices() {
            assert!(tokio::time::Instant::now() < deadline);
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    async fn changes(&self) -> u64 {
        let models = self.trial.house.models();
        models
            .caught_up(<device_lists::DeviceLists as playhouse_schema::models::Model>::NAME)
            .await
            .unwrap();
        let found = device_lists::of_user(&**models.store(), "@bob:far.example").await;
        found.unwrap().map_or(0, |change| change.position)
    }
}

const QUERY: &str = "/_matrix/federation/v1/user/keys/query";
const CLAIM: &str = "/_matrix/federation/v1/user/keys/claim";
const DEVICES: &str = "/_matrix/federation/v1/user/devices/%40bob%3Afar.example";

fn keys(device_id: &str) -> JsonValue {
    json!({ "user_id": "@bob:far.example", "device_id": device_id, "algorithms": [], "keys": {}, "signatures": {} })
}

fn list(stream_id: u64, names: &[&str]) -> JsonValue {
    let device = |name: &&str| json!({ "device_id": name, "keys": keys(name) });
    let devices: Vec<_> = names.iter().map(device).collect();
    json!({ "user_id": "@bob:far.example", "stream_id": stream_id, "devices": devices })
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_strangers_are_asked_for_and_those_of_neighbours_kept() {
    let stage = Stage::new().await;
    assert_eq!(stage.devices().await, None);
    let answer =
        json!({ "device_keys": { "@bob:far.example": { "A": keys("A"), "B": keys("A") } } });
    stage.script.set(QUERY, answer);
    let bob = user_id!("@bob:far.example");
    assert_eq!(stage.devices().await, Some(vec!["A".to_owned()]));
    stage.settle().await;
    // Who shares no room is asked for every time, and what is told of him is not kept.
    assert_eq!(stage.script.asked(), [QUERY, QUERY]);
    let update = |stream_id: u64, after: u64, name: &str| {
        json!({ "user_id": "@bob:far.example", "device_id": name, "device_display_name": "phone",
            "stream_id": stream_id, "prev_id": [after], "keys": keys(name) })
    };
    stage.edu("m.device_list_update", update(6, 5, "C")).await;
    assert_eq!(stage.changes().await, 0);

    let room_id = stage.room().await;
    stage
        .become_member(&room_id, bob, MembershipAction::Join)
        .await;
    stage.script.set(DEVICES, list(5, &["A"]));
    let models = stage.trial.house.models();
    models.caught_up("memberships").await.unwrap();
    stage.devices().await;
    stage.settle().await;
    assert_eq!(stage.script.asked(), [QUERY, DEVICES]);
    assert_eq!(stage.devices().await, Some(vec!["A".to_owned()]));
    assert_eq!(stage.script.asked(), Vec::<String>::new());
    assert_eq!(stage.changes().await, 0);

    stage.edu("m.device_list_update", update(6, 5, "C")).await;
    let told = stage.changes().await;
    assert!(told > 0);
    assert_eq!(stage.devices().await.unwrap(), ["A", "C"]);
    let gone = json!({ "user_id": "@bob:far.example", "device_id": "A", "stream_id": 7, "prev_id": [6], "deleted": true });
    stage.edu("m.device_list_update", gone).await;
    assert_eq!(stage.devices().await.unwrap(), ["C"]);
    assert_eq!(stage.script.asked(), Vec::<String>::new());

    // A gap: his server is asked again, once.
    stage.edu("m.device_list_update", update(9, 8, "D")).await;
    assert!(stage.changes().await > told);
    stage.script.set(DEVICES, list(9, &["C", "D"]));
    stage.devices().await;
    stage.settle().await;
    assert_eq!(stage.devices().await.unwrap(), ["C", "D"]);
    assert_eq!(stage.script.asked(), [QUERY, DEVICES]);

    // Once they parted nobody tells of changes any more.
    stage
        .become_member(&room_id, bob, MembershipAction::Leave)
        .await;
    models.caught_up("memberships").await.unwrap();
    assert_eq!(stage.devices().await.unwrap(), ["A"]);
    assert_eq!(stage.script.asked(), [QUERY]);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_time_keys_are_claimed_elsewhere() {
    let stage = Stage::new().await;
    let key = json!({ "signed_curve25519:1": { "key": "k" } });
    let answer = json!({ "one_time_keys": { "@bob:far.example": { "A": key, "B": key } } });
    stage.script.set(CLAIM, answer);
    let bob = user_id!("@bob:far.example").to_owned();
    let wanted = vec![("A".into(), "signed_curve25519".to_owned())];
    let wanted = BTreeMap::from([(bob.clone(), wanted)]);
    let house = &stage.trial.house;
    let claimed = house.claim_keys(wanted, Duration::from_secs(60)).await;
    let claimed = claimed.unwrap();
    assert_eq!(claimed.one_time_keys[&bob].len(), 1);
    assert_eq!(claimed.failures.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn profiles_and_names_are_asked_for() {
    let stage = Stage::new().await;
    let house = &stage.trial.house;
    let bob = user_id!("@bob:far.example");
    let path = "/_matrix/federation/v1/query/profile?user_id=%40bob%3Afar.example";
    let far = HouseError::Unreachable(server_name!("far.example").to_owned());
    assert_eq!(house.profile(bob).await.unwrap_err(), far);
    stage
        .script
        .set(path, json!({ "displayname": "Bob", "avatar_url": null }));
    for _ in 0..3 {
        let name = house.profile_field(bob, "displayname").await;
        assert_eq!(name.unwrap(), "\"Bob\"");
        assert!(house.profile_field(bob, "avatar_url").await.is_err());
    }
    assert_eq!(stage.script.asked(), [path, path]);
    let alias = ruma::room_alias_id!("#here:far.example");
    let path = "/_matrix/federation/v1/query/directory?room_alias=%23here%3Afar.example";
    assert_eq!(house.resolve_alias(alias).await.unwrap_err(), far);
    stage.script.set(path, json!({ "refused": 404 }));
    let unknown = HouseError::Alias(AliasError::Unknown);
    assert_eq!(house.resolve_alias(alias).await.unwrap_err(), unknown);
    let answer = json!({ "room_id": "!r:far.example", "servers": ["near.example", "no name"] });
    stage.script.set(path, answer);
    let found = house.resolve_alias(alias).await.unwrap();
    assert_eq!(found.room_id, "!r:far.example");
    assert_eq!(found.servers, ["far.example", "near.example"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn presence_is_told_to_those_who_share_a_room() {
    let stage = Stage::new().await;
    let house = &stage.trial.house;
    let bob = user_id!("@bob:far.example");
    let push = |user_id: &str| json!({ "push": [{ "user_id": user_id, "presence": "online", "last_active_ago": 5, "status_msg": "here" }] });
    stage.edu("m.presence", push("@bob:far.example")).await;
    assert!(house.presence(&stage.alice, bob).await.is_err());
    let room_id = stage.room().await;
    stage
        .become_member(&room_id, bob, MembershipAction::Join)
        .await;
    house.models().caught_up("memberships").await.unwrap();
    let status = async || house.presence(&stage.alice, bob).await.unwrap().status_msg;
    assert_eq!(status().await, None);
    stage.edu("m.presence", push("@bob:other.example")).await;
    assert_eq!(status().await, None);
    stage.edu("m.presence", push("@bob:far.example")).await;
    assert_eq!(status().await.as_deref(), Some("here"));
}
