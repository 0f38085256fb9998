use std::sync::Arc;

use playhouse_schema::{
    address::{Family, Layout, Shard},
    record::server::{Departed, EventRun, Lag, Owed, Progress, ServerRecord},
};
use ruma::{ServerName, owned_user_id, room_id, server_name};

use super::{
    OutboxBoard, Server, ServerCommand, ServerError, ServerQuery, ServerSignal,
    board::{Direct, Place, Positions},
    body::{Batch, receipt_edus},
};
use crate::kernel::{Unavailable, parcel::crossed};

fn departed(id: &str) -> Departed {
    Departed {
        transaction_id: id.to_owned(),
        at_ms: 1,
        ..Departed::default()
    }
}

fn lag(position: u64) -> Lag {
    Lag {
        rooms: vec![(0, position)],
        users: vec![(0, position)],
    }
}

fn depart(id: &str, acknowledged: Option<&str>) -> ServerCommand {
    ServerCommand::Depart {
        departed: Box::new(departed(id)),
        acknowledged: acknowledged.map(str::to_owned),
    }
}

fn obey(server: &mut Server, command: ServerCommand) -> Result<Vec<ServerRecord>, ServerError> {
    let command = crossed(&command);
    let records = crossed(&server.decide(command, 1_000)?);
    crossed(&Arc::new(server.clone()));
    for record in &records {
        server.take_in(record);
    }
    Ok(records)
}

#[test]
fn one_transaction_is_on_its_way() {
    let mut server = Server::default();
    obey(&mut server, depart("a", None)).unwrap();
    assert_eq!(
        obey(&mut server, depart("b", None)),
        Err(ServerError::OutOfTurn)
    );
    obey(&mut server, depart("b", Some("a"))).unwrap();
    assert!(server.is_proven());
    let wrong = ServerCommand::Acknowledge("a".to_owned());
    assert_eq!(obey(&mut server, wrong), Err(ServerError::OutOfTurn));
    obey(&mut server, ServerCommand::Acknowledge("b".to_owned())).unwrap();
    assert_eq!(server.in_flight, None);
}

#[test]
fn what_is_said_and_asked_arrives() {
    let mut sent = departed("a");
    sent.edus = vec![b"{}".to_vec().into()];
    crossed(&ServerCommand::Depart {
        departed: Box::new(sent),
        acknowledged: Some("b".to_owned()),
    });
    crossed(&ServerCommand::CatchUp(None));
    crossed(&ServerQuery::State);
    crossed(&ServerQuery::Outlook(None));
    for signal in [
        ServerSignal::Nudge,
        ServerSignal::Alive,
        ServerSignal::Ended,
        ServerSignal::Heard,
    ] {
        assert_eq!(crossed(&signal), signal);
    }
    for error in [
        ServerError::OutOfTurn,
        ServerError::TooMuch,
        ServerError::Unavailable(Unavailable::Stopped),
    ] {
        assert_eq!(crossed(&error), error);
    }
}

fn owed(position: u64) -> Owed {
    Owed {
        record: ("rooms".to_owned(), 0, position),
        events: vec![EventRun {
            room_id: "!r:x".to_owned(),
            sequences: vec![position],
        }],
        ..Owed::default()
    }
}

#[test]
fn what_is_owed_is_owed_until_it_departs() {
    let mut server = Server::default();
    let owe = |position| ServerCommand::Owe(Box::new(owed(position)));
    assert_eq!(obey(&mut server, owe(3)).unwrap().len(), 1);
    assert_eq!(obey(&mut server, owe(3)), Ok(Vec::new()));
    obey(&mut server, owe(2)).unwrap();
    obey(&mut server, depart("a", None)).unwrap();
    // An acknowledgement is not the end, and says so.
    let records = obey(&mut server, ServerCommand::Acknowledge("a".to_owned())).unwrap();
    assert_eq!(records[1..], [ServerRecord::Owed(owed(3))]);
    assert_eq!(*server.owed, [owed(3), owed(2)]);
    let restored: Server = rmp_serde::from_slice(&rmp_serde::to_vec(&server).unwrap()).unwrap();
    assert_eq!(restored, server);
    let batch = Batch::of_owed(&server.owed[0]);
    assert_eq!(
        (&batch.departed.events, batch.departed.owed),
        (&owed(3).events, 1)
    );
    let command = ServerCommand::Depart {
        departed: Box::new(Departed {
            owed: 1,
            ..departed("b")
        }),
        acknowledged: None,
    };
    obey(&mut server, command).unwrap();
    assert_eq!(*server.owed, [owed(2)]);
    for position in 10..1_009 {
        server.take_in(&ServerRecord::Owed(owed(position)));
    }
    assert_eq!(server.owed.len(), 1_000);
    assert_eq!(obey(&mut server, owe(9)), Err(ServerError::TooMuch));
}

#[test]
fn what_is_owed_lies_nowhere_on_the_board() {
    let none = Positions::new();
    let board = OutboxBoard::new(Layout { shards: 1, era: 0 }, &none, &none);
    let name = server_name!("far.example");
    post(&board, name, 1);
    let (slot, settled) = (board.slot(name), board.settled());
    slot.owe();
    assert!(slot.is_due(0) && slot.take_owes() && !slot.take_owes());
    let owed = Owed {
        arrivals: vec!["@a:x".to_owned()],
        devices: vec![("@a:x".to_owned(), 4)],
        ..owed(1)
    };
    let batch = Batch::of_owed(&owed);
    assert_eq!(batch.direct.len(), 2);
    assert_eq!(slot.done_with(&batch, &board), Lag::default());
    slot.look(|waiting| batch.forget(waiting));
    assert!(slot.holds_back());
    assert_eq!(board.settled(), settled);
}

#[test]
fn the_first_lag_counts() {
    let mut server = Server::default();
    let fail = |position| ServerCommand::Fail {
        next_ms: 5_000,
        lag: Some(lag(position)),
    };
    assert_eq!(obey(&mut server, fail(4)).unwrap().len(), 2);
    assert_eq!(obey(&mut server, fail(9)).unwrap().len(), 1);
    assert_eq!(server.lag.as_deref(), Some(&lag(4)));
    assert_eq!((server.failures, server.failing_since_ms), (2, 1_000));
}

#[test]
fn acknowledged_progress_survives_until_the_round_ends() {
    let mut server = Server::default();
    obey(&mut server, ServerCommand::LagBehind(lag(4))).unwrap();
    let mut sent = departed("a");
    sent.progress = Progress {
        rooms: vec![("!r:x".to_owned(), 8)],
        users: vec![(0, 7)],
    };
    let command = ServerCommand::Depart {
        departed: Box::new(sent),
        acknowledged: None,
    };
    obey(&mut server, command).unwrap();
    assert!(server.caught.is_empty());
    obey(&mut server, ServerCommand::Acknowledge("a".to_owned())).unwrap();
    assert_eq!(server.caught.get("!r:x"), Some(&8));
    assert_eq!(server.lag.as_ref().unwrap().users, vec![(0, 7)]);
    assert_eq!(server.done.users, vec![(0, 7)]);
    obey(&mut server, ServerCommand::CatchUp(None)).unwrap();
    assert_eq!((server.lag, server.caught.len()), (None, 0));
}

#[test]
fn what_was_sent_is_not_missed() {
    let mut server = Server::default();
    let send = |id: &str, done: Lag, acknowledged: Option<&str>| ServerCommand::Depart {
        departed: Box::new(Departed {
            done,
            ..departed(id)
        }),
        acknowledged: acknowledged.map(str::to_owned),
    };
    obey(&mut server, send("a", lag(6), None)).unwrap();
    // What is in flight goes out again as it was: it counts, too.
    assert_eq!(*server.done, lag(6));
    let further = Lag {
        rooms: vec![(0, 4)],
        users: vec![(1, 3), (0, 9)],
    };
    obey(&mut server, send("b", further, Some("a"))).unwrap();
    assert_eq!(server.done.rooms, vec![(0, 6)]);
    assert_eq!(server.done.users, vec![(0, 9), (1, 3)]);
    let restored: Server = rmp_serde::from_slice(&rmp_serde::to_vec(&server).unwrap()).unwrap();
    assert_eq!(restored, server);
    // A new life has not read so far again when the destination fails.
    obey(&mut server, ServerCommand::LagBehind(lag(3))).unwrap();
    let missed = server.lag.as_ref().unwrap();
    assert_eq!(
        (&missed.rooms, &missed.users),
        (&vec![(0, 6)], &vec![(0, 9)])
    );
    obey(&mut server, ServerCommand::CatchUp(Some(lag(7)))).unwrap();
    let missed = server.lag.as_ref().unwrap();
    assert_eq!(
        (&missed.rooms, &missed.users),
        (&vec![(0, 7)], &vec![(0, 9)])
    );
}

#[test]
fn older_snapshots_are_read() {
    let caught = std::collections::BTreeMap::<String, u64>::new();
    let sent = ("a", 1, [(); 0], [(); 0], [(); 0], ([(); 0], [(); 0]));
    let old = (Some(sent), None::<u64>, caught, 2, 3, 4, 5);
    let server: Server = rmp_serde::from_slice(&rmp_serde::to_vec(&old).unwrap()).unwrap();
    assert_eq!(server.in_flight.as_deref(), Some(&departed("a")));
    assert_eq!((server.failures, server.acknowledged_ms), (2, 5));
    assert_eq!(*server.done, Lag::default());
}

fn place(family: Family, position: u64) -> Place {
    Place {
        shard: Shard { family, number: 0 },
        position,
        sequence: position,
    }
}

fn post(board: &OutboxBoard, name: &ServerName, position: u64) {
    let place = place(Family::Rooms, position);
    board.post_event(name, &room_id!("!r:x").to_owned(), &place);
    board.distributed(place.shard, position);
}

#[test]
fn what_a_transaction_holds_is_not_sent_again() {
    let none = Positions::new();
    let new_board = || OutboxBoard::new(Layout { shards: 1, era: 0 }, &none, &none);
    let (board, name) = (new_board(), server_name!("far.example"));
    let (room_id, message) = (
        room_id!("!r:x").to_owned(),
        Direct::ToDevice(owned_user_id!("@a:x")),
    );
    post(&board, name, 1);
    post(&board, name, 2);
    // These are not wholly distributed yet: more of an event's record may come, of a message's not.
    board.post_event(name, &room_id, &place(Family::Rooms, 3));
    board.post_direct(name, &message, &place(Family::Users, 5));
    let slot = board.slot(name);
    let batch = slot.look(Batch::of);
    // What came meanwhile stays.
    board.post_direct(name, &message, &place(Family::Users, 8));
    let done = slot.done_with(&batch, &board);
    assert_eq!((&done.rooms, &done.users), (&vec![(0, 2)], &vec![(0, 5)]));
    board.distributed(place(Family::Rooms, 3).shard, 3);
    post(&board, name, 4);
    let done = slot.done_with(&batch, &board);
    assert_eq!((&done.rooms, &done.users), (&vec![(0, 3)], &vec![(0, 5)]));
    // Another thing of the same record.
    board.post_event(name, &room_id, &place(Family::Rooms, 3));
    assert_eq!(slot.done_with(&batch, &board).rooms, vec![(0, 2)]);
    let again = new_board();
    for position in 1..=4 {
        post(&again, name, position);
    }
    for position in [5, 8] {
        again.post_direct(name, &message, &place(Family::Users, position));
    }
    let left = again.slot(name).look(|waiting| {
        waiting.drop_done(&done);
        let left = waiting.places().map(|place| place.position);
        left.collect::<Vec<_>>()
    });
    assert_eq!(left, [4, 8]);
    // Who falls behind meanwhile is sent all from where it does.
    slot.fall_behind(&board);
    assert_eq!(slot.done_with(&batch, &board), Lag::default());
}

#[test]
fn the_board_holds_the_position_back_until_it_is_safe() {
    let none = Positions::new();
    let board = OutboxBoard::new(Layout { shards: 1, era: 0 }, &none, &none);
    let name = server_name!("far.example");
    let post = |position| post(&board, name, position);
    post(1);
    post(2);
    assert_eq!(board.settled().rooms, vec![(0, 0)]);
    let slot = board.slot(name);
    let behind = slot.fall_behind(&board).unwrap();
    assert_eq!(behind.rooms, vec![(0, 0)]);
    assert_eq!(board.settled().rooms, vec![(0, 0)]);
    slot.noted();
    assert_eq!(board.settled().rooms, vec![(0, 2)]);
    post(3);
    assert_eq!(board.settled().rooms, vec![(0, 3)]);
    let target = slot.begin_round(&board).unwrap();
    post(4);
    assert!(!slot.end_round(&target));
    let target = slot.begin_round(&board).unwrap();
    assert!(slot.end_round(&target));
    post(5);
    assert_eq!(board.settled().rooms, vec![(0, 4)]);
}

#[test]
fn two_receipts_of_a_user_in_a_room_go_apart() {
    let moved = |thread: Option<&str>| playhouse_schema::record::room::ReceiptMoved {
        user_id: "@a:x".to_owned(),
        receipt_type: "m.read".to_owned(),
        thread_id: thread.map(str::to_owned),
        event_id: "$e".to_owned(),
        ts_ms: 5,
    };
    let receipts = [moved(None), moved(Some("main"))];
    let edus = receipt_edus(receipts.iter().map(|moved| ("!r:x", moved)));
    assert_eq!(edus.len(), 2);
    let of_user = &edus[1]["content"]["!r:x"]["m.read"]["@a:x"];
    assert_eq!(of_user["data"]["thread_id"], "main");
}

#[test]
fn receipts_for_which_there_is_no_room_are_caught_up_on() {
    let none = Positions::new();
    let board = OutboxBoard::new(Layout { shards: 1, era: 0 }, &none, &none);
    let name = server_name!("far.example");
    let post = |number: u64| {
        let user_id = format!("@u{number}:x");
        let key = (
            room_id!("!r:x").to_owned(),
            ruma::OwnedUserId::try_from(user_id.as_str()).unwrap(),
            None,
        );
        let moved = playhouse_schema::record::room::ReceiptMoved {
            user_id,
            receipt_type: "m.read".to_owned(),
            thread_id: None,
            event_id: "$e".to_owned(),
            ts_ms: number,
        };
        let place = place(Family::Rooms, number);
        board.post_receipt(name, &(key, moved), &place);
        board.distributed(place.shard, number);
    };
    for number in 1..=1_000 {
        post(number);
    }
    let slot = board.slot(name);
    assert!(!slot.is_behind());
    post(1_001);
    // From before the first of them.
    assert_eq!(slot.to_note().unwrap().rooms, vec![(0, 0)]);
}

#[test]
fn a_sign_of_life_counts_where_something_waits_for_its_time() {
    let none = Positions::new();
    let board = OutboxBoard::new(Layout { shards: 1, era: 0 }, &none, &none);
    let name = server_name!("far.example");
    assert!(!board.heeds(name, 100_000));
    post(&board, name, 1);
    assert!(!board.heeds(name, 100_000));
    let slot = board.slot(name);
    slot.wait_until(900_000);
    assert!(board.heeds(name, 100_000));
    slot.revive();
    assert!(slot.is_due(100_000) && !board.heeds(name, 100_001));
    assert!(slot.take_revival() && !slot.is_revived());
    // It came to nothing.
    slot.wait_until(900_000);
    assert!(!board.heeds(name, 100_500));
    assert!(board.heeds(name, 101_000));
    slot.took();
    assert!(!board.heeds(name, 900_000));
}
