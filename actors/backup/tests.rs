//! Given records, when a command comes, then records.

use playhouse_schema::record::{
    backup::{BackupRecord, SessionQuality},
    codec::Record as _,
};

use super::{
    Backup, BackupAnswer, BackupCommand, BackupError, BackupQuery, BackupReply,
    decide::decide,
    message::{Extent, NewSession, Selection},
};

const ROOM: &str = "!room:example.org";

/// Backups on trial, with their log.
#[derive(Default)]
struct Trial {
    backup: Backup,
    log: Vec<Option<BackupRecord>>,
}

impl Trial {
    fn with_version() -> Self {
        let mut trial = Self::default();
        trial.run(create()).unwrap();
        trial
    }

    fn run(&mut self, command: BackupCommand) -> Result<BackupReply, BackupError> {
        let decision = decide(&self.backup, command)?;
        for record in decision.records {
            self.log.push(Some(record));
            let record = self.log.last().unwrap().as_ref().unwrap();
            self.backup.take_in(self.log.len() as u64, record);
        }
        for (target, payload) in decision.erasures {
            assert_eq!(payload, BackupRecord::SessionErased.encode());
            self.log[target as usize - 1] = Some(BackupRecord::SessionErased);
            // The store's own note.
            self.log.push(None);
        }
        Ok(decision.reply)
    }

    fn extent(&mut self, command: BackupCommand) -> (u64, String) {
        match self.run(command) {
            Ok(BackupReply::Extent(Extent { count, etag })) => (count, etag),
            other => panic!("expected an extent, got {other:?}"),
        }
    }

    fn sweep(&mut self) {
        while self.backup.has_garbage() {
            self.run(BackupCommand::Sweep).unwrap();
        }
    }

    fn replayed(&self) -> Backup {
        let mut backup = Backup::default();
        for (index, record) in self.log.iter().enumerate() {
            if let Some(record) = record {
                backup.take_in(index as u64 + 1, record);
            }
        }
        backup
    }

    fn stored(&self) -> usize {
        let is_session =
            |record: &&Option<BackupRecord>| matches!(record, Some(BackupRecord::SessionStored(_)));
        self.log.iter().filter(is_session).count()
    }
}

fn create() -> BackupCommand {
    BackupCommand::CreateVersion {
        algorithm: "m.test".to_owned(),
        auth_data: "{}".to_owned(),
    }
}

fn session(session_id: &str, quality: (bool, u64, u64)) -> NewSession {
    NewSession {
        room_id: ROOM.to_owned(),
        session_id: session_id.to_owned(),
        quality: SessionQuality {
            is_verified: quality.0,
            first_message_index: quality.1,
            forwarded_count: quality.2,
        },
        data: format!("{{\"index\":{}}}", quality.1),
    }
}

fn store(version: &str, sessions: Vec<NewSession>) -> BackupCommand {
    BackupCommand::StoreSessions {
        version: version.to_owned(),
        sessions,
    }
}

fn select(version: &str, room_id: Option<&str>, session_id: Option<&str>) -> Selection {
    Selection {
        version: version.to_owned(),
        room_id: room_id.map(str::to_owned),
        session_id: session_id.map(str::to_owned),
    }
}

#[test]
fn only_better_copies_replace() {
    let mut trial = Trial::with_version();
    let mut last = trial.extent(store("1", vec![session("s", (false, 10, 5))]));
    assert_eq!(last.0, 1);
    let steps = [
        ((false, 10, 5), false),
        ((false, 11, 0), false),
        ((false, 10, 6), false),
        ((false, 10, 4), true),
        ((false, 9, 9), true),
        ((true, 50, 50), true),
        ((false, 0, 0), false),
        ((true, 50, 49), true),
    ];
    for (quality, replaces) in steps {
        let now = trial.extent(store("1", vec![session("s", quality)]));
        assert_eq!(now.0, 1);
        assert_eq!(now.1 != last.1, replaces, "{quality:?}");
        last = now;
    }
    trial.sweep();
    assert_eq!(trial.stored(), 1, "nothing is left of the worse copies");
    assert_eq!(trial.replayed(), trial.backup);
}

#[test]
fn the_better_of_two_in_one_request_is_what_counts() {
    let mut trial = Trial::with_version();
    let twice = vec![
        session("s", (true, 2, 0)),
        session("s", (true, 1, 0)),
        session("s", (true, 3, 0)),
    ];
    assert_eq!(trial.extent(store("1", twice)).0, 1);
    assert_eq!(trial.stored(), 1);
    let before = trial.log.len();
    trial.extent(store("1", vec![session("s", (true, 1, 0))]));
    assert_eq!(trial.log.len(), before, "the best of them was kept");
}

#[test]
fn versions_come_and_go() {
    let mut trial = Trial::with_version();
    trial.extent(store("1", vec![session("s", (true, 0, 0))]));
    assert_eq!(
        trial.run(create()),
        Ok(BackupReply::Version("2".to_owned()))
    );
    let refused = trial.run(store("1", Vec::new())).unwrap_err();
    let wrong = BackupError::WrongVersion {
        current: "2".to_owned(),
    };
    assert_eq!(refused, wrong);
    for unknown in ["3", "01", "", "x"] {
        let refused = trial.run(store(unknown, Vec::new())).unwrap_err();
        assert_eq!(refused, BackupError::UnknownVersion);
    }
    trial
        .run(BackupCommand::DeleteVersion("2".to_owned()))
        .unwrap();
    let described = trial.backup.tell(&BackupQuery::Describe(None)).unwrap();
    assert!(matches!(described, BackupAnswer::Version(version) if version.version == "1"));
    assert_eq!(
        trial.run(create()),
        Ok(BackupReply::Version("3".to_owned()))
    );
    trial.run(BackupCommand::DeleteAll).unwrap();
    assert_eq!(
        trial.backup.tell(&BackupQuery::Describe(None)),
        Err(BackupError::UnknownVersion)
    );
    trial.sweep();
    assert_eq!(trial.stored(), 0);
    assert_eq!(trial.replayed(), trial.backup);
}

#[test]
fn deletions_count_and_leave_nothing() {
    let mut trial = Trial::with_version();
    let many: Vec<_> = (0..900)
        .map(|index| session(&format!("s{index}"), (true, 0, 0)))
        .collect();
    let full = trial.extent(store("1", many));
    assert_eq!(full.0, 900);
    let one = BackupCommand::DeleteSessions(select("1", Some(ROOM), Some("s7")));
    let less = trial.extent(one.clone());
    assert_eq!(less.0, 899);
    assert_ne!(less.1, full.1);
    assert_eq!(trial.extent(one), less, "there was nothing to delete");
    let found = trial
        .backup
        .tell(&BackupQuery::Find(select("1", Some(ROOM), Some("s7"))));
    assert_eq!(found, Err(BackupError::UnknownSession));
    assert_eq!(trial.replayed(), trial.backup);
    let room = BackupCommand::DeleteSessions(select("1", Some(ROOM), None));
    assert_eq!(trial.extent(room).0, 0);
    trial.sweep();
    assert_eq!(trial.stored(), 0);
    let replayed = trial.replayed();
    assert_eq!(replayed, trial.backup);
    assert_eq!(Backup::decode(&replayed.encode()), Some(replayed));
}

#[test]
fn sizes_are_bounded_and_sessions_cost_little() {
    let mut trial = Trial::with_version();
    let mut large = session("s", (true, 0, 0));
    large.data = format!("{{\"x\":\"{}\"}}", "x".repeat(17_000));
    let refused = trial.run(store("1", vec![large])).unwrap_err();
    assert!(matches!(refused, BackupError::TooLarge(_)));
    let mut no_object = session("s", (true, 0, 0));
    no_object.data = "7".to_owned();
    let refused = trial.run(store("1", vec![no_object])).unwrap_err();
    assert!(matches!(refused, BackupError::BadJson(_)));
    let many = (0..2_001).map(|index| session(&index.to_string(), (true, 0, 0)));
    let refused = trial.run(store("1", many.collect())).unwrap_err();
    assert!(matches!(refused, BackupError::TooLarge(_)));
    for chunk in 0..50 {
        let sessions = (0..2_000).map(|index| session(&format!("{chunk}/{index}"), (true, 0, 0)));
        trial.extent(store("1", sessions.collect()));
    }
    assert!(trial.backup.weight_bytes() < 8 << 20);
    assert!(trial.backup.encode().len() < 5 << 20);
}
