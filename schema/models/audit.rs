//! Which changes administrators made, to be found by who, what and when. What a change was about in full stands in the log alone.

use super::{Columns, Model, first, number, rows, text};
use crate::{
    address::{Family, Sequence},
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        admin::{AdminRecord, CHANGE_BEGUN, CHANGE_ENDED, ChangeBegun, ChangeEnded},
        codec::Record as _,
    },
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS audit_1 (
        sequence BIGINT PRIMARY KEY,
        at_ms BIGINT NOT NULL,
        administrator {{text}} NOT NULL,
        action {{text}} NOT NULL,
        target_kind {{text}} NOT NULL,
        target {{text}} NOT NULL,
        ended BIGINT,
        undone_by BIGINT
    )"];

pub(super) const BEGIN: &str = "INSERT INTO audit_1 (sequence, at_ms, administrator, action, target_kind, target) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (sequence) DO NOTHING";

pub(super) const END: &str = "UPDATE audit_1 SET ended = $1 WHERE sequence = $2";

pub(super) const AIM: &str = "UPDATE audit_1 SET target_kind = $1, target = $2 WHERE sequence = $3";

pub(super) const UNDO: &str = "UPDATE audit_1 SET undone_by = $1 WHERE sequence = $2";

pub(super) const LIST: &str = "SELECT sequence, ended, undone_by FROM audit_1 WHERE sequence < $1 AND at_ms >= $2 AND at_ms < $3 \
     AND (CAST($4 AS TEXT) = '' OR administrator = $4) AND (CAST($5 AS TEXT) = '' OR action = $5) \
     AND (CAST($6 AS TEXT) = '' OR target_kind = $6) AND (CAST($7 AS TEXT) = '' OR target = $7) \
     ORDER BY sequence DESC LIMIT $8";

pub(super) const GET: &str = "SELECT sequence, ended, undone_by FROM audit_1 WHERE sequence = $1";

/// The model.
pub struct Audit;

/// Which changes are wanted. The default: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WantedChanges {
    /// Made by whom.
    pub by: Option<String>,
    /// Method and path, as they are noted.
    pub action: Option<String>,
    /// About what kind of thing.
    pub target_kind: Option<String>,
    /// About what.
    pub target: Option<String>,
    /// Not before, milliseconds since the Unix epoch.
    pub since_ms: Option<u64>,
    /// Before, milliseconds since the Unix epoch.
    pub until_ms: Option<u64>,
    /// Older than this one.
    pub before: Option<Sequence>,
}

/// Where a change is noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotedChange {
    /// That it was about to be made.
    pub begun: Sequence,
    /// What became of it; `None` when that is not known.
    pub ended: Option<Sequence>,
    /// The change that took it back.
    pub undone_by: Option<Sequence>,
}

impl Model for Audit {
    const NAME: &'static str = "audit";
    const TABLE: &'static str = "audit_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Servers]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if ![CHANGE_BEGUN, CHANGE_ENDED].contains(&record.kind) {
            return Ok(Vec::new());
        }
        Ok(match AdminRecord::decode(record)? {
            Some(AdminRecord::ChangeBegun(begun)) => vec![begin(record.sequence, begun)],
            Some(AdminRecord::ChangeEnded(ended)) => end(record.sequence, ended),
            _ => Vec::new(),
        })
    }
}

fn begin(sequence: Sequence, begun: ChangeBegun) -> Statement {
    let target = begun.target.map(|target| (target.kind, target.name));
    let (kind, name) = target.unwrap_or_default();
    Statement {
        sql: BEGIN,
        values: vec![
            number(sequence),
            number(begun.at_ms),
            text(begun.by),
            text(begun.action),
            text(kind),
            text(name),
        ],
    }
}

fn end(sequence: Sequence, ended: ChangeEnded) -> Vec<Statement> {
    let mut statements = vec![Statement {
        sql: END,
        values: vec![number(sequence), number(ended.begun)],
    }];
    if let Some(target) = ended.target {
        statements.push(Statement {
            sql: AIM,
            values: vec![text(target.kind), text(target.name), number(ended.begun)],
        });
    }
    if let Some(undone) = ended.undoes.filter(|_| ended.status == 200) {
        statements.push(Statement {
            sql: UNDO,
            values: vec![number(ended.begun), number(undone)],
        });
    }
    statements
}

/// Changes, the newest first: at most `limit`.
pub async fn list(
    store: &dyn ModelStore,
    wanted: &WantedChanges,
    limit: usize,
) -> Result<Vec<NotedChange>, StoreError> {
    let or_any = |wanted: &Option<String>| text(wanted.clone().unwrap_or_default());
    let values = vec![
        number(wanted.before.unwrap_or(u64::MAX)),
        number(wanted.since_ms.unwrap_or(0)),
        number(wanted.until_ms.unwrap_or(u64::MAX)),
        or_any(&wanted.by),
        or_any(&wanted.action),
        or_any(&wanted.target_kind),
        or_any(&wanted.target),
        number(limit as u64),
    ];
    rows(store, (LIST, values), read).await
}

/// One change.
pub async fn get(
    store: &dyn ModelStore,
    sequence: Sequence,
) -> Result<Option<NotedChange>, StoreError> {
    first(store, (GET, vec![number(sequence)]), read).await
}

fn read(columns: &mut Columns) -> Result<NotedChange, StoreError> {
    Ok(NotedChange {
        begun: columns.number()?,
        ended: columns.optional_number()?,
        undone_by: columns.optional_number()?,
    })
}
