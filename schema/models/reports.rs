//! What users reported, for the administrators.

use super::{Columns, Model, first, number, rows, text, user_names::escaped};
use crate::{
    address::{Family, Position, Sequence, ShardNumber},
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        house::{HouseRecord, REPORT_DELETED, REPORTED, Report},
    },
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS reports_2 (
        shard BIGINT NOT NULL,
        position BIGINT NOT NULL,
        sequence BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        reporter {{text}} NOT NULL,
        room_id {{text}},
        event_id {{text}},
        user_id {{text}},
        reason {{text}},
        sender {{text}},
        PRIMARY KEY (shard, position)
    )",
    "CREATE INDEX IF NOT EXISTS reports_2_time ON reports_2 (at_ms, shard, position)",
];

pub(super) const ADD: &str = "INSERT INTO reports_2 (shard, position, sequence, at_ms, reporter, room_id, event_id, user_id, reason, sender) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (shard, position) DO NOTHING";

pub(super) const DELETE: &str = "DELETE FROM reports_2 WHERE shard = $1 AND position = $2";

/// Reports that fulfil a condition: what stands before it, and what after.
macro_rules! of {
    ($what:literal, $condition:literal, $rest:literal) => {
        concat!(
            "SELECT ",
            $what,
            " FROM reports_2 WHERE ",
            $condition,
            $rest
        )
    };
}

/// Whole reports.
macro_rules! reports {
    ($condition:literal, $rest:literal) => {
        of!(
            "shard, position, sequence, at_ms, reporter, room_id, event_id, user_id, reason, sender",
            $condition,
            $rest
        )
    };
}

/// Those of events, with what follows the condition.
macro_rules! of_events {
    ($questions:ident, $rest:literal) => {
        $questions!(
            "event_id IS NOT NULL AND reporter LIKE $1 ESCAPE '!' AND COALESCE(room_id, '') LIKE $2 ESCAPE '!' \
             AND COALESCE(sender, '') LIKE $3 ESCAPE '!'",
            $rest
        )
    };
}

/// Those of users, with what follows the condition.
macro_rules! of_users {
    ($questions:ident, $rest:literal) => {
        $questions!(
            "user_id IS NOT NULL AND event_id IS NULL AND reporter LIKE $1 ESCAPE '!' AND user_id LIKE $2 ESCAPE '!'",
            $rest
        )
    };
}

/// How many there are.
macro_rules! number_of {
    ($condition:literal, $rest:literal) => {
        of!("count(*)", $condition, $rest)
    };
}

pub(super) const LIST: &str = reports!(
    "at_ms < $1 OR (at_ms = $1 AND (shard < $2 OR (shard = $2 AND position < $3)))",
    " ORDER BY at_ms DESC, shard DESC, position DESC LIMIT $4"
);

pub(super) const GET: &str = reports!("shard = $1 AND position = $2", "");

/// The oldest first, and the newest first.
pub(super) const EVENTS: [&str; 2] = [
    of_events!(
        reports,
        " ORDER BY at_ms, shard, position LIMIT $4 OFFSET $5"
    ),
    of_events!(
        reports,
        " ORDER BY at_ms DESC, shard DESC, position DESC LIMIT $4 OFFSET $5"
    ),
];

pub(super) const EVENTS_COUNT: &str = of_events!(number_of, "");

/// The oldest first, and the newest first.
pub(super) const USERS: [&str; 2] = [
    of_users!(
        reports,
        " ORDER BY at_ms, shard, position LIMIT $3 OFFSET $4"
    ),
    of_users!(
        reports,
        " ORDER BY at_ms DESC, shard DESC, position DESC LIMIT $3 OFFSET $4"
    ),
];

pub(super) const USERS_COUNT: &str = of_users!(number_of, "");

/// A shard has a smaller number than this.
const SHARDS_MAX: u64 = 64;

/// The model.
pub struct Reports;

/// A report and where it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledReport {
    /// The shard.
    pub shard: ShardNumber,
    /// The position there.
    pub position: Position,
    /// Its number among what the reporter reported.
    pub sequence: Sequence,
    /// The report.
    pub report: Report,
}

impl FiledReport {
    /// A number by which it is found again.
    pub fn id(&self) -> u64 {
        self.position * SHARDS_MAX + u64::from(self.shard)
    }
}

/// Which reports are wanted. Texts are those that an ID has in it.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// Of what.
    pub of: ReportsOf,
    /// Who reported.
    pub reporter: String,
    /// The newest first.
    pub backwards: bool,
    /// After so many.
    pub from: u64,
    /// At most so many.
    pub limit: u64,
}

/// What reports are of.
#[derive(Clone, Debug)]
pub enum ReportsOf {
    /// Events.
    Events {
        /// In which room.
        room_id: String,
        /// By whom.
        sender: String,
    },
    /// Users.
    Users {
        /// Whom.
        user_id: String,
    },
}

impl Model for Reports {
    const NAME: &'static str = "reports";
    const TABLE: &'static str = "reports_2";
    const VERSION: u32 = 2;

    fn families(&self) -> &[Family] {
        &[Family::Servers]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if ![REPORTED, REPORT_DELETED].contains(&record.kind) {
            return Ok(Vec::new());
        }
        let shard = number(record.shard.number.into());
        Ok(match HouseRecord::decode(record)? {
            Some(HouseRecord::Reported(report)) => vec![add(shard, record, report)],
            Some(HouseRecord::ReportDeleted(position)) => vec![Statement {
                sql: DELETE,
                values: vec![shard, number(position)],
            }],
            _ => Vec::new(),
        })
    }
}

fn add(shard: Value, record: &StoredRecord, report: Report) -> Statement {
    // PostgreSQL knows no text with NUL in it.
    let or_null =
        |value: Option<String>| value.map_or(Value::Null, |value| text(value.replace('\0', "")));
    Statement {
        sql: ADD,
        values: vec![
            shard,
            number(record.position),
            number(record.sequence),
            number(report.at_ms),
            text(report.reporter),
            or_null(report.room_id),
            or_null(report.event_id),
            or_null(report.user_id),
            or_null(report.reason),
            or_null(report.sender),
        ],
    }
}

/// A page of the reports that are wanted, and how many there are in all.
pub async fn find(
    store: &dyn ModelStore,
    wanted: &Wanted,
) -> Result<(Vec<FiledReport>, u64), StoreError> {
    let within = |part: &str| text(format!("%{}%", escaped(part)));
    let mut values = vec![within(&wanted.reporter)];
    let (lists, count) = match &wanted.of {
        ReportsOf::Events { room_id, sender } => {
            values.extend([within(room_id), within(sender)]);
            (EVENTS, EVENTS_COUNT)
        }
        ReportsOf::Users { user_id } => {
            values.push(within(user_id));
            (USERS, USERS_COUNT)
        }
    };
    let total = first(store, (count, values.clone()), Columns::number).await?;
    values.extend([number(wanted.limit), number(wanted.from)]);
    let sql = lists[usize::from(wanted.backwards)];
    let found = rows(store, (sql, values), read).await?;
    Ok((found, total.unwrap_or(0)))
}

/// One report, by the number that [`FiledReport::id`] gives.
pub async fn get(store: &dyn ModelStore, id: u64) -> Result<Option<FiledReport>, StoreError> {
    let values = vec![number(id % SHARDS_MAX), number(id / SHARDS_MAX)];
    first(store, (GET, values), read).await
}

/// Reports, the newest first: at most `limit` before another (`None` for the newest).
pub async fn list(
    store: &dyn ModelStore,
    before: Option<&FiledReport>,
    limit: usize,
) -> Result<Vec<FiledReport>, StoreError> {
    let (at_ms, shard, position) = before.map_or((u64::MAX, 0, 0), |filed| {
        (filed.report.at_ms, filed.shard.into(), filed.position)
    });
    let values = vec![
        number(at_ms),
        number(shard),
        number(position),
        number(limit as u64),
    ];
    rows(store, (LIST, values), read).await
}

fn read(columns: &mut Columns) -> Result<FiledReport, StoreError> {
    Ok(FiledReport {
        shard: columns.number()? as ShardNumber,
        position: columns.number()?,
        sequence: columns.number()?,
        report: Report {
            at_ms: columns.number()?,
            reporter: columns.text()?,
            room_id: columns.optional_text()?,
            event_id: columns.optional_text()?,
            user_id: columns.optional_text()?,
            reason: columns.optional_text()?,
            sender: columns.optional_text()?,
        },
    })
}
