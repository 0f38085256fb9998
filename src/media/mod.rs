//! Media: blobs by the hash of their content in a folder or a bucket, thumbnails, previews, and how all of it may be shown.
//!
//! What is known about a piece of media (owner, type, name) is in the log; here are bytes. Must not know endpoints.

mod address;
mod animation;
pub(crate) mod blobs;
pub(crate) mod copies;
mod locks;
pub(crate) mod presentation;
pub(crate) mod previews;
mod storage;
pub(crate) mod thumbnails;
mod turns;
pub(crate) mod upload;

pub(crate) use address::Shelf;
pub(crate) use blobs::Blobs;
pub(crate) use storage::bucket_and_prefix;
pub(crate) use thumbnails::{ThumbnailMethod, ThumbnailSize, Thumbnails};
pub(crate) use turns::Turns;
