//! Bringing blobs from one place of storage to another.

use futures_util::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path};

use super::{
    address::{self, Shelf},
    blobs::{BlobError, Blobs},
};

/// What was brought.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Copied {
    /// So many blobs were brought.
    pub(crate) blobs: u64,
    /// They have so many bytes.
    pub(crate) bytes: u64,
    /// So many blobs were there already.
    pub(crate) there: u64,
    /// The names of blobs that are damaged where they lie, and were not brought.
    pub(crate) damaged: Vec<String>,
}

/// Brings all blobs to another place, where each is durable before the next one is begun; what is there already is not brought again, so that one who was
/// interrupted goes on. With `removes` each is then removed where it was: nobody may use the old place any more. Thumbnails are not brought: they are made
/// again. Pictures of previews are not, either: they live for some days only.
pub(crate) async fn copy(from: &Blobs, to: &Blobs, removes: bool) -> Result<Copied, BlobError> {
    let mut copied = Copied::default();
    let blobs = Path::from("blobs");
    let mut listed = from.store().list(Some(&blobs));
    while let Some(object) = listed.try_next().await? {
        let Some(name) = address::name_at(&object.location) else {
            continue;
        };
        match to.store().head(&object.location).await {
            Ok(there) if there.size == object.size => copied.there += 1,
            Ok(_) | Err(object_store::Error::NotFound { .. }) => {
                match copy_one(from, to, &name).await {
                    Ok(()) => {
                        copied.blobs += 1;
                        copied.bytes += object.size;
                    }
                    Err(BlobError::Damaged) => {
                        copied.damaged.push(name);
                        continue;
                    }
                    // Where a server uses the place, it was removed after it was listed.
                    Err(BlobError::Missing) => continue,
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error.into()),
        }
        if removes {
            from.remove(&name).await?;
        }
    }
    Ok(copied)
}

async fn copy_one(from: &Blobs, to: &Blobs, name: &str) -> Result<(), BlobError> {
    let mut pieces = from.read(name, None).await?;
    let mut upload = to.begin(Shelf::Uploads);
    while let Some(piece) = pieces.try_next().await? {
        upload.write(piece).await?;
    }
    upload.finish_as(name).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use bytes::Bytes;

    use super::*;
    use crate::config::Media;

    #[tokio::test]
    async fn all_that_is_whole_is_brought_once() {
        let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let open = |folder: &tempfile::TempDir| {
            Blobs::open_beside(&Media::default(), folder.path().to_owned()).unwrap()
        };
        let (from, to) = (open(&here), open(&there));
        let mut names = Vec::new();
        for content in ["one", "two", "three"] {
            let mut upload = from.begin(Shelf::Uploads);
            upload.write(Bytes::from(content)).await.unwrap();
            names.push(upload.finish().await.unwrap().sha256.clone());
        }
        let old = "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824";
        let place = here.path().join("blobs/2c/f2");
        fs::create_dir_all(&place).unwrap();
        fs::write(place.join(old), b"hello").unwrap();
        let damaged = address::path(&names[2]).unwrap();
        fs::write(here.path().join(damaged.as_ref()), b"other").unwrap();
        let copied = copy(&from, &to, false).await.unwrap();
        assert_eq!((copied.blobs, copied.bytes, copied.there), (3, 11, 0));
        assert_eq!(copied.damaged, [names[2].clone()]);
        let again = copy(&from, &to, true).await.unwrap();
        assert_eq!((again.blobs, again.there, again.damaged.len()), (0, 3, 1));
        for (name, wanted) in [(&*names[0], "one"), (&names[1], "two"), (old, "hello")] {
            let pieces = to.read(name, None).await.unwrap();
            let content = pieces.try_collect::<Vec<_>>().await.unwrap().concat();
            assert_eq!(content, wanted.as_bytes());
            assert!(matches!(
                from.read(name, None).await,
                Err(BlobError::Missing)
            ));
        }
        assert!(matches!(
            to.read(&names[2], None).await,
            Err(BlobError::Missing)
        ));
    }
}
