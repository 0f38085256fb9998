//! `playhouse backup`: the log, the media and the signing key in a folder.

use std::{
    fs::{self, DirBuilder, OpenOptions},
    io::Write as _,
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use playhouse_schema::{
    backup::back_up,
    drivers::{self, DatabaseConfig},
    migrate::port::Side,
    models,
};
use serde::{Deserialize, Serialize};

use super::{
    moment,
    output::{Problem, say, warn},
    progress::{Bar, thousands},
};
use crate::{
    config::{Config, Media},
    media::{Blobs, copies},
    node,
};

/// What is written before the moment until which a backup is complete is on disk so much later.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What a backup says about itself; it is there when the backup is whole.
const MANIFEST: &str = "backup.json";

/// The form of what a backup says about itself.
const FORM: u32 = 1;

/// The names of what is in a backup beside its log.
pub(super) const KEY: &str = "signing.key";
pub(super) const OLD_KEYS: &str = "signing.key.old";
pub(super) const MEDIA: &str = "media";

/// Where to.
#[derive(clap::Args)]
pub(super) struct Arguments {
    /// The folder for the backup, which is made; an empty one will do
    folder: PathBuf,
    /// Leave media out
    #[arg(long)]
    no_media: bool,
}

/// What a backup says about itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    form: u32,
    /// Whose it is.
    pub(super) server_name: String,
    /// Everything that was recorded until this moment is in it, milliseconds since the Unix epoch.
    pub(super) until_ms: u64,
    /// So many records.
    pub(super) records: u64,
    /// Whether media are in it.
    pub(super) media: bool,
    /// The program that made it.
    program: String,
}

impl Manifest {
    /// Reads what a backup says about itself.
    pub(super) fn read(folder: &Path) -> Result<Self, Problem> {
        let path = folder.join(MANIFEST);
        let text = fs::read(&path).map_err(|error| {
            Problem::new(format!(
                "{}: {error}: there is no backup, or it was cut off before it was whole",
                path.display()
            ))
        })?;
        let read = |error: serde_json::Error| Problem::new(format!("{}: {error}", path.display()));
        let manifest: Self = serde_json::from_slice(&text).map_err(read)?;
        if manifest.form > FORM {
            return Err(Problem::new(
                "the backup was made by a newer version of this program",
            ));
        }
        Ok(manifest)
    }

    fn write(&self, folder: &Path) -> Result<(), Problem> {
        let text = serde_json::to_vec_pretty(self)?;
        write_private(&folder.join(MANIFEST), &text)?;
        fs::File::open(folder)?.sync_all()?;
        Ok(())
    }
}

/// Writes a file that only its owner may read.
pub(super) fn write_private(path: &Path, content: &[u8]) -> Result<(), Problem> {
    let named = |error: std::io::Error| Problem::new(format!("{}: {error}", path.display()));
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(named)?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(named)
}

/// The database in a backup.
pub(super) fn database(folder: &Path) -> DatabaseConfig {
    DatabaseConfig::Sqlite {
        folder: folder.to_owned(),
        writers: 1,
    }
}

/// The media in a backup.
pub(super) fn media(config: &Config, folder: &Path) -> Result<Blobs, Problem> {
    let here = Media {
        storage: None,
        ..config.media.clone()
    };
    Blobs::open_beside(&here, folder.join(MEDIA)).map_err(Problem::new)
}

/// The media of the configuration.
pub(super) fn own_media(config: &Config) -> Result<Blobs, Problem> {
    let folder = config.in_data_dir(&config.media.dir);
    Blobs::open_beside(&config.media, folder).map_err(Problem::new)
}

/// Brings media from one place to the other.
pub(super) async fn bring_media(from: &Blobs, to: &Blobs) -> Result<(), Problem> {
    let copied = copies::copy(from, to, false).await?;
    say(format_args!(
        "Media: {} files of {} bytes.",
        thousands(copied.blobs),
        thousands(copied.bytes)
    ));
    for name in &copied.damaged {
        warn(format_args!("damaged, and not brought: {name}"));
    }
    Ok(())
}

pub(super) async fn execute(arguments: Arguments, config: Config) -> Result<(), Problem> {
    let folder = &arguments.folder;
    make_empty(folder)?;
    let until_ms = moment::now_ms();
    tokio::time::sleep(SETTLED_AFTER).await;
    let records = copy_log(folder, &config).await?;
    bring_keys(folder, &config)?;
    if !arguments.no_media {
        // After the log: what that speaks of is there.
        bring_media(&own_media(&config)?, &media(&config, folder)?).await?;
    }
    let manifest = Manifest {
        form: FORM,
        server_name: config.server.name.clone(),
        until_ms,
        records,
        media: !arguments.no_media,
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    manifest.write(folder)?;
    say(format_args!(
        "Backed up: {} records, everything until {}, in {}.",
        thousands(records),
        moment::shown(until_ms),
        folder.display()
    ));
    Ok(())
}

fn make_empty(folder: &Path) -> Result<(), Problem> {
    let named = |error: std::io::Error| Problem::new(format!("{}: {error}", folder.display()));
    if folder.exists() {
        return match fs::read_dir(folder).map_err(named)?.next() {
            None => Ok(()),
            Some(_) => Err(Problem::new(format!(
                "{} is not empty: each backup has a folder of its own",
                folder.display()
            ))),
        };
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(named)
}

async fn copy_log(folder: &Path, config: &Config) -> Result<u64, Problem> {
    let source = node::open_store_beside(config).await?;
    let target = drivers::hold(database(folder), Side::To(source.layout())).await?;
    let mut bar = Bar::new();
    let backed_up = back_up(&*source, &*target, &models::all(), &mut |progress| {
        bar.tell("records copied", progress.done, progress.all);
    })
    .await?;
    bar.end();
    Ok(backed_up.records)
}

fn bring_keys(folder: &Path, config: &Config) -> Result<(), Problem> {
    let key = config.signing_key_path();
    let mut old = key.as_os_str().to_owned();
    old.push(".old");
    for (from, name) in [(key, KEY), (PathBuf::from(old), OLD_KEYS)] {
        match fs::read(&from) {
            Ok(content) => write_private(&folder.join(name), &content)?,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                if name == KEY {
                    warn(format_args!(
                        "{} is not there: keep the signing key yourself",
                        from.display()
                    ));
                }
            }
            Err(error) => return Err(Problem::new(format!("{}: {error}", from.display()))),
        }
    }
    Ok(())
}
