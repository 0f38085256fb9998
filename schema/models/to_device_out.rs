//! To-device messages that wait for other servers: which records of which users. What is in a transaction waits no more: the transaction is kept.

use std::collections::BTreeSet;

use super::{Columns, Model, number, rows, text};
use crate::{
    address::{Family, Position, Sequence, ShardNumber},
    port::{ModelStore, Statement, StoreError, StoredRecord},
    record::{codec::Record as _, server::ServerRecord, user::UserRecord},
};

const TABLES: [&str; 1] = ["CREATE TABLE IF NOT EXISTS to_device_out_1 (
        server_name {{text}} NOT NULL,
        shard BIGINT NOT NULL,
        position BIGINT NOT NULL,
        user_id {{text}} NOT NULL,
        sequence BIGINT NOT NULL,
        PRIMARY KEY (server_name, shard, position)
    )"];

pub(super) const ADD: &str = "INSERT INTO to_device_out_1 (server_name, shard, position, user_id, sequence) VALUES ($1, $2, $3, $4, $5) \
     ON CONFLICT DO NOTHING";

pub(super) const REMOVE: &str =
    "DELETE FROM to_device_out_1 WHERE server_name = $1 AND user_id = $2 AND sequence = $3";

pub(super) const WAITING: &str = "SELECT user_id, sequence, position FROM to_device_out_1 \
     WHERE server_name = $1 AND shard = $2 AND position > $3 AND position <= $4 ORDER BY position LIMIT $5";

/// The kind of [`UserRecord::ToDeviceSent`].
const SENT: crate::record::Kind = 530;

/// The model.
pub struct ToDeviceOut;

/// A sending that waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// Who sent.
    pub user_id: String,
    /// The record's number among those of the user.
    pub sequence: Sequence,
    /// Its position in the shard.
    pub position: Position,
}

impl Model for ToDeviceOut {
    const NAME: &'static str = "to_device_out";
    const TABLE: &'static str = "to_device_out_1";
    const VERSION: u32 = 1;

    fn families(&self) -> &[Family] {
        &[Family::Users, Family::Servers]
    }

    fn tables(&self) -> &[&'static str] {
        &TABLES
    }

    fn fold(&self, record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
        match record.entity.prefix() {
            "user" if record.kind == SENT => sent(record),
            "server" => departed(record),
            _ => Ok(Vec::new()),
        }
    }
}

/// The servers that a sending goes to.
pub fn servers_of(record: &StoredRecord) -> Result<BTreeSet<String>, StoreError> {
    if record.kind != SENT {
        return Ok(BTreeSet::new());
    }
    let Some(UserRecord::ToDeviceSent(sent)) = UserRecord::decode(record)? else {
        return Ok(BTreeSet::new());
    };
    let servers = sent.messages.iter();
    Ok(servers
        .filter_map(|message| Some(message.user_id.split_once(':')?.1.to_owned()))
        .collect())
}

fn sent(record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
    let add = |server: String| Statement {
        sql: ADD,
        values: vec![
            text(server),
            number(record.shard.number.into()),
            number(record.position),
            text(record.entity.name()),
            number(record.sequence),
        ],
    };
    Ok(servers_of(record)?.into_iter().map(add).collect())
}

fn departed(record: &StoredRecord) -> Result<Vec<Statement>, StoreError> {
    let Some(ServerRecord::Departed(departed)) = ServerRecord::decode(record)? else {
        return Ok(Vec::new());
    };
    let remove = |sending: crate::record::server::ToDeviceRef| Statement {
        sql: REMOVE,
        values: vec![
            text(record.entity.name()),
            text(sending.user_id),
            number(sending.sequence),
        ],
    };
    Ok(departed.to_device.into_iter().map(remove).collect())
}

/// What waits for a server in a shard of users, after one position and up to another, oldest first.
pub async fn waiting(
    store: &dyn ModelStore,
    (server_name, shard): (&str, ShardNumber),
    (after, until): (Position, Position),
    limit: usize,
) -> Result<Vec<Waiting>, StoreError> {
    let values = vec![
        text(server_name),
        number(shard.into()),
        number(after),
        number(until),
        number(limit as u64),
    ];
    rows(store, (WAITING, values), read).await
}

fn read(columns: &mut Columns) -> Result<Waiting, StoreError> {
    Ok(Waiting {
        user_id: columns.text()?,
        sequence: columns.number()?,
        position: columns.number()?,
    })
}
