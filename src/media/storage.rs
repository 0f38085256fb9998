//! Where blobs are kept: a folder, or a bucket of an object store.

use std::{fs, path::PathBuf, sync::Arc, time::Duration};

use http::Method;
use object_store::{
    ClientOptions, ObjectStore,
    aws::{AmazonS3, AmazonS3Builder},
    local::LocalFileSystem,
    path::Path,
    prefix::PrefixStore,
    signer::{SignedUrlOptions, Signer as _},
};

use crate::config::Media;

/// A store that was opened.
pub(super) struct Storage {
    /// Reads, writes, lists and removes.
    pub(super) store: Arc<dyn ObjectStore>,
    /// The same as a folder, when it is one: then files are moved in instead of being copied.
    pub(super) folder: Option<PathBuf>,
    /// The same as a bucket to which clients may be sent.
    pub(super) bucket: Option<Bucket>,
}

/// An address in the bucket serves for so long: a download that began goes on.
const ADDRESS_LIFETIME: Duration = Duration::from_secs(300);

/// A bucket that signs addresses.
pub(super) struct Bucket {
    store: AmazonS3,
    prefix: Path,
}

impl Bucket {
    /// An address from which an object can be had for a while, by whoever knows it, with these headers: type and disposition.
    pub(super) async fn signed_url(
        &self,
        path: &Path,
        (content_type, disposition): (&str, &str),
    ) -> object_store::Result<String> {
        let options = SignedUrlOptions::default().with_query([
            ("response-content-type", content_type),
            ("response-content-disposition", disposition),
        ]);
        let path: Path = self.prefix.parts().chain(path.parts()).collect();
        let signed = self
            .store
            .signed_url_opts(Method::GET, &path, ADDRESS_LIFETIME, &options);
        Ok(signed.await?.to_string())
    }
}

/// Opens what the configuration names. A bucket is not asked for before it is needed.
pub(super) fn open(media: &Media, folder: PathBuf) -> Result<Storage, String> {
    match &media.storage {
        None => in_folder(folder),
        Some(url) => in_bucket(media, url),
    }
}

fn in_folder(folder: PathBuf) -> Result<Storage, String> {
    let opened = fs::create_dir_all(&folder).map_err(|error| error.to_string());
    let store = opened.and_then(|()| {
        LocalFileSystem::new_with_prefix(&folder).map_err(|error| error.to_string())
    });
    let store = store.map_err(|error| format!("media folder {}: {error}", folder.display()))?;
    Ok(Storage {
        store: Arc::new(store.with_automatic_cleanup(true)),
        folder: Some(folder),
        bucket: None,
    })
}

/// `s3://bucket/prefix` taken apart.
pub(crate) fn bucket_and_prefix(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("s3://")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    (!bucket.is_empty()).then_some((bucket, prefix.trim_matches('/')))
}

fn in_bucket(media: &Media, url: &str) -> Result<Storage, String> {
    let (bucket, prefix) = bucket_and_prefix(url)
        .ok_or_else(|| format!("[media] storage: `{url}` is not s3://bucket/prefix"))?;
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&media.s3_region)
        .with_client_options(ClientOptions::new().with_allow_http(true));
    if let Some(endpoint) = &media.s3_endpoint {
        builder = builder.with_endpoint(endpoint);
    }
    if let Some(key) = &media.s3_access_key_id {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &media.s3_secret_access_key {
        builder = builder.with_secret_access_key(secret);
    }
    let store = builder
        .build()
        .map_err(|error| format!("[media] storage: {error}"))?;
    let prefix = Path::from(prefix);
    Ok(Storage {
        bucket: media.redirect_downloads.then(|| Bucket {
            store: store.clone(),
            prefix: prefix.clone(),
        }),
        store: Arc::new(PrefixStore::new(store, prefix)),
        folder: None,
    })
}
