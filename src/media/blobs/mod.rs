//! Blobs, named by the hash of their content: the same content is stored once.

mod aside;

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _, TryStreamExt as _, stream};
use object_store::{
    GetOptions, GetResultPayload, ObjectStore, ObjectStoreExt as _, path::Path as StorePath,
};
use parking_lot::Mutex;
use playhouse_actors::house::{Desks, HouseError};
use playhouse_schema::register::NodeName;

pub(crate) use self::aside::Aside;
use super::{
    address::{self, Shelf},
    locks::{Alone, Held, Locks},
    storage::{self, Bucket},
    upload::{Content, Temporary, Upload},
};
use crate::config::Media;

/// How much of a blob is read at once.
const READ_CHUNK_BYTES: u64 = 256 << 10;

/// So many folders are remembered.
const SETTLED_MAX: usize = 8_192;

/// Why a blob could not be taken or given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// It is larger than allowed.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// It is not there (any more).
    #[error("no such blob")]
    Missing,
    /// It is not what its name says.
    #[error("the content is damaged")]
    Damaged,
    /// The disk failed.
    #[error("disk: {0}")]
    Disk(#[from] io::Error),
    /// The object store failed.
    #[error("storage: {0}")]
    Store(object_store::Error),
    /// Others are at it, or it cannot be known whether they are.
    #[error("locked: {0}")]
    Locked(Box<HouseError>),
}

impl From<HouseError> for BlobError {
    fn from(error: HouseError) -> Self {
        Self::Locked(Box::new(error))
    }
}

impl From<object_store::Error> for BlobError {
    fn from(error: object_store::Error) -> Self {
        match error {
            object_store::Error::NotFound { .. } => Self::Missing,
            error => Self::Store(error),
        }
    }
}

/// A blob that is safely stored. As long as this is there, nobody should remove it: whoever stored it has it named in the log, and then
/// [confirms](Self::confirm) it.
pub(crate) struct StoredBlob {
    /// Its name, which says how it was made: see `address.rs`. Called so in records since the days when it was always a SHA-256.
    pub(crate) sha256: String,
    /// Length of the content.
    pub(crate) size_bytes: u64,
    pub(super) content: Content,
    pub(super) _held: Held,
}

impl StoredBlob {
    /// To be called when a record names it, and before anybody is told: sees to it that the content is in its place. See `aside.rs`.
    pub(crate) async fn confirm(&self) -> Result<(), BlobError> {
        let path = address::path(&self.sha256).ok_or(BlobError::Missing)?;
        self.content.confirm(&path).await
    }
}

/// Content, piece by piece.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BlobError>> + Send>>;

/// All blobs.
#[derive(Clone)]
pub(crate) struct Blobs(Arc<Shared>);

struct Shared {
    store: Arc<dyn ObjectStore>,
    folder: Option<PathBuf>,
    bucket: Option<Bucket>,
    incoming: PathBuf,
    /// Other processes may remove what this one stores.
    is_shared: bool,
    size_bytes_max: u64,
    next_upload: AtomicU64,
    /// Folders that a power cut does not take away any more.
    settled: Mutex<BTreeSet<PathBuf>>,
    locks: Locks,
}

impl Blobs {
    /// Opens what the configuration names. Uploads that a crash cut short are removed.
    pub(crate) fn open(media: &Media, folder: PathBuf) -> Result<Self, String> {
        Self::open_with(media, folder, ("incoming", false))
    }

    /// Opens what the nodes of a cluster share. Uploads that a crash of this one cut short are removed, and no others.
    pub(crate) fn open_among(
        media: &Media,
        folder: PathBuf,
        node: &NodeName,
    ) -> Result<Self, String> {
        Self::open_with(media, folder, (&format!("incoming-node-{node}"), true))
    }

    /// Opens the same beside a server that may be running, for blobs that were taken already: of any size.
    pub(crate) fn open_beside(media: &Media, folder: PathBuf) -> Result<Self, String> {
        let media = Media {
            upload_bytes_max: u64::MAX,
            ..media.clone()
        };
        Self::open_with(&media, folder, ("incoming-copies", true))
    }

    fn open_with(
        media: &Media,
        folder: PathBuf,
        (incoming, is_shared): (&str, bool),
    ) -> Result<Self, String> {
        let incoming = folder.join(incoming);
        let _ = fs::remove_dir_all(&incoming);
        let storage = storage::open(media, folder)?;
        Ok(Self(Arc::new(Shared {
            store: storage.store,
            folder: storage.folder,
            bucket: storage.bucket,
            incoming,
            is_shared,
            size_bytes_max: media.upload_bytes_max,
            next_upload: AtomicU64::new(0),
            settled: Mutex::default(),
            locks: Locks::default(),
        })))
    }

    /// Other nodes may store and remove the same blobs.
    pub(crate) fn share_locks(&self, desks: &Desks) {
        self.0.locks.share(desks);
    }

    /// The largest blob that is taken.
    pub(crate) fn size_bytes_max(&self) -> u64 {
        self.0.size_bytes_max
    }

    pub(super) fn is_shared(&self) -> bool {
        self.0.is_shared
    }

    pub(super) fn store(&self) -> &dyn ObjectStore {
        &*self.0.store
    }

    pub(super) fn folder(&self) -> Option<&Path> {
        self.0.folder.as_deref()
    }

    /// The folders that must be made durable after a file has got this name, the last one first.
    pub(super) fn unsettled(&self, top: &Path, name: &Path) -> Vec<PathBuf> {
        let settled = self.0.settled.lock();
        let mut folders = Vec::new();
        for folder in name.ancestors().skip(1) {
            folders.push(folder.to_owned());
            if folder == top || settled.contains(folder) {
                break;
            }
        }
        folders
    }

    /// These folders are durable.
    pub(super) fn settled(&self, folders: Vec<PathBuf>) {
        let mut settled = self.0.settled.lock();
        if settled.len() >= SETTLED_MAX {
            settled.clear();
        }
        settled.extend(folders);
    }

    pub(super) fn temporary(&self) -> PathBuf {
        let number = self.0.next_upload.fetch_add(1, Ordering::Relaxed);
        self.0.incoming.join(number.to_string())
    }

    /// Begins to take a blob.
    pub(crate) fn begin(&self, shelf: Shelf) -> Upload {
        Upload::new(self.clone(), shelf, self.temporary())
    }

    /// The content, or a range of it, which must lie within.
    pub(crate) async fn read(
        &self,
        name: &str,
        range: Option<Range<u64>>,
    ) -> Result<Pieces, BlobError> {
        let path = address::path(name).ok_or(BlobError::Missing)?;
        let options = GetOptions {
            range: range.filter(|range| !range.is_empty()).map(Into::into),
            ..GetOptions::default()
        };
        let got = self.0.store.get_opts(&path, options).await?;
        Ok(match got.payload {
            // Pieces of our own size: the store's are so small that each costs more to fetch than to send.
            GetResultPayload::File(file, _) => Box::pin(file_pieces(file, got.range)),
            GetResultPayload::Stream(pieces) => Box::pin(pieces.map_err(BlobError::from)),
        })
    }

    /// An address in the object store from which clients can have the content for a while, with a type and a disposition; `None` when they are not to be sent there.
    pub(crate) async fn signed_url(
        &self,
        name: &str,
        shown: (&str, &str),
    ) -> Result<Option<String>, BlobError> {
        let Some(bucket) = &self.0.bucket else {
            return Ok(None);
        };
        let path = address::path(name).ok_or(BlobError::Missing)?;
        Ok(Some(bucket.signed_url(&path, shown).await?))
    }

    /// The content as a file on this machine, for those who read here and there.
    pub(super) async fn file(&self, name: &str) -> Result<LocalFile, BlobError> {
        let path = address::path(name).ok_or(BlobError::Missing)?;
        if let Some(folder) = self.folder() {
            return Ok(LocalFile {
                path: folder.join(path.as_ref()),
                _temporary: None,
            });
        }
        let mut pieces = self.read(name, None).await?;
        let temporary = Temporary(self.temporary());
        let to = temporary.0.clone();
        let mut file = blocking(move || {
            fs::create_dir_all(to.parent().unwrap_or(&to))?;
            File::create(to)
        })
        .await?;
        while let Some(piece) = pieces.try_next().await? {
            file = blocking(move || file.write_all(&piece).map(|()| file)).await?;
        }
        Ok(LocalFile {
            path: temporary.0.clone(),
            _temporary: Some(temporary),
        })
    }

    /// Something small that can be made again.
    pub(super) async fn small(&self, path: &StorePath) -> Result<Bytes, BlobError> {
        Ok(self.0.store.get(path).await?.bytes().await?)
    }

    /// Keeps something small that can be made again.
    pub(super) async fn keep_small(&self, path: &StorePath, bytes: Bytes) -> Result<(), BlobError> {
        self.0.store.put(path, bytes.into()).await?;
        Ok(())
    }

    /// Keeps a blob from being removed.
    pub(super) async fn hold(&self, name: &str) -> Result<Held, BlobError> {
        Ok(self.0.locks.shared(name).await?)
    }

    /// Waits until nobody is storing this blob, and keeps everybody from it.
    pub(crate) async fn alone(&self, name: &str) -> Result<Alone, BlobError> {
        Ok(self.0.locks.alone(name).await?)
    }

    /// Removes a blob and its thumbnails, whoever names it. It may be gone already. For places that nobody uses any more: see [`Blobs::put_aside`].
    pub(super) async fn remove(&self, name: &str) -> Result<(), BlobError> {
        let path = address::path(name).ok_or(BlobError::Missing)?;
        self.remove_thumbnails(name).await?;
        match self.folder() {
            // The folder around it stays: somebody may just be moving another blob in.
            Some(top) => {
                let path = top.join(path.as_ref());
                Ok(blocking(move || remove_file(&path)).await?)
            }
            None => gone(self.0.store.delete(&path).await),
        }
    }

    async fn remove_thumbnails(&self, name: &str) -> Result<(), BlobError> {
        let (folder, beginning) = address::thumbnails(name).ok_or(BlobError::Missing)?;
        let beside = self.0.store.list_with_delimiter(Some(&folder)).await?;
        for small in beside.objects {
            let is_of_it = |name: &str| name.starts_with(&beginning);
            if small.location.filename().is_some_and(is_of_it) {
                gone(self.0.store.delete(&small.location).await)?;
            }
        }
        Ok(())
    }

    /// Removes the pictures of previews that were made before a day, with their thumbnails.
    pub(super) async fn remove_previews_before(&self, day: u64) -> Result<(), BlobError> {
        let store = &self.0.store;
        let previews = StorePath::from("previews");
        let days = store.list_with_delimiter(Some(&previews)).await?;
        for folder in days.common_prefixes {
            let is_old = folder
                .filename()
                .and_then(|name| name.parse::<u64>().ok())
                .is_some_and(|of| of < day);
            if is_old {
                let old = store.list(Some(&folder));
                let old = old.map_ok(|object| object.location).boxed();
                store
                    .delete_stream(old)
                    .try_for_each(|_| async { Ok(()) })
                    .await?;
            }
        }
        Ok(())
    }
}

/// What is gone already is gone.
fn gone(removed: object_store::Result<()>) -> Result<(), BlobError> {
    match removed {
        Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Removes a file in a way that survives a power cut.
fn remove_file(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        removed => removed?,
    }
    path.parent()
        .map_or(Ok(()), |parent| File::open(parent)?.sync_all())
}

/// A file that may be a copy.
pub(super) struct LocalFile {
    pub(super) path: PathBuf,
    _temporary: Option<Temporary>,
}

/// A range of a file in pieces, read on a thread that may block.
pub(super) fn file_pieces(
    file: File,
    range: Range<u64>,
) -> impl Stream<Item = Result<Bytes, BlobError>> + Send {
    stream::try_unfold((file, range), |(mut file, range)| async move {
        if range.is_empty() {
            return Ok(None);
        }
        let piece = blocking(move || {
            let length = READ_CHUNK_BYTES.min(range.end - range.start);
            let mut piece = Vec::with_capacity(length as usize);
            file.seek(SeekFrom::Start(range.start))?;
            // Read into fresh memory: nobody has to fill it with zeros first.
            if (&mut file).take(length).read_to_end(&mut piece)? as u64 != length {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let left = range.start + length..range.end;
            Ok(Some((Bytes::from(piece), (file, left))))
        });
        Ok(piece.await?)
    })
}

/// The next piece of a range of a file that others may be reading and writing, and in which the whole range lies by now.
pub(crate) async fn shared_piece(file: Arc<File>, range: Range<u64>) -> Result<Bytes, BlobError> {
    let length = READ_CHUNK_BYTES.min(range.end.saturating_sub(range.start));
    let piece = blocking(move || {
        let mut piece = vec![0; length as usize];
        file.read_exact_at(&mut piece, range.start)?;
        Ok(Bytes::from(piece))
    });
    Ok(piece.await?)
}

/// Runs what blocks on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(io::Error::other(error)))
}

#[cfg(test)]
mod aside_tests;
#[cfg(test)]
mod tests;
