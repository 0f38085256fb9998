use playhouse_schema::record::peer_user::PeerDevice;

use super::*;
use crate::kernel::parcel::crossed;

fn list(stream_id: u64) -> Box<FetchedDevices> {
    Box::new(FetchedDevices {
        stream_id,
        devices: vec![PeerDevice {
            device_id: "A".to_owned(),
            keys: "a".to_owned(),
        }],
        keys: PeerSigningKeys::default(),
        witness: SharedRoom {
            room_id: "!r:x".to_owned(),
            since: 1,
            local_user_id: "@me:x".to_owned(),
            local_since: 2,
        },
        at_ms: 7,
    })
}

fn change(stream_id: u64, device_id: &str, keys: Option<&str>, after: &[u64]) -> PeerUserCommand {
    PeerUserCommand::Change {
        change: PeerDeviceChanged {
            stream_id,
            device_id: device_id.to_owned(),
            keys: keys.map(str::to_owned),
        },
        after: after.to_vec(),
    }
}

/// What a command wrote, and whether the list is known then.
fn obey(user: &mut PeerUser, command: PeerUserCommand) -> (usize, bool) {
    let decision = user.judge(crossed(&command), 1);
    for record in &decision.records {
        user.take_in(record);
    }
    assert_eq!(decision.reply, user.list.is_some());
    (decision.records.len(), decision.reply)
}

fn names(user: &PeerUser) -> Vec<&str> {
    let list = user.list.as_ref().expect("a list");
    list.devices.keys().map(String::as_str).collect()
}

#[test]
fn changes_follow_each_other() {
    let mut user = PeerUser::default();
    let keep = PeerUserCommand::Keep {
        list: list(5),
        round: 0,
    };
    assert_eq!(obey(&mut user, keep), (1, true));
    assert_eq!(obey(&mut user, change(8, "B", Some("b"), &[5])), (1, true));
    assert_eq!(names(&user), ["A", "B"]);
    // Again, and an older one.
    assert_eq!(obey(&mut user, change(8, "B", Some("b"), &[5])), (0, true));
    assert_eq!(obey(&mut user, change(9, "A", None, &[8])), (1, true));
    assert_eq!(obey(&mut user, change(8, "A", Some("a"), &[5])), (0, true));
    // Another device under the same ID.
    assert_eq!(obey(&mut user, change(9, "C", Some("c"), &[8])), (1, true));
    assert_eq!(names(&user), ["B", "C"]);
}

#[test]
fn a_gap_makes_the_list_unknown() {
    for gap in [
        change(9, "B", Some("b"), &[7]),
        change(9, "B", Some("b"), &[]),
        change(9, "B", Some("b"), &[5, 7]),
        PeerUserCommand::Outdate,
    ] {
        let mut user = PeerUser::default();
        let keep = |round| PeerUserCommand::Keep {
            list: list(5),
            round,
        };
        assert_eq!(obey(&mut user, keep(0)), (1, true));
        assert_eq!(obey(&mut user, gap.clone()), (1, false));
        // Everybody is told of each further one.
        assert_eq!(obey(&mut user, gap), (1, false));
        // What was asked for before that is worth nothing.
        assert_eq!(obey(&mut user, keep(2)), (0, false));
        assert_eq!(obey(&mut user, keep(3)), (1, true));
    }
}

#[test]
fn what_was_asked_for_before_a_change_undoes_nothing() {
    let mut user = PeerUser::default();
    let keep = |round| PeerUserCommand::Keep {
        list: list(5),
        round,
    };
    obey(&mut user, keep(0));
    let asked = user.tell().round;
    assert_eq!(obey(&mut user, change(8, "B", Some("b"), &[5])), (1, true));
    assert_eq!(obey(&mut user, keep(asked)), (0, true));
    assert_eq!(names(&user), ["A", "B"]);
    let asked = user.tell().round;
    assert_eq!(obey(&mut user, keep(asked)), (1, true));
}

#[test]
fn signing_keys_change_one_by_one() {
    let mut user = PeerUser::default();
    let keep = PeerUserCommand::Keep {
        list: list(5),
        round: 0,
    };
    obey(&mut user, keep);
    let keys = |master: Option<&str>, self_signing: Option<&str>| {
        PeerUserCommand::ChangeKeys(PeerSigningKeys {
            master: master.map(str::to_owned),
            self_signing: self_signing.map(str::to_owned),
        })
    };
    assert_eq!(obey(&mut user, keys(Some("m"), None)), (1, true));
    assert_eq!(obey(&mut user, keys(None, Some("s"))), (1, true));
    assert_eq!(obey(&mut user, keys(Some("m"), Some("s"))), (0, true));
    assert_eq!(user.list.unwrap().keys.master.as_deref(), Some("m"));
}

#[test]
fn a_list_does_not_grow_for_ever() {
    let mut user = PeerUser::default();
    let keep = PeerUserCommand::Keep {
        list: list(0),
        round: 0,
    };
    obey(&mut user, keep);
    for number in 1..DEVICES_MAX as u64 {
        let name = number.to_string();
        let told = change(number, &name, Some("k"), &[number - 1]);
        assert_eq!(obey(&mut user, told), (1, true));
    }
    assert_eq!(user.list.as_ref().unwrap().seen.len(), SEEN_MAX);
    let last = DEVICES_MAX as u64;
    let told = change(last, "new", Some("k"), &[last - 1]);
    assert_eq!(obey(&mut user, told), (1, false));
}

#[test]
fn what_is_asked_and_answered_arrives() {
    crossed(&PeerUserQuery);
    let mut user = PeerUser::default();
    crossed(&user.tell());
    let keep = PeerUserCommand::Keep {
        list: list(5),
        round: 0,
    };
    obey(&mut user, keep);
    assert_eq!(crossed(&user.tell()).list, user.list);
    let refused = PeerUserError::Unavailable(Unavailable::Timeout);
    assert_eq!(crossed(&refused), refused);
}
