//! Media on disk: blobs by the hash of their content, thumbnails, and how they may be shown.
//!
//! What is known about a piece of media (owner, type, name) is in the log; here are only bytes. Must not know endpoints or accounts.

pub(crate) mod blobs;
pub(crate) mod presentation;
pub(crate) mod previews;
pub(crate) mod thumbnails;

pub(crate) use blobs::Blobs;
pub(crate) use thumbnails::{ThumbnailMethod, ThumbnailSize, Thumbnails};
