//! The signing key of a server with several nodes. It lies in the database too, locked with the cluster's secret: the first node brings it, and who has none
//! takes it from there.

use std::{
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
    sync::Arc,
};

use playhouse_actors::env::Signer;
use playhouse_schema::{
    port::{LogStore, StoreError},
    register::Register,
};
use serde::{Deserialize, Serialize};

use super::{
    StartError,
    cluster::read_secret,
    house::open_store,
    identity::{SigningKey, io},
    key_files::{replace, retired_path},
};
use crate::{cluster::secret::ClusterSecret, config::Config};

/// What it is called in the register.
const NAME: &str = "identity";

/// The files of the key, as they are.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Files {
    in_use: String,
    #[serde(default)]
    retired: String,
}

impl Files {
    /// What is there, if anything is.
    fn read(path: &Path) -> Result<Option<Self>, StartError> {
        let read = |path: &Path| match fs::read_to_string(path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(io(path, error)),
        };
        let Some(in_use) = read(path)? else {
            return Ok(None);
        };
        let retired = read(&retired_path(path))?.unwrap_or_default();
        Ok(Some(Self { in_use, retired }))
    }

    fn generate() -> Self {
        Self {
            in_use: SigningKey::generate().line(),
            retired: String::new(),
        }
    }

    fn write(&self, path: &Path) -> Result<(), StartError> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(|error| io(folder, error))?;
        }
        if !self.retired.is_empty() {
            replace(&retired_path(path), &self.retired)?;
        }
        replace(path, &self.in_use)
    }

    /// What signs.
    fn signer(&self) -> Result<Signer, StartError> {
        let keys = SigningKey::parse_all(&self.in_use).unwrap_or_default();
        match keys.first() {
            Some(key) => key.signer(),
            None => Err(StartError::Key("the signing key is unusable".to_owned())),
        }
    }

    fn lock(&self, secret: &ClusterSecret) -> Result<Vec<u8>, StartError> {
        let content = serde_json::to_vec(self).unwrap_or_default();
        let locked = secret.lock(NAME, &content);
        locked.ok_or_else(|| StartError::Cluster("there is no randomness".to_owned()))
    }

    fn unlock(secret: &ClusterSecret, locked: &[u8]) -> Result<Self, StartError> {
        let content = secret.unlock(NAME, locked);
        let files = content.and_then(|content| serde_json::from_slice(&content).ok());
        files.ok_or_else(|| {
            let why = "the cluster's signing key does not open: its other nodes have another secret than [cluster] secret of this one";
            StartError::Cluster(why.to_owned())
        })
    }
}

/// Sees to it that the file and the database hold the same key.
pub(super) async fn share(
    register: &dyn Register,
    secret: &ClusterSecret,
    path: &Path,
) -> Result<(), StartError> {
    let own = Files::read(path)?;
    let there = match &own {
        Some(own) => register.secret(NAME, Some(&own.lock(secret)?)).await?,
        None => match register.secret(NAME, None).await? {
            // Another node may be as quick: then its key is the one.
            None => {
                let made = Files::generate().lock(secret)?;
                register.secret(NAME, Some(&made)).await?
            }
            there => there,
        },
    };
    let there = there.ok_or_else(|| StartError::Cluster("the signing key is lost".to_owned()))?;
    let there = Files::unlock(secret, &there)?;
    let Some(own) = own else {
        tracing::info!(path = %path.display(), "took over the cluster's signing key");
        return there.write(path);
    };
    let (mine, theirs) = (own.signer()?, there.signer()?);
    if mine.key_id() != theirs.key_id() || mine.public_key() != theirs.public_key() {
        let (mine, theirs, path) = (mine.key_id(), theirs.key_id(), path.display());
        return Err(StartError::Key(format!(
            "this node signs with {mine} ({path}), the others of its cluster with {theirs}: one server has one key. \
             Move the file away and start again to take over theirs"
        )));
    }
    if own != there {
        tracing::warn!("this node's old signing keys are not those of the other nodes");
    }
    Ok(())
}

/// The same where no node runs, if there is a cluster.
pub(super) async fn share_idle(config: &Config, store: &dyn LogStore) -> Result<(), StartError> {
    if config.cluster.listen.is_none() {
        return Ok(());
    }
    let Some(register) = store.register() else {
        return Ok(());
    };
    share(
        &*register,
        &read_secret(config)?,
        &config.signing_key_path(),
    )
    .await
}

/// The key of a cluster of which no node runs.
pub(crate) struct SharedKey {
    register: Arc<dyn Register>,
    secret: ClusterSecret,
    path: PathBuf,
}

impl SharedKey {
    /// Looks for it; `None` where there is no cluster. Refused while a node runs.
    pub(crate) async fn open(config: &Config) -> Result<Option<Self>, StartError> {
        if config.cluster.listen.is_none() {
            return Ok(None);
        }
        let store = open_store(config).await?;
        refuse_beside_nodes(&*store).await?;
        let Some(register) = store.register() else {
            return Ok(None);
        };
        let key = Self {
            register,
            secret: read_secret(config)?,
            path: config.signing_key_path(),
        };
        share(&*key.register, &key.secret, &key.path).await?;
        Ok(Some(key))
    }

    /// What is in the file now is the key.
    pub(crate) async fn replace(&self) -> Result<(), StartError> {
        let Some(files) = Files::read(&self.path)? else {
            return Ok(());
        };
        let locked = files.lock(&self.secret)?;
        self.register.replace_secret(NAME, &locked).await?;
        Ok(())
    }
}

/// A database that nodes share is not for somebody who takes no part.
pub(crate) async fn refuse_beside_nodes(store: &dyn LogStore) -> Result<(), StoreError> {
    let Some(register) = store.register() else {
        return Ok(());
    };
    let view = register.view().await?;
    let Some(node) = view.nodes.iter().find(|node| node.is_alive()) else {
        return Ok(());
    };
    Err(StoreError::Locked(format!(
        "node {} of a cluster uses this database, or has ended so recently that its lease still runs",
        node.name
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret() -> ClusterSecret {
        ClusterSecret::new("a secret that is long enough").unwrap()
    }

    #[test]
    fn files_come_back_from_the_lock() {
        let files = Files::generate();
        let locked = files.lock(&secret()).unwrap();
        assert_eq!(Files::unlock(&secret(), &locked).unwrap(), files);
        let other = ClusterSecret::new("another secret, just as long").unwrap();
        let refused = Files::unlock(&other, &locked).unwrap_err().to_string();
        assert!(refused.contains("[cluster] secret"), "{refused}");
    }

    #[test]
    fn files_are_written_as_they_were_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below/signing.key");
        assert_eq!(Files::read(&path).unwrap(), None);
        let files = Files {
            retired: "# none\n".to_owned(),
            ..Files::generate()
        };
        files.write(&path).unwrap();
        assert_eq!(Files::read(&path).unwrap(), Some(files.clone()));
        let signer = super::super::open_signer(&path).unwrap();
        assert_eq!(signer.key_id(), files.signer().unwrap().key_id());
    }
}
