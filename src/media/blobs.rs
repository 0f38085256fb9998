//! Blobs on disk, named by the SHA-256 of their content: the same content is stored once.

use std::{
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use aws_lc_rs::digest::{Context, SHA256};
use bytes::Bytes;
use futures_util::{Stream, stream};

/// How much of a blob is read at once.
const READ_CHUNK_BYTES: usize = 256 << 10;

/// How much of an upload is gathered before it is written.
const WRITE_CHUNK_BYTES: usize = 256 << 10;

/// Why a blob could not be taken or given.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BlobError {
    /// It is larger than allowed.
    #[error("larger than {0} bytes")]
    TooLarge(u64),
    /// The disk failed, or the blob is not there.
    #[error("disk: {0}")]
    Disk(#[from] io::Error),
}

/// A blob that is safely on disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StoredBlob {
    /// SHA-256 of the content, lower-case hexadecimal.
    pub(crate) sha256: String,
    /// Length of the content.
    pub(crate) size_bytes: u64,
}

/// A folder of blobs.
#[derive(Clone)]
pub(crate) struct Blobs {
    folder: Arc<Path>,
    size_bytes_max: u64,
    next_upload: Arc<AtomicU64>,
}

impl Blobs {
    /// Opens the folder; it and its subfolders are made when first needed. Uploads that a crash cut short are removed.
    pub(crate) fn open(folder: PathBuf, size_bytes_max: u64) -> Self {
        let _ = fs::remove_dir_all(folder.join("incoming"));
        Self {
            folder: folder.into(),
            size_bytes_max,
            next_upload: Arc::default(),
        }
    }

    /// The largest blob that is taken.
    pub(crate) fn size_bytes_max(&self) -> u64 {
        self.size_bytes_max
    }

    /// Begins to take a blob.
    pub(crate) fn begin(&self) -> Upload {
        let number = self.next_upload.fetch_add(1, Ordering::Relaxed);
        Upload {
            temporary: self.folder.join("incoming").join(number.to_string()),
            blobs: self.clone(),
            disk: None,
            waiting: Vec::new(),
            size_bytes: 0,
        }
    }

    /// Where a blob is.
    pub(crate) fn path(&self, sha256: &str) -> PathBuf {
        let (first, second) = (
            sha256.get(..2).unwrap_or("00"),
            sha256.get(2..4).unwrap_or("00"),
        );
        self.folder
            .join("blobs")
            .join(first)
            .join(second)
            .join(sha256)
    }

    /// The content, in pieces.
    pub(crate) async fn read(
        &self,
        sha256: &str,
    ) -> Result<(u64, impl Stream<Item = Result<Bytes, io::Error>> + use<>), BlobError> {
        let path = self.path(sha256);
        let (file, size_bytes) = blocking(move || {
            let file = File::open(path)?;
            let size_bytes = file.metadata()?.len();
            Ok((file, size_bytes))
        })
        .await?;
        let pieces = stream::try_unfold((file, 0u64), move |(mut file, at)| async move {
            if at >= size_bytes {
                return Ok(None);
            }
            blocking(move || {
                let mut piece = vec![0; READ_CHUNK_BYTES.min((size_bytes - at) as usize)];
                file.seek(SeekFrom::Start(at))?;
                file.read_exact(&mut piece)?;
                let next = at + piece.len() as u64;
                Ok(Some((Bytes::from(piece), (file, next))))
            })
            .await
        });
        Ok((size_bytes, pieces))
    }
}

/// A blob on its way in. Dropped before [`Upload::finish`], it leaves nothing behind.
pub(crate) struct Upload {
    blobs: Blobs,
    temporary: PathBuf,
    disk: Option<(File, Context)>,
    waiting: Vec<u8>,
    size_bytes: u64,
}

impl Upload {
    /// Takes the next piece.
    pub(crate) async fn write(&mut self, piece: &[u8]) -> Result<(), BlobError> {
        self.size_bytes += piece.len() as u64;
        if self.size_bytes > self.blobs.size_bytes_max {
            return Err(BlobError::TooLarge(self.blobs.size_bytes_max));
        }
        self.waiting.extend_from_slice(piece);
        if self.waiting.len() >= WRITE_CHUNK_BYTES {
            self.flush().await?;
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<(), BlobError> {
        let piece = std::mem::take(&mut self.waiting);
        let disk = self.disk.take();
        let temporary = self.temporary.clone();
        let disk = blocking(move || {
            let (mut file, mut hash) = match disk {
                Some(disk) => disk,
                None => (create(&temporary)?, Context::new(&SHA256)),
            };
            hash.update(&piece);
            file.write_all(&piece)?;
            Ok((file, hash))
        })
        .await?;
        self.disk = Some(disk);
        Ok(())
    }

    /// Makes the blob durable under its name.
    pub(crate) async fn finish(mut self) -> Result<StoredBlob, BlobError> {
        self.flush().await?;
        let Some((file, hash)) = self.disk.take() else {
            return Err(io::Error::other("the upload was not begun").into());
        };
        let sha256 = hexadecimal(hash.finish().as_ref());
        let (from, to) = (self.temporary.clone(), self.blobs.path(&sha256));
        let size_bytes = self.size_bytes;
        blocking(move || {
            file.sync_data()?;
            if to.exists() {
                return fs::remove_file(from);
            }
            let parent = to
                .parent()
                .ok_or_else(|| io::Error::other("a blob has a folder"))?;
            fs::create_dir_all(parent)?;
            fs::rename(from, &to)?;
            // The new name, and the folders above it, must survive a power cut too.
            parent
                .ancestors()
                .take(3)
                .try_for_each(|folder| File::open(folder)?.sync_all())
        })
        .await?;
        Ok(StoredBlob { sha256, size_bytes })
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After `finish` there is nothing under this name any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

fn create(path: &Path) -> io::Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent)?;
    }
    File::create(path)
}

/// Lower-case hexadecimal digits.
pub(crate) fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
mod tests {
    use futures_util::TryStreamExt;

    use super::*;

    #[tokio::test]
    async fn comes_back_as_it_went_in() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path().into(), 1 << 20);
        let content: Vec<u8> = (0..600_000u32).map(|index| (index % 251) as u8).collect();
        let mut names = Vec::new();
        for _ in 0..2 {
            let mut upload = blobs.begin();
            for piece in content.chunks(10_000) {
                upload.write(piece).await.unwrap();
            }
            names.push(upload.finish().await.unwrap());
        }
        assert_eq!(names[0], names[1]);
        let (size_bytes, pieces) = blobs.read(&names[0].sha256).await.unwrap();
        let read: Vec<Bytes> = pieces.try_collect().await.unwrap();
        assert_eq!(size_bytes, 600_000);
        assert_eq!(read.concat(), content);
        assert_eq!(
            fs::read_dir(folder.path().join("incoming"))
                .unwrap()
                .count(),
            0
        );
    }

    #[tokio::test]
    async fn too_large_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path().into(), 1000);
        let mut upload = blobs.begin();
        assert!(matches!(
            upload.write(&[0; 1001]).await,
            Err(BlobError::TooLarge(1000))
        ));
        drop(upload);
        assert!(!folder.path().join("blobs").exists());
    }

    #[tokio::test]
    async fn empty_is_a_blob_too() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::open(folder.path().into(), 1000);
        let stored = blobs.begin().finish().await.unwrap();
        assert_eq!(stored.size_bytes, 0);
        assert!(blobs.path(&stored.sha256).exists());
    }
}
