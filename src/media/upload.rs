//! A blob on its way in: hashed and written on a thread that may block, while the next pieces come.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use object_store::{ObjectStoreExt as _, PutPayload, WriteMultipart, path::Path as StorePath};
use tokio::task::JoinHandle;

use super::{
    address::{self, Shelf},
    blobs::{BlobError, Blobs, StoredBlob, blocking, file_pieces},
};

/// How much is gathered before it is written.
const GATHERED_BYTES_MAX: usize = 1 << 20;

/// So many pieces are gathered: each may hold on to a whole read buffer.
const GATHERED_PIECES_MAX: usize = 64;

/// What is larger goes to an object store in parts of this size.
const PART_BYTES: usize = 8 << 20;

/// So many parts are on their way at once.
const PARTS_AT_ONCE: usize = 2;

/// A blob on its way in. Dropped before [`Upload::finish`], it leaves nothing behind.
pub(crate) struct Upload {
    blobs: Blobs,
    shelf: Shelf,
    temporary: Arc<Temporary>,
    gathered: Vec<Bytes>,
    gathered_bytes: usize,
    writing: Option<JoinHandle<io::Result<Disk>>>,
    written: Option<Disk>,
    size_bytes: u64,
}

struct Disk {
    file: Arc<File>,
    hash: blake3::Hasher,
}

impl Upload {
    pub(super) fn new(blobs: Blobs, shelf: Shelf, temporary: PathBuf) -> Self {
        Self {
            blobs,
            shelf,
            temporary: Arc::new(Temporary(temporary)),
            gathered: Vec::new(),
            gathered_bytes: 0,
            writing: None,
            written: None,
            size_bytes: 0,
        }
    }

    /// Takes the next piece.
    pub(crate) async fn write(&mut self, piece: Bytes) -> Result<(), BlobError> {
        self.size_bytes += piece.len() as u64;
        let size_bytes_max = self.blobs.size_bytes_max();
        if self.size_bytes > size_bytes_max {
            return Err(BlobError::TooLarge(size_bytes_max));
        }
        self.gathered_bytes += piece.len();
        self.gathered.push(piece);
        if self.gathered_bytes >= GATHERED_BYTES_MAX || self.gathered.len() >= GATHERED_PIECES_MAX {
            self.flush().await?;
        }
        Ok(())
    }

    /// So much was taken.
    pub(crate) fn size_bytes(&self) -> u64 {
        self.size_bytes
    }

    /// The file in which all lies that was taken so far, for those who read it at the same time. It may lose its name at any moment.
    pub(crate) async fn so_far(&mut self) -> Result<Arc<File>, BlobError> {
        let disk = self.all_written().await?;
        let file = disk.file.clone();
        self.written = Some(disk);
        Ok(file)
    }

    /// Waits for what is being written, then hands over what was gathered since.
    async fn flush(&mut self) -> Result<(), BlobError> {
        let disk = self.take_written().await?;
        let room = Vec::with_capacity(GATHERED_PIECES_MAX);
        let pieces = std::mem::replace(&mut self.gathered, room);
        self.gathered_bytes = 0;
        // Whoever gives up meanwhile leaves the file to this thread, which removes it.
        let temporary = self.temporary.clone();
        self.writing = Some(tokio::task::spawn_blocking(move || {
            let mut disk = match disk {
                Some(disk) => disk,
                None => Disk {
                    file: Arc::new(create(&temporary.0)?),
                    hash: blake3::Hasher::new(),
                },
            };
            for piece in pieces {
                disk.hash.update(&piece);
                disk.file.write_all(&piece)?;
            }
            Ok(disk)
        }));
        Ok(())
    }

    async fn take_written(&mut self) -> Result<Option<Disk>, BlobError> {
        let Some(writing) = self.writing.take() else {
            return Ok(self.written.take());
        };
        let disk = writing.await.map_err(io::Error::other)??;
        Ok(Some(disk))
    }

    /// Makes the blob durable under its name.
    pub(crate) async fn finish(mut self) -> Result<StoredBlob, BlobError> {
        let (file, hash) = self.end().await?;
        let name = address::name(self.shelf, &hash);
        self.settle(name, file).await
    }

    /// The same for what has a name already. Refused as [`BlobError::Damaged`] when the name says that it was something else.
    pub(super) async fn finish_as(mut self, name: &str) -> Result<StoredBlob, BlobError> {
        let (file, hash) = self.end().await?;
        // Of content with an older name it is not known.
        if name.starts_with("b3-") && address::name(Shelf::Uploads, &hash) != name {
            return Err(BlobError::Damaged);
        }
        self.settle(name.to_owned(), file).await
    }

    async fn end(&mut self) -> Result<(Arc<File>, blake3::Hash), BlobError> {
        let disk = self.all_written().await?;
        Ok((disk.file, disk.hash.finalize()))
    }

    async fn all_written(&mut self) -> Result<Disk, BlobError> {
        let is_begun = self.writing.is_some() || self.written.is_some();
        if !self.gathered.is_empty() || !is_begun {
            self.flush().await?;
        }
        let written = self.take_written().await?;
        Ok(written.ok_or_else(|| io::Error::other("the upload was not begun"))?)
    }

    async fn settle(self, name: String, file: Arc<File>) -> Result<StoredBlob, BlobError> {
        let path = address::path(&name).ok_or(BlobError::Missing)?;
        let held = self.blobs.hold(&name).await?;
        let mut content = Content {
            blobs: self.blobs,
            temporary: Some(self.temporary),
            file,
            size_bytes: self.size_bytes,
        };
        content.store(&path).await?;
        Ok(StoredBlob {
            sha256: name,
            size_bytes: self.size_bytes,
            content,
            _held: held,
        })
    }
}

/// What was uploaded, on this machine as long as this is there: it can be stored again.
pub(super) struct Content {
    blobs: Blobs,
    /// Its name as long as it has one: what was moved into a folder has none, but is the same file.
    temporary: Option<Arc<Temporary>>,
    file: Arc<File>,
    size_bytes: u64,
}

impl Content {
    async fn store(&mut self, path: &StorePath) -> Result<(), BlobError> {
        let Some(folder) = self.blobs.folder() else {
            return self.send(path).await;
        };
        let to = folder.join(path.as_ref());
        let Some(temporary) = self.temporary.take() else {
            return Err(nameless());
        };
        let from = temporary.0.clone();
        self.move_in(to, (self.file.clone(), from)).await
    }

    /// Stores it again if it is not in its place.
    pub(super) async fn confirm(&self, path: &StorePath) -> Result<(), BlobError> {
        // The locks of one process do not forget.
        if !self.blobs.is_shared() {
            return Ok(());
        }
        let Some(folder) = self.blobs.folder() else {
            return self.send(path).await;
        };
        let to = folder.join(path.as_ref());
        let place = to.clone();
        // Looked at by opening: what a network file system knows of a name may be old otherwise.
        let is_there = blocking(move || match File::open(place) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        });
        if is_there.await? {
            return Ok(());
        }
        tracing::warn!("content was removed while it was uploaded, it is stored again");
        let again = Temporary(self.blobs.temporary());
        let (file, copy) = (self.file.clone(), again.0.clone());
        let anew = blocking(move || copied(&file, &copy)).await?;
        self.move_in(to, (Arc::new(anew), again.0.clone())).await
    }

    async fn move_in(
        &self,
        to: PathBuf,
        (file, from): (Arc<File>, PathBuf),
    ) -> Result<(), BlobError> {
        let top = self.blobs.folder().unwrap_or(&to);
        let unsettled = self.blobs.unsettled(top, &to);
        let folders = unsettled.clone();
        blocking(move || move_in(&file, &from, &to, &folders)).await?;
        self.blobs.settled(unsettled);
        Ok(())
    }

    /// Copies the file to the object store, unless it is there.
    async fn send(&self, to: &StorePath) -> Result<(), BlobError> {
        let store = self.blobs.store();
        match store.head(to).await {
            Ok(there) if there.size == self.size_bytes => return Ok(()),
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        let temporary = self.temporary.as_ref().ok_or_else(nameless)?;
        let path = temporary.0.clone();
        if self.size_bytes <= PART_BYTES as u64 {
            let content = blocking(move || fs::read(path)).await?;
            store.put(to, PutPayload::from(content)).await?;
            return Ok(());
        }
        let file = blocking(move || File::open(path)).await?;
        let upload = store.put_multipart(to).await?;
        let mut parts = WriteMultipart::new_with_chunk_size(upload, PART_BYTES);
        let mut pieces = std::pin::pin!(file_pieces(file, 0..self.size_bytes));
        let sent = async {
            while let Some(piece) = futures_util::TryStreamExt::try_next(&mut pieces).await? {
                parts.wait_for_capacity(PARTS_AT_ONCE).await?;
                parts.put(piece);
            }
            Ok::<(), BlobError>(())
        };
        match sent.await {
            Ok(()) => {
                parts.finish().await?;
                Ok(())
            }
            Err(error) => {
                // What was sent would be kept, and paid for, until somebody tidies up.
                let _ = parts.abort().await;
                Err(error)
            }
        }
    }
}

fn nameless() -> BlobError {
    io::Error::other("the upload was stored already").into()
}

/// A copy of a file that may have no name any more.
fn copied(file: &File, to: &Path) -> io::Result<File> {
    let copy = create(to)?;
    let mut buffer = vec![0; GATHERED_BYTES_MAX];
    let mut offset = 0;
    loop {
        match file.read_at(&mut buffer, offset) {
            Ok(0) => return Ok(copy),
            Ok(length) => {
                (&copy).write_all(&buffer[..length])?;
                offset += length as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Makes the file durable and gives it its name, which must survive a power cut too. Of folders that are durable already only the last one has changed.
fn move_in(file: &File, from: &Path, to: &Path, unsettled: &[PathBuf]) -> io::Result<()> {
    // Who moved the same content in before may not be done with the folders yet: they are settled either way.
    if !to.exists() {
        file.sync_data()?;
        if let Some(parent) = to.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::rename(from, to)?;
    }
    unsettled
        .iter()
        .try_for_each(|folder| File::open(folder)?.sync_all())
}

/// A file that is removed with its last owner; after it was moved there is nothing under its name any more.
pub(super) struct Temporary(pub(super) PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    // Others may read it before it is whole.
    File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(true)
        .open(path)
}
