use ruma::{RoomVersionId, events::room::member::MembershipState};

use crate::room::{
    RoomError,
    message::{ChangeMembership, MemberProfile, MembershipAction as Action, Preset},
    testing::{Stage, change, state, user},
};

fn forbidden<T: std::fmt::Debug>(result: Result<T, RoomError>) -> String {
    match result {
        Err(RoomError::Forbidden(reason)) => reason,
        other => panic!("expected Forbidden, got {other:?}"),
    }
}

fn membership(stage: &Stage, name: &str) -> Option<MembershipState> {
    stage.room.membership(&user(name))
}

fn join_rule(stage: &mut Stage, rule: &str) {
    let content = format!(r#"{{"join_rule":"{rule}","allow":[]}}"#);
    stage
        .send(state("alice", "m.room.join_rules", "", &content))
        .unwrap();
}

#[test]
fn public_rooms_are_joined_and_left() {
    for version in super::VERSIONS {
        let mut stage = Stage::of(version, Preset::PublicChat);
        let first = stage.join("bob").unwrap();
        assert_eq!(stage.join("bob").unwrap(), first, "no change, no event");
        assert_eq!(stage.room.joined_count, 2);
        let profile = MemberProfile {
            displayname: Some("Bob".to_owned()),
            avatar_url: None,
        };
        let renamed = stage
            .change(ChangeMembership {
                profile,
                ..change("bob", "bob", Action::Join)
            })
            .unwrap();
        assert_ne!(renamed, first);
        assert_eq!(stage.room.joined_count, 2);
        stage.change(change("bob", "bob", Action::Leave)).unwrap();
        assert_eq!(membership(&stage, "bob"), Some(MembershipState::Leave));
        assert_eq!(stage.room.joined_count, 1);
        forbidden(stage.change(change("carol", "carol", Action::Leave)));
    }
}

#[test]
fn private_rooms_need_an_invite() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PrivateChat);
    forbidden(stage.join("bob"));
    let direct = Action::Invite { is_direct: true };
    let first = stage.change(change("alice", "bob", direct)).unwrap();
    assert_eq!(stage.room.invited_count, 1);
    let content: serde_json::Value = stage.event(&first).pdu.content_as().unwrap();
    assert_eq!(content["is_direct"], true);
    stage.change(change("alice", "bob", direct)).unwrap();
    stage.join("bob").unwrap();
    assert_eq!((stage.room.joined_count, stage.room.invited_count), (2, 0));
    let again = forbidden(stage.change(change("alice", "bob", direct)));
    assert_eq!(again, "the user is already in the room");
    stage.invite("alice", "carol").unwrap();
    stage
        .change(change("carol", "carol", Action::Leave))
        .unwrap();
    assert_eq!(membership(&stage, "carol"), Some(MembershipState::Leave));
}

#[test]
fn kicks_and_bans_need_power_and_a_target() {
    let mut stage = Stage::of(RoomVersionId::V10, Preset::PublicChat);
    stage.join("bob").unwrap();
    stage.join("carol").unwrap();
    forbidden(stage.change(change("bob", "carol", Action::Kick)));
    forbidden(stage.change(change("bob", "alice", Action::Ban)));
    let reason = forbidden(stage.change(change("alice", "dave", Action::Kick)));
    assert_eq!(reason, "the user to kick is not in the room");
    stage
        .change(ChangeMembership {
            reason: Some("noise".to_owned()),
            ..change("alice", "carol", Action::Kick)
        })
        .unwrap();
    assert_eq!(membership(&stage, "carol"), Some(MembershipState::Leave));
    forbidden(stage.change(change("alice", "bob", Action::Unban)));
    stage.change(change("alice", "bob", Action::Ban)).unwrap();
    assert_eq!(
        forbidden(stage.join("bob")),
        "the user is banned from the room"
    );
    forbidden(stage.invite("alice", "bob"));
    stage.change(change("alice", "bob", Action::Unban)).unwrap();
    stage.join("bob").unwrap();
    forbidden(stage.change(change("alice", "bob", Action::Join)));
}

#[test]
fn knocking_begins_with_version_7() {
    let mut old = Stage::of(RoomVersionId::V6, Preset::PrivateChat);
    join_rule(&mut old, "knock");
    forbidden(old.change(change("bob", "bob", Action::Knock)));
    let mut stage = Stage::of(RoomVersionId::V7, Preset::PrivateChat);
    forbidden(stage.change(change("bob", "bob", Action::Knock)));
    join_rule(&mut stage, "knock");
    stage.change(change("bob", "bob", Action::Knock)).unwrap();
    assert_eq!(membership(&stage, "bob"), Some(MembershipState::Knock));
    stage.change(change("bob", "bob", Action::Leave)).unwrap();
    stage.change(change("bob", "bob", Action::Knock)).unwrap();
    stage.invite("alice", "bob").unwrap();
    stage.join("bob").unwrap();
}

#[test]
fn restricted_joins_need_a_voucher() {
    for version in [RoomVersionId::V8, RoomVersionId::V10, RoomVersionId::V12] {
        let mut stage = Stage::of(version, Preset::PrivateChat);
        join_rule(&mut stage, "restricted");
        let met = |name: &str| ChangeMembership {
            restriction_met: true,
            ..change(name, name, Action::Join)
        };
        forbidden(stage.join("bob"));
        let joined = stage.change(met("bob")).unwrap();
        let content: serde_json::Value = stage.event(&joined).pdu.content_as().unwrap();
        assert_eq!(
            content["join_authorised_via_users_server"],
            "@alice:localhost"
        );
        stage.invite("alice", "carol").unwrap();
        let invited = stage.join("carol").unwrap();
        let content: serde_json::Value = stage.event(&invited).pdu.content_as().unwrap();
        assert!(content.get("join_authorised_via_users_server").is_none());
        stage
            .change(change("alice", "alice", Action::Leave))
            .unwrap();
        // All who are left may invite in a private chat.
        stage.change(met("dave")).unwrap();
    }
}

#[test]
fn a_restricted_room_where_nobody_may_invite_cannot_let_in() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    stage.join("bob").unwrap();
    join_rule(&mut stage, "restricted");
    stage
        .change(change("alice", "alice", Action::Leave))
        .unwrap();
    let join = ChangeMembership {
        restriction_met: true,
        ..change("carol", "carol", Action::Join)
    };
    assert!(matches!(
        stage.change(join),
        Err(RoomError::UnableToGrantJoin(_))
    ));
}

#[test]
fn guests_join_where_guests_may() {
    let guest = |name: &str| ChangeMembership {
        guest: true,
        ..change(name, name, Action::Join)
    };
    let mut closed = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    assert_eq!(closed.change(guest("g")), Err(RoomError::GuestForbidden));
    let mut open = Stage::of(RoomVersionId::V11, Preset::PrivateChat);
    open.invite("alice", "g").unwrap();
    open.change(guest("g")).unwrap();
    let invite = ChangeMembership {
        guest: true,
        ..change("g", "bob", Action::Invite { is_direct: false })
    };
    assert_eq!(open.change(invite), Err(RoomError::GuestForbidden));
}

#[test]
fn member_state_of_ones_own_making_obeys_the_same_rules() {
    let mut stage = Stage::of(RoomVersionId::V11, Preset::PublicChat);
    let member = |sender: &str, target: &str, content: &str| {
        state(
            sender,
            "m.room.member",
            &format!("@{target}:localhost"),
            content,
        )
    };
    stage
        .send(member("bob", "bob", r#"{"membership":"join","x":1}"#))
        .unwrap();
    assert_eq!(membership(&stage, "bob"), Some(MembershipState::Join));
    forbidden(stage.send(member("alice", "bob", r#"{"membership":"invite"}"#)));
    forbidden(stage.send(member("alice", "zoe", r#"{"membership":"leave"}"#)));
    for content in ["{}", r#"{"membership":"x"}"#, r#"{"membership":1}"#] {
        let refused = stage.send(member("bob", "bob", content));
        assert!(matches!(refused, Err(RoomError::BadJson(_))), "{content}");
    }
    let nobody = stage.send(state(
        "bob",
        "m.room.member",
        "bob",
        r#"{"membership":"join"}"#,
    ));
    assert!(matches!(nobody, Err(RoomError::BadJson(_))));
}
