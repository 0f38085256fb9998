//! Invites, knocks and leaves across servers.

use playhouse_schema::models::parked;

use super::*;
use crate::house::{AutoAccept, AutoAcceptKind};

impl Pair {
    /// Alice, on the other server, does something to Bob's membership.
    pub(super) async fn by_alice(
        &self,
        room_id: &RoomId,
        what: MembershipState,
    ) -> Result<(), HouseError> {
        let wish = MemberWish {
            sender: self.alice.clone(),
            ..self.wish(room_id, &self.bob)
        };
        match what {
            MembershipState::Invite => self.far.house.invite(wish, false).await,
            _ => self.far.house.kick(wish).await,
        }
    }

    /// What Bob is shown of a room that he is invited to, or knocks on.
    async fn shown(&self, room_id: &RoomId) -> String {
        let user_id = self.bob.clone();
        let query = RoomQuery::Stripped { user_id };
        let RoomAnswer::Events(events) = self.near.house.room_query(room_id, query).await.unwrap()
        else {
            panic!("Stripped answers Events");
        };
        let texts = events.iter().map(|event| String::from_utf8_lossy(event));
        texts.collect::<Vec<_>>().join("\n")
    }

    pub(super) async fn leave(&self, room_id: &RoomId) {
        let wish = self.wish(room_id, &self.bob);
        self.near.house.leave(wish).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_arrives_stays_and_leads_into_the_room() {
    for version in [RoomVersionId::V1, RoomVersionId::V11, RoomVersionId::V12] {
        let pair = Pair::new().await;
        if version == RoomVersionId::V1 {
            pair.town.old.lock().insert("invite");
        }
        let room_id = pair.room(Preset::PrivateChat, version).await;
        let invite = pair.by_alice(&room_id, MembershipState::Invite);
        invite.await.unwrap();
        pair.listed(&pair.bob, &room_id, MembershipState::Invite)
            .await;
        let pair = pair.crash().await;
        pair.listed(&pair.bob, &room_id, MembershipState::Invite)
            .await;
        let shown = pair.shown(&room_id).await;
        assert!(shown.contains("m.room.create"), "{shown}");
        assert!(shown.contains(pair.bob.as_str()), "{shown}");
        let invited = Some(MembershipState::Invite);
        assert_eq!(pair.far.membership(&room_id, &pair.bob).await, invited);
        // Without a server named: the inviter's is asked.
        pair.near.join(&pair.bob, &room_id).await.unwrap();
        pair.listed(&pair.bob, &room_id, MembershipState::Join)
            .await;
        pair.end().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_accepted_by_itself_also_after_a_failure_and_a_crash() {
    let pair = Pair::new().await;
    *pair.town.accepts.lock() = AutoAccept {
        kind: AutoAcceptKind::All,
        local_only: false,
    };
    let pair = pair.crash().await;
    let room_id = pair.room(Preset::PrivateChat, RoomVersionId::V11).await;
    let invite = pair.by_alice(&room_id, MembershipState::Invite);
    invite.await.unwrap();
    pair.listed(&pair.bob, &room_id, MembershipState::Join)
        .await;
    // The inviter's server is away when the invite is to be accepted.
    let room_id = pair.room(Preset::PrivateChat, RoomVersionId::V11).await;
    pair.town.gone.lock().insert(FAR.try_into().unwrap());
    let invite = pair.by_alice(&room_id, MembershipState::Invite);
    invite.await.unwrap();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    let models = pair.near.house.store().models();
    while parked::count(&*models).await.unwrap() == 0 {
        assert!(tokio::time::Instant::now() < deadline, "it is not parked");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(models);
    pair.town.gone.lock().clear();
    let pair = pair.crash().await;
    pair.listed(&pair.bob, &room_id, MembershipState::Join)
        .await;
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_invite_is_rejected_and_forgotten_whoever_answers() {
    let pair = Pair::new().await;
    for is_gone in [false, true] {
        let room_id = pair.room(Preset::PrivateChat, RoomVersionId::V11).await;
        let invite = pair.by_alice(&room_id, MembershipState::Invite);
        invite.await.unwrap();
        pair.listed(&pair.bob, &room_id, MembershipState::Invite)
            .await;
        let still = pair.near.house.forget(&room_id, &pair.bob).await;
        assert_eq!(still, Err(HouseError::StillInRoom));
        if is_gone {
            pair.town.gone.lock().insert(FAR.try_into().unwrap());
        }
        pair.leave(&room_id).await;
        pair.listed(&pair.bob, &room_id, MembershipState::Leave)
            .await;
        if !is_gone {
            let left = Some(MembershipState::Leave);
            assert_eq!(pair.far.membership(&room_id, &pair.bob).await, left);
        }
        pair.near.house.forget(&room_id, &pair.bob).await.unwrap();
    }
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_invited_who_is_not_there() {
    let pair = Pair::new().await;
    let room_id = pair.room(Preset::PrivateChat, RoomVersionId::V11).await;
    let wish = MemberWish {
        sender: pair.alice.clone(),
        target: "@nobody:near.example".try_into().unwrap(),
        ..pair.wish(&room_id, &pair.bob)
    };
    pair.far.house.invite(wish, false).await.unwrap_err();
    let nobody = UserId::parse("@nobody:near.example").unwrap();
    assert_eq!(pair.far.membership(&room_id, &nobody).await, None);
    pair.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_knock_is_shown_and_answered() {
    let pair = Pair::new().await;
    let knocking = |wish: &mut RoomWish| {
        wish.preset = Some(Preset::PrivateChat);
        wish.version = Some(RoomVersionId::V11);
        wish.initial_state = vec![StateContent {
            event_type: "m.room.join_rules".into(),
            state_key: String::new(),
            content: json!({ "join_rule": "knock" }).to_string(),
        }];
    };
    let room_id = pair.far.room(&pair.alice, knocking).await;
    let wish = || JoinWish {
        user_id: pair.bob.clone(),
        guest: false,
        room: room_id.clone().into(),
        via: vec![FAR.try_into().unwrap()],
        reason: Some("please".to_owned()),
        extra_content: None,
    };
    pair.near.house.knock(wish()).await.unwrap();
    pair.listed(&pair.bob, &room_id, MembershipState::Knock)
        .await;
    assert!(pair.shown(&room_id).await.contains("Far"));
    let knocks = Some(MembershipState::Knock);
    assert_eq!(pair.far.membership(&room_id, &pair.bob).await, knocks);
    pair.leave(&room_id).await;
    pair.listed(&pair.bob, &room_id, MembershipState::Leave)
        .await;
    pair.near.house.knock(wish()).await.unwrap();
    pair.listed(&pair.bob, &room_id, MembershipState::Knock)
        .await;
    let invite = pair.by_alice(&room_id, MembershipState::Invite);
    invite.await.unwrap();
    pair.listed(&pair.bob, &room_id, MembershipState::Invite)
        .await;
    // And taken back.
    let kick = pair.by_alice(&room_id, MembershipState::Leave);
    kick.await.unwrap();
    pair.listed(&pair.bob, &room_id, MembershipState::Leave)
        .await;
    pair.end().await;
}
