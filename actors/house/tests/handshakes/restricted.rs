//! Joins into restricted rooms, for which a member of this server vouches.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_restricted_room_asks_for_its_conditions() {
    let stage = Stage::new().await;
    let lobby = stage.public_room(RoomVersionId::V10).await;
    let allow = |room_id: &str| {
        json!({
            "join_rule": "restricted",
            "allow": [{"type": "m.room_membership", "room_id": room_id}],
        })
    };
    let room_id = stage.room(RoomVersionId::V10, allow(lobby.as_str())).await;
    let unknown = stage
        .room(RoomVersionId::V10, allow("!elsewhere:far.example"))
        .await;
    let far = user("far-away.example");
    let whose: (&RoomId, &UserId) = (&room_id, &far);
    let refused = stage.shake(JOIN, whose).await;
    assert!(is_forbidden(&refused), "{refused:?}");
    let unsure = stage.template(JOIN, (&unknown, &far)).await;
    assert!(matches!(unsure, Err(HandshakeError::UnableToAuthorise)));
    stage.shake(JOIN, (&lobby, &far)).await.unwrap();
    let late = stage.made(JOIN, whose).await.unwrap();
    let told = stage.shake(JOIN, whose).await.unwrap();
    let event: JsonValue = serde_json::from_slice(&told.event).unwrap();
    let voucher = &event["content"]["join_authorised_via_users_server"];
    assert_eq!(voucher, stage.alice.as_str());
    // The conditions are judged again when the event comes.
    for room_id in [&room_id, &lobby] {
        let leave = stage.shake(Handshake::Leave, (room_id, &far)).await;
        leave.unwrap();
    }
    assert!(is_forbidden(&stage.hand(JOIN, whose, &late).await));
    // An invited user needs nobody to vouch.
    let invite = MembershipAction::Invite { is_direct: false };
    stage.change(&room_id, &far, invite).await;
    let told = stage.shake(JOIN, whose).await.unwrap();
    let event: JsonValue = serde_json::from_slice(&told.event).unwrap();
    assert!(event["content"]["join_authorised_via_users_server"].is_null());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_no_longer_vouch_sends_the_user_to_another_server() {
    let stage = Stage::new().await;
    let lobby = stage.public_room(RoomVersionId::V10).await;
    let rules = json!({
        "join_rule": "restricted",
        "allow": [{"type": "m.room_membership", "room_id": lobby.as_str()}],
    });
    let room_id = stage.room(RoomVersionId::V10, rules).await;
    let bob = stage.trial.user("bob").await;
    let invite = MembershipAction::Invite { is_direct: false };
    stage.change(&room_id, &bob, invite).await;
    stage.trial.join(&bob, &room_id).await.unwrap();
    let far = user("far-away.example");
    let whose: (&RoomId, &UserId) = (&room_id, &far);
    stage.shake(JOIN, (&lobby, &far)).await.unwrap();
    let late = stage.made(JOIN, whose).await.unwrap();
    assert!(late.json.get().contains(stage.alice.as_str()));
    let leave = MemberWish::of_oneself(&room_id, &stage.alice);
    stage.house().leave(leave).await.unwrap();
    let refused = stage.hand(JOIN, whose, &late).await;
    let is_another_asked = matches!(
        refused,
        Err(HandshakeError::House(HouseError::Room(
            RoomError::UnableToGrantJoin(_)
        )))
    );
    assert!(is_another_asked, "{refused:?}");
    assert_eq!(stage.trial.membership(&room_id, &far).await, None);
}
