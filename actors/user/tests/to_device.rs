//! To-device messages and transactions.

use ruma::owned_user_id;

use super::trial::Trial;
use crate::user::{
    error::UserError,
    message::{SendToDevice, ToDeviceIndex, UserCommand},
};

pub(super) fn queue(messages: &[(&str, &str)]) -> UserCommand {
    UserCommand::QueueToDevice {
        message_id: None,
        sender: owned_user_id!("@bob:example.org"),
        event_type: "m.test".to_owned(),
        messages: messages
            .iter()
            .map(|(device_id, content)| ((*device_id).to_owned(), (*content).to_owned()))
            .collect(),
    }
}

pub(super) fn acknowledge(device_id: &str, until: ToDeviceIndex) -> UserCommand {
    UserCommand::AcknowledgeToDevice {
        device_id: device_id.into(),
        until,
    }
}

fn waiting(trial: &Trial, device_id: &str) -> usize {
    trial.user.device(device_id.into()).unwrap().inbox.len()
}

#[test]
fn messages_reach_the_devices_of_the_moment() {
    let mut alice = Trial::with_devices(&["ONE", "TWO"]);
    alice.done(queue(&[
        ("*", "{\"n\":1}"),
        ("TWO", "{\"n\":2}"),
        ("NONE", "{}"),
    ]));
    alice.login("THREE");
    let waiting: Vec<_> = ["ONE", "TWO", "THREE"]
        .map(|device_id| waiting(&alice, device_id))
        .into();
    assert_eq!(waiting, [1, 2, 0]);
    let (messages, _) = alice
        .user
        .to_device_after("ONE".into(), ToDeviceIndex::default(), 10);
    assert_eq!(
        &*messages[0],
        "{\"sender\":\"@bob:example.org\",\"type\":\"m.test\",\"content\":{\"n\":1}}"
    );
    assert_eq!(alice.done(queue(&[("NONE", "{}")])), 0);
    assert!(matches!(
        alice.refused(queue(&[("ONE", "[]")])),
        UserError::BadJson(_)
    ));
}

#[test]
fn an_index_may_split_a_record() {
    let mut alice = Trial::with_devices(&["ONE"]);
    alice.done(queue(&[
        ("ONE", "{\"n\":1}"),
        ("ONE", "{\"n\":2}"),
        ("ONE", "{\"n\":3}"),
    ]));
    let (first, index) = alice
        .user
        .to_device_after("ONE".into(), ToDeviceIndex::default(), 2);
    assert_eq!(first.len(), 2);
    assert_eq!(index.partial, 2);
    alice.done(acknowledge("ONE", index));
    assert_eq!(alice.done(acknowledge("ONE", index)), 0);
    let (rest, index) = alice.user.to_device_after("ONE".into(), index, 2);
    assert_eq!(rest.len(), 1);
    assert!(rest[0].contains("\"n\":3"));
    alice.done(acknowledge("ONE", index));
    assert_eq!(waiting(&alice, "ONE"), 0);
}

#[test]
fn a_full_device_does_not_hold_up_the_others() {
    let mut alice = Trial::with_devices(&["FULL", "ONE"]);
    alice.limits.inbox_messages_max = 1;
    alice.done(queue(&[("FULL", "{}")]));
    alice.done(queue(&[("*", "{}")]));
    assert_eq!((waiting(&alice, "FULL"), waiting(&alice, "ONE")), (1, 1));
    assert!(matches!(
        alice.refused(queue(&[("*", "{}")])),
        UserError::TooLarge(_)
    ));
}

#[test]
fn an_index_from_the_future_deletes_nothing_that_comes_later() {
    let mut alice = Trial::with_devices(&["ONE"]);
    alice.done(queue(&[("ONE", "{}")]));
    let future = ToDeviceIndex {
        sequence: u64::MAX,
        partial: u64::MAX,
    };
    alice.done(acknowledge("ONE", future));
    assert_eq!(waiting(&alice, "ONE"), 0);
    alice.done(queue(&[("ONE", "{}")]));
    assert_eq!(waiting(&alice, "ONE"), 1);
}

#[test]
fn transactions_are_remembered_for_a_while() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let note = |number: usize| UserCommand::NoteTransaction {
        device_id: "ONE".into(),
        transaction_id: format!("sendToDevice/{number}"),
    };
    assert_eq!(alice.done(note(0)), 1);
    assert_eq!(alice.done(note(0)), 0);
    for number in 1..=200 {
        alice.done(note(number));
    }
    let device = alice.user.device("ONE".into()).unwrap();
    assert!(!device.has_done("sendToDevice/0"));
    assert!(device.has_done("sendToDevice/1") && device.has_done("sendToDevice/200"));
}

fn from(name: &str, id: &str) -> UserCommand {
    let mut command = queue(&[("*", "{}")]);
    if let UserCommand::QueueToDevice {
        message_id, sender, ..
    } = &mut command
    {
        *message_id = Some(id.to_owned());
        *sender = ruma::UserId::parse(format!("@{name}:example.org")).unwrap();
    }
    command
}

#[test]
fn what_a_busy_server_repeats_brings_nothing() {
    // So many come from one server within the seconds that it sends again after its death.
    const MESSAGES: usize = 4_000;
    let mut alice = Trial::with_devices(&["ONE"]);
    let future = ToDeviceIndex {
        sequence: u64::MAX,
        partial: u64::MAX,
    };
    for number in 0..MESSAGES {
        assert_eq!(alice.done(from("bob", &number.to_string())), 1);
        if number % 500 == 0 {
            alice.done(acknowledge("ONE", future));
        }
    }
    for number in 0..MESSAGES {
        assert_eq!(alice.done(from("bob", &number.to_string())), 0, "{number}");
    }
}

#[test]
fn a_repeated_sending_brings_nothing() {
    let mut alice = Trial::with_devices(&["ONE", "TWO"]);
    assert_eq!(alice.done(from("bob", "1")), 1);
    assert_eq!(alice.done(from("bob", "1")), 0);
    assert_eq!(alice.done(from("bob", "2")), 1);
    assert_eq!(alice.done(from("carol", "1")), 1);
    assert_eq!(waiting(&alice, "ONE"), 3);
    let restored = crate::user::snapshot::read(&crate::user::snapshot::write(&alice.user));
    assert!(
        restored
            .unwrap()
            .has_received(&super::super::queue_to_device::origin(
                ruma::user_id!("@bob:example.org"),
                "1"
            ))
    );
}

#[test]
fn what_is_no_message_takes_none_of_the_others_with_it() {
    let mut alice = Trial::with_devices(&["ONE", "TWO"]);
    let large = format!("{{\"n\":\"{}\"}}", "x".repeat(1 << 20));
    let messages = [("ONE", large.as_str()), ("ONE", "[]"), ("TWO", "{\"n\":1}")];
    assert!(matches!(
        alice.refused(queue(&messages)),
        UserError::TooLarge(_)
    ));
    let brought = |messages: &[(&str, &str)]| {
        let mut command = queue(messages);
        if let UserCommand::QueueToDevice { sender, .. } = &mut command {
            *sender = owned_user_id!("@bob:elsewhere.org");
        }
        command
    };
    assert_eq!(alice.done(brought(&messages)), 1);
    assert_eq!([waiting(&alice, "ONE"), waiting(&alice, "TWO")], [0, 1]);
    assert_eq!(alice.done(brought(&messages[..2])), 0);
}

#[test]
fn messages_to_other_servers_are_kept_once() {
    let mut alice = Trial::with_devices(&["ONE"]);
    let send = || {
        UserCommand::SendToDevice(Box::new(SendToDevice {
            device_id: Some("ONE".into()),
            transaction_id: "sendToDevice/m.test/1".to_owned(),
            message_id: "x".to_owned(),
            event_type: "m.test".to_owned(),
            remote: vec![(
                owned_user_id!("@bob:elsewhere.org"),
                "*".to_owned(),
                "{}".to_owned(),
            )],
        }))
    };
    assert_eq!(alice.done(send()), 2);
    assert_eq!(alice.done(send()), 0);
}
