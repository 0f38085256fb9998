//! The register of a cluster: every operation is one statement, and reading it two.

use std::sync::Arc;

use bytes::Bytes;
use tokio_postgres::{Client, Row, types::ToSql};
use uuid::Uuid;

use super::{
    super::plan::bound,
    connection::{Pool, failure},
    read,
};
use crate::{
    address::{Family, Shard, ShardNumber},
    port::{Head, StoreError, StoreFuture},
    register::{
        Beat, Claim, Handed, Incarnation, NodeEntry, NodeName, Pulse, Register, RegisterView,
        ShardEntry, Standing, damaged, not_beside_alone,
    },
};

/// The database's clock, milliseconds since the Unix epoch.
macro_rules! now {
    () => {
        "(extract(epoch FROM clock_timestamp()) * 1000)::bigint"
    };
}

/// What a node says of itself, unless it is told to rest.
macro_rules! standing {
    () => {
        "CASE WHEN EXISTS (SELECT 1 FROM resting AS r WHERE r.name = $1) THEN 'draining' ELSE $5::text END"
    };
}

const JOIN: &str = concat!(
    "INSERT INTO node (name, incarnation, address, roles, standing, facts, joined_ms, lease_ms) \
     VALUES ($1, $2, $3, $4, ",
    standing!(),
    ", $6, ",
    now!(),
    ", ",
    now!(),
    " + $7::bigint) \
     ON CONFLICT (name) DO UPDATE SET incarnation = excluded.incarnation, address = excluded.address, roles = excluded.roles, \
     standing = excluded.standing, facts = excluded.facts, joined_ms = excluded.joined_ms, lease_ms = excluded.lease_ms \
     WHERE node.lease_ms < ",
    now!(),
    " OR node.incarnation = excluded.incarnation RETURNING 1"
);

/// The row of a node of no cluster, which is no node's name.
macro_rules! alone {
    () => {
        "'(alone)'"
    };
}

const STAND_ALONE: &str = concat!(
    "INSERT INTO node (name, incarnation, address, roles, standing, facts, joined_ms, lease_ms) VALUES (",
    alone!(),
    ", '', $1::text, '', 'draining', '', ",
    now!(),
    ", ",
    now!(),
    " + $2::bigint) ON CONFLICT (name) DO UPDATE SET address = excluded.address, lease_ms = excluded.lease_ms RETURNING 1"
);

const ALONE: &str = concat!(
    "SELECT address FROM node WHERE name = ",
    alone!(),
    " AND lease_ms > ",
    now!()
);

const LIVING: &str = concat!(
    "SELECT name FROM node WHERE name <> ",
    alone!(),
    " AND lease_ms >= ",
    now!(),
    " ORDER BY name"
);

const BEAT: &str = concat!(
    "UPDATE node SET address = $3, roles = $4, standing = ",
    standing!(),
    ", facts = $6, lease_ms = ",
    now!(),
    " + $7::bigint WHERE name = $1 AND incarnation = $2 AND lease_ms >= ",
    now!(),
    " RETURNING 1"
);

/// A life that ends holds nothing any more, and what it has said of itself is of no use. The node comes first: see [`CLAIM`].
const LEAVE: &str = "WITH gone AS (UPDATE node SET lease_ms = 0, facts = '' WHERE incarnation = $1 RETURNING 1) \
     UPDATE placement SET holder = NULL WHERE holder = $1 AND (SELECT count(*) FROM gone) >= 0 RETURNING 1";

const FORGET: &str = concat!(
    "WITH gone AS (DELETE FROM node WHERE name = $1 AND lease_ms < ",
    now!(),
    " RETURNING name), rested AS (DELETE FROM resting WHERE name IN (SELECT name FROM gone)) SELECT 1 FROM gone"
);

/// Who claims at the same time waits for the row, and finds it held. A beat of the holder that has come in time and is not committed yet is waited for, too:
/// the holder's row is locked whatever its lease, which is looked at only then (`OFFSET 0` keeps the two apart). Nobody waits for another in a circle: a beat
/// locks nothing else, and who leaves locks its node first.
const CLAIM: &str = concat!(
    "UPDATE placement AS p SET holder = $1, term = p.term + 1 \
     FROM unnest($2::text[], $3::bigint[]) AS w(family, shard) \
     WHERE p.family = w.family AND p.shard = w.shard \
     AND (p.holder IS NULL OR p.holder = $1 OR NOT EXISTS (SELECT 1 FROM \
     (SELECT o.lease_ms FROM node AS o WHERE o.incarnation = p.holder OFFSET 0 FOR SHARE) AS h WHERE h.lease_ms >= ",
    now!(),
    ")) AND EXISTS (SELECT 1 FROM node AS me WHERE me.incarnation = $1 AND me.lease_ms >= ",
    now!(),
    ") RETURNING p.family, p.shard, p.term"
);

const RELEASE: &str = "UPDATE placement AS p SET holder = NULL FROM unnest($2::text[], $3::bigint[], $4::bigint[]) AS w(family, shard, term) \
     WHERE p.family = w.family AND p.shard = w.shard AND p.term = w.term AND p.holder = $1 RETURNING 1";

/// One statement: nobody finds the shard free in between.
const HAND_OVER: &str = concat!(
    "WITH next AS (SELECT (SELECT n.incarnation FROM node AS n WHERE n.name = $5 AND n.standing = 'serving' AND n.lease_ms >= ",
    now!(),
    ") AS life) UPDATE placement AS p SET holder = CASE WHEN p.wanted = $5 THEN next.life END, \
     term = p.term + CASE WHEN p.wanted = $5 AND next.life IS NOT NULL THEN 1 ELSE 0 END FROM next \
     WHERE p.family = $2 AND p.shard = $3 AND p.term = $4 AND p.holder = $1 RETURNING p.holder, p.term"
);

const WANT: &str = "UPDATE placement AS p SET wanted = w.node FROM unnest($1::text[], $2::bigint[], $3::text[]) AS w(family, shard, node) \
     WHERE p.family = w.family AND p.shard = w.shard RETURNING 1";

const PIN: &str = "UPDATE placement SET pinned = $3 WHERE family = $1 AND shard = $2 RETURNING 1";

/// Follows the name of a node to which a shard is pinned that is alone there. No name has a blank.
const APART: &str = " alone";

const REST: &str = "INSERT INTO resting (name) VALUES ($1) ON CONFLICT DO NOTHING RETURNING 1";

const REST_NO_MORE: &str = "DELETE FROM resting WHERE name = $1 RETURNING 1";

const SECRET_PROPOSE: &str =
    "INSERT INTO secret (name, payload) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING RETURNING 1";

const SECRET_REPLACE: &str = "INSERT INTO secret (name, payload) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET payload = excluded.payload RETURNING 1";

const SECRET: &str = "SELECT payload FROM secret WHERE name = $1";

const CONTINUE: &str = "UPDATE placement AS p SET term = w.term FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS w(family, shard, term) \
     WHERE p.family = w.family AND p.shard = w.shard AND p.term < w.term";

const NODES: &str = concat!(
    "SELECT name, incarnation, address, roles, standing, facts, joined_ms, GREATEST(lease_ms - ",
    now!(),
    ", 0), CASE WHEN lease_ms = 0 THEN 0 ELSE GREATEST(",
    now!(),
    " - lease_ms + 1, 0) END FROM node WHERE name <> ",
    alone!(),
    " ORDER BY name"
);

const SHARDS: &str =
    "SELECT family, shard, holder, term, wanted, pinned FROM placement ORDER BY family, shard";

/// The register in the database of the log.
pub(super) struct PostgresRegister {
    /// Its own: a beat that waits for the questions of others costs the node its lease.
    pool: Arc<Pool>,
}

impl PostgresRegister {
    pub(super) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }

    /// Runs a statement that takes what a beat says; whether it found what it was for.
    async fn say(&self, sql: &'static str, beat: &Beat) -> Result<bool, StoreError> {
        let incarnation = beat.incarnation.to_string();
        let lease_ms = i64::try_from(beat.lease_ms).unwrap_or(i64::MAX / 2);
        let roles = beat.roles.join(" ");
        let rows = self
            .pool
            .query(
                sql,
                &[
                    &beat.name.as_str(),
                    &incarnation,
                    &beat.address,
                    &roles,
                    &beat.standing.as_str(),
                    &beat.facts,
                    &lease_ms,
                ],
            )
            .await?;
        Ok(!rows.is_empty())
    }

    /// Refuses to go on while a node of no cluster writes the database.
    async fn be_among_nodes_now(&self) -> Result<(), StoreError> {
        match self.pool.query(ALONE, &[]).await?.first() {
            Some(row) => Err(not_beside_alone(text(row, 0)?)),
            None => Ok(()),
        }
    }

    async fn view_now(&self) -> Result<RegisterView, StoreError> {
        let nodes = self.pool.query(NODES, &[]).await?;
        let shards = self.pool.query(SHARDS, &[]).await?;
        Ok(RegisterView {
            nodes: nodes.iter().map(node).collect::<Result<_, _>>()?,
            shards: shards.iter().map(shard).collect::<Result<_, _>>()?,
        })
    }
}

impl Register for PostgresRegister {
    fn join<'a>(&'a self, beat: &'a Beat) -> StoreFuture<'a, RegisterView> {
        Box::pin(async move {
            self.be_among_nodes_now().await?;
            if !self.say(JOIN, beat).await? {
                return Err(StoreError::Locked(format!(
                    "a node named {} is running already, or has ended so recently that its lease still runs",
                    beat.name
                )));
            }
            // Who began in this moment has looked for nodes after it had said so.
            if let Err(error) = self.be_among_nodes_now().await {
                self.leave(beat.incarnation).await?;
                return Err(error);
            }
            self.view_now().await
        })
    }

    fn beat<'a>(&'a self, beat: &'a Beat) -> StoreFuture<'a, Pulse> {
        Box::pin(async move {
            if !self.say(BEAT, beat).await? {
                return Ok(Pulse::Lapsed);
            }
            self.view_now().await.map(Pulse::Alive)
        })
    }

    fn leave(&self, incarnation: Incarnation) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            self.pool.query(LEAVE, &[&incarnation.to_string()]).await?;
            Ok(())
        })
    }

    fn forget<'a>(&'a self, name: &'a NodeName) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let rows = self.pool.query(FORGET, &[&name.as_str()]).await?;
            Ok(!rows.is_empty())
        })
    }

    fn claim<'a>(
        &'a self,
        incarnation: Incarnation,
        shards: &'a [Shard],
    ) -> StoreFuture<'a, Vec<Claim>> {
        Box::pin(async move {
            let (families, numbers) = columns(shards.iter().copied());
            let rows = self
                .pool
                .query(CLAIM, &[&incarnation.to_string(), &families, &numbers])
                .await?;
            let claim = |row: &Row| {
                let shard = place(row, 0)?;
                Ok(Claim::new(shard, read::number(row, 2)?))
            };
            rows.iter().map(claim).collect()
        })
    }

    fn release<'a>(&'a self, incarnation: Incarnation, claims: &'a [Claim]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (families, numbers) = columns(claims.iter().map(|claim| claim.shard));
            let terms: Vec<i64> = claims.iter().map(|claim| bound(claim.term())).collect();
            let incarnation = incarnation.to_string();
            self.pool
                .query(RELEASE, &[&incarnation, &families, &numbers, &terms])
                .await?;
            Ok(())
        })
    }

    fn hand_over<'a>(
        &'a self,
        incarnation: Incarnation,
        claim: Claim,
        to: &'a NodeName,
    ) -> StoreFuture<'a, Option<Handed>> {
        Box::pin(async move {
            let shard = claim.shard;
            let rows = self
                .pool
                .query(
                    HAND_OVER,
                    &[
                        &incarnation.to_string(),
                        &shard.family.name(),
                        &i64::from(shard.number),
                        &bound(claim.term()),
                        &to.as_str(),
                    ],
                )
                .await?;
            let Some(row) = rows.first() else {
                return Ok(None);
            };
            let Some(holder) = optional(row, 0)? else {
                return Ok(None);
            };
            Ok(Some(Handed {
                life: self::incarnation(holder)?,
                shard,
                term: read::number(row, 1)?,
            }))
        })
    }

    fn want<'a>(&'a self, wishes: &'a [(Shard, Option<NodeName>)]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (families, numbers) = columns(wishes.iter().map(|(shard, _)| *shard));
            let nodes: Vec<Option<&str>> = wishes
                .iter()
                .map(|(_, node)| node.as_ref().map(NodeName::as_str))
                .collect();
            self.pool
                .query(WANT, &[&families, &numbers, &nodes])
                .await?;
            Ok(())
        })
    }

    fn stand_alone<'a>(&'a self, who: &'a str, for_ms: u64) -> StoreFuture<'a, Vec<NodeName>> {
        Box::pin(async move {
            let for_ms = i64::try_from(for_ms).unwrap_or(i64::MAX / 2);
            self.pool.query(STAND_ALONE, &[&who, &for_ms]).await?;
            let living = self.pool.query(LIVING, &[]).await?;
            living.iter().map(|row| name(text(row, 0)?)).collect()
        })
    }

    fn be_among_nodes(&self) -> StoreFuture<'_, ()> {
        Box::pin(self.be_among_nodes_now())
    }

    fn reconnect(&self) {
        self.pool.close_idle();
    }

    fn pin(&self, shard: Shard, node: Option<NodeName>, alone: bool) -> StoreFuture<'_, ()> {
        Box::pin(async move {
            let node = node.map(|node| {
                let apart = if alone { APART } else { "" };
                format!("{node}{apart}")
            });
            self.pool
                .query(
                    PIN,
                    &[&shard.family.name(), &i64::from(shard.number), &node],
                )
                .await?;
            Ok(())
        })
    }

    fn rest<'a>(&'a self, name: &'a NodeName, rests: bool) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let sql = if rests { REST } else { REST_NO_MORE };
            self.pool.query(sql, &[&name.as_str()]).await?;
            Ok(())
        })
    }

    fn view(&self) -> StoreFuture<'_, RegisterView> {
        Box::pin(self.view_now())
    }

    fn secret<'a>(
        &'a self,
        name: &'a str,
        proposed: Option<&'a [u8]>,
    ) -> StoreFuture<'a, Option<Bytes>> {
        Box::pin(async move {
            if let Some(proposed) = proposed {
                let values: [&(dyn ToSql + Sync); 2] = [&name, &proposed];
                self.pool.query(SECRET_PROPOSE, &values).await?;
            }
            let rows = self.pool.query(SECRET, &[&name]).await?;
            let payload = |row: &Row| {
                let payload = row.try_get::<_, &[u8]>(0).map(Bytes::copy_from_slice);
                payload.map_err(|error| damaged(&error.to_string()))
            };
            rows.first().map(payload).transpose()
        })
    }

    fn replace_secret<'a>(&'a self, name: &'a str, payload: &'a [u8]) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let values: [&(dyn ToSql + Sync); 2] = [&name, &payload];
            self.pool.query(SECRET_REPLACE, &values).await?;
            Ok(())
        })
    }
}

/// The next claims are later than all that the log has seen.
pub(super) async fn continue_after(client: &Client, heads: &[Head]) -> Result<(), StoreError> {
    let (families, numbers) = columns(heads.iter().map(|head| head.shard));
    let term = |head: &Head| {
        let (shard, epoch) = (head.shard, head.epoch);
        bound(Claim { shard, epoch }.term())
    };
    let terms: Vec<i64> = heads.iter().map(term).collect();
    client
        .execute(CONTINUE, &[&families, &numbers, &terms])
        .await
        .map_err(|error| failure(&error))?;
    Ok(())
}

fn columns(shards: impl Iterator<Item = Shard>) -> (Vec<&'static str>, Vec<i64>) {
    shards
        .map(|shard| (shard.family.name(), i64::from(shard.number)))
        .unzip()
}

fn text(row: &Row, index: usize) -> Result<&str, StoreError> {
    optional(row, index)?.ok_or_else(|| damaged("a value is missing"))
}

fn optional(row: &Row, index: usize) -> Result<Option<&str>, StoreError> {
    row.try_get(index)
        .map_err(|error| damaged(&error.to_string()))
}

fn name(text: &str) -> Result<NodeName, StoreError> {
    NodeName::parse(text).ok_or_else(|| damaged("a node's name is malformed"))
}

fn incarnation(text: &str) -> Result<Incarnation, StoreError> {
    Uuid::parse_str(text).map_err(|_| damaged("a node's life has no proper name"))
}

fn place(row: &Row, index: usize) -> Result<Shard, StoreError> {
    let family = text(row, index)?;
    let family = Family::ALL
        .into_iter()
        .find(|known| known.name() == family)
        .ok_or_else(|| damaged("a family is not known"))?;
    let number = ShardNumber::try_from(read::number(row, index + 1)?)
        .map_err(|_| damaged("a shard's number is too large"))?;
    Ok(Shard { family, number })
}

fn node(row: &Row) -> Result<NodeEntry, StoreError> {
    Ok(NodeEntry {
        name: name(text(row, 0)?)?,
        incarnation: incarnation(text(row, 1)?)?,
        address: text(row, 2)?.to_owned(),
        roles: text(row, 3)?
            .split_whitespace()
            .map(str::to_owned)
            .collect(),
        standing: Standing::parse(text(row, 4)?)
            .ok_or_else(|| damaged("a node's standing is not known"))?,
        facts: text(row, 5)?.to_owned(),
        joined_ms: read::number(row, 6)?,
        left_ms: read::number(row, 7)?,
        silent_ms: read::number(row, 8)?,
    })
}

fn shard(row: &Row) -> Result<ShardEntry, StoreError> {
    let pinned = optional(row, 5)?;
    let apart = pinned.and_then(|pinned| pinned.strip_suffix(APART));
    Ok(ShardEntry {
        shard: place(row, 0)?,
        holder: optional(row, 2)?.map(incarnation).transpose()?,
        term: read::number(row, 3)?,
        wanted: optional(row, 4)?.map(name).transpose()?,
        pinned: apart.or(pinned).map(name).transpose()?,
        alone: apart.is_some(),
    })
}
