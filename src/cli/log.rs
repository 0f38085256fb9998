//! `playhouse log …`

use std::collections::BTreeMap;

use playhouse_actors::followers;
use playhouse_schema::{
    address::{Family, Shard},
    models,
    port::{LogStore, StoreError},
    verify::verify_shard,
};

use super::{
    output::{Problem, say},
    progress::thousands,
};
use crate::{
    config::Config,
    node::{self, StartError},
};

/// What is stored. The server must not run.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Walk the hash chain of every shard; name shard and position of what is damaged
    Verify,
    /// Drop snapshots and read models: they are folded from the log again
    Rebuild,
    /// Write the database anew, so that all the space is free that erased records took
    Compact,
    /// List the records that a read model or follower could not take in, and why
    Parked,
}

pub(super) async fn execute(command: Command, config: Config) -> Result<(), Problem> {
    let store = match node::open_store(&config).await {
        Err(StartError::Store(StoreError::Locked(reason))) => {
            return Err(Problem::new(format!("{reason}; stop the server first")));
        }
        opened => opened?,
    };
    match command {
        Command::Verify => verify(&*store).await,
        Command::Rebuild => {
            // What nodes fold must not be dropped under them.
            node::refuse_beside_nodes(&*store).await?;
            rebuild(&*store).await
        }
        Command::Compact => {
            node::refuse_beside_nodes(&*store).await?;
            compact(&*store).await
        }
        Command::Parked => parked(&*store).await,
    }
}

async fn compact(store: &dyn LogStore) -> Result<(), Problem> {
    let before = store.size_bytes().await?;
    store.compact().await?;
    let after = store.size_bytes().await?;
    say(format_args!(
        "{} bytes, and {} before.",
        thousands(after),
        thousands(before)
    ));
    Ok(())
}

async fn verify(store: &dyn LogStore) -> Result<(), Problem> {
    let mut damaged = 0;
    let mut records = 0;
    for family in Family::ALL {
        for number in 0..store.layout().shards {
            match verify_shard(store, Shard { family, number }).await {
                Ok(verified) => records += verified.position,
                Err(damage) => {
                    damaged += 1;
                    say(format_args!("damaged: {damage}"));
                }
            }
        }
    }
    if damaged > 0 {
        return Err(Problem::new(format!("{damaged} shards are damaged")));
    }
    say(format_args!("The log is whole: {records} records."));
    Ok(())
}

/// So many parked records are listed.
const LISTED_MAX: usize = 10_000;

async fn parked(store: &dyn LogStore) -> Result<(), Problem> {
    let database = store.models();
    for record in models::parked::all(&*database, LISTED_MAX).await? {
        say(format_args!(
            "{} {} {} {} (tried by {}): {}",
            record.name,
            record.shard,
            record.position,
            record.entity,
            record.program,
            record.reason
        ));
    }
    let count = models::parked::count(&*database).await?;
    say(format_args!("{count} records are parked."));
    Ok(())
}

async fn rebuild(store: &dyn LogStore) -> Result<(), Problem> {
    let mut parked = BTreeMap::new();
    followers::rebuild::rebuild(store, &models::all(), |progress| {
        if progress.position == progress.head {
            say(format_args!("{} {}", progress.model, progress.shard));
        }
        parked.insert(progress.model, progress.parked);
    })
    .await?;
    let parked: u64 = parked.values().sum();
    if parked > 0 {
        return Err(Problem::new(format!(
            "rebuilt, but for {parked} records that could not be taken in: see the log above"
        )));
    }
    say(format_args!("Everything is rebuilt."));
    Ok(())
}
