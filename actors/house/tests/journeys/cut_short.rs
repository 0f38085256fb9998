//! Joins of which this server does not hear how they end.

use std::sync::atomic::Ordering;

use ruma::OwnedServerName;

use super::*;

/// When so much time is gone, milliseconds, no server is at work any more on what it was sent.
const LONG_MS: u64 = 11 * 60 * 1_000;

/// Waits until something is so.
async fn until(what: &str, is_so: impl AsyncFn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !is_so().await {
        assert!(
            tokio::time::Instant::now() < deadline,
            "not in time: {what}"
        );
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The other server has seen Bob leave, and here nothing is left to be done.
async fn taken_back(pair: &Pair, room_id: &RoomId) {
    pair.heard(&pair.far, room_id, r#""membership":"leave""#)
        .await;
    let left = Some(MembershipState::Leave);
    assert_eq!(pair.far.membership(room_id, &pair.bob).await, left);
    nothing_is_left(pair).await;
}

/// So often somebody was asked for a leave.
fn leaves_asked(pair: &Pair) -> usize {
    let asked = pair.town.asked.lock();
    let leaves = asked.iter();
    leaves
        .filter(|(_, path)| path.contains("/make_leave/"))
        .count()
}

async fn nothing_is_left(pair: &Pair) {
    until("no join is under way", async || {
        pair.near.house.joins_under_way().await.unwrap().is_empty()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_whose_answer_is_lost_is_taken_back() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    pair.town.lost.lock().insert("send_join");
    pair.join(&room_id).await.unwrap_err();
    taken_back(&pair, &room_id).await;
    // Trying again ends well.
    pair.town.lost.lock().clear();
    pair.join(&room_id).await.unwrap();
    let joined = Some(MembershipState::Join);
    assert_eq!(pair.far.membership(&room_id, &pair.bob).await, joined);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_without_an_answer_can_be_seen_and_cancelled() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    let house = &pair.near.house;
    let nobody = house
        .cancel_join(&room_id, &pair.bob, "@boss:near.example")
        .await;
    assert_eq!(nobody, Err(HouseError::Room(RoomError::NotFound)));
    pair.town.held.lock().insert("send_join");
    let joining = async {
        let error = pair.join(&room_id).await.unwrap_err();
        assert!(matches!(error, HouseError::Forbidden(_)), "{error}");
    };
    let cancelling = async {
        let joined = Some(MembershipState::Join);
        until("the other server lets the user in", async || {
            pair.far.membership(&room_id, &pair.bob).await == joined
        })
        .await;
        let seen = house.joins_under_way().await.unwrap();
        let [join] = &seen[..] else {
            panic!("{seen:?}");
        };
        assert_eq!(join.begun.room_id, room_id.as_str());
        assert_eq!(join.begun.user_id, pair.bob.as_str());
        assert_eq!(join.sent[0].server, FAR);
        let cancelled = house
            .cancel_join(&room_id, &pair.bob, "@boss:near.example")
            .await;
        assert!(cancelled.is_ok());
    };
    tokio::join!(joining, cancelling);
    pair.town.held.lock().clear();
    taken_back(&pair, &room_id).await;
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_stands_when_the_join_that_answers_it_does_not_arrive() {
    for version in [RoomVersionId::V1, RoomVersionId::V11] {
        let pair = Pair::new().await;
        let room_id = pair.room(Preset::PrivateChat, version).await;
        let invite = pair.by_alice(&room_id, MembershipState::Invite);
        invite.await.unwrap();
        pair.town.deaf.lock().insert("send_join");
        pair.join(&room_id).await.unwrap_err();
        pair.town.ahead_ms.store(LONG_MS, Ordering::Relaxed);
        nothing_is_left(&pair).await;
        let invited = Some(MembershipState::Invite);
        assert_eq!(pair.far.membership(&room_id, &pair.bob).await, invited);
        pair.listed(&pair.bob, &room_id, MembershipState::Invite)
            .await;
        let asked = pair.town.asked.lock().clone();
        let has = |word: &str| asked.iter().any(|(_, path)| path.contains(word));
        assert!(has("/make_leave/"));
        assert!(!has("/send_leave/"), "the invite is rejected");
        // Trying again ends well.
        pair.town.deaf.lock().clear();
        pair.join(&room_id).await.unwrap();
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_stands_when_a_server_outside_the_room_takes_the_leave() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PrivateChat, RoomVersionId::V11).await;
    let invite = pair.by_alice(&room_id, MembershipState::Invite);
    invite.await.unwrap();
    pair.listed(&pair.bob, &room_id, MembershipState::Invite)
        .await;
    let outsider: OwnedServerName = "outsider.example".try_into().unwrap();
    pair.town.outsiders.lock().insert(outsider.clone());
    pair.town.gone.lock().insert(FAR.try_into().unwrap());
    let house = &pair.near.house;
    let wish = JoinWish {
        user_id: pair.bob.clone(),
        guest: false,
        room: room_id.clone().into(),
        via: vec![outsider],
        reason: None,
        extra_content: None,
    };
    house.join(wish).await.unwrap_err();
    nothing_is_left(&pair).await;
    let asked = pair.town.asked.lock().clone();
    let has = |word: &str| asked.iter().any(|(_, path)| path.contains(word));
    assert!(has("/send_leave/"));
    assert!(house.is_invited(&room_id, &pair.bob).await.unwrap());
    // Its own server knows nothing of all that.
    pair.town.gone.lock().clear();
    pair.join(&room_id).await.unwrap();
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_leaves_is_not_brought_in_any_more() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    pair.town.held.lock().insert("send_join");
    let joining = async {
        pair.join(&room_id).await.unwrap_err();
    };
    let leaving = async {
        let joined = Some(MembershipState::Join);
        until("the other server lets the user in", async || {
            pair.far.membership(&room_id, &pair.bob).await == joined
        })
        .await;
        pair.leave(&room_id).await;
    };
    tokio::join!(joining, leaving);
    pair.town.held.lock().clear();
    taken_back(&pair, &room_id).await;
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn that_there_is_nothing_to_be_left_is_not_believed_at_once() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PublicChat, RoomVersionId::V11).await;
    pair.town.deaf.lock().insert("send_join");
    pair.join(&room_id).await.unwrap_err();
    let house = &pair.near.house;
    let cancelled = house
        .cancel_join(&room_id, &pair.bob, "@boss:near.example")
        .await;
    assert!(cancelled.is_ok());
    let before = leaves_asked(&pair);
    until("the other server has refused more than once", async || {
        leaves_asked(&pair) >= before + 2
    })
    .await;
    assert_eq!(house.joins_under_way().await.unwrap().len(), 1);
    pair.town.ahead_ms.store(LONG_MS, Ordering::Relaxed);
    nothing_is_left(&pair).await;
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_leaves_a_room_that_is_known_here_is_not_brought_in_any_more() {
    let pair = Pair::new().await;
    let (room_id, carol) = pair.vouched_room().await;
    pair.town.held.lock().insert("send_join");
    let joining = async {
        pair.join_as(&carol, &room_id).await.unwrap_err();
    };
    let leaving = async {
        let joined = Some(MembershipState::Join);
        until("the other server lets the user in", async || {
            pair.far.membership(&room_id, &carol).await == joined
        })
        .await;
        let wish = MemberWish {
            sender: carol.clone(),
            ..pair.wish(&room_id, &carol)
        };
        pair.near.house.leave(wish).await.unwrap();
    };
    tokio::join!(joining, leaving);
    pair.town.held.lock().clear();
    let left = Some(MembershipState::Leave);
    until("the other server has seen the user leave", async || {
        pair.far.membership(&room_id, &carol).await == left
    })
    .await;
    pair.town.ahead_ms.store(LONG_MS, Ordering::Relaxed);
    nothing_is_left(&pair).await;
    let joined = Some(MembershipState::Join);
    until("the user is not in the room here either", async || {
        pair.near.membership(&room_id, &carol).await != joined
    })
    .await;
    pair.end().await;
}
