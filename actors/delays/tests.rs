//! A schedule without a house: what its records make of it.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use playhouse_schema::record::delay::{DelayRecord, Outcome};

use super::{
    DelayAnswer, DelayBoard, DelayCommand, DelayContext, DelayError, DelayReply, DelaySettings,
    Delayed, Delays, NewDelay, Outlet, SendTrouble, Stage, decide::decide, schedule, schedule_of,
    schedule_of_user,
};
use crate::{kernel::parcel::crossed, room::testing};

struct Nowhere;

impl Outlet for Nowhere {
    fn send(&self, _delayed: Arc<Delayed>) -> BoxFuture<'static, Result<String, SendTrouble>> {
        Box::pin(async { Err(SendTrouble::Passing) })
    }
}

fn context() -> DelayContext {
    DelayContext {
        env: testing::env(),
        settings: DelaySettings {
            delay_max_ms: 10_000,
            per_user_max: 3,
        },
        board: Arc::default(),
        outlet: Arc::new(Nowhere),
    }
}

fn new(user_id: &str, transaction: &str, delay_ms: u64) -> DelayCommand {
    DelayCommand::Schedule(Box::new(NewDelay {
        user_id: user_id.to_owned(),
        device_id: "D".to_owned(),
        transaction_id: Some(transaction.to_owned()),
        room_id: "!r".to_owned(),
        event_type: "org.example".to_owned(),
        state_key: Some("k".to_owned()),
        content: "{\"a\":1}".to_owned(),
        delay_ms,
        guest: false,
        sticky_ms: None,
    }))
}

/// A schedule that applies what it decides.
struct Trial {
    delays: Delays,
    context: DelayContext,
    sequence: u64,
    erased: usize,
}

impl Trial {
    fn new() -> Self {
        Self {
            delays: Delays::numbered(5),
            context: context(),
            sequence: 0,
            erased: 0,
        }
    }

    fn run(&mut self, command: DelayCommand) -> Result<DelayReply, DelayError> {
        let decision = decide(&self.delays, crossed(&command), &self.context)?;
        for record in &decision.records {
            self.sequence += 1;
            self.delays.take_in(self.sequence, record);
        }
        self.erased += decision.erasures.len();
        self.sequence += decision.erasures.len() as u64;
        let again = Delays::decode(5, &self.delays.encode());
        assert_eq!(
            again.as_ref(),
            Some(&self.delays),
            "a snapshot keeps everything"
        );
        let all = self.delays.items.values().cloned().collect();
        crossed(&DelayAnswer::List(all));
        Ok(crossed(&decision.reply))
    }

    fn schedule(&mut self, transaction: &str, delay_ms: u64) -> String {
        match self.run(new("@a:b", transaction, delay_ms)) {
            Ok(DelayReply::Scheduled(delay_id)) => delay_id,
            other => panic!("{other:?}"),
        }
    }

    fn stage(&self, delay_id: &str) -> Option<&Stage> {
        self.delays
            .items
            .get(delay_id)
            .map(|delayed| &delayed.stage)
    }
}

#[test]
fn names_lead_to_their_schedule() {
    let mut trial = Trial::new();
    let delay_id = trial.schedule("t", 10);
    assert_eq!(schedule_of(&delay_id), Some(schedule(5)));
    for wrong in ["", "a", "zz1", "ff1", "é"] {
        assert_eq!(schedule_of(wrong), None);
    }
    assert_eq!(schedule_of_user("@a:b"), schedule_of_user("@a:b"));
}

#[test]
fn a_transaction_is_answered_once() {
    let mut trial = Trial::new();
    let first = trial.schedule("t", 10);
    assert_eq!(trial.schedule("t", 10), first);
    assert_eq!(trial.delays.items.len(), 1);
}

#[test]
fn bounds_hold() {
    let mut trial = Trial::new();
    let refused = trial.run(new("@a:b", "t", 10_001));
    assert_eq!(refused, Err(DelayError::TooLong { max_ms: 10_000 }));
    for transaction in ["1", "2", "3"] {
        trial.schedule(transaction, 10);
    }
    assert_eq!(trial.run(new("@a:b", "4", 10)), Err(DelayError::TooMany));
    assert!(trial.run(new("@c:b", "4", 10)).is_ok());
}

#[test]
fn what_departed_is_not_called_back() {
    let mut trial = Trial::new();
    let delay_id = trial.schedule("t", 0);
    trial.run(DelayCommand::DepartDue).expect("done");
    assert_eq!(trial.stage(&delay_id), Some(&Stage::Departed));
    assert!(trial.delays.targets.is_empty());
    for command in [DelayCommand::Cancel, DelayCommand::Restart] {
        assert_eq!(trial.run(command(delay_id.clone())), Err(DelayError::Ended));
    }
    let outcome = Outcome::Sent("$e".to_owned());
    let finish = DelayCommand::Finish {
        delay_id: delay_id.clone(),
        outcome,
    };
    trial.run(finish.clone()).expect("done");
    let after = trial.delays.clone();
    trial.run(finish).expect("a repeat changes nothing");
    assert_eq!(trial.delays, after);
    assert_eq!(
        trial.run(DelayCommand::Depart(delay_id)),
        Ok(DelayReply::Done)
    );
    assert!(!trial.delays.has_pending());
}

#[test]
fn what_was_cancelled_stays_so() {
    let mut trial = Trial::new();
    let delay_id = trial.schedule("t", 10_000);
    trial.run(DelayCommand::DepartDue).expect("nothing is due");
    assert_eq!(trial.stage(&delay_id), Some(&Stage::Waiting));
    for _ in 0..2 {
        let cancel = DelayCommand::Cancel(delay_id.clone());
        assert_eq!(trial.run(cancel), Ok(DelayReply::Done));
    }
    let send = DelayCommand::Depart(delay_id);
    assert_eq!(trial.run(send), Err(DelayError::Ended));
    let unknown = DelayCommand::Restart("05x".to_owned());
    assert_eq!(trial.run(unknown), Err(DelayError::Unknown));
}

#[test]
fn others_overtake_and_oneself_does_not() {
    let mut trial = Trial::new();
    let delay_id = trial.schedule("t", 10_000);
    let at_ms = trial.context.env.now_ms();
    let by = |sender: &str, at_ms: u64| DelayCommand::Overtake {
        delay_ids: vec![delay_id.clone(), "05unknown".to_owned()],
        sender: sender.to_owned(),
        at_ms,
    };
    trial.run(by("@a:b", at_ms)).expect("done");
    trial.run(by("@c:b", at_ms - 1_000_000)).expect("done");
    assert_eq!(trial.stage(&delay_id), Some(&Stage::Waiting));
    trial.run(by("@c:b", at_ms + 1)).expect("done");
    assert!(matches!(trial.stage(&delay_id), Some(Stage::Finished(_))));
}

#[test]
fn what_is_forgotten_leaves_no_content() {
    let mut trial = Trial::new();
    trial.schedule("1", 10_000);
    trial.schedule("2", 10_000);
    let clear = || DelayCommand::Clear("@a:b".to_owned());
    assert_eq!(trial.run(clear()), Ok(DelayReply::More));
    assert_eq!(trial.run(clear()), Ok(DelayReply::Done));
    assert_eq!(trial.erased, 2);
    assert_eq!(trial.delays, Delays::numbered(5));
}

#[test]
fn the_board_knows_who_waits_for_what() {
    let board = DelayBoard::default();
    let all: Vec<_> = (0..super::SCHEDULES).collect();
    assert!(!board.is_complete(&all) && board.pending().len() == 16);
    let mut trial = Trial::new();
    let delay_id = trial.schedule("t", 10);
    for number in 0..16 {
        let slot = super::board::Slot {
            targets: trial.delays.targets.clone(),
            has_pending: true,
        };
        let slot = if number == 5 {
            slot
        } else {
            Default::default()
        };
        board.publish(number, slot);
    }
    assert!(board.is_complete(&all) && !board.has_no_state(&all));
    assert_eq!(board.pending(), [5]);
    assert!(board.has_no_state(&[1, 7]));
    let target = ("!r".to_owned(), "org.example".to_owned(), "k".to_owned());
    assert_eq!(board.waiting_for(&target), [(5, vec![delay_id])]);
    board.forget(5);
    assert!(!board.is_complete(&all) && board.is_complete(&[4, 6]));
    assert_eq!(board.pending(), [5]);
    let restarted = DelayRecord::Restarted {
        delay_id: "05x".to_owned(),
        at_ms: 1,
    };
    trial.delays.take_in(9, &restarted);
}
