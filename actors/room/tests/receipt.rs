use ruma::{OwnedEventId, RoomVersionId, events::receipt::ReceiptType};

use crate::room::{
    RoomCommand, RoomError,
    message::{MoveReceipt, Preset, SendEvent},
    testing::{Stage, message, user},
};

fn read(stage: &mut Stage, name: &str, event_id: &OwnedEventId) -> Result<u64, RoomError> {
    threaded(stage, name, event_id, None)
}

fn threaded(
    stage: &mut Stage,
    name: &str,
    event_id: &OwnedEventId,
    thread_id: Option<&str>,
) -> Result<u64, RoomError> {
    let before = stage.log.len();
    stage.run(RoomCommand::MoveReceipts(vec![MoveReceipt {
        user_id: user(name),
        receipt_type: ReceiptType::Read,
        thread_id: thread_id.map(str::to_owned),
        event_id: event_id.clone(),
        ts_ms: None,
        found: true,
    }]))?;
    Ok((stage.log.len() - before) as u64)
}

#[test]
fn receipts_never_go_backwards() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let first = stage.send(message("alice", "1")).unwrap();
    let second = stage.send(message("alice", "2")).unwrap();
    assert_eq!(read(&mut stage, "alice", &second), Ok(1));
    assert_eq!(read(&mut stage, "alice", &first), Ok(0));
    assert_eq!(read(&mut stage, "alice", &second), Ok(0));
    let old = "$0000000000000000000000000000000000000000000"
        .try_into()
        .unwrap();
    assert_eq!(read(&mut stage, "alice", &old), Ok(0));
    let third = stage.send(message("alice", "3")).unwrap();
    assert_eq!(read(&mut stage, "alice", &third), Ok(1));
    let receipt = stage.room.receipts.iter().next().unwrap().1;
    assert_eq!(receipt.moved.event_id, third.as_str());
    assert_eq!(receipt.position, receipt.sequence * 10);
    assert!(matches!(
        read(&mut stage, "bob", &third),
        Err(RoomError::Forbidden(_))
    ));
}

#[test]
fn threads_have_receipts_of_their_own() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let root = stage.send(message("alice", "root")).unwrap();
    let content =
        format!(r#"{{"body":"x","m.relates_to":{{"rel_type":"m.thread","event_id":"{root}"}}}}"#);
    let reply = SendEvent {
        content,
        ..message("alice", "")
    };
    let reply = stage.send(reply).unwrap();
    let plain = stage.send(message("alice", "plain")).unwrap();
    assert_eq!(
        threaded(&mut stage, "alice", &reply, Some(root.as_str())),
        Ok(1)
    );
    assert_eq!(threaded(&mut stage, "alice", &root, Some("main")), Ok(1));
    assert_eq!(threaded(&mut stage, "alice", &plain, Some("main")), Ok(1));
    assert_eq!(
        threaded(&mut stage, "alice", &root, Some(root.as_str())),
        Ok(0)
    );
    for (event_id, thread_id) in [(&reply, "main"), (&plain, root.as_str()), (&plain, "x")] {
        let refused = threaded(&mut stage, "alice", event_id, Some(thread_id));
        assert!(matches!(refused, Err(RoomError::InvalidParam(_))));
    }
    assert_eq!(stage.room.receipts.len(), 2);
}

#[test]
fn what_is_not_at_hand_must_have_been_found() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let first = stage.send(message("alice", "1")).unwrap();
    let read = |event_id: &OwnedEventId, found| {
        RoomCommand::MoveReceipts(vec![MoveReceipt {
            user_id: user("alice"),
            receipt_type: ReceiptType::Read,
            thread_id: None,
            event_id: event_id.clone(),
            ts_ms: None,
            found,
        }])
    };
    let old: OwnedEventId = "$0000000000000000000000000000000000000000000"
        .try_into()
        .unwrap();
    let refused = stage.run(read(&old, false)).err();
    assert_eq!(refused, Some(RoomError::NotAtHand));
    assert!(stage.run(read(&old, true)).is_ok());
    assert!(stage.run(read(&first, false)).is_ok());
}

#[test]
fn what_another_server_says_of_the_time_counts_unless_it_lies_ahead() {
    let mut stage = Stage::of(RoomVersionId::V12, Preset::PublicChat);
    let mut at = |ts_ms| {
        let event_id = stage.send(message("alice", "1")).unwrap();
        let moved = MoveReceipt {
            user_id: user("alice"),
            receipt_type: ReceiptType::Read,
            thread_id: None,
            event_id,
            ts_ms,
            found: true,
        };
        stage.run(RoomCommand::MoveReceipts(vec![moved])).unwrap();
        stage.room.receipts.iter().next().unwrap().1.moved.ts_ms
    };
    let now = at(None);
    assert_eq!(at(Some(5)), 5);
    assert!(at(Some(u64::MAX)) < u64::MAX);
    assert!(at(Some(u64::MAX)) >= now);
}
