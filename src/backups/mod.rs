//! Backups: the log, media and the signing key of this server in a folder (`ops/docs/backup.md`).
//!
//! Owns what is in such a folder beside the log, and what a running server knows of the one that it makes. Must not know who wants it.

mod desk;

use std::{
    fs::{self, DirBuilder, OpenOptions, Permissions},
    io::{ErrorKind, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    time::Duration,
};

use playhouse_schema::{
    backup::{BackupError, back_up},
    drivers::{self, DatabaseConfig},
    migrate::port::Side,
    models,
    port::{LogStore, StoreError},
};
use serde::{Deserialize, Serialize};

pub(crate) use self::desk::{BackupDesk, Ground, LastBackup};
use crate::{
    config::{Config, Media},
    media::{
        Blobs,
        copies::{self, Copied},
    },
};

/// What is written before the moment until which a backup is complete is on disk so much later.
const SETTLED_AFTER: Duration = Duration::from_secs(2);

/// What a backup says about itself; it is there when the backup is whole.
const MANIFEST: &str = "backup.json";

/// The form of what a backup says about itself.
const FORM: u32 = 1;

/// The names of what is in a backup beside its log.
pub(crate) const KEY: &str = "signing.key";
pub(crate) const OLD_KEYS: &str = "signing.key.old";
const MEDIA: &str = "media";

/// Why a backup is not made, or cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupFailed {
    /// A file.
    #[error("{}: {error}", .path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Something that is to be told in words.
    #[error("{0}")]
    Unfit(String),
    /// The log cannot be copied.
    #[error(transparent)]
    Log(#[from] BackupError),
    /// The database in the backup cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a backup says about itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Manifest {
    form: u32,
    /// Whose it is.
    pub(crate) server_name: String,
    /// Everything that was recorded until this moment is in it, milliseconds since the Unix epoch.
    pub(crate) until_ms: u64,
    /// So many records.
    pub(crate) records: u64,
    /// Whether media are in it.
    pub(crate) media: bool,
    /// The program that made it.
    program: String,
}

/// A backup that is to be made.
pub(crate) struct Wanted<'a> {
    /// Into which folder.
    pub(crate) folder: &'a Path,
    /// Where keys are.
    pub(crate) config: &'a Config,
    /// The log.
    pub(crate) source: &'a dyn LogStore,
    /// The media, if they are wanted.
    pub(crate) media: Option<&'a Blobs>,
    /// The time.
    pub(crate) now_ms: u64,
}

/// A backup that was made.
pub(crate) struct Made {
    /// What it says about itself.
    pub(crate) manifest: Manifest,
    /// The media in it.
    pub(crate) media: Copied,
    /// The signing key is in it.
    pub(crate) has_key: bool,
}

fn at(path: &Path) -> impl Fn(std::io::Error) -> BackupFailed {
    let path = path.to_owned();
    move |error| BackupFailed::File {
        path: path.clone(),
        error,
    }
}

impl Manifest {
    /// Reads what a backup says about itself.
    pub(crate) fn read(folder: &Path) -> Result<Self, BackupFailed> {
        let path = folder.join(MANIFEST);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => {
                return Err(BackupFailed::Unfit(format!(
                    "{} is not there: there is no backup, or it was cut off before it was whole",
                    path.display()
                )));
            }
            Err(error) => return Err(at(&path)(error)),
        };
        let manifest: Self = serde_json::from_slice(&text)
            .map_err(|error| BackupFailed::Unfit(format!("{}: {error}", path.display())))?;
        if manifest.form > FORM {
            return Err(BackupFailed::Unfit(
                "the backup was made by a newer version of this program".to_owned(),
            ));
        }
        Ok(manifest)
    }

    fn write(&self, folder: &Path) -> Result<(), BackupFailed> {
        let text = serde_json::to_vec_pretty(self)
            .map_err(|error| BackupFailed::Unfit(error.to_string()))?;
        write_private(&folder.join(MANIFEST), &text)?;
        fs::File::open(folder)
            .and_then(|opened| opened.sync_all())
            .map_err(at(folder))
    }
}

/// Makes a backup. Hears how many records are copied of how many.
pub(crate) async fn make(
    wanted: Wanted<'_>,
    told: &mut (dyn FnMut(u64, u64) + Send),
) -> Result<Made, BackupFailed> {
    let folder = wanted.folder;
    make_empty(folder)?;
    tokio::time::sleep(SETTLED_AFTER).await;
    let target = drivers::hold(database(folder), Side::To(wanted.source.layout())).await?;
    let backed_up = back_up(wanted.source, &*target, &models::all(), &mut |progress| {
        told(progress.done, progress.all);
    })
    .await?;
    drop(target);
    let has_key = bring_keys(folder, wanted.config)?;
    // After the log: what that speaks of is there.
    let media = match wanted.media {
        Some(from) => bring_media(from, &media(wanted.config, folder)?).await?,
        None => Copied::default(),
    };
    let manifest = Manifest {
        form: FORM,
        server_name: wanted.config.server.name.clone(),
        until_ms: wanted.now_ms,
        records: backed_up.records,
        media: wanted.media.is_some(),
        program: env!("CARGO_PKG_VERSION").to_owned(),
    };
    manifest.write(folder)?;
    Ok(Made {
        manifest,
        media,
        has_key,
    })
}

/// Writes a new file that only its owner may read.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), BackupFailed> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let mut file = options.open(path).map_err(at(path))?;
    file.write_all(content)
        .and_then(|()| file.sync_all())
        .map_err(at(path))
}

/// The database in a backup.
pub(crate) fn database(folder: &Path) -> DatabaseConfig {
    DatabaseConfig::Sqlite {
        folder: folder.to_owned(),
        writers: 1,
    }
}

/// The media in a backup.
pub(crate) fn media(config: &Config, folder: &Path) -> Result<Blobs, BackupFailed> {
    let here = Media {
        storage: None,
        ..config.media.clone()
    };
    Blobs::open_beside(&here, folder.join(MEDIA)).map_err(BackupFailed::Unfit)
}

/// The media of the configuration, whether or not a server uses them.
pub(crate) fn own_media(config: &Config) -> Result<Blobs, BackupFailed> {
    let folder = config.in_data_dir(&config.media.dir);
    Blobs::open_beside(&config.media, folder).map_err(BackupFailed::Unfit)
}

/// Brings media from one place to the other.
pub(crate) async fn bring_media(from: &Blobs, to: &Blobs) -> Result<Copied, BackupFailed> {
    let copied = copies::copy(from, to, false).await;
    copied.map_err(|error| BackupFailed::Unfit(error.to_string()))
}

/// The files of the signing key and of those before it.
pub(crate) fn key_paths(config: &Config) -> (PathBuf, PathBuf) {
    let key = config.signing_key_path();
    let mut old = key.as_os_str().to_owned();
    old.push(".old");
    (key, old.into())
}

fn make_empty(folder: &Path) -> Result<(), BackupFailed> {
    if folder.exists() {
        let mut entries = fs::read_dir(folder).map_err(at(folder))?;
        return match entries.next() {
            // What is put there is for nobody else to read, whoever made the folder for it.
            None => fs::set_permissions(folder, Permissions::from_mode(0o700)).map_err(at(folder)),
            Some(_) => Err(BackupFailed::Unfit(format!(
                "{} is not empty: each backup has a folder of its own",
                folder.display()
            ))),
        };
    }
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700);
    builder.create(folder).map_err(at(folder))
}

/// Whether the signing key was there.
fn bring_keys(folder: &Path, config: &Config) -> Result<bool, BackupFailed> {
    let (key, old) = key_paths(config);
    let mut has_key = false;
    for (from, name) in [(key, KEY), (old, OLD_KEYS)] {
        match fs::read(&from) {
            Ok(content) => {
                write_private(&folder.join(name), &content)?;
                has_key |= name == KEY;
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(at(&from)(error)),
        }
    }
    Ok(has_key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_for_its_owner_alone() {
        let parent = tempfile::tempdir().unwrap();
        let mode = |folder: &Path| fs::metadata(folder).unwrap().permissions().mode() & 0o777;
        let there = parent.path().join("there");
        fs::create_dir(&there).unwrap();
        fs::set_permissions(&there, Permissions::from_mode(0o755)).unwrap();
        for folder in [there, parent.path().join("backups/new")] {
            make_empty(&folder).unwrap();
            assert_eq!(mode(&folder), 0o700);
            write_private(&folder.join(MANIFEST), b"{}").unwrap();
            assert!(matches!(make_empty(&folder), Err(BackupFailed::Unfit(_))));
        }
    }
}
