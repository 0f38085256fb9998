//! The third-party identifiers of each user, and which identity servers know of them.

use super::{Columns, Model, number, rows, text};
use crate::{
    address::Family,
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{
        codec::Record as _,
        threepid::{Binding, Claim, ThreepidRecord},
    },
};

const TABLES: [&str; 4] = [
    "CREATE TABLE IF NOT EXISTS threepids_1 (entity {{text}} PRIMARY KEY, user_id {{text}} NOT NULL, medium {{text}} NOT NULL, \
     address {{text}} NOT NULL, validated_ms BIGINT NOT NULL, added_ms BIGINT NOT NULL)",
    "CREATE INDEX IF NOT EXISTS threepids_1_user ON threepids_1 (user_id, medium, address)",
    "CREATE TABLE IF NOT EXISTS threepids_1_bound (entity {{text}} NOT NULL, user_id {{text}} NOT NULL, id_server {{text}} NOT NULL, \
     medium {{text}} NOT NULL, address {{text}} NOT NULL, PRIMARY KEY (entity, user_id, id_server))",
    "CREATE INDEX IF NOT EXISTS threepids_1_bound_user ON threepids_1_bound (user_id)",
];

pub(super) const CLAIM: &str = "INSERT INTO threepids_1 (entity, user_id, medium, address, validated_ms, added_ms) \
     VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (entity) DO UPDATE SET user_id = excluded.user_id, medium = excluded.medium, \
     address = excluded.address, validated_ms = excluded.validated_ms, added_ms = excluded.added_ms";

pub(super) const RELEASE: &str = "DELETE FROM threepids_1 WHERE entity = $1";

pub(super) const OF_USER: &str = "SELECT user_id, medium, address, validated_ms, added_ms FROM threepids_1 \
     WHERE user_id = $1 ORDER BY medium, address";

pub(super) const BIND: &str = "INSERT INTO threepids_1_bound (entity, user_id, id_server, medium, address) \
     VALUES ($1, $2, $3, $4, $5) ON CONFLICT (entity, user_id, id_server) DO NOTHING";

pub(super) const UNBIND: &str =
    "DELETE FROM threepids_1_bound WHERE entity = $1 AND user_id = $2 AND id_server = $3";

pub(super) const BOUND: &str = "SELECT user_id, id_server, medium, address FROM threepids_1_bound \
     WHERE user_id = $1 ORDER BY medium, address, id_server";

/// The model.
pub struct Threepids;

impl Model for Threepids {
    const NAME: &'static str = "threepids";
    const TABLE: &'static str = "threepids_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        if record.entity.prefix() != "threepid" {
            return Ok(Vec::new());
        }
        let entity = text(record.entity.name());
        let (sql, values) = match ThreepidRecord::decode(record)? {
            // Of what was erased nothing is left to be known.
            Some(ThreepidRecord::Claimed(claim)) if !claim.user_id.is_empty() => (
                CLAIM,
                vec![
                    entity,
                    text(claim.user_id),
                    text(claim.medium),
                    text(claim.address),
                    number(claim.validated_ms),
                    number(claim.added_ms),
                ],
            ),
            Some(ThreepidRecord::Released) => (RELEASE, vec![entity]),
            Some(ThreepidRecord::Bound(binding)) => (
                BIND,
                vec![
                    entity,
                    text(binding.user_id),
                    text(binding.id_server),
                    text(binding.medium),
                    text(binding.address),
                ],
            ),
            Some(ThreepidRecord::Unbound(binding)) => (
                UNBIND,
                vec![entity, text(binding.user_id), text(binding.id_server)],
            ),
            _ => return Ok(Vec::new()),
        };
        Ok(vec![Statement { sql, values }])
    }
}

/// The identifiers of a user, in order.
pub async fn of_user(store: &dyn ModelStore, user_id: &str) -> Result<Vec<Claim>, StoreError> {
    let read = |columns: &mut Columns| {
        Ok(Claim {
            user_id: columns.text()?,
            medium: columns.text()?,
            address: columns.text()?,
            validated_ms: columns.number()?,
            added_ms: columns.number()?,
        })
    };
    rows(store, (OF_USER, vec![text(user_id)]), read).await
}

/// What identity servers know of a user, in order.
pub async fn bindings_of(
    store: &dyn ModelStore,
    user_id: &str,
) -> Result<Vec<Binding>, StoreError> {
    let read = |columns: &mut Columns| {
        Ok(Binding {
            user_id: columns.text()?,
            id_server: columns.text()?,
            medium: columns.text()?,
            address: columns.text()?,
        })
    };
    rows(store, (BOUND, vec![text(user_id)]), read).await
}
