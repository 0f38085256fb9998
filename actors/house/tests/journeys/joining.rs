//! Joining rooms of another server.

use ruma::{
    CanonicalJsonObject, OwnedServerName, ServerName,
    signatures::{add_content_hash_to_event, sign_event},
};
use serde_json::{Value as JsonValue, value::RawValue};

use super::{town::signer, *};
use crate::house::{RemoteRooms, receive::outlier};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_of_another_server_is_joined_and_spoken_in() {
    for version in [
        RoomVersionId::V1,
        RoomVersionId::V6,
        RoomVersionId::V11,
        RoomVersionId::V12,
    ] {
        let pair = Pair::new().await;
        let room_id = pair.room(Preset::PublicChat, version.clone()).await;
        pair.join(&room_id).await.unwrap();
        let joined = Some(MembershipState::Join);
        assert_eq!(pair.near.membership(&room_id, &pair.bob).await, joined);
        assert_eq!(pair.near.membership(&room_id, &pair.alice).await, joined);
        pair.listed(&pair.bob, &room_id, MembershipState::Join)
            .await;
        pair.say(&pair.near, (&room_id, &pair.bob), "from near")
            .await;
        pair.heard(&pair.far, &room_id, "from near").await;
        pair.say(&pair.far, (&room_id, &pair.alice), "from far")
            .await;
        pair.heard(&pair.near, &room_id, "from far").await;
        // All of it is still there after a crash.
        let pair = pair.crash().await;
        assert_eq!(pair.near.membership(&room_id, &pair.bob).await, joined);
        let near = pair.near.state(&room_id, &pair.bob).await;
        let far = pair.far.state(&room_id, &pair.alice).await;
        assert_eq!(near.len(), far.len(), "{version}");
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_is_too_large_is_not_joined_or_left_again() {
    let pair = Pair::new().await;
    *pair.town.joins.lock() = RemoteRooms {
        state_events_max: Some(3),
        message: "too large".to_owned(),
        any_for_administrators: false,
    };
    let pair = pair.crash().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    let too_large = Err(HouseError::TooComplex("too large".to_owned()));
    assert_eq!(pair.join(&room_id).await, too_large);
    let never = pair.far.membership(&room_id, &pair.bob).await;
    assert_eq!(never, None);
    // Nobody tells how large it is before.
    pair.town.old.lock().insert("complexity");
    assert_eq!(pair.join(&room_id).await, too_large);
    let left = Some(MembershipState::Leave);
    assert_eq!(pair.near.membership(&room_id, &pair.bob).await, left);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_users_come_in_at_once_through_one_handshake() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    let carol = pair.near.user("carol").await;
    let both = [
        pair.join_as(&pair.bob, &room_id),
        pair.join_as(&carol, &room_id),
    ];
    for joined in futures_util::future::join_all(both).await {
        joined.unwrap();
    }
    let asked = pair.town.asked.lock().clone();
    let made = asked.iter().filter(|(_, path)| path.contains("make_join"));
    assert_eq!(made.count(), 1);
    let joined = Some(MembershipState::Join);
    assert_eq!(pair.near.membership(&room_id, &carol).await, joined);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_passed_on_and_silence_is_told() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PrivateChat, RoomVersionId::V11).await;
    let refused = pair.join(&room_id).await.unwrap_err();
    assert!(
        matches!(&refused, HouseError::RefusedElsewhere { errcode, .. } if errcode == "M_FORBIDDEN"),
        "{refused}"
    );
    pair.town.gone.lock().insert(FAR.try_into().unwrap());
    let silent = pair.join(&room_id).await.unwrap_err();
    assert!(
        matches!(&silent, HouseError::RefusedElsewhere { errcode, .. } if errcode == "M_UNKNOWN"),
        "{silent}"
    );
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_servers_answer_with_a_pair() {
    let pair = Pair::new().await;
    pair.town.old.lock().insert("send_join");
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V6).await;
    pair.join(&room_id).await.unwrap();
    let joined = Some(MembershipState::Join);
    assert_eq!(pair.near.membership(&room_id, &pair.bob).await, joined);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_forged_in_the_state_is_left_out() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    *pair.town.spoil.lock() = Some(|answer| {
        let state = answer["state"].as_array_mut().unwrap();
        let rules = state
            .iter()
            .find(|event| event["type"] == "m.room.history_visibility");
        let mut forged = rules.unwrap().clone();
        forged["sender"] = json!("@mallory:far.example");
        state.retain(|event| event["type"] != "m.room.history_visibility");
        state.push(forged);
    });
    pair.join(&room_id).await.unwrap();
    let state = pair.near.state(&room_id, &pair.bob).await;
    let forged = r#""type":"m.room.history_visibility""#;
    assert!(!state.iter().any(|event| event.contains(forged)));
    // Without its create event nothing is a room.
    let other = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    *pair.town.spoil.lock() = Some(|answer| {
        let state = answer["state"].as_array_mut().unwrap();
        state.retain(|event| event["type"] != "m.room.create");
    });
    pair.join(&other).await.unwrap_err();
    // Trying again ends well.
    *pair.town.spoil.lock() = None;
    pair.join(&other).await.unwrap();
    pair.end().await;
}

/// One event of the state stands on more events than news may.
fn stand_on_many(answer: &mut JsonValue) {
    let mut state = answer["state"].as_array_mut().unwrap().iter_mut();
    let event = state.find(|event| event["type"] == "m.room.history_visibility");
    let event = event.unwrap();
    let many = (0..21).map(|index| format!("${index:043}"));
    event["prev_events"] = many.collect::<Vec<_>>().into();
    let mut object: CanonicalJsonObject = serde_json::from_value(event.take()).unwrap();
    object.remove("hashes");
    object.remove("signatures");
    let rules = RoomVersionId::V11.rules().unwrap();
    add_content_hash_to_event(&mut object).unwrap();
    let signer = signer(&ServerName::parse(FAR).unwrap());
    sign_event(FAR, &signer, &mut object, &rules.redaction).unwrap();
    *event = serde_json::to_value(object).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_state_of_an_old_room_may_stand_on_many_events() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    *pair.town.spoil.lock() = Some(stand_on_many);
    pair.join(&room_id).await.unwrap();
    let near = pair.near.state(&room_id, &pair.bob).await;
    let far = pair.far.state(&room_id, &pair.alice).await;
    assert_eq!(near.len(), far.len());
    let visible = r#""type":"m.room.history_visibility""#;
    assert!(near.iter().any(|event| event.contains(visible)));
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_that_was_cut_short_can_be_begun_again() {
    let pair = Pair::new().await;
    let version = RoomVersionId::V11;
    let room_id = pair.room(Preset::PublicChat, version.clone()).await;
    // What a very large room consists of is taken in part by part, before the join: this is the first.
    let first = RoomQuery::LiveAfter {
        sequence: 0,
        limit: 3,
    };
    let Ok(RoomAnswer::Live(events)) = pair.far.house.room_query(&room_id, first).await else {
        panic!("LiveAfter answers Live");
    };
    let raw = events.iter().map(|event| {
        let json = String::from_utf8(event.pdu.json().to_vec()).unwrap();
        RawValue::from_string(json).unwrap()
    });
    let near = &pair.near.house;
    let raw: Vec<_> = raw.collect();
    let (checked, _) = near.checked_of(&room_id, &version, &raw).await.unwrap();
    let part = checked.into_iter().map(outlier).collect();
    near.receive(&room_id, Some(version), part).await.unwrap();
    pair.join(&room_id).await.unwrap();
    let joined = Some(MembershipState::Join);
    assert_eq!(pair.near.membership(&room_id, &pair.bob).await, joined);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_comes_back_finds_the_room_as_it_is_now() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    pair.join(&room_id).await.unwrap();
    let wish = pair.wish(&room_id, &pair.bob);
    pair.near.house.leave(wish).await.unwrap();
    pair.heard(&pair.far, &room_id, r#""membership":"leave""#)
        .await;
    let state = StateContent {
        event_type: "m.room.topic".into(),
        state_key: String::new(),
        content: json!({ "topic": "meanwhile" }).to_string(),
    };
    let event = SendEvent::new(
        pair.alice.clone(),
        TimelineEventType::RoomTopic,
        state.content,
    )
    .with_state_key(state.state_key);
    pair.far.send(&room_id, event).await;
    pair.join(&room_id).await.unwrap();
    let state = pair.near.state(&room_id, &pair.bob).await;
    assert!(state.iter().any(|event| event.contains("meanwhile")));
    pair.say(&pair.near, (&room_id, &pair.bob), "back again")
        .await;
    pair.heard(&pair.far, &room_id, "back again").await;
    let pair = pair.crash().await;
    let again = pair.near.state(&room_id, &pair.bob).await;
    assert_eq!(state, again);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alias_of_another_server_leads_there() {
    let pair = Pair::new().await;
    let wish = |wish: &mut RoomWish| wish.alias_localpart = Some("hall".to_owned());
    let room_id = pair.far.room(&pair.alice, wish).await;
    let wish = JoinWish {
        user_id: pair.bob.clone(),
        guest: false,
        room: "#hall:far.example".try_into().unwrap(),
        via: Vec::new(),
        reason: None,
        extra_content: None,
    };
    assert_eq!(pair.near.house.join(wish).await.unwrap(), room_id);
    pair.end().await;
}

impl Pair {
    /// A restricted room into which the other server lets Bob, and Carol, whom nobody here can vouch for.
    pub(super) async fn vouched_room(&self) -> (OwnedRoomId, OwnedUserId) {
        let club = self.room(Preset::PublicChat, RoomVersionId::V11).await;
        let rules = json!({
            "join_rule": "restricted", "allow": [{ "type": "m.room_membership", "room_id": club }],
        });
        let restricted = |wish: &mut RoomWish| {
            wish.preset = Some(Preset::PrivateChat);
            wish.version = Some(RoomVersionId::V11);
            wish.initial_state = vec![StateContent {
                event_type: "m.room.join_rules".into(),
                state_key: String::new(),
                content: rules.to_string(),
            }];
        };
        let room_id = self.far.room(&self.alice, restricted).await;
        self.join(&room_id).await.unwrap();
        let carol = self.near.user("carol").await;
        // Nobody here may invite: the other server vouches again.
        let levels = SendEvent::new(
            self.alice.clone(),
            TimelineEventType::RoomPowerLevels,
            json!({ "users": { self.alice.as_str(): 100 }, "invite": 50 }).to_string(),
        )
        .with_state_key("");
        self.far.send(&room_id, levels).await;
        self.heard(&self.near, &room_id, r#""invite":50"#).await;
        self.join(&club).await.unwrap();
        self.join_as(&carol, &club).await.unwrap();
        (room_id, carol)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_room_is_joined_with_the_voucher_of_its_server() {
    let pair = Pair::new().await;
    let (room_id, carol) = pair.vouched_room().await;
    pair.join_as(&carol, &room_id).await.unwrap();
    let joined = Some(MembershipState::Join);
    assert_eq!(pair.near.membership(&room_id, &carol).await, joined);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_tells_of_an_unknown_version_is_not_the_last_to_be_asked() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    let odd: OwnedServerName = "odd.example".try_into().unwrap();
    pair.town.odd.lock().insert(odd.clone());
    let wish = |room_id: &RoomId| JoinWish {
        user_id: pair.bob.clone(),
        guest: false,
        room: room_id.to_owned().into(),
        via: vec![odd.clone(), FAR.try_into().unwrap()],
        reason: None,
        extra_content: None,
    };
    pair.near.house.join(wish(&room_id)).await.unwrap();
    let joined = Some(MembershipState::Join);
    assert_eq!(pair.near.membership(&room_id, &pair.bob).await, joined);
    // When nobody tells of another one, that is what is wrong.
    let other = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    pair.town.odd.lock().insert(FAR.try_into().unwrap());
    let unknown = pair.near.house.join(wish(&other)).await.unwrap_err();
    assert!(
        matches!(unknown, HouseError::Room(RoomError::UnsupportedVersion(_))),
        "{unknown}"
    );
    pair.end().await;
}
