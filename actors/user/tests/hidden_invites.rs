//! Invites that a moderator hides, and shows again.

use playhouse_schema::{
    address::Entity,
    port::Snapshot,
    record::user::{HiddenInvite, InvitesHidden},
};
use ruma::RoomId;

use super::trial::Trial;
use crate::{
    kernel::{Domain as _, parcel::crossed},
    user::{
        User, UserError,
        feed::account::Account as _,
        hidden_invites,
        message::{InviteWish, UserAnswer, UserCommand, UserReply},
    },
};

const ONE: &str = "!one:example.org";
const OTHER: &str = "!other:example.org";

fn id(room_id: &str) -> &RoomId {
    <&RoomId>::try_from(room_id).expect("a room ID")
}

fn hide(run: u64, rooms: &[(&str, u64)]) -> UserCommand {
    let invites = rooms.iter().map(|(room_id, until)| HiddenInvite {
        room_id: (*room_id).to_owned(),
        until: *until,
    });
    let invites = invites.collect();
    UserCommand::TurnInvites(Box::new(InviteWish::Hide(InvitesHidden { run, invites })))
}

fn show(run: u64) -> UserCommand {
    UserCommand::TurnInvites(Box::new(InviteWish::Show(run)))
}

fn counted(alice: &mut Trial, command: UserCommand) -> u64 {
    match alice.run(command) {
        Ok(UserReply::Count(count)) => count,
        other => panic!("{other:?}"),
    }
}

/// Whether an invite that began with this record is hidden.
fn is_hidden(user: &User, room_id: &str, since: u64) -> bool {
    let turn = user.invite_turn(id(room_id), since);
    turn.is_some_and(|turn| turn.is_hidden_at(user.sequence))
}

#[test]
fn what_a_run_hides_comes_back_with_it() {
    let mut alice = Trial::with_devices(&[]);
    let before = alice.user.sequence;
    assert_eq!(counted(&mut alice, hide(7, &[(ONE, 3), (OTHER, 4)])), 2);
    assert!(is_hidden(&alice.user, ONE, 3) && is_hidden(&alice.user, OTHER, 4));
    // Invited again, it is another invite.
    assert!(!is_hidden(&alice.user, ONE, 5));
    assert_eq!(alice.user.invites_turned(before).len(), 2);
    // In flight it has not happened.
    let turn = alice.user.invite_turn(id(ONE), 3).unwrap();
    assert!(!turn.is_hidden_at(before) && turn.is_within(before, alice.user.sequence));
    // Said again, and by another run, nothing is written.
    assert_eq!(alice.done(hide(7, &[(ONE, 3)])), 0);
    assert_eq!(counted(&mut alice, hide(8, &[(ONE, 3)])), 0);
    assert_eq!(counted(&mut alice, show(8)), 0);
    let hidden = alice.user.sequence;
    assert_eq!(counted(&mut alice, show(7)), 2);
    assert!(!is_hidden(&alice.user, ONE, 3) && !is_hidden(&alice.user, OTHER, 4));
    // Clients are told of them again.
    assert_eq!(alice.user.invites_turned(hidden).len(), 2);
    assert!(alice.user.invites_turned(alice.user.sequence).is_empty());
    assert_eq!(alice.done(show(7)), 0);
}

#[test]
fn a_later_invite_is_hidden_anew() {
    let mut alice = Trial::with_devices(&[]);
    assert_eq!(counted(&mut alice, hide(7, &[(ONE, 3), (ONE, 3)])), 1);
    assert_eq!(counted(&mut alice, hide(8, &[(ONE, 9)])), 1);
    assert!(is_hidden(&alice.user, ONE, 9));
    // The older invite is gone with the newer one: there is nothing to show.
    assert_eq!(counted(&mut alice, show(7)), 0);
    assert!(is_hidden(&alice.user, ONE, 9));
    assert_eq!(counted(&mut alice, hide(8, &[(ONE, 12), (OTHER, 1)])), 2);
    assert_eq!(counted(&mut alice, show(8)), 2);
    assert!(!is_hidden(&alice.user, ONE, 12) && !is_hidden(&alice.user, OTHER, 1));
}

#[test]
fn others_are_told_what_is_hidden() {
    let mut alice = Trial::with_devices(&[]);
    counted(&mut alice, hide(7, &[(ONE, 3)]));
    counted(&mut alice, hide(8, &[(OTHER, 4)]));
    let told = hidden_invites::tell(&alice.user).map(|told| crossed(&told));
    let Ok(UserAnswer::HiddenInvites(hidden)) = told else {
        panic!("hidden invites expected");
    };
    let (one, other) = (id(ONE), id(OTHER));
    assert!(hidden.hides(one, 3) && hidden.hides(one, 2) && !hidden.hides(one, 4));
    assert!(hidden.hides_by(8, (other, 4)) && !hidden.hides_by(7, (other, 4)));
    counted(&mut alice, show(7));
    // The view does not move; a snapshot keeps what is.
    assert!(hidden.hides(one, 3));
    let snapshot = Snapshot {
        sequence: alice.user.sequence,
        version: User::SNAPSHOT_VERSION,
        payload: alice.user.to_snapshot(),
    };
    let entity = Entity::user("@alice:example.org");
    let woken = User::from_snapshot(&entity, &snapshot).expect("what was written is read");
    assert!(!is_hidden(&woken, ONE, 3) && is_hidden(&woken, OTHER, 4));
    assert_eq!(woken.invites_turned(0).len(), 2);
    // Whose account is closed has no invites, and nothing is hidden.
    alice.done(UserCommand::Deactivate { erase: false });
    assert!(!is_hidden(&alice.user, OTHER, 4));
    let told = hidden_invites::tell(&alice.user);
    assert_eq!(told.map(|_| ()), Err(UserError::Deactivated));
    assert_eq!(alice.refused(show(8)), UserError::Deactivated);
}
