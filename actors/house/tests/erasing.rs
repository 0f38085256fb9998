//! What is erased is in no file of the data folder.

use std::{fs, path::Path};

use ruma::{
    device_id,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde_json::json;

use super::{PATIENCE, Trial, message};
use crate::{
    passes::PassKind,
    room::message::SendEvent,
    user::{UserCommand, UserReply, message::Login},
};

const SECRET: &str = "out-damned-spot";

fn files_with(folder: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files_with(&path, text));
        } else if let Ok(bytes) = fs::read(&path)
            && bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        {
            found.push(path.display().to_string());
        }
    }
    found
}

fn login() -> Login {
    Login {
        device_id: Some(device_id!("PHONE").to_owned()),
        display_name: Some(format!("{SECRET} phone")),
        refresh: false,
        access_lifetime_ms: 300_000,
    }
}

async fn until_gone(trial: &Trial) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let left = files_with(trial.folder.path(), SECRET);
        if left.is_empty() {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "left in {left:?}");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_text_is_in_no_file() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let room_id = trial.room(&alice, |_| {}).await;
    let mut sent = Vec::new();
    for size in [1, 30, 300] {
        let text = SECRET.repeat(size);
        sent.push(trial.send(&room_id, message(&alice, &text)).await);
    }
    // Enough for a snapshot, and for pages to be written over and again.
    for number in 0..300 {
        let text = format!("message {number}");
        trial.send(&room_id, message(&alice, &text)).await;
    }
    assert!(!files_with(trial.folder.path(), SECRET).is_empty());
    for event_id in sent {
        let redaction = SendEvent {
            event_type: TimelineEventType::RoomRedaction,
            content: json!({ "redacts": event_id }).to_string(),
            redacts: Some(event_id),
            ..message(&alice, "")
        };
        trial.send(&room_id, redaction).await;
    }
    until_gone(&trial).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_account_is_in_no_file() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let house = &trial.house;
    house.login(&alice, login()).await.unwrap();
    let name = Some(json!(SECRET).to_string());
    let named = house.set_profile_field(&alice, "displayname", name);
    named.await.unwrap();
    let queued = UserCommand::QueueToDevice {
        message_id: None,
        sender: alice.clone(),
        event_type: "m.test".to_owned(),
        messages: vec![("PHONE".to_owned(), json!({ "body": SECRET }).to_string())],
    };
    house.user_command(&alice, queued).await.unwrap();
    // Enough for several snapshots of different sizes.
    for number in 0..450_usize {
        let set = UserCommand::SetAccountData {
            room_id: None,
            event_type: format!("org.example.{}", number % 90),
            content: Some(json!({ "text": SECRET.repeat(1 + number % 40) }).to_string()),
        };
        house.user_command(&alice, set).await.unwrap();
    }
    // Snapshots are written aside.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while files_with(trial.folder.path(), SECRET).len() < 2 {
        assert!(tokio::time::Instant::now() < deadline, "no snapshot");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    house.deactivate(&alice, true).await.unwrap();
    until_gone(&trial).await;
    // The name stays taken, also after a restart from the log.
    let trial = trial.restart().await;
    assert!(trial.house.login(&alice, login()).await.is_err());
    let again = UserCommand::EraseHistory(Vec::new());
    let answer = trial.house.user_command(&alice, again).await;
    assert!(matches!(answer, Ok(UserReply::Done)));
    assert!(files_with(trial.folder.path(), SECRET).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_open_again_has_nothing_of_before() {
    let trial = Trial::new().await;
    let (alice, bob) = (trial.user("alice").await, trial.user("bob").await);
    let room_id = trial.room(&alice, |_| {}).await;
    trial.join(&bob, &room_id).await.unwrap();
    let house = &trial.house;
    let (openid, _) = house.openid_token(&bob);
    let pass = house.make_pass(&bob, PassKind::Login, 600_000, String::new());
    let pass = pass.await.unwrap();
    let password = || Some("another horse".to_owned());
    assert!(!house.reopen(&bob, password()).await.unwrap());
    house.deactivate(&bob, true).await.unwrap();
    assert!(house.reopen(&bob, password()).await.unwrap());
    // At once: nothing of it is left to whoever follows the log.
    let membership = trial.membership(&room_id, &bob).await;
    assert_eq!(membership, Some(MembershipState::Leave));
    assert_eq!(house.openid_user(&openid).await.unwrap(), None);
    let plain = || Login {
        display_name: None,
        ..login()
    };
    assert!(house.login_by_token(&pass, plain()).await.is_err());
    assert!(!house.reopen(&bob, None).await.unwrap());
    // One from the very moment of the opening may be of before.
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let (openid, _) = house.openid_token(&bob);
        if house.openid_user(&openid).await.unwrap().as_ref() == Some(&bob) {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "never good");
    }
    trial.join(&bob, &room_id).await.unwrap();
    let trial = trial.restart().await;
    let house = &trial.house;
    let login = house.login_by_password("bob", "another horse".to_owned(), plain());
    login.await.unwrap();
    let account = house.account(&bob).await.unwrap();
    assert!(!account.deactivated && !account.erased && account.reopened_ms.is_some());
    let membership = trial.membership(&room_id, &bob).await;
    assert_eq!(membership, Some(MembershipState::Join));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_to_be_erased_is_erased_although_the_account_is_open_again() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let house = &trial.house;
    house.login(&alice, login()).await.unwrap();
    house.deactivate(&alice, true).await.unwrap();
    assert!(house.reopen(&alice, None).await.unwrap());
    until_gone(&trial).await;
    let trial = trial.restart().await;
    let account = trial.house.account(&alice).await.unwrap();
    assert!(!account.deactivated && account.password_hash.is_none());
}
