//! The ground: tables that hold the log, and how they got there.
//!
//! Steps are numbered, run in order, each in a transaction of its own with the number it reaches, and are safe to repeat. Their text is the same for
//! both engines but for a few words in double braces. A step that truly differs has a second text, `NNNN_name.postgres.sql`.
//! Steps only go forward: first add, later remove.

use crate::{address::Family, port::StoreError};

/// The step that this program's tables have reached.
pub const VERSION: i64 = 3;

/// The oldest program, by its [`VERSION`], that may run on a database that this program has opened.
pub const OLDEST: i64 = 1;

/// What every database (every file, on SQLite) says about itself: numbers by name.
pub(crate) const META: &str =
    "CREATE TABLE IF NOT EXISTS meta (name {{text}} PRIMARY KEY, value BIGINT NOT NULL)";

/// Names in `meta`.
pub(crate) mod meta {
    /// The newest step applied.
    pub(crate) const VERSION: &str = "version";
    /// The oldest program that may run here.
    pub(crate) const OLDEST: &str = "oldest";
    /// Shards in each family.
    pub(crate) const SHARDS: &str = "shards";
    /// Files of each family (SQLite).
    pub(crate) const WRITERS: &str = "writers";
}

/// Which tables a database holds: all of them on PostgreSQL, one kind in each file on SQLite.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scope {
    /// The log and heads of a family.
    Log,
    /// Snapshots.
    Snapshots,
    /// Read models.
    Models,
}

/// One step.
#[derive(Debug)]
pub(crate) struct Step {
    /// Its number, one more than the step before it.
    pub(crate) number: i64,
    /// Where it belongs.
    pub(crate) scope: Scope,
    /// The text for both engines.
    pub(crate) shared: &'static str,
    /// The text for PostgreSQL, where it differs.
    pub(crate) postgres: Option<&'static str>,
}

/// All steps, in order.
pub(crate) const STEPS: [Step; 3] = [
    Step {
        number: 1,
        scope: Scope::Log,
        shared: include_str!("0001_log.sql"),
        postgres: None,
    },
    Step {
        number: 2,
        scope: Scope::Snapshots,
        shared: include_str!("0002_snapshot.sql"),
        postgres: None,
    },
    Step {
        number: 3,
        scope: Scope::Models,
        shared: include_str!("0003_cursor.sql"),
        postgres: None,
    },
];

/// An engine's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// SQLite.
    Sqlite,
    /// PostgreSQL.
    Postgres,
}

impl Dialect {
    /// What a word in braces means here. Texts compare by their bytes on both engines, so that both sort alike.
    fn words(self) -> [(&'static str, &'static str); 3] {
        match self {
            Dialect::Sqlite => [
                ("{{bytes}}", "BLOB"),
                ("{{text}}", "TEXT"),
                ("{{updated_in_place}}", ""),
            ],
            Dialect::Postgres => [
                ("{{bytes}}", "BYTEA"),
                ("{{text}}", "TEXT COLLATE \"C\""),
                ("{{updated_in_place}}", "WITH (fillfactor = 50)"),
            ],
        }
    }

    /// Fills in the words of shared text.
    pub(crate) fn fill(self, text: &str) -> String {
        self.words()
            .iter()
            .fold(text.to_owned(), |text, (word, meaning)| {
                text.replace(word, meaning)
            })
    }

    /// Fills in the words of shared text that speaks of a family.
    pub(crate) fn fill_for(self, text: &str, family: Family) -> String {
        self.fill(&text.replace("{{family}}", family.name()))
    }
}

/// Refuses a database whose newest writer has said that this program is too old for it.
pub(crate) fn check_version(version: i64, oldest: i64) -> Result<(), StoreError> {
    if oldest > VERSION {
        return Err(StoreError::Incompatible(format!(
            "the database has schema version {version} and needs a program of schema version {oldest} or newer; this program has {VERSION}"
        )));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_numbered_in_order_and_reach_the_version() {
        for (index, step) in STEPS.iter().enumerate() {
            assert_eq!(step.number, index as i64 + 1);
        }
        assert_eq!(STEPS.len() as i64, VERSION);
        assert_eq!(
            STEPS.iter().filter(|step| step.postgres.is_some()).count(),
            0,
            "steps that differ between the engines are counted here"
        );
    }

    #[test]
    fn no_word_is_left_unfilled() {
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            for step in &STEPS {
                assert!(!dialect.fill_for(step.shared, Family::Rooms).contains("{{"));
            }
        }
    }

    #[test]
    fn a_newer_database_is_refused_by_both_numbers() {
        let refused = check_version(9, 8).unwrap_err().to_string();
        assert!(refused.contains('9') && refused.contains(&VERSION.to_string()));
        assert!(check_version(9, VERSION).is_ok());
    }
}
