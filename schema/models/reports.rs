//! What users reported, for the administrators.

use super::{Columns, Model, number, rows, text};
use crate::{
    address::{Family, Position, ShardNumber},
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        house::{HouseRecord, REPORTED, Report},
    },
};

const TABLES: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS reports_1 (
        shard BIGINT NOT NULL,
        position BIGINT NOT NULL,
        at_ms BIGINT NOT NULL,
        reporter {{text}} NOT NULL,
        room_id {{text}},
        event_id {{text}},
        user_id {{text}},
        reason {{text}},
        PRIMARY KEY (shard, position)
    )",
    "CREATE INDEX IF NOT EXISTS reports_1_time ON reports_1 (at_ms, shard, position)",
];

pub(super) const ADD: &str = "INSERT INTO reports_1 (shard, position, at_ms, reporter, room_id, event_id, user_id, reason) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (shard, position) DO NOTHING";

pub(super) const LIST: &str = "SELECT shard, position, at_ms, reporter, room_id, event_id, user_id, reason FROM reports_1 \
     WHERE at_ms < $1 OR (at_ms = $1 AND (shard < $2 OR (shard = $2 AND position < $3))) \
     ORDER BY at_ms DESC, shard DESC, position DESC LIMIT $4";

/// The model.
pub struct Reports;

/// A report and where it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FiledReport {
    /// The shard.
    pub shard: ShardNumber,
    /// The position there.
    pub position: Position,
    /// The report.
    pub report: Report,
}

impl Model for Reports {
    const NAME: &'static str = "reports";
    const TABLE: &'static str = "reports_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Servers]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.kind != REPORTED {
            return Ok(Vec::new());
        }
        let Some(HouseRecord::Reported(report)) = HouseRecord::decode(record)? else {
            return Ok(Vec::new());
        };
        let or_null = |value: Option<String>| {
            // PostgreSQL knows no text with NUL in it.
            value.map_or(Value::Null, |value| text(value.replace('\0', "")))
        };
        Ok(vec![Statement {
            sql: ADD,
            values: vec![
                number(record.shard.number.into()),
                number(record.position),
                number(report.at_ms),
                text(report.reporter),
                or_null(report.room_id),
                or_null(report.event_id),
                or_null(report.user_id),
                or_null(report.reason),
            ],
        }])
    }
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
        report: Report {
            at_ms: columns.number()?,
            reporter: columns.text()?,
            room_id: columns.optional_text()?,
            event_id: columns.optional_text()?,
            user_id: columns.optional_text()?,
            reason: columns.optional_text()?,
        },
    })
}
