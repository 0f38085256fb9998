//! SQL that both drivers speak, once per family.

use std::sync::LazyLock;

use crate::address::Family;
// Readers of the log that are no models move their cursors, and have them forgotten, in the same words.
pub(crate) use crate::models::{parked::CURSORS_DROP, positions::SET as CURSOR_SET};

/// The columns of a record, in the order in which the drivers read them.
pub(super) const RECORD: &str =
    "l.place, e.name, l.sequence, l.kind, l.epoch, l.at_ms, l.key, l.payload";

/// So much of a key is in the index, as `0001_log.sql` says.
const KEY_INDEXED_CHARACTERS: usize = 12;

/// So many records with one key are looked at for the first of them.
const EQUAL_KEYS_MAX: usize = 16;

/// What the index of keys knows of a key.
pub(crate) fn key_prefix(key: &str) -> &str {
    key.char_indices()
        .nth(KEY_INDEXED_CHARACTERS)
        .map_or(key, |(end, _)| &key[..end])
}

/// Shared texts of one family.
pub(crate) struct Texts {
    pub(crate) heads: String,
    pub(crate) entity_forwards: String,
    pub(crate) entity_backwards: String,
    pub(crate) entity_one: String,
    pub(crate) entity_head: String,
    pub(crate) entity_sizes: String,
    pub(crate) find: String,
    pub(crate) shard: String,
    pub(crate) chain: String,
    pub(crate) snapshot_load: String,
    pub(crate) snapshot_save: String,
    pub(crate) snapshot_drop: String,
    pub(crate) snapshots_drop: String,
    pub(crate) snapshots: String,
    pub(crate) count_kinds: String,
    pub(crate) advance: String,
}

static TEXTS: LazyLock<[Texts; 3]> = LazyLock::new(|| Family::ALL.map(Texts::new));

/// The texts of a family.
pub(crate) fn texts(family: Family) -> &'static Texts {
    match family {
        Family::Rooms => &TEXTS[0],
        Family::Users => &TEXTS[1],
        Family::Servers => &TEXTS[2],
    }
}

impl Texts {
    fn new(family: Family) -> Self {
        let log = format!("log_{family} AS l JOIN entity_{family} AS e ON e.id = l.entity");
        let range = format!(
            "SELECT {RECORD} FROM {log} WHERE e.name = $1 AND l.sequence >= $2 AND l.sequence <= $3 ORDER BY l.sequence"
        );
        Self {
            heads: format!(
                "SELECT shard, epoch, head, chain, batch FROM shard_{family} ORDER BY shard"
            ),
            entity_forwards: format!("{range} LIMIT $4"),
            entity_backwards: format!("{range} DESC LIMIT $4"),
            entity_one: format!("SELECT {RECORD} FROM {log} WHERE e.name = $1 AND l.sequence = $2"),
            entity_head: format!(
                "SELECT l.place, l.sequence FROM {log} WHERE e.name = $1 ORDER BY l.sequence DESC LIMIT 1"
            ),
            entity_sizes: format!(
                "SELECT l.kind, count(*), CAST(sum(length(l.payload)) AS BIGINT) FROM {log} WHERE e.name = $1 AND l.sequence >= $2 AND l.sequence <= $3 \
                 GROUP BY l.kind ORDER BY l.kind"
            ),
            // SQLite would put the value of `l.key = $2` into the expression before it, and then not know the index. Nor is there an ORDER BY place, for which
            // PostgreSQL might walk the primary key.
            find: format!(
                "SELECT {RECORD} FROM {log} WHERE substr(l.key, 1, {KEY_INDEXED_CHARACTERS}) = $1 AND l.key >= $2 AND l.key <= $2 LIMIT {EQUAL_KEYS_MAX}"
            ),
            shard: format!(
                "SELECT {RECORD} FROM {log} WHERE l.place > $1 AND l.place <= $2 ORDER BY l.place LIMIT $3"
            ),
            chain: format!(
                "SELECT {RECORD}, l.erased, l.chain FROM {log} WHERE l.place > $1 AND l.place <= $2 ORDER BY l.place LIMIT $3"
            ),
            snapshot_load: format!(
                "SELECT sequence, version, payload FROM snapshot_{family} WHERE entity = $1"
            ),
            snapshot_save: format!(
                "INSERT INTO snapshot_{family} (entity, sequence, version, payload) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (entity) DO UPDATE SET sequence = excluded.sequence, version = excluded.version, payload = excluded.payload \
                 WHERE snapshot_{family}.sequence <= excluded.sequence"
            ),
            snapshot_drop: format!("DELETE FROM snapshot_{family} WHERE entity = $1"),
            snapshots_drop: format!("DELETE FROM snapshot_{family}"),
            snapshots: format!(
                "SELECT entity, sequence, version, payload FROM snapshot_{family} WHERE entity > $1 ORDER BY entity LIMIT $2"
            ),
            count_kinds: format!(
                "SELECT kind, count(*) FROM log_{family} WHERE place > $1 AND place <= $2 GROUP BY kind ORDER BY kind"
            ),
            advance: format!(
                "UPDATE shard_{family} SET head = $1, chain = $2, epoch = $3 WHERE shard = $4 AND head = $5 AND chain = $6"
            ),
        }
    }
}

/// Moves a read model's cursor from where it must stand. Whether it did is told by a row.
pub(crate) const CURSOR_MOVE: &str = "UPDATE cursor SET position = $1 WHERE name = $2 AND family = $3 AND shard = $4 AND position = $5 RETURNING position";

/// Moves a read model's cursor that must not have been moved before. Whether it was is told by a row.
pub(crate) const CURSOR_BEGIN: &str = "INSERT INTO cursor (name, family, shard, position) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (name, family, shard) DO UPDATE SET position = excluded.position WHERE cursor.position = 0 RETURNING position";

/// Reads a read model's cursors.
pub(crate) const CURSORS: &str =
    "SELECT shard, position FROM cursor WHERE name = $1 AND family = $2 ORDER BY shard";

/// Forgets what a read model has parked.
pub(crate) const PARKED_DROP: &str = "DELETE FROM parked WHERE name = $1";
