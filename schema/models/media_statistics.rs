//! How much media the users of this server have uploaded. Asks the models `media` and `users`.

use super::{
    Columns, first, number, rows, text,
    user_names::{escaped, fold},
};
use crate::port::{ModelStore, StoreError, Value};

/// Media of a time and of users whose ID or name has something in it.
macro_rules! uploaded {
    () => {
        " FROM media_1 m LEFT JOIN users_2 u ON u.user_id = m.user_id WHERE m.remote = 0 AND m.blob IS NOT NULL AND m.at_ms >= $1 \
         AND m.at_ms <= $2 AND (m.user_id LIKE $3 ESCAPE '!' OR COALESCE(u.folded, '') LIKE $4 ESCAPE '!') \
         GROUP BY m.user_id, u.displayname"
    };
}

macro_rules! list {
    ($direction:literal) => {
        concat!(
            "SELECT m.user_id, u.displayname, count(*), CAST(SUM(m.size_bytes) AS BIGINT)",
            uploaded!(),
            " ORDER BY CASE CAST($5 AS TEXT) WHEN 'media_length' THEN CAST(SUM(m.size_bytes) AS BIGINT) WHEN 'media_count' THEN count(*) ELSE 0 END ",
            $direction,
            ", CASE CAST($5 AS TEXT) WHEN 'displayname' THEN COALESCE(u.displayname, '') ELSE '' END ",
            $direction,
            ", m.user_id ",
            $direction,
            " LIMIT $6 OFFSET $7"
        )
    };
}

/// Rising, and falling.
pub(super) const LISTS: [&str; 2] = [list!("ASC"), list!("DESC")];

pub(super) const COUNT: &str = concat!(
    "SELECT count(*) FROM (SELECT m.user_id",
    uploaded!(),
    ") uploaders"
);

/// Which users are wanted, in what order.
#[derive(Clone, Debug)]
pub struct Wanted {
    /// What was uploaded since then, milliseconds since the Unix epoch …
    pub from_ms: u64,
    /// … and until then.
    pub until_ms: Option<u64>,
    /// By users whose ID or display name has this in it.
    pub term: Option<String>,
    /// Sorted by this: `user_id`, `displayname`, `media_length` or `media_count`. What is alike is sorted by user ID.
    pub order_by: String,
    /// The greatest first.
    pub falling: bool,
    /// After so many.
    pub from: u64,
    /// At most so many.
    pub limit: u64,
}

/// What a user has uploaded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uploads {
    /// Who.
    pub user_id: String,
    /// The display name, if any.
    pub displayname: Option<String>,
    /// So many pieces.
    pub count: u64,
    /// So many bytes in all.
    pub size_bytes: u64,
}

/// A page of the users that are wanted, and how many there are in all.
pub async fn find(
    store: &dyn ModelStore,
    wanted: &Wanted,
) -> Result<(Vec<Uploads>, u64), StoreError> {
    let term = wanted.term.as_deref();
    let within = |term: Option<String>| text(format!("%{}%", escaped(&term.unwrap_or_default())));
    let mut values: Vec<Value> = vec![
        number(wanted.from_ms),
        number(wanted.until_ms.unwrap_or(u64::MAX)),
        within(term.map(str::to_lowercase)),
        within(term.map(fold)),
    ];
    let total = first(store, (COUNT, values.clone()), Columns::number).await?;
    values.extend([
        text(wanted.order_by.as_str()),
        number(wanted.limit),
        number(wanted.from),
    ]);
    let sql = LISTS[usize::from(wanted.falling)];
    let found = rows(store, (sql, values), |columns| {
        Ok(Uploads {
            user_id: columns.text()?,
            displayname: columns.optional_text()?,
            count: columns.number()?,
            size_bytes: columns.number()?,
        })
    });
    Ok((found.await?, total.unwrap_or(0)))
}
