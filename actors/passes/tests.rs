use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use ruma::{OwnedUserId, user_id};

use super::*;
use crate::{env::Clock, room::testing};

#[derive(Default)]
struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

struct Trial {
    passes: Passes,
    clock: Arc<SetClock>,
    env: Env,
    sequence: u64,
}

impl Default for Trial {
    fn default() -> Self {
        let clock = Arc::<SetClock>::default();
        Self {
            passes: Passes::default(),
            env: Env {
                clock: clock.clone(),
                ..testing::env()
            },
            clock,
            sequence: 0,
        }
    }
}

impl Trial {
    fn run(&mut self, command: PassCommand) -> Result<PassReply, PassError> {
        let decision = self.passes.decide(command, &self.env)?;
        for record in &decision.records {
            self.sequence += 1;
            self.passes.apply(self.sequence, self.sequence, record);
        }
        Ok(decision.reply)
    }

    fn make(&mut self, kind: PassKind, detail: &str) -> String {
        let user_id: OwnedUserId = user_id!("@alice:example.org").to_owned();
        let made = self.run(PassCommand::Make {
            user_id,
            kind,
            lifetime_ms: 1_000,
            detail: detail.to_owned(),
        });
        match made {
            Ok(PassReply::Made(token)) => token,
            other => panic!("{other:?}"),
        }
    }

    fn wait_until(&self, ms: u64) {
        self.clock.0.store(ms, Ordering::SeqCst);
    }
}

fn using(kind: PassKind, token: &str) -> PassCommand {
    PassCommand::Use {
        kind,
        token: token.to_owned(),
    }
}

#[test]
fn a_pass_is_used_once_and_for_its_purpose() {
    let mut trial = Trial::default();
    let token = trial.make(PassKind::Code, "detail");
    assert_eq!(
        trial.run(using(PassKind::Login, &token)),
        Err(PassError::Unknown)
    );
    let detail = PassReply::Detail("detail".to_owned());
    assert_eq!(trial.run(using(PassKind::Code, &token)), Ok(detail));
    assert_eq!(
        trial.run(using(PassKind::Code, &token)),
        Err(PassError::Used)
    );
    let kept = Passes::from_snapshot(
        &Entity::house("passes/@alice:example.org"),
        &Snapshot {
            sequence: 2,
            version: 1,
            payload: trial.passes.to_snapshot(),
        },
    );
    assert_eq!(kept, Some(trial.passes));
}

#[test]
fn a_pass_ends_in_time_or_before() {
    let mut trial = Trial::default();
    let late = trial.make(PassKind::Login, "");
    let ended = trial.make(PassKind::Login, "");
    assert_eq!(
        trial.run(PassCommand::End(ended.clone())),
        Ok(PassReply::Done)
    );
    assert_eq!(
        trial.run(using(PassKind::Login, &ended)),
        Err(PassError::Unknown)
    );
    trial.wait_until(1_000);
    assert_eq!(
        trial.run(using(PassKind::Login, &late)),
        Err(PassError::Unknown)
    );
}

#[test]
fn permissions_are_used_up_without_a_token() {
    let mut trial = Trial::default();
    let kind = PassKind::CrossSigningReset;
    assert_eq!(
        trial.run(PassCommand::UseAny(kind)),
        Err(PassError::Unknown)
    );
    trial.make(kind, "");
    assert!(trial.run(PassCommand::UseAny(kind)).is_ok());
    assert_eq!(
        trial.run(PassCommand::UseAny(kind)),
        Err(PassError::Unknown)
    );
}

#[test]
fn what_is_kept_is_bounded() {
    let mut trial = Trial::default();
    let first = trial.make(PassKind::Browser, "");
    for at_ms in 1..100 {
        trial.wait_until(at_ms);
        trial.make(PassKind::Browser, "");
    }
    assert_eq!(trial.passes.passes.len(), 32);
    assert_eq!(
        trial.run(using(PassKind::Browser, &first)),
        Err(PassError::Unknown)
    );
    trial.wait_until(10_000_000);
    trial.make(PassKind::Browser, "");
    assert_eq!(trial.passes.passes.len(), 1);
}
