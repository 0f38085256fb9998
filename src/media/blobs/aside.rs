//! Removing content that somebody may be uploading at this moment, on this node or on another.
//!
//! The locks (`locks.rs`) keep removal and upload apart, but they rest on desks that forget, and nothing that must hold may rest on those. What holds is an
//! order of steps. Who uploads puts the content into its place, has the record written that names it, and *then* looks whether it is in its place, and puts it
//! there again if not ([`super::StoredBlob::confirm`]). Who removes takes the content out of its place in one step, without destroying it, and *then* looks
//! whether a record names it: if so it is put back, and if not it is destroyed where it was put aside.
//!
//! So an upload that was acknowledged keeps its content, whoever is slow or dies in between. Was its record there when the remover looked, the remover puts the
//! content back. Was it not, then the record was written after the content had been taken out, and the uploader, who looks after that, misses it. Each removal
//! puts aside under a name of its own, so that none destroys what another has to put back. What a remover that died has left aside is judged in the same way
//! by whoever finds it ([`Blobs::aside_before`]), and by two at once without harm: one of them finds no record only if it looked before there was one, and then
//! the uploader looks later still.
//!
//! In a bucket, taking out is a copy and a deletion, and a deletion whose answer was lost might be carried out late. Then nobody judges at once: what was put
//! aside lies there for a while first. A bucket copies no object above 5 GB in one step: what is larger cannot be removed.

use std::{
    fs::{self, File},
    io,
    path::Path,
    sync::atomic::Ordering,
};

use futures_util::TryStreamExt as _;
use object_store::{ObjectStoreExt as _, path::Path as StorePath};

use super::{super::address, BlobError, Blobs, blocking, gone, remove_file};

/// Where content lies that is taken out of its place.
const FOLDER: &str = "aside";

/// Content that was taken out of its place.
#[derive(Clone, Debug)]
pub(crate) struct Aside {
    /// What it is called in its place.
    pub(crate) name: String,
    /// Where it lies.
    path: StorePath,
}

impl Aside {
    /// When it was put there, and its name, if this is such a place.
    fn at(path: StorePath) -> Option<(u64, Self)> {
        let file = path.filename()?;
        let at_ms = file.split_once('.')?.0.parse().ok()?;
        let name = file.rsplit_once('.')?.1.to_owned();
        address::path(&name)?;
        Some((at_ms, Self { name, path }))
    }
}

impl Blobs {
    /// Takes a blob out of its place in one step; `None` when it is not there. Then it is to be looked up whether anything names it, and [`Blobs::settle`] does
    /// the rest.
    pub(crate) async fn put_aside(
        &self,
        name: &str,
        now_ms: u64,
    ) -> Result<Option<Aside>, BlobError> {
        let place = address::path(name).ok_or(BlobError::Missing)?;
        let number = self.0.next_upload.fetch_add(1, Ordering::Relaxed);
        // A name that nobody else gives: neither another node, nor this one again.
        let owner = self.0.incoming.file_name().unwrap_or_default();
        let file = format!("{now_ms}.{number}.{}.{name}", owner.to_string_lossy());
        let aside = Aside {
            name: name.to_owned(),
            path: StorePath::from(format!("{FOLDER}/{file}")),
        };
        let is_there = match self.folder() {
            Some(top) => {
                let (from, to) = (top.join(place.as_ref()), top.join(aside.path.as_ref()));
                blocking(move || rename(&from, &to)).await?
            }
            None => self.take_out(&place, &aside.path).await?,
        };
        Ok(is_there.then_some(aside))
    }

    /// In a bucket. Whether something was there.
    async fn take_out(&self, from: &StorePath, to: &StorePath) -> Result<bool, BlobError> {
        let store = self.store();
        match store.copy(from, to).await {
            Ok(()) => {}
            Err(object_store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
        gone(store.delete(from).await)?;
        Ok(true)
    }

    /// What was put aside before a moment and is still there.
    pub(crate) async fn aside_before(&self, at_ms: u64) -> Result<Vec<Aside>, BlobError> {
        let folder = StorePath::from(FOLDER);
        let mut listed = self.store().list(Some(&folder));
        let mut found = Vec::new();
        while let Some(object) = listed.try_next().await? {
            match Aside::at(object.location) {
                Some((put_ms, aside)) if put_ms < at_ms => found.push(aside),
                _ => {}
            }
        }
        Ok(found)
    }

    /// What was put aside goes back when something names it, and is destroyed with its thumbnails when nothing does. That must have been looked up after it was
    /// put aside. Somebody else may have settled it already.
    pub(crate) async fn settle(&self, aside: &Aside, is_named: bool) -> Result<(), BlobError> {
        if is_named {
            return self.put_back(aside).await;
        }
        self.remove_thumbnails(&aside.name).await?;
        match self.folder() {
            Some(top) => {
                let path = top.join(aside.path.as_ref());
                Ok(blocking(move || remove_file(&path)).await?)
            }
            None => gone(self.store().delete(&aside.path).await),
        }
    }

    async fn put_back(&self, aside: &Aside) -> Result<(), BlobError> {
        let place = address::path(&aside.name).ok_or(BlobError::Missing)?;
        if let Some(top) = self.folder() {
            let (from, to) = (top.join(aside.path.as_ref()), top.join(place.as_ref()));
            blocking(move || rename(&from, &to)).await?;
            return Ok(());
        }
        let store = self.store();
        match store.copy(&aside.path, &place).await {
            Ok(()) => gone(store.delete(&aside.path).await),
            Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

/// Moves a file in a way that survives a power cut; whether there was one. What has the new name has the same content.
fn rename(from: &Path, to: &Path) -> io::Result<bool> {
    let folders = [to.parent(), from.parent()];
    if let [Some(folder), _] = folders {
        fs::create_dir_all(folder)?;
    }
    match fs::rename(from, to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        renamed => renamed?,
    }
    // The new name first: better two names than none.
    for folder in folders.into_iter().flatten() {
        File::open(folder)?.sync_all()?;
    }
    // A new folder has a name, too.
    if let Some(above) = to.parent().and_then(Path::parent) {
        File::open(above)?.sync_all()?;
    }
    Ok(true)
}
