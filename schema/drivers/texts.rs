//! SQL that both drivers speak, once per family.

use std::sync::LazyLock;

use crate::address::Family;

/// The columns of a record, in the order in which the drivers read them.
const RECORD: &str = "place, entity, sequence, kind, epoch, at_ms, key, payload";

/// Shared texts of one family.
pub(crate) struct Texts {
    pub(crate) heads: String,
    pub(crate) entity_forwards: String,
    pub(crate) entity_backwards: String,
    pub(crate) entity_one: String,
    pub(crate) entity_head: String,
    pub(crate) find: String,
    pub(crate) shard: String,
    pub(crate) chain: String,
    pub(crate) snapshot_load: String,
    pub(crate) snapshot_save: String,
    pub(crate) snapshots_drop: String,
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
        let range = format!(
            "SELECT {RECORD} FROM log_{family} WHERE entity = $1 AND sequence >= $2 AND sequence <= $3 ORDER BY sequence"
        );
        Self {
            heads: format!(
                "SELECT shard, epoch, head, chain, batch FROM shard_{family} ORDER BY shard"
            ),
            entity_forwards: format!("{range} LIMIT $4"),
            entity_backwards: format!("{range} DESC LIMIT $4"),
            entity_one: format!(
                "SELECT {RECORD} FROM log_{family} WHERE entity = $1 AND sequence = $2"
            ),
            entity_head: format!(
                "SELECT place, sequence FROM log_{family} WHERE entity = $1 ORDER BY sequence DESC LIMIT 1"
            ),
            find: format!("SELECT {RECORD} FROM log_{family} WHERE key = $1"),
            shard: format!(
                "SELECT {RECORD} FROM log_{family} WHERE place > $1 AND place <= $2 ORDER BY place LIMIT $3"
            ),
            chain: format!(
                "SELECT {RECORD}, erased, chain FROM log_{family} WHERE place > $1 AND place <= $2 ORDER BY place LIMIT $3"
            ),
            snapshot_load: format!(
                "SELECT sequence, version, payload FROM snapshot_{family} WHERE entity = $1"
            ),
            snapshot_save: format!(
                "INSERT INTO snapshot_{family} (entity, sequence, version, payload) VALUES ($1, $2, $3, $4) \
                 ON CONFLICT (entity) DO UPDATE SET sequence = excluded.sequence, version = excluded.version, payload = excluded.payload \
                 WHERE snapshot_{family}.sequence <= excluded.sequence"
            ),
            snapshots_drop: format!("DELETE FROM snapshot_{family}"),
        }
    }
}

/// Moves a read model's cursor.
pub(crate) const CURSOR_SET: &str = "INSERT INTO cursor (name, family, shard, position) VALUES ($1, $2, $3, $4) \
     ON CONFLICT (name, family, shard) DO UPDATE SET position = excluded.position";

/// Reads a read model's cursors.
pub(crate) const CURSORS: &str =
    "SELECT shard, position FROM cursor WHERE name = $1 AND family = $2 ORDER BY shard";

/// Forgets a read model's cursors.
pub(crate) const CURSORS_DROP: &str = "DELETE FROM cursor WHERE name = $1";
