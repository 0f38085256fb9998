//! An outbox without a house: what its records make of it.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::future::BoxFuture;

use super::{
    Attempts, Carrier, GatewayAnswer, GatewayBoard, GatewayCommand, GatewayContext, GatewayError,
    GatewayReply, GatewaySettings, NewPush, OUTBOXES, Outbox, Push, Timing, Verdict,
    board::Backlog,
    decide::{decide, wait_after},
    device_digest, digest_of, outbox, outbox_of,
    timing::UNDER_WAY_PER_APP_MAX,
};
use crate::{
    kernel::{Domain as _, parcel::crossed},
    room::testing,
};

struct Nobody;

impl Carrier for Nobody {
    fn carry(&self, _push: Arc<Push>) -> BoxFuture<'static, Verdict> {
        Box::pin(async { Verdict::Needless })
    }

    fn is_open(&self) -> bool {
        false
    }
}

/// An outbox that applies what it decides.
struct Trial {
    outbox: Outbox,
    context: GatewayContext,
    sequence: u64,
}

impl Trial {
    fn new() -> Self {
        Self {
            outbox: Outbox::numbered(5),
            context: GatewayContext {
                env: testing::env(),
                settings: GatewaySettings { waiting_max: 320 },
                board: Arc::default(),
                carrier: Arc::new(Nobody),
                attempts: Arc::<Attempts>::default(),
            },
            sequence: 0,
        }
    }

    fn run(&mut self, command: GatewayCommand) -> Result<GatewayReply, GatewayError> {
        let decision = decide(&self.outbox, crossed(&command), &self.context)?;
        for record in &decision.records {
            self.sequence += 1;
            self.outbox.take_in(self.sequence, record);
        }
        for (target, payload) in &decision.erasures {
            self.sequence += 1;
            self.outbox.erased(self.sequence, Some((*target, payload)));
        }
        let snapshot = self.outbox.encode();
        let text = String::from_utf8_lossy(&snapshot);
        assert!(!text.contains("its pushkey"), "contents are in the log");
        let mut again = Outbox::decode(5, &snapshot).expect("it was written just now");
        assert_eq!(again.hollow().len(), self.outbox.pushes.len());
        for push in self.outbox.pushes.values() {
            again.put_content(push.sequence, push.accepted.clone());
        }
        assert_eq!(again, self.outbox, "a snapshot keeps everything else");
        Ok(crossed(&decision.reply))
    }

    fn accept(&mut self, new: NewPush) -> String {
        match self.run(GatewayCommand::Accept(Box::new(new))) {
            Ok(GatewayReply::Accepted(push_id)) => push_id,
            other => panic!("{other:?}"),
        }
    }

    fn settle(&mut self, push_id: &str, verdict: Verdict, told: bool) {
        let attempts = self.outbox.named(push_id).map_or(0, |push| push.attempts);
        let settle = GatewayCommand::Settle {
            push_id: push_id.to_owned(),
            attempts,
            verdict,
            told,
        };
        assert_eq!(self.run(settle), Ok(GatewayReply::Done));
    }
}

fn new(device: &str, event: Option<&str>) -> NewPush {
    let device = device_digest("app", device);
    NewPush {
        digest: event.map(|event| digest_of(&[&device, event])),
        device,
        app_id: "app".to_owned(),
        pushkey: "its pushkey".to_owned(),
        pushkey_ts_ms: 0,
        data: "{}".to_owned(),
        notification: "{}".to_owned(),
        ttl_ms: 60_000,
        counts: None,
        trace: String::new(),
    }
}

fn rejected() -> Verdict {
    Verdict::Rejected("Unregistered".to_owned())
}

fn later(after_ms: Option<u64>) -> Verdict {
    let reason = "503".to_owned();
    Verdict::Later { after_ms, reason }
}

#[test]
fn devices_lead_to_their_outbox() {
    for number in 0..64 {
        let digest = device_digest("app", &number.to_string());
        assert_eq!(digest.len(), 32);
        let found = outbox_of(&digest);
        assert!((0..OUTBOXES).any(|one| outbox(one) == found));
    }
    assert_ne!(digest_of(&["a", "b"]), digest_of(&["ab", ""]));
    assert_eq!(outbox_of(""), outbox(0));
}

#[test]
fn a_repetition_is_known_before_and_after_its_end() {
    let mut trial = Trial::new();
    let first = trial.accept(new("a", Some("$e")));
    assert_eq!(trial.accept(new("a", Some("$e"))), first);
    assert_eq!(trial.outbox.pushes.len(), 1);
    trial.settle(&first, Verdict::Delivered, false);
    assert!(trial.outbox.pushes.is_empty());
    assert_eq!(trial.accept(new("a", Some("$e"))), first);
    assert!(trial.outbox.pushes.is_empty(), "sent once");
    let other = trial.accept(new("a", Some("$f")));
    assert_ne!(other, first);
}

#[test]
fn a_repetition_tells_other_counts_and_nothing_else() {
    let mut trial = Trial::new();
    let counted = |unread: u64| NewPush {
        counts: Some(format!("counts {unread}")),
        notification: format!("event, counts {unread}"),
        ..new("a", Some("$e"))
    };
    let first = trial.accept(counted(2));
    assert_eq!(trial.accept(counted(2)), first);
    assert_eq!(trial.outbox.pushes.len(), 1, "nothing is new");
    // Both before its end and after it.
    for (unread, waiting) in [(1, 2), (3, 2)] {
        assert_eq!(trial.accept(counted(unread)), first);
        assert_eq!(trial.outbox.pushes.len(), waiting);
        let (_, last) = trial.outbox.pushes.get_max().expect("it waits");
        assert_eq!(last.accepted.notification, format!("counts {unread}"));
        assert_eq!(last.accepted.digest, None);
        trial.settle(&first, Verdict::Delivered, false);
    }
}

#[test]
fn a_repetition_is_measured_by_what_the_device_was_told_last() {
    let mut trial = Trial::new();
    let counted = |event: &str, unread: u64| NewPush {
        counts: Some(format!("counts {unread}")),
        ..new("a", Some(event))
    };
    let [first, second] = [("$e", 1), ("$f", 2)].map(|(event, unread)| {
        let push_id = trial.accept(counted(event, unread));
        trial.settle(&push_id, Verdict::Delivered, false);
        push_id
    });
    assert_ne!(first, second);
    assert_eq!(trial.accept(counted("$e", 2)), first);
    assert!(trial.outbox.pushes.is_empty(), "it was told with the other");
    assert_eq!(trial.accept(counted("$e", 1)), first);
    assert_eq!(trial.outbox.pushes.len(), 1, "it goes on showing 2");
    // What the provider never took the device does not show.
    let (_, waits) = trial.outbox.pushes.get_max().expect("it waits");
    let push_id = waits.accepted.push_id.clone();
    trial.settle(&push_id, Verdict::Refused("too large".to_owned()), false);
    assert_eq!(trial.accept(counted("$e", 1)), first);
    assert_eq!(trial.outbox.pushes.len(), 1);
}

#[test]
fn a_repetition_for_a_dead_pushkey_tells_nothing() {
    let mut trial = Trial::new();
    let counted = |unread: u64| NewPush {
        counts: Some(format!("counts {unread}")),
        ..new("a", Some("$e"))
    };
    let first = trial.accept(counted(2));
    trial.settle(&first, rejected(), true);
    assert_eq!(trial.accept(counted(1)), first);
    assert!(trial.outbox.pushes.is_empty());
}

#[test]
fn a_name_fits_apple() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", None));
    assert_eq!(push_id.len(), 36);
    assert!(uuid::Uuid::parse_str(&push_id).is_ok());
}

#[test]
fn one_of_a_device_is_due_at_a_time() {
    let mut trial = Trial::new();
    let first = trial.accept(new("a", Some("$1")));
    let second = trial.accept(new("a", Some("$2")));
    trial.accept(new("b", Some("$1")));
    assert_eq!(trial.outbox.due["app"].len(), 2);
    trial.settle(&first, later(Some(40_000)), false);
    assert_eq!(trial.outbox.due["app"].len(), 2);
    let waits = trial.outbox.named(&first).expect("it waits").clone();
    assert_eq!(waits.attempts, 1);
    assert!(waits.not_before_ms >= waits.accepted.at_ms + 40_000);
    assert!(trial.outbox.due["app"].contains(&(waits.not_before_ms, waits.sequence)));
    trial.settle(&first, Verdict::Delivered, false);
    let next = trial.outbox.named(&second).expect("it waits");
    let is_due = (next.not_before_ms, next.sequence);
    assert!(trial.outbox.due["app"].contains(&is_due));
}

#[test]
fn a_provider_that_is_slow_holds_up_no_other() {
    let mut trial = Trial::new();
    trial.context.settings.waiting_max = 1 << 20;
    let of_app = |app_id: &str, number: usize| NewPush {
        app_id: app_id.to_owned(),
        ..new(&format!("{app_id}{number}"), Some("$e"))
    };
    for app_id in ["a", "b", "slow", "x", "y", "z"] {
        for number in 0..300 {
            let accept = GatewayCommand::Accept(Box::new(of_app(app_id, number)));
            let decision = decide(&trial.outbox, accept, &trial.context);
            for record in &decision.expect("there is room").records {
                trial.sequence += 1;
                trial.outbox.take_in(trial.sequence, record);
            }
        }
    }
    let now_ms = trial.context.env.now_ms();
    let mut live = Timing::default();
    let apps = |chosen: &[Arc<Push>]| {
        let mut apps: BTreeMap<String, usize> = BTreeMap::new();
        for push in chosen {
            *apps.entry(push.accepted.app_id.clone()).or_default() += 1;
        }
        apps
    };
    let chosen = live.choose(&trial.outbox, now_ms);
    let wanted = ["a", "b", "slow", "x"].map(|app_id| (app_id.to_owned(), UNDER_WAY_PER_APP_MAX));
    assert_eq!(apps(&chosen), BTreeMap::from(wanted));
    assert!(live.choose(&trial.outbox, now_ms).is_empty(), "all is full");
    // Two have ended: the apps that had nothing come first.
    let ended: Vec<String> = ["a", "slow"]
        .iter()
        .filter_map(|app_id| {
            let mut chosen = chosen.iter();
            let one = chosen.find(|push| push.accepted.app_id == *app_id)?;
            Some(one.accepted.push_id.clone())
        })
        .collect();
    for push_id in &ended {
        trial.settle(push_id, Verdict::Delivered, false);
    }
    live.sort_out(&trial.outbox);
    let chosen = live.choose(&trial.outbox, now_ms);
    assert_eq!(apps(&chosen), BTreeMap::from([("y".to_owned(), 2)]));
}

#[test]
fn what_another_attempt_has_settled_is_settled() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    trial.settle(&push_id, later(None), false);
    let before = trial.outbox.clone();
    let stale = GatewayCommand::Settle {
        push_id,
        attempts: 0,
        verdict: rejected(),
        told: false,
    };
    assert_eq!(trial.run(stale), Ok(GatewayReply::Done));
    assert_eq!(trial.outbox, before);
}

#[test]
fn what_cannot_be_sent_in_time_ends() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    trial.settle(&push_id, later(Some(60_000)), false);
    assert!(trial.outbox.pushes.is_empty());
    let mut short = new("b", Some("$1"));
    short.ttl_ms = 0;
    let over = trial.accept(short);
    let fresh = trial.accept(new("c", Some("$1")));
    let expire = GatewayCommand::Expire {
        push_ids: vec![over.clone(), fresh.clone()],
        now_ms: trial.context.env.now_ms(),
    };
    assert_eq!(trial.run(expire), Ok(GatewayReply::Done));
    assert!(trial.outbox.named(&over).is_none());
    assert!(trial.outbox.named(&fresh).is_some());
}

#[test]
fn newer_counts_make_older_ones_void() {
    let mut trial = Trial::new();
    let first = trial.accept(new("a", None));
    let second = trial.accept(new("a", None));
    let event = trial.accept(new("a", Some("$1")));
    let third = trial.accept(new("a", None));
    for (push_id, waits) in [(first, true), (second, false), (event, true), (third, true)] {
        assert_eq!(trial.outbox.named(&push_id).is_some(), waits);
    }
}

#[test]
fn a_dead_pushkey_is_told_once() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    trial.settle(&push_id, rejected(), false);
    assert_eq!(trial.outbox.rejected.len(), 1);
    let next = || GatewayCommand::Accept(Box::new(new("a", Some("$2"))));
    assert_eq!(trial.run(next()), Ok(GatewayReply::Rejected));
    assert!(trial.outbox.rejected.is_empty() && trial.outbox.pushes.is_empty());
    assert!(
        matches!(trial.run(next()), Ok(GatewayReply::Accepted(_))),
        "the provider is asked again"
    );
}

#[test]
fn who_was_told_at_once_is_not_told_again() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    trial.settle(&push_id, rejected(), true);
    assert!(trial.outbox.rejected.is_empty());
    let finished = trial.outbox.finished.get(&push_id).expect("it is known");
    assert!(finished.rejected && !trial.outbox.is_kept(finished));
    let late = trial.accept(new("b", Some("$1")));
    trial.settle(&late, rejected(), false);
    let finished = trial.outbox.finished.get(&late).expect("it is known");
    assert!(trial.outbox.is_kept(finished));
    let told = GatewayCommand::Told(device_digest("app", "b"));
    assert_eq!(trial.run(told), Ok(GatewayReply::Done));
    assert!(trial.outbox.rejected.is_empty());
}

#[test]
fn what_one_homeserver_sends_along_kills_no_pushkey_for_another() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    let unusable = Verdict::Unusable("BadDefaultPayload".to_owned());
    trial.settle(&push_id, unusable, false);
    assert!(trial.outbox.rejected.is_empty(), "nobody else hears of it");
    let finished = trial.outbox.finished.get(&push_id).expect("it is known");
    assert!(finished.rejected);
}

#[test]
fn a_pushkey_that_was_set_anew_lives() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    trial.settle(&push_id, rejected(), false);
    let mut anew = new("a", Some("$1"));
    anew.pushkey_ts_ms = trial.context.env.now_ms() + 1_000;
    assert_ne!(
        trial.accept(anew),
        push_id,
        "what the dead one did not get is sent"
    );
    assert!(trial.outbox.rejected.is_empty());
}

#[test]
fn bounds_hold() {
    let mut trial = Trial::new();
    for number in 0..20 {
        trial.accept(new("a", Some(&number.to_string())));
    }
    let more = GatewayCommand::Accept(Box::new(new("b", Some("$"))));
    assert_eq!(trial.run(more), Err(GatewayError::Full));
    trial.context.settings.waiting_max = 1 << 20;
    for number in 20..100 {
        trial.accept(new("a", Some(&number.to_string())));
    }
    let more = GatewayCommand::Accept(Box::new(new("a", Some("$"))));
    assert_eq!(trial.run(more), Err(GatewayError::Full));
    trial.outbox.weight_bytes = 16 << 20;
    let more = GatewayCommand::Accept(Box::new(new("b", Some("$"))));
    assert_eq!(trial.run(more), Err(GatewayError::Full));
}

#[test]
fn what_has_ended_leaves_no_content() {
    let mut trial = Trial::new();
    let push_id = trial.accept(new("a", Some("$1")));
    trial.settle(&push_id, Verdict::Delivered, false);
    assert_eq!(trial.outbox.spent.len(), 1);
    assert_eq!(trial.outbox.weight_bytes, 0);
    let decision = decide(&trial.outbox, GatewayCommand::Erase, &trial.context);
    let decision = decision.expect("it may be asked");
    let (_, payload) = decision.erasures.first().expect("one is erased");
    assert!(!String::from_utf8_lossy(payload).contains("its pushkey"));
    // A snapshot that is older than the erasure does not make for another one.
    let mut older = Outbox::decode(5, &trial.outbox.encode()).expect("a snapshot");
    let (sequence, spent) = trial.outbox.spent.get_min().expect("one is spent").clone();
    older.put_content(sequence, spent.emptied.clone());
    assert!(older.spent.is_empty());
    assert_eq!(trial.run(GatewayCommand::Erase), Ok(GatewayReply::Done));
    assert!(trial.outbox.spent.is_empty());
}

#[test]
fn waits_grow_and_are_not_all_the_same() {
    assert_eq!(wait_after(1, 0), 2_000);
    assert_eq!(wait_after(2, 0), 4_000);
    assert_eq!(wait_after(1, 65_535), 2_499);
    assert_eq!(wait_after(u32::MAX, 0), 300_000);
}

#[test]
fn the_board_adds_up() {
    let board = GatewayBoard::default();
    assert_eq!(board.pending().len(), usize::from(OUTBOXES));
    for number in 0..OUTBOXES {
        board.publish(number, Backlog::default());
    }
    assert!(board.pending().is_empty());
    let backlog = Backlog {
        waiting: 2,
        oldest_ms: Some(7),
        has_chores: false,
    };
    board.publish(3, backlog);
    assert_eq!((board.pending(), board.backlog()), (vec![3], backlog));
    board.forget(3);
    assert_eq!(board.pending(), [3]);
    crossed(&GatewayAnswer::Length(3));
}
