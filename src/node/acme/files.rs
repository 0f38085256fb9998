//! The key of the account and the certificates, kept where only their owner reads them: a restart orders nothing.

use std::{
    fs::{self, DirBuilder, Permissions},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt as _, PermissionsExt as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use async_trait::async_trait;
use rustls_acme::{AccountCache, CertCache};

use super::served::{Served, problem_of};
use crate::node::{StartError, key_files::replace};

/// A folder of its own. Names of files follow from what they are good for, so that nothing is used for anything else.
#[derive(Clone)]
pub(super) struct Files {
    folder: PathBuf,
    served: Arc<Served>,
}

impl Files {
    /// Opens the folder, which is made when there is none.
    pub(super) fn open(folder: PathBuf, served: Arc<Served>) -> Result<Self, StartError> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .and_then(|()| fs::set_permissions(&folder, Permissions::from_mode(0o700)))
            .map_err(|error| unusable(&folder, error))?;
        Ok(Self { folder, served })
    }

    /// Serves the certificate of last time, if there is one.
    pub(super) fn serve_last(&self, domains: &[String], directory: &str) -> Result<(), StartError> {
        let path = self.certificate(domains, directory);
        let pem = read(&path).map_err(|error| unusable(&path, error))?;
        if let Some(problem) = pem.and_then(|pem| self.served.take(&pem).err()) {
            tracing::error!(path = %path.display(), %problem, "certificate is ordered anew");
        }
        Ok(())
    }

    /// Whether the account's key can be read, if there is one. A server that cannot would make an account at each start.
    pub(super) fn probe_account(
        &self,
        contacts: &[String],
        directory: &str,
    ) -> Result<(), StartError> {
        let path = self.account(contacts, directory);
        let found = read(&path).map(drop);
        found.map_err(|error| unusable(&path, error))
    }

    fn certificate(&self, domains: &[String], directory: &str) -> PathBuf {
        let name = format!("certificate-{}.pem", digest(domains, directory));
        self.folder.join(name)
    }

    fn account(&self, contacts: &[String], directory: &str) -> PathBuf {
        let name = format!("account-{}.der", digest(contacts, directory));
        self.folder.join(name)
    }
}

#[async_trait]
impl CertCache for Files {
    type EC = io::Error;

    async fn load_cert(
        &self,
        domains: &[String],
        directory: &str,
    ) -> Result<Option<Vec<u8>>, io::Error> {
        let path = self.certificate(domains, directory);
        let pem = on_disk(move || read(&path)).await?;
        // What is not served must not count as there.
        Ok(pem.filter(|pem| problem_of(pem).is_none()))
    }

    async fn store_cert(
        &self,
        domains: &[String],
        directory: &str,
        pem: &[u8],
    ) -> Result<(), io::Error> {
        // It is served even if it cannot be kept.
        let taken = self.served.take(pem);
        taken.map_err(|problem| io::Error::new(ErrorKind::InvalidData, problem))?;
        keep(self.certificate(domains, directory), pem).await
    }
}

#[async_trait]
impl AccountCache for Files {
    type EA = io::Error;

    async fn load_account(
        &self,
        contacts: &[String],
        directory: &str,
    ) -> Result<Option<Vec<u8>>, io::Error> {
        let path = self.account(contacts, directory);
        on_disk(move || read(&path)).await
    }

    async fn store_account(
        &self,
        contacts: &[String],
        directory: &str,
        key: &[u8],
    ) -> Result<(), io::Error> {
        keep(self.account(contacts, directory), key).await
    }
}

async fn keep(path: PathBuf, content: &[u8]) -> io::Result<()> {
    let content = content.to_vec();
    let write =
        move || replace(&path, &content).map_err(|error| io::Error::other(error.to_string()));
    on_disk(write).await
}

async fn on_disk<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(io::Error::other)?
}

fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(content) => Ok(Some(content)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

fn unusable(path: &Path, error: io::Error) -> StartError {
    StartError::Io {
        what: format!("{} cannot be used", path.display()),
        error,
    }
}

fn digest(names: &[String], directory: &str) -> String {
    let mut hasher = blake3::Hasher::new();
    for name in names {
        hasher.update(name.as_bytes());
        hasher.update(&[0]);
    }
    hasher.update(directory.as_bytes());
    let mut digest = hasher.finalize().to_hex().to_string();
    digest.truncate(16);
    digest
}
