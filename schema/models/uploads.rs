//! What each user has uploaded and when, and which addresses wait for their content: for quotas.

use super::{Model, first, number, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, media::MediaRecord},
};

const TABLES: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS uploads_1 (
        media_id {{text}} PRIMARY KEY,
        user_id {{text}} NOT NULL,
        at_ms BIGINT NOT NULL,
        size_bytes BIGINT NOT NULL,
        awaited BIGINT NOT NULL,
        expires_ms BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS uploads_1_user ON uploads_1 (user_id, at_ms, size_bytes)",
    "CREATE INDEX IF NOT EXISTS uploads_1_awaited ON uploads_1 (user_id, expires_ms) WHERE awaited = 1",
];

pub(super) const RESERVE: &str = "INSERT INTO uploads_1 (media_id, user_id, at_ms, size_bytes, awaited, expires_ms) VALUES ($1, $2, 0, 0, 1, $3) \
     ON CONFLICT (media_id) DO NOTHING";

pub(super) const FILL: &str = "INSERT INTO uploads_1 (media_id, user_id, at_ms, size_bytes, awaited, expires_ms) VALUES ($1, $2, $3, $4, 0, 0) \
     ON CONFLICT (media_id) DO UPDATE SET at_ms = excluded.at_ms, size_bytes = excluded.size_bytes, awaited = 0";

/// What was deleted counts no more.
pub(super) const REMOVE: &str = "DELETE FROM uploads_1 WHERE media_id = $1";

pub(super) const USED: &str = "SELECT CAST(COALESCE(SUM(size_bytes), 0) AS BIGINT) FROM uploads_1 WHERE user_id = $1 AND at_ms >= $2";

pub(super) const AWAITED: &str =
    "SELECT COUNT(*) FROM uploads_1 WHERE user_id = $1 AND expires_ms > $2 AND awaited = 1";

/// The model.
pub struct Uploads;

impl Model for Uploads {
    const NAME: &'static str = "uploads";
    const TABLE: &'static str = "uploads_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.entity.prefix() != "media" {
            return Ok(Vec::new());
        }
        let media_id = text(record.entity.name());
        let (sql, values) = match MediaRecord::decode(record)? {
            Some(MediaRecord::Reserved(reserved)) => (
                RESERVE,
                vec![
                    media_id,
                    text(reserved.user_id),
                    number(reserved.expires_ms),
                ],
            ),
            // Pictures of previews are nobody's: they are removed in time.
            Some(MediaRecord::Uploaded(uploaded)) if !uploaded.is_of_preview() => (
                FILL,
                vec![
                    media_id,
                    text(uploaded.user_id),
                    number(uploaded.at_ms),
                    number(uploaded.size_bytes),
                ],
            ),
            Some(MediaRecord::Removed(_)) => (REMOVE, vec![media_id]),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

/// How many bytes a user has uploaded since then.
pub async fn used(store: &dyn ModelStore, user_id: &str, since_ms: u64) -> Result<u64, StoreError> {
    let values = vec![text(user_id), number(since_ms)];
    let used = first(store, (USED, values), |columns| columns.number()).await?;
    Ok(used.unwrap_or_default())
}

/// How many addresses a user was given that may still be filled.
pub async fn awaited(
    store: &dyn ModelStore,
    user_id: &str,
    now_ms: u64,
) -> Result<u64, StoreError> {
    let values = vec![text(user_id), number(now_ms)];
    let awaited = first(store, (AWAITED, values), |columns| columns.number()).await?;
    Ok(awaited.unwrap_or_default())
}
