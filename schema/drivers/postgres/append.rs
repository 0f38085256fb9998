//! The writing side: one statement per batch.

use std::sync::LazyLock;

use tokio_postgres::{Error, error::SqlState, types::ToSql};
use uuid::Uuid;

use super::{
    super::{
        PostgresBounds,
        plan::{Heads, Moved, Plan, StoredHead, bound, check_shards},
    },
    connection::{Connection, explain, failure, in_time, is_disconnect},
    dsn::Address,
    read,
};
use crate::{
    address::{Family, Layout, Shard, ShardNumber},
    port::{Batch, ERASED_BYTES, Head, Landed, LogAppender, StoreError, StoreFuture},
    record,
    register::Claim,
};

/// Attempts at taking shards when two owners stand in each other's way.
const TAKE_ATTEMPTS: usize = 5;

/// Which shards an appender takes, and as whom.
pub(super) struct Part {
    pub(super) family: Family,
    pub(super) index: usize,
    pub(super) writers: usize,
    pub(super) owner: String,
    pub(super) bounds: PostgresBounds,
}

/// The statements of a family.
struct Texts {
    take: String,
    retake: String,
    take_under: String,
    append: String,
    append_and_replace: String,
}

static TEXTS: LazyLock<[Texts; 3]> = LazyLock::new(|| Family::ALL.map(Texts::new));

fn texts(family: Family) -> &'static Texts {
    match family {
        Family::Rooms => &TEXTS[0],
        Family::Users => &TEXTS[1],
        Family::Servers => &TEXTS[2],
    }
}

impl Texts {
    fn new(family: Family) -> Self {
        let returned = "s.shard, s.epoch, s.head, s.chain, s.batch";
        // The fence divides by zero when a shard was not ours, which ends the statement before a row is written.
        let fenced = format!(
            "WITH moved AS (\
               UPDATE shard_{family} AS s SET head = w.head, chain = w.chain, batch = $6::bytea \
               FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bytea[]) AS w(shard, epoch, before, head, chain) \
               WHERE s.shard = w.shard AND s.owner = $7::text AND s.epoch = w.epoch AND s.head = w.before RETURNING 1), \
             fence AS MATERIALIZED (\
               SELECT 1 / (CASE WHEN (SELECT count(*) FROM moved) = cardinality($1::bigint[]) THEN 1 ELSE 0 END) AS ours), \
             made AS (\
               INSERT INTO entity_{family} (name) \
               SELECT r.entity FROM fence, unnest($10::text[], $11::bigint[]) AS r(entity, sequence) \
               WHERE fence.ours = 1 AND r.sequence = 1 ON CONFLICT (name) DO NOTHING RETURNING id, name), \
             named AS (\
               SELECT id, name FROM made UNION ALL \
               SELECT e.id, e.name FROM entity_{family} AS e WHERE e.name = ANY($10::text[])), \
             written AS (\
               INSERT INTO log_{family} (place, entity, sequence, kind, epoch, at_ms, chain, key, payload) \
               SELECT r.place, named.id, r.sequence, r.kind, r.epoch, $8::bigint, r.chain, r.key, r.payload \
               FROM fence, unnest($9::bigint[], $10::text[], $11::bigint[], $12::bigint[], $13::bigint[], $14::bytea[], $15::text[], $16::bytea[]) \
                 AS r(place, entity, sequence, kind, epoch, chain, key, payload) LEFT JOIN named ON named.name = r.entity \
               WHERE fence.ours = 1 RETURNING 1)"
        );
        // Likewise the root of a negative number, when there is nothing to replace.
        let replaced = format!(
            "replaced AS (\
               UPDATE log_{family} AS l SET erased = COALESCE(l.erased, sha256(l.payload)), payload = x.payload, \
                 key = CASE WHEN length(x.payload) <= {ERASED_BYTES} THEN NULL ELSE l.key END \
               FROM fence, unnest($17::text[], $18::bigint[], $19::bytea[]) AS x(entity, target, payload) JOIN entity_{family} AS e ON e.name = x.entity \
               WHERE fence.ours = 1 AND l.entity = e.id AND l.sequence = x.target AND l.kind <> {} RETURNING 1)",
            record::ERASURE
        );
        Self {
            take: format!(
                "UPDATE shard_{family} AS s SET epoch = epoch + 1, owner = $1 WHERE s.shard = ANY($2::bigint[]) RETURNING {returned}"
            ),
            retake: format!(
                "UPDATE shard_{family} AS s SET epoch = s.epoch + 1 FROM unnest($1::bigint[], $2::bigint[]) AS w(shard, epoch) \
                 WHERE s.shard = w.shard AND s.owner = $3::text AND s.epoch >= w.epoch AND s.epoch <= w.epoch + $4::bigint RETURNING {returned}"
            ),
            take_under: format!(
                "UPDATE shard_{family} AS s SET epoch = w.epoch, owner = $1 FROM unnest($2::bigint[], $3::bigint[]) AS w(shard, epoch) \
                 WHERE s.shard = w.shard AND (s.epoch < w.epoch OR (s.epoch = w.epoch AND s.owner = $1)) RETURNING {returned}"
            ),
            append: format!("{fenced} SELECT count(*) FROM written"),
            append_and_replace: format!(
                "{fenced}, {replaced} SELECT (SELECT count(*) FROM written), \
                 sqrt((CASE WHEN (SELECT count(*) FROM replaced) = cardinality($17::text[]) THEN 1 ELSE -1 END)::float8)"
            ),
        }
    }
}

/// Writes some shards of a family.
pub(super) struct PostgresAppender {
    layout: Layout,
    address: Address,
    part: Part,
    connection: Connection,
    heads: Heads,
    /// No answer has come on the connection.
    is_deaf: bool,
    /// An append's fate is unknown.
    in_doubt: bool,
    /// Attempts at settling whose own fate is unknown: each may have raised the epoch.
    retakes_in_doubt: i64,
}

impl PostgresAppender {
    /// Connects on the current runtime.
    pub(super) async fn open(
        address: Address,
        layout: Layout,
        part: Part,
    ) -> Result<Self, StoreError> {
        let mut connection = Connection::open_writing(&address).await?;
        // Nobody waits yet.
        let texts = texts(part.family);
        for sql in [&texts.take_under, &texts.append] {
            let prepared = connection.prepare(sql).await;
            prepared.map_err(|error| failure(&error))?;
        }
        let heads = Heads::new(part.family, layout);
        Ok(Self {
            layout,
            address,
            part,
            connection,
            heads,
            is_deaf: false,
            in_doubt: false,
            retakes_in_doubt: 0,
        })
    }

    async fn take_now(&mut self, shards: &[ShardNumber]) -> Result<(), StoreError> {
        check_shards(shards, self.layout, (self.part.index, self.part.writers))?;
        self.must_be_settled()?;
        self.reconnect().await?;
        let stored = take(&mut self.connection, &self.part, shards).await;
        // Whatever became of it: the next attempt begins afresh.
        self.is_deaf |= stored.is_err();
        let stored = stored?;
        self.heads
            .take(stored.into_iter().map(|stored| stored.head));
        Ok(())
    }

    async fn take_under_now(&mut self, claims: &[Claim]) -> Result<(), StoreError> {
        let numbers: Vec<_> = claims.iter().map(|claim| claim.shard.number).collect();
        check_shards(&numbers, self.layout, (self.part.index, self.part.writers))?;
        self.must_be_settled()?;
        self.reconnect().await?;
        let shards: Vec<i64> = numbers.into_iter().map(i64::from).collect();
        let epochs: Vec<i64> = claims.iter().map(|claim| bound(claim.epoch)).collect();
        let sql = &texts(self.part.family).take_under;
        let bounds = self.part.bounds;
        let values: [&(dyn ToSql + Sync); 3] = [&self.part.owner, &shards, &epochs];
        let answer = in_time(bounds, self.connection.query(sql, &values)).await;
        let rows = self.heard(answer)?.map_err(|error| failure(&error))?;
        let mut taken = Vec::with_capacity(rows.len());
        for row in &rows {
            taken.push(read::head(row, self.part.family)?.head);
        }
        let is_taken = |claim: &&Claim| taken.iter().any(|head| head.shard == claim.shard);
        let lost = claims.iter().find(|claim| !is_taken(claim));
        self.heads.take(taken.iter().copied());
        lost.map_or(Ok(()), |lost| Err(StoreError::Fenced(lost.shard)))
    }

    fn must_be_settled(&self) -> Result<(), StoreError> {
        if self.in_doubt {
            return Err(StoreError::InDoubt(
                "an earlier append has not been settled".into(),
            ));
        }
        Ok(())
    }

    /// A connection on which no answer has come is not used again.
    fn heard<T>(&mut self, answer: Option<T>) -> Result<T, StoreError> {
        self.is_deaf |= answer.is_none();
        answer.ok_or_else(|| StoreError::Database("the database does not answer".into()))
    }

    async fn reconnect(&mut self) -> Result<(), StoreError> {
        if self.is_deaf || self.connection.client.is_closed() {
            self.connection = Connection::open_writing(&self.address).await?;
            self.is_deaf = false;
        }
        Ok(())
    }

    async fn append_now(&mut self, batch: &Batch) -> Result<Vec<Landed>, StoreError> {
        self.must_be_settled()?;
        let plan = self.heads.plan(batch)?;
        if plan.rows.is_empty() {
            return Ok(plan.landed);
        }
        self.reconnect().await?;
        // A future that is dropped while the statement is under way leaves its fate unknown, too.
        self.in_doubt = true;
        let writing = write(&mut self.connection, &self.part, &plan, batch.id);
        let Some(written) = in_time(self.part.bounds, writing).await else {
            return Err(StoreError::InDoubt("the database does not answer".into()));
        };
        let Err(error) = written else {
            self.in_doubt = false;
            self.heads.advance(&plan.moved);
            return Ok(plan.landed);
        };
        if error.as_db_error().is_none() || is_disconnect(&error) {
            return Err(StoreError::InDoubt(explain(&error)));
        }
        self.in_doubt = false;
        let code = error.code();
        if code == Some(&SqlState::DIVISION_BY_ZERO) {
            let lost = self.lost_shard(&plan.moved).await;
            return Err(lost.map_or_else(|| failure(&error), StoreError::Fenced));
        }
        if code == Some(&SqlState::INVALID_ARGUMENT_FOR_POWER_FUNCTION)
            && let Some(replacement) = plan.replacements.first()
        {
            return Err(replacement.missing());
        }
        Err(failure(&error))
    }

    /// Which of these shards another owner has taken; `None` when that cannot be found out. Others that are lost as well do not matter: who is told of one that
    /// was not to be written would try the same again, for ever.
    async fn lost_shard(&mut self, moved: &[Moved]) -> Option<Shard> {
        let sql = &super::texts(self.part.family).heads;
        let answer = in_time(self.part.bounds, self.connection.query(sql, &[])).await;
        let rows = self.heard(answer).ok()?.ok()?;
        let stored: Vec<_> = rows
            .iter()
            .filter_map(|row| read::head(row, self.part.family).ok())
            .collect();
        let is_lost = |moved: &&Moved| {
            let held = &moved.before;
            stored.iter().any(|stored| {
                held.shard == stored.head.shard
                    && (held.epoch, held.position) != (stored.head.epoch, stored.head.position)
            })
        };
        let lost = moved.iter().find(is_lost).or(moved.first());
        lost.map(|lost| lost.before.shard)
    }

    /// Takes the shards again under yet another epoch. That waits for a statement that is still under way, and fences one that has not begun.
    async fn settle_now(&mut self, batch: &Batch) -> Result<Option<Vec<Landed>>, StoreError> {
        let plan = self.heads.plan(batch)?;
        self.is_deaf |= self.in_doubt;
        self.reconnect()
            .await
            .map_err(|error| StoreError::InDoubt(error.to_string()))?;
        let held = self.heads.all();
        let shards: Vec<i64> = held
            .iter()
            .map(|head| i64::from(head.shard.number))
            .collect();
        let epochs: Vec<i64> = held.iter().map(|head| bound(head.epoch)).collect();
        let sql = &texts(self.part.family).retake;
        let slack = self.retakes_in_doubt;
        self.retakes_in_doubt += 1;
        let bounds = self.part.bounds;
        let values: [&(dyn ToSql + Sync); 4] = [&shards, &epochs, &self.part.owner, &slack];
        let answer = in_time(bounds, self.connection.query(sql, &values)).await;
        let rows = self
            .heard(answer)
            .map_err(|error| StoreError::InDoubt(error.to_string()))?
            .map_err(|error| StoreError::InDoubt(explain(&error)))?;
        let mut stored = Vec::with_capacity(rows.len());
        for row in &rows {
            stored.push(read::head(row, self.part.family)?);
        }
        // The batch was one statement: what became of it in a shard that is still ours became of it in those that another owner has taken meanwhile.
        let fate = self.heads.settle(&plan.moved, batch.id, &stored)?;
        self.retakes_in_doubt = 0;
        self.in_doubt = false;
        match (fate, plan.moved.first()) {
            (None, Some(lost)) => Err(StoreError::Fenced(lost.before.shard)),
            (fate, _) => Ok((fate == Some(true)).then_some(plan.landed)),
        }
    }
}

async fn take(
    connection: &mut Connection,
    part: &Part,
    shards: &[ShardNumber],
) -> Result<Vec<StoredHead>, StoreError> {
    let sql = &texts(part.family).take;
    let numbers: Vec<i64> = shards.iter().copied().map(i64::from).collect();
    let mut attempt = 0;
    let rows = loop {
        attempt += 1;
        let values: [&(dyn ToSql + Sync); 2] = [&part.owner, &numbers];
        let answer = in_time(part.bounds, connection.query(sql, &values)).await;
        let silent = || StoreError::Database("the database does not answer".into());
        match answer.ok_or_else(silent)? {
            Ok(rows) => break rows,
            Err(error)
                if error.code() == Some(&SqlState::T_R_DEADLOCK_DETECTED)
                    && attempt < TAKE_ATTEMPTS => {}
            Err(error) => return Err(failure(&error)),
        }
    };
    rows.iter()
        .map(|row| read::head(row, part.family))
        .collect()
}

/// Sends the batch as one statement.
async fn write(
    connection: &mut Connection,
    part: &Part,
    plan: &Plan<'_>,
    id: Uuid,
) -> Result<(), Error> {
    let moved = &plan.moved;
    let shards: Vec<i64> = moved
        .iter()
        .map(|moved| i64::from(moved.before.shard.number))
        .collect();
    let epochs: Vec<i64> = moved
        .iter()
        .map(|moved| bound(moved.before.epoch))
        .collect();
    let befores: Vec<i64> = moved
        .iter()
        .map(|moved| bound(moved.before.position))
        .collect();
    let heads: Vec<i64> = moved
        .iter()
        .map(|moved| bound(moved.after.position))
        .collect();
    let head_chains: Vec<&[u8]> = moved.iter().map(|moved| &moved.after.chain[..]).collect();
    let id = &id.as_bytes()[..];
    let rows = &plan.rows;
    let places: Vec<i64> = rows.iter().map(|row| row.place).collect();
    let entities: Vec<&str> = rows.iter().map(|row| row.entity).collect();
    let sequences: Vec<i64> = rows.iter().map(|row| row.sequence).collect();
    let kinds: Vec<i64> = rows.iter().map(|row| i64::from(row.kind)).collect();
    let row_epochs: Vec<i64> = rows.iter().map(|row| row.epoch).collect();
    let chains: Vec<&[u8]> = rows.iter().map(|row| &row.chain[..]).collect();
    let keys: Vec<Option<&str>> = rows.iter().map(|row| row.key).collect();
    let payloads: Vec<&[u8]> = rows.iter().map(|row| &row.payload[..]).collect();
    let mut values: Vec<&(dyn ToSql + Sync)> = vec![
        &shards,
        &epochs,
        &befores,
        &heads,
        &head_chains,
        &id,
        &part.owner,
        &plan.at_ms,
        &places,
        &entities,
        &sequences,
        &kinds,
        &row_epochs,
        &chains,
        &keys,
        &payloads,
    ];
    if plan.replacements.is_empty() {
        connection
            .query(&texts(part.family).append, &values)
            .await?;
        return Ok(());
    }
    let replacements = &plan.replacements;
    let entities: Vec<&str> = replacements.iter().map(|new| new.entity).collect();
    let targets: Vec<i64> = replacements.iter().map(|new| new.target).collect();
    let payloads: Vec<&[u8]> = replacements.iter().map(|new| new.payload).collect();
    values.extend([&entities as &(dyn ToSql + Sync), &targets, &payloads]);
    let sql = &texts(part.family).append_and_replace;
    connection.query(sql, &values).await?;
    Ok(())
}

impl LogAppender for PostgresAppender {
    fn heads(&self) -> Vec<Head> {
        self.heads.all()
    }

    fn take<'a>(&'a mut self, shards: &'a [ShardNumber]) -> StoreFuture<'a, ()> {
        Box::pin(self.take_now(shards))
    }

    fn take_under<'a>(&'a mut self, claims: &'a [Claim]) -> StoreFuture<'a, ()> {
        Box::pin(self.take_under_now(claims))
    }

    fn let_go(&mut self, shards: &[ShardNumber]) {
        self.heads.let_go(shards);
    }

    fn append<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Vec<Landed>> {
        Box::pin(self.append_now(batch))
    }

    fn settle<'a>(&'a mut self, batch: &'a Batch) -> StoreFuture<'a, Option<Vec<Landed>>> {
        Box::pin(self.settle_now(batch))
    }
}
