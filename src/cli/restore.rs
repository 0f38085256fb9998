//! `playhouse restore`: a house begins anew from a backup.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use playhouse_actors::followers::fold_on::fold_on;
use playhouse_schema::{
    backup::{RestoreWish, Restored, complete, layout_after, restore},
    drivers,
    migrate::port::{HeldStore, Side},
    models,
    port::StoreError,
};

use super::{
    backup::tell_media,
    moment,
    output::{Problem, say, warn},
    progress::{Bar, thousands},
};
use crate::{
    backups::{self, KEY, Manifest, OLD_KEYS},
    config::Config,
    node,
};

/// From where, and up to when.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder of the backup
    folder: PathBuf,
    /// The moment to go back to, as 2026-11-22T17:30:00Z or in milliseconds since 1970; without it all that is in the backup, whatever its clocks said. Later
    /// moments than that of the backup are refused
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// Leave media out
    #[arg(long)]
    no_media: bool,
}

pub(super) async fn execute(arguments: Arguments, config: Config) -> Result<(), Problem> {
    let folder = &arguments.folder;
    let manifest = Manifest::read(folder)?;
    if manifest.server_name != config.server.name {
        return Err(Problem::new(format!(
            "the backup is of {} and the configuration of {}",
            manifest.server_name, config.server.name
        )));
    }
    let until_ms = match arguments.to.as_deref() {
        None => manifest.until_ms,
        Some(text) => moment::parse(text).ok_or_else(|| {
            Problem::new(format!(
                "`{text}` is no moment: write it as {}",
                moment::shown(manifest.until_ms)
            ))
        })?,
    };
    if until_ms > manifest.until_ms {
        return Err(Problem::new(format!(
            "the backup is whole until {} and not until {}",
            moment::shown(manifest.until_ms),
            moment::shown(until_ms)
        )));
    }
    let wish = RestoreWish {
        until_ms,
        is_whole: arguments.to.is_none(),
        now_ms: moment::now_ms(),
    };
    // Before the database: a server without its key makes another one.
    bring_keys(folder, &config)?;
    let restored = bring_log(folder, &config, wish).await?;
    if manifest.media && !arguments.no_media {
        let (from, to) = (
            backups::media(&config, folder)?,
            backups::own_media(&config)?,
        );
        tell_media(&backups::bring_media(&from, &to).await?);
    }
    report(&restored, wish);
    Ok(())
}

async fn bring_log(folder: &Path, config: &Config, wish: RestoreWish) -> Result<Restored, Problem> {
    let source = held("the backup", backups::database(folder), Side::Backup).await?;
    let layout = layout_after(source.log().layout(), wish.now_ms);
    let target = held("the database", node::database(config), Side::To(layout)).await?;
    let mut bar = Bar::new();
    let restored = restore(&*source.log(), &*target, wish, &mut |progress| {
        bar.tell("records brought", progress.done, progress.all);
    })
    .await?;
    let folded = fold_on(&*target.log(), &models::all(), |folded| {
        bar.tell(
            "records folded into read models",
            folded.records,
            folded.all,
        );
    })
    .await?;
    complete(&*target, &mut |progress| {
        bar.tell("records checked", progress.done, progress.all);
    })
    .await?;
    bar.end();
    if folded.parked > 0 {
        warn(format_args!(
            "{} records could not be taken in by a read model: `playhouse log parked` says which and why",
            folded.parked
        ));
    }
    Ok(restored)
}

async fn held(
    what: &str,
    database: drivers::DatabaseConfig,
    side: Side,
) -> Result<Arc<dyn HeldStore>, Problem> {
    drivers::hold(database, side)
        .await
        .map_err(|error| match error {
            StoreError::Locked(reason) => {
                Problem::new(format!("{what}: {reason}; stop the server first"))
            }
            error => Problem::new(format!("{what}: {error}")),
        })
}

/// A key that is there is the server's, and stays.
fn bring_keys(folder: &Path, config: &Config) -> Result<(), Problem> {
    let (key, old) = backups::key_paths(config);
    if key.exists() {
        return Ok(());
    }
    if let Some(parent) = key.parent() {
        fs::create_dir_all(parent)?;
    }
    for (name, to) in [(OLD_KEYS, &old), (KEY, &key)] {
        let from = folder.join(name);
        if from.exists() && !to.exists() {
            backups::write_private(to, &fs::read(&from)?)?;
        }
    }
    if !key.exists() {
        warn(format_args!(
            "no signing key is in the backup: put the server's at {} before it starts, or other servers will not believe it",
            key.display()
        ));
    }
    Ok(())
}

fn report(restored: &Restored, wish: RestoreWish) {
    say(format_args!(
        "Restored: {} records, everything until {}. {} later ones of the backup were left out; {} erasures among them hold all the same, and {} times was \
         done again what took a device, a token or an account away. The one-time keys of {} devices are given out no more.",
        thousands(restored.records),
        moment::shown(wish.until_ms),
        thousands(restored.left_out),
        thousands(restored.erased),
        thousands(restored.done_again),
        thousands(restored.devices),
    ));
    if restored.out_of_time > 0 {
        warn(format_args!(
            "{} of those that were left out were recorded before that moment by the clock of then, but behind later ones: it had been set back. \
             Without --to everything in the backup is brought back",
            thousands(restored.out_of_time)
        ));
    }
    say(format_args!(
        "Start the server: it asks the others for what it has lost of shared rooms. Clients begin with a whole sync."
    ));
}
