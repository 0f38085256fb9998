//! Lists of kept media: that of a user in the order wanted, and what nobody has used for long.

use super::{Columns, first, media::KeptMedia, number, rows, text, truth};
use crate::port::{ModelStore, StoreError};

/// A listing in one order: what is equal there follows the media ID.
macro_rules! listing {
    ($order:literal) => {
        concat!(
            "SELECT media_id, size_bytes, content_type, file_name, at_ms, used_ms, quarantined_by, protected FROM media_1 \
             WHERE user_id = $1 AND blob IS NOT NULL ORDER BY ",
            $order,
            " LIMIT $2 OFFSET $3"
        )
    };
}

/// By each order, rising and falling. Where nothing was said it counts as an empty text.
pub(super) const LISTS: [(MediaOrder, [&str; 2]); 8] = [
    (
        MediaOrder::Id,
        [listing!("media_id"), listing!("media_id DESC")],
    ),
    (
        MediaOrder::Name,
        [
            listing!("COALESCE(file_name, ''), media_id"),
            listing!("COALESCE(file_name, '') DESC, media_id DESC"),
        ],
    ),
    (
        MediaOrder::Created,
        [
            listing!("at_ms, media_id"),
            listing!("at_ms DESC, media_id DESC"),
        ],
    ),
    (
        MediaOrder::Used,
        [
            listing!("used_ms, media_id"),
            listing!("used_ms DESC, media_id DESC"),
        ],
    ),
    (
        MediaOrder::Size,
        [
            listing!("size_bytes, media_id"),
            listing!("size_bytes DESC, media_id DESC"),
        ],
    ),
    (
        MediaOrder::Type,
        [
            listing!("COALESCE(content_type, ''), media_id"),
            listing!("COALESCE(content_type, '') DESC, media_id DESC"),
        ],
    ),
    (
        MediaOrder::Quarantined,
        [
            listing!("COALESCE(quarantined_by, ''), media_id"),
            listing!("COALESCE(quarantined_by, '') DESC, media_id DESC"),
        ],
    ),
    (
        MediaOrder::Protected,
        [
            listing!("protected, media_id"),
            listing!("protected DESC, media_id DESC"),
        ],
    ),
];

pub(super) const COUNT: &str =
    "SELECT count(*) FROM media_1 WHERE user_id = $1 AND blob IS NOT NULL";

pub(super) const UNUSED: &str = "SELECT used_ms, media_id FROM media_1 WHERE remote = $1 AND used_ms < $2 AND size_bytes > $3 \
     AND (used_ms > $4 OR (used_ms = $4 AND media_id > $5)) AND blob IS NOT NULL AND quarantined_by IS NULL AND protected = 0 \
     ORDER BY used_ms, media_id LIMIT $6";

/// The same without pictures of users and rooms.
pub(super) const UNUSED_NO_FACES: &str = "SELECT m.used_ms, m.media_id FROM media_1 m WHERE m.remote = $1 AND m.used_ms < $2 AND m.size_bytes > $3 \
     AND (m.used_ms > $4 OR (m.used_ms = $4 AND m.media_id > $5)) AND m.blob IS NOT NULL AND m.quarantined_by IS NULL AND m.protected = 0 \
     AND NOT EXISTS (SELECT 1 FROM user_names_1 u WHERE u.avatar_url = CAST($6 AS TEXT) || m.media_id) \
     AND NOT EXISTS (SELECT 1 FROM room_facts_1 f WHERE f.fact = 'avatar' AND f.value = CAST($6 AS TEXT) || m.media_id) \
     ORDER BY m.used_ms, m.media_id LIMIT $7";

/// By what a list is ordered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaOrder {
    /// The media ID.
    Id,
    /// The name that the uploader gave.
    Name,
    /// When it came.
    Created,
    /// When it was last used.
    Used,
    /// Its length.
    Size,
    /// Its type.
    Type,
    /// Who put it away.
    Quarantined,
    /// Whether it is protected.
    Protected,
}

/// Which media nobody has used for long.
#[derive(Clone, Debug)]
pub struct UnusedMedia {
    /// Copies of other servers' media, or media of this one.
    pub remote: bool,
    /// Not used since then, milliseconds since the Unix epoch.
    pub before_ms: u64,
    /// Larger than this.
    pub size_bytes_over: u64,
    /// Pictures of users and rooms are left out; addresses of media of this server begin so.
    pub keep_faces_of: Option<String>,
}

/// A user's media: so many pieces after the first ones.
pub async fn of_user(
    store: &dyn ModelStore,
    user_id: &str,
    (order, falling): (MediaOrder, bool),
    (from, limit): (u64, u64),
) -> Result<Vec<KeptMedia>, StoreError> {
    let sql = LISTS
        .iter()
        .find(|(of, _)| *of == order)
        .map_or(LISTS[0].1, |(_, both)| *both)[usize::from(falling)];
    let values = vec![text(user_id), number(limit), number(from)];
    rows(store, (sql, values), read).await
}

/// How many pieces of media a user has.
pub async fn count_of_user(store: &dyn ModelStore, user_id: &str) -> Result<u64, StoreError> {
    let count = first(store, (COUNT, vec![text(user_id)]), Columns::number).await?;
    Ok(count.unwrap_or_default())
}

/// What nobody has used for long, the longest first: the time of its last use and its media ID. It goes on after another.
pub async fn unused(
    store: &dyn ModelStore,
    which: &UnusedMedia,
    after: &(u64, String),
    limit: usize,
) -> Result<Vec<(u64, String)>, StoreError> {
    let mut values = vec![
        truth(which.remote),
        number(which.before_ms),
        number(which.size_bytes_over),
        number(after.0),
        text(&after.1),
    ];
    let sql = match &which.keep_faces_of {
        Some(beginning) => {
            values.push(text(beginning));
            UNUSED_NO_FACES
        }
        None => UNUSED,
    };
    values.push(number(limit as u64));
    rows(store, (sql, values), |columns| {
        Ok((columns.number()?, columns.text()?))
    })
    .await
}

fn read(columns: &mut Columns) -> Result<KeptMedia, StoreError> {
    Ok(KeptMedia {
        media_id: columns.text()?,
        size_bytes: columns.number()?,
        content_type: columns.optional_text()?,
        file_name: columns.optional_text()?,
        at_ms: columns.number()?,
        used_ms: columns.number()?,
        quarantined_by: columns.optional_text()?,
        protected: columns.truth()?,
    })
}
