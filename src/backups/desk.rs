//! The backup that a running server makes, and those that it has made.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use playhouse_actors::house::House;
use tokio::runtime::Handle;

use super::{BackupFailed, Manifest, Wanted, make};
use crate::{config::Config, media::Blobs};

/// So many backups are listed, the newest.
const LISTED_MAX: usize = 1_000;

/// One backup at a time.
#[derive(Default)]
pub(crate) struct BackupDesk(Mutex<Option<LastBackup>>);

/// The backup that is being made, or was made last by this process.
#[derive(Clone, Debug)]
pub(crate) struct LastBackup {
    /// The name of its folder.
    pub(crate) name: String,
    /// So many records are copied …
    pub(crate) done: u64,
    /// … of so many.
    pub(crate) all: u64,
    /// It is not being made any more.
    pub(crate) is_over: bool,
    /// Why it was not made.
    pub(crate) error: Option<String>,
}

/// What a backup is made from.
pub(crate) struct Ground {
    pub(crate) house: Arc<House>,
    pub(crate) config: Arc<Config>,
    /// The media, if they are wanted.
    pub(crate) media: Option<Blobs>,
}

/// A thread that panics leaves the place to the next one, too.
struct Ending<'a>(&'a BackupDesk);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        if let Some(last) = self.0.0.lock().as_mut().filter(|last| !last.is_over) {
            last.is_over = true;
            last.error = Some("it was cut off".to_owned());
        }
    }
}

impl BackupDesk {
    /// The folder in which administrators may have backups made.
    pub(crate) fn folder(config: &Config) -> Option<PathBuf> {
        let folder = config.server.backup_dir.as_deref()?;
        Some(config.in_data_dir(folder))
    }

    /// Begins one, on a thread of its own. Gives its name; `None` while another is being made.
    pub(crate) fn begin(
        self: &Arc<Self>,
        folder: &Path,
        ground: Ground,
    ) -> Result<Option<String>, BackupFailed> {
        let now_ms = ground.house.env().now_ms();
        let name = now_ms.to_string();
        {
            let mut last = self.0.lock();
            if last.as_ref().is_some_and(|last| !last.is_over) {
                return Ok(None);
            }
            *last = Some(LastBackup {
                name: name.clone(),
                done: 0,
                all: 0,
                is_over: false,
                error: None,
            });
        }
        let (desk, folder, runtime) = (self.clone(), folder.join(&name), Handle::current());
        let thread = std::thread::Builder::new().name("backup".to_owned());
        // Files are written where it is called, and that takes longer than others should wait.
        let begun = thread.spawn(move || {
            let _ending = Ending(&desk);
            let outcome = runtime.block_on(desk.run(&folder, &ground, now_ms));
            match &outcome {
                Ok(()) => tracing::info!(folder = %folder.display(), "backed up"),
                Err(error) => {
                    tracing::error!(folder = %folder.display(), %error, "not backed up");
                }
            }
            desk.end(outcome.err().map(|error| error.to_string()));
        });
        match begun {
            Ok(_) => Ok(Some(name)),
            Err(error) => {
                self.end(Some(error.to_string()));
                Err(BackupFailed::Unfit(error.to_string()))
            }
        }
    }

    async fn run(&self, folder: &Path, ground: &Ground, now_ms: u64) -> Result<(), BackupFailed> {
        let wanted = Wanted {
            folder,
            config: &ground.config,
            source: &**ground.house.store(),
            media: ground.media.as_ref(),
            now_ms,
        };
        let made = make(wanted, &mut |done, all| {
            if let Some(last) = self.0.lock().as_mut() {
                (last.done, last.all) = (done, all);
            }
        })
        .await?;
        for name in &made.media.damaged {
            tracing::warn!(name, "a damaged piece of media is not in the backup");
        }
        if !made.has_key {
            tracing::warn!("the signing key is not in the backup");
        }
        Ok(())
    }

    fn end(&self, error: Option<String>) {
        if let Some(last) = self.0.lock().as_mut() {
            last.is_over = true;
            last.error = error;
        }
    }

    /// The one that is being made, or was made last.
    pub(crate) fn last(&self) -> Option<LastBackup> {
        self.0.lock().clone()
    }

    /// Those that are whole, the newest first.
    pub(crate) fn whole(folder: &Path) -> Vec<(String, Manifest)> {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut found: Vec<_> = entries
            .filter_map(|entry| {
                let name = entry.file_name().into_string().ok()?;
                Some((name, Manifest::read(&entry.path()).ok()?))
            })
            .collect();
        found.sort_by_key(|(_, manifest)| std::cmp::Reverse(manifest.until_ms));
        found.truncate(LISTED_MAX);
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_panics_is_over() {
        let desk = BackupDesk(Mutex::new(Some(LastBackup {
            name: "1".to_owned(),
            done: 0,
            all: 0,
            is_over: false,
            error: None,
        })));
        drop(Ending(&desk));
        let last = desk.last().unwrap();
        assert!(last.is_over && last.error.is_some());
        desk.end(None);
        drop(Ending(&desk));
        assert!(desk.last().unwrap().error.is_none());
    }
}
