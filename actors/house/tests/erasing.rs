//! What is erased is in no file of the data folder.

use std::{fs, path::Path};

use ruma::{device_id, events::TimelineEventType};
use serde_json::json;

use super::{PATIENCE, Trial, message};
use crate::{
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
