//! All media that is kept, of this server and of others: whose it is, where its content lies, when it was last used, and what administrators said of it.

use super::{Columns, Model, first, number, rows, text, truth};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord, Value},
    record::{
        codec::Record as _,
        media::{MediaRecord, Uploaded},
    },
};

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS media_1 (
        media_id {{text}} PRIMARY KEY,
        user_id {{text}} NOT NULL,
        remote BIGINT NOT NULL,
        blob {{text}},
        size_bytes BIGINT NOT NULL,
        content_type {{text}},
        file_name {{text}},
        at_ms BIGINT NOT NULL,
        used_ms BIGINT NOT NULL,
        quarantined_by {{text}},
        protected BIGINT NOT NULL
    )",
    "CREATE INDEX IF NOT EXISTS media_1_user ON media_1 (user_id, at_ms)",
    "CREATE INDEX IF NOT EXISTS media_1_blob ON media_1 (blob)",
    "CREATE INDEX IF NOT EXISTS media_1_used ON media_1 (remote, used_ms)",
];

pub(super) const FILL: &str = "INSERT INTO media_1 (media_id, user_id, remote, blob, size_bytes, content_type, file_name, at_ms, used_ms, protected) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $8, 0) ON CONFLICT (media_id) DO UPDATE SET user_id = excluded.user_id, blob = excluded.blob, \
     size_bytes = excluded.size_bytes, content_type = excluded.content_type, file_name = excluded.file_name, at_ms = excluded.at_ms, used_ms = excluded.used_ms";

/// Also what was not fetched yet.
pub(super) const QUARANTINE: &str = "INSERT INTO media_1 (media_id, user_id, remote, size_bytes, at_ms, used_ms, quarantined_by, protected) \
     VALUES ($1, '', $2, 0, 0, 0, $3, 0) ON CONFLICT (media_id) DO UPDATE SET quarantined_by = excluded.quarantined_by";

pub(super) const RELEASE: &str = "UPDATE media_1 SET quarantined_by = NULL WHERE media_id = $1";

pub(super) const PROTECT: &str = "UPDATE media_1 SET protected = $1 WHERE media_id = $2";

pub(super) const USE: &str = "UPDATE media_1 SET used_ms = $1 WHERE media_id = $2";

pub(super) const REMOVE: &str = "DELETE FROM media_1 WHERE media_id = $1";

/// What can be put away of a user's media.
pub(super) const FREE_OF_USER: &str = "SELECT media_id FROM media_1 WHERE user_id = $1 AND quarantined_by IS NULL AND protected = 0 \
     AND blob IS NOT NULL AND media_id > $2 ORDER BY media_id LIMIT $3";

/// What else has the same content, and can be put away.
pub(super) const FREE_TWINS: &str = "SELECT media_id FROM media_1 WHERE blob = $1 AND quarantined_by IS NULL AND protected = 0 AND media_id > $2 \
     ORDER BY media_id LIMIT $3";

pub(super) const OTHERS: &str = "SELECT count(*) FROM media_1 WHERE blob = $1 AND media_id <> $2";

/// The model.
pub struct Media;

/// A piece of media.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptMedia {
    /// The media ID; for that of another server, with its name and a slash in front.
    pub media_id: String,
    /// Its length.
    pub size_bytes: u64,
    /// As was said when it came.
    pub content_type: Option<String>,
    /// As was said when it came.
    pub file_name: Option<String>,
    /// When it came, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// When it was last used, roughly.
    pub used_ms: u64,
    /// Who put it away.
    pub quarantined_by: Option<String>,
    /// Whether it cannot be put away.
    pub protected: bool,
}

impl Model for Media {
    const NAME: &'static str = "media";
    const TABLE: &'static str = "media_1";
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
        let name = record.entity.name();
        let remote = truth(is_remote(name));
        let media_id = text(name);
        let (sql, values) = match MediaRecord::decode(record)? {
            // Pictures of previews go by themselves.
            Some(MediaRecord::Uploaded(uploaded)) if !uploaded.is_of_preview() => {
                (FILL, filled(media_id, remote, uploaded))
            }
            Some(MediaRecord::Quarantined(judged)) => {
                (QUARANTINE, vec![media_id, remote, text(judged.by)])
            }
            Some(MediaRecord::Released(_)) => (RELEASE, vec![media_id]),
            Some(MediaRecord::Protected(_)) => (PROTECT, vec![truth(true), media_id]),
            Some(MediaRecord::Unprotected(_)) => (PROTECT, vec![truth(false), media_id]),
            Some(MediaRecord::Used(at_ms)) => (USE, vec![number(at_ms), media_id]),
            Some(MediaRecord::Removed(_)) => (REMOVE, vec![media_id]),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

/// Media of other servers has their name in its own.
fn is_remote(media_id: &str) -> bool {
    media_id.contains('/')
}

fn filled(media_id: Value, remote: Value, uploaded: Uploaded) -> Vec<Value> {
    // PostgreSQL knows no text with NUL in it.
    let or_null =
        |value: Option<String>| value.map_or(Value::Null, |value| text(value.replace('\0', "")));
    vec![
        media_id,
        text(uploaded.user_id),
        remote,
        text(uploaded.sha256),
        number(uploaded.size_bytes),
        or_null(uploaded.content_type),
        or_null(uploaded.file_name),
        number(uploaded.at_ms),
    ]
}

/// What can be put away of a user's media, after a media ID and in their order.
pub async fn free_of_user(
    store: &dyn ModelStore,
    user_id: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(user_id), text(after), number(limit as u64)];
    rows(store, (FREE_OF_USER, values), Columns::text).await
}

/// What has this content and can be put away, after a media ID and in their order.
pub async fn free_twins(
    store: &dyn ModelStore,
    blob: &str,
    after: &str,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let values = vec![text(blob), text(after), number(limit as u64)];
    rows(store, (FREE_TWINS, values), Columns::text).await
}

/// How many other pieces of media have this content.
pub async fn others(store: &dyn ModelStore, blob: &str, media_id: &str) -> Result<u64, StoreError> {
    let values = vec![text(blob), text(media_id)];
    let others = first(store, (OTHERS, values), Columns::number).await?;
    Ok(others.unwrap_or_default())
}
