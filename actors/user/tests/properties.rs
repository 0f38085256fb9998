//! What must hold over any sequence of commands.

use std::collections::BTreeSet;

use proptest::{collection::vec, prelude::*};
use ruma::owned_room_id;

use super::{
    keys::{claim, upload},
    to_device::{acknowledge, queue},
    trial::{Trial, change, login, position},
};
use crate::user::{
    message::{ToDeviceIndex, UserCommand, UserReply},
    snapshot,
    state::User,
};

const DEVICES: [&str; 2] = ["ONE", "TWO"];

/// A command out of a small world, so that commands meet.
fn any_command() -> impl Strategy<Value = UserCommand> {
    let device = prop::sample::select(DEVICES.to_vec());
    let number = 0..4u8;
    prop_oneof![
        (device.clone(), any::<bool>())
            .prop_map(|(device, refresh)| UserCommand::Login(login(Some(device), refresh))),
        device
            .clone()
            .prop_map(|device| UserCommand::RemoveDevices {
                device_ids: vec![device.into()]
            }),
        (device.clone(), number.clone())
            .prop_map(|(device, number)| upload(device, &[(&format!("a:{number}"), "\"k\"")])),
        device
            .clone()
            .prop_map(|device| { UserCommand::ClaimKeys(vec![(device.into(), "a".to_owned())]) }),
        number
            .clone()
            .prop_map(|number| queue(&[("*", &format!("{{\"n\":{number}}}")), ("ONE", "{}")])),
        (device, 0..40u64, 0..2u64).prop_map(|(device, sequence, partial)| {
            acknowledge(device, ToDeviceIndex { sequence, partial })
        }),
        (number.clone(), any::<bool>()).prop_map(|(number, set)| UserCommand::SetAccountData {
            room_id: (number % 2 == 0).then(|| owned_room_id!("!r:example.org")),
            event_type: format!("type{number}"),
            content: set.then(|| "{}".to_owned()),
        }),
        number
            .clone()
            .prop_map(|number| UserCommand::SetProfileField {
                name: format!("field{number}"),
                value: Some(number.to_string()),
            }),
        number.prop_map(|number| UserCommand::StoreFilter(format!("{{\"n\":{number}}}"))),
        (0..4_u64).prop_map(|until| UserCommand::ForgetRoom {
            room_id: owned_room_id!("!r:example.org"),
            until,
        }),
        Just(UserCommand::SetLocked(false)),
    ]
}

/// Everything about a user, comparable.
fn all_of(user: &User) -> Vec<u8> {
    snapshot::write(user).to_vec()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn snapshot_and_tail_equal_the_whole_fold(
        commands in vec(any_command(), 1..60),
        cut in any::<prop::sample::Index>(),
    ) {
        let mut trial = Trial::with_devices(&DEVICES);
        for command in commands {
            let _ = trial.run(command);
        }
        let cut = cut.index(trial.log.len());
        let mut user = User::nothing(trial.user.user_id.clone());
        for (sequence, record) in (1..).zip(&trial.log) {
            user.fold(change(sequence, position(sequence)), record);
            if sequence == cut as u64 {
                user = snapshot::read(&snapshot::write(&user)).expect("a snapshot reads back");
            }
        }
        // The user on trial heard of positions only after its records were applied.
        prop_assert_eq!(all_of(&user), all_of(&trial.user));
    }

    #[test]
    fn no_one_time_key_is_given_out_twice(
        steps in vec((any::<bool>(), 0..6u8, 0..2u8), 1..200)
    ) {
        let mut trial = Trial::with_devices(&["ONE"]);
        let mut given = BTreeSet::new();
        for (uploads, number, content) in steps {
            if uploads {
                let key_id = format!("a:{number}");
                let _ = trial.run(upload("ONE", &[(&key_id, &format!("\"{content}\""))]));
            } else if let Some(key_id) = claim(&mut trial, "ONE", "a") {
                prop_assert!(given.insert(key_id.clone()), "{key_id} twice");
            }
        }
    }

    #[test]
    fn to_device_messages_come_once_and_in_order(
        steps in vec((0..4usize, 1..4usize, any::<bool>()), 1..80)
    ) {
        let mut trial = Trial::with_devices(&["ONE"]);
        let mut sent = Vec::new();
        let mut received = Vec::new();
        let mut index = ToDeviceIndex::default();
        for (count, limit, loses_answer) in steps {
            let contents: Vec<_> = (0..count).map(|_| {
                sent.push(sent.len());
                format!("{{\"n\":{}}}", sent.len() - 1)
            }).collect();
            let messages: Vec<_> = contents.iter().map(|content| ("ONE", content.as_str())).collect();
            trial.run(queue(&messages)).unwrap();
            // A sync with the token of the last answer: that answer has arrived, so its messages go.
            trial.run(acknowledge("ONE", index)).unwrap();
            let (told, next) = trial.user.to_device_after("ONE".into(), index, limit);
            if !loses_answer {
                received.extend(told.iter().map(|json| number(json)));
                index = next;
            }
        }
        loop {
            trial.run(acknowledge("ONE", index)).unwrap();
            let (told, next) = trial.user.to_device_after("ONE".into(), index, 3);
            if told.is_empty() {
                break;
            }
            received.extend(told.iter().map(|json| number(json)));
            index = next;
        }
        prop_assert_eq!(received, sent);
        prop_assert_eq!(trial.user.device("ONE".into()).unwrap().inbox.len(), 0);
    }
}

fn number(json: &str) -> usize {
    let event: serde_json::Value = serde_json::from_str(json).unwrap();
    event["content"]["n"].as_u64().unwrap() as usize
}

#[test]
fn claims_answer_for_closed_accounts_too() {
    let mut trial = Trial::with_devices(&["ONE"]);
    trial.done(UserCommand::Deactivate { erase: false });
    let wanted = vec![("ONE".into(), "a".to_owned())];
    let reply = trial.run(UserCommand::ClaimKeys(wanted));
    assert!(matches!(reply, Ok(UserReply::Claimed(keys)) if keys.is_empty()));
}
