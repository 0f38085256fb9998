//! A user on trial: a fixed world, and commands that are applied at once.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use playhouse_schema::{
    address::{Position, Sequence},
    record::user::UserRecord,
};
use ruma::{server_name, user_id};

use crate::{
    env::{Clock, Env, Identity, Randomness, Signer},
    kernel::parcel::{across, crossed},
    user::{
        context::UserLimits,
        error::UserError,
        message::{LoggedIn, Login, Register, Session, UserCommand, UserReply},
        state::{Change, User},
    },
};

/// A clock that stands still until it is set.
pub(in crate::user) struct SetClock(pub(in crate::user) AtomicU64);

impl Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::SeqCst)
    }
}

/// Bytes that repeat only after a long time, and are the same in every run.
struct CountedRandomness(AtomicU64);

impl Randomness for CountedRandomness {
    fn fill(&self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let count = self.0.fetch_add(1, Ordering::SeqCst);
            let mixed = (count ^ (count >> 3)).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let mixed = (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            chunk.copy_from_slice(&mixed.to_be_bytes()[..chunk.len()]);
        }
    }
}

/// The world at a time of one million milliseconds.
pub(in crate::user) fn env() -> Env {
    env_and_clock().0
}

/// The world, and its clock.
pub(in crate::user) fn env_and_clock() -> (Env, Arc<SetClock>) {
    let clock = Arc::new(SetClock(AtomicU64::new(1_000_000)));
    let env = Env {
        clock: clock.clone(),
        randomness: Arc::new(CountedRandomness(AtomicU64::new(1))),
        identity: Arc::new(Identity {
            server_name: server_name!("example.org").to_owned(),
            signer: Signer::from_seed("1", &[7; 32]).unwrap(),
        }),
        network: Arc::new(crate::network::NoNetwork),
    };
    (env, clock)
}

/// A user, and the world it lives in.
pub(super) struct Trial {
    pub(super) user: User,
    pub(super) env: Env,
    pub(super) clock: Arc<SetClock>,
    pub(super) limits: UserLimits,
    /// All records so far.
    pub(super) log: Vec<UserRecord>,
}

impl Trial {
    /// Nobody yet.
    pub(super) fn nobody() -> Self {
        let (env, clock) = env_and_clock();
        Self {
            user: User::nothing(user_id!("@alice:example.org").to_owned()),
            env,
            clock,
            limits: UserLimits::default(),
            log: Vec::new(),
        }
    }

    /// Alice, registered, with these devices.
    pub(super) fn with_devices(device_ids: &[&str]) -> Self {
        let mut trial = Self::nobody();
        trial.done(UserCommand::Register(Box::new(register())));
        for device_id in device_ids {
            trial.login(device_id);
        }
        trial
    }

    /// Carries out a command and returns its answer.
    pub(super) fn run(&mut self, command: UserCommand) -> Result<UserReply, UserError> {
        let command = crossed(&command);
        let decision = self.user.judge(command, &self.env, &self.limits)?;
        let first = self.user.sequence + 1;
        for record in decision.records {
            let sequence = self.user.sequence + 1;
            // As the keeper does it: applied in flight, placed when committed.
            self.user.fold(change(sequence, 0), &record);
            self.log.push(record);
        }
        for sequence in first..=self.user.sequence {
            self.user.place(sequence, position(sequence));
        }
        Ok(across(decision.reply))
    }

    /// Carries out a command that must succeed, and returns how many records it wrote.
    pub(super) fn done(&mut self, command: UserCommand) -> usize {
        let before = self.log.len();
        self.run(command).unwrap();
        self.log.len() - before
    }

    /// Carries out a command that must be refused.
    pub(super) fn refused(&mut self, command: UserCommand) -> UserError {
        self.run(command).unwrap_err()
    }

    /// Logs in on a device, with a token that stays.
    pub(super) fn login(&mut self, device_id: &str) -> LoggedIn {
        self.log_in(login(Some(device_id), false))
    }

    /// Logs in.
    pub(super) fn log_in(&mut self, login: Login) -> LoggedIn {
        logged_in(self.run(UserCommand::Login(login)))
    }

    /// Whose token it is.
    pub(super) fn session(&self, token: &str) -> Result<Session, UserError> {
        self.user.session(token, self.env.now_ms())
    }

    /// Lets time pass.
    pub(super) fn wait_ms(&self, ms: u64) {
        self.clock.0.fetch_add(ms, Ordering::SeqCst);
    }
}

/// What a login answered.
pub(super) fn logged_in(reply: Result<UserReply, UserError>) -> LoggedIn {
    match reply {
        Ok(UserReply::LoggedIn(session)) => session,
        other => panic!("expected a session, got {other:?}"),
    }
}

/// A plain account.
pub(super) fn register() -> Register {
    Register {
        password_hash: Some("hash".to_owned()),
        admin: false,
        guest: false,
        user_type: None,
        displayname: Some("Alice".to_owned()),
        login: None,
        terms: None,
    }
}

/// A login.
pub(super) fn login(device_id: Option<&str>, refresh: bool) -> Login {
    Login {
        device_id: device_id.map(Into::into),
        display_name: Some("phone".to_owned()),
        refresh,
        access_lifetime_ms: 1_000,
    }
}

/// A change as the fold takes it.
pub(super) fn change(sequence: Sequence, position: Position) -> Change {
    Change { sequence, position }
}

/// Where a record of this number lies in the shard, in which others write too.
pub(super) fn position(sequence: Sequence) -> Position {
    sequence * 10
}
