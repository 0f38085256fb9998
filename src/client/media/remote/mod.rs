//! Media of other servers: fetched when somebody wants it, then kept and given out like media of this one.
//!
//! What comes is written to a file as it comes, and given out from there at the same time. Who wants the same piece meanwhile reads the same file from its
//! beginning, so a piece is fetched once and never held in memory.

mod fetches;
mod parts;
mod source;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use playhouse_actors::{
    house::House,
    media::{MediaAnswer, MediaError, MediaQuery, message::Uploaded},
    network::PeerError,
};
use ruma::{OwnedServerName, api::error::ErrorCode, http_headers::ContentDisposition};

pub(crate) use self::fetches::Fetches;
use self::fetches::Watching;
use super::serve::{Wanted, note_use};
use crate::{
    edge::{App, Failure},
    media::blobs::BlobError,
    outbound::OutboundError,
};

/// An answer is so much larger than its content at most.
const AROUND_BYTES_MAX: u64 = 64 * 1024;

/// A type, or a name, has at most so many bytes.
const TEXT_BYTES_MAX: usize = 255;

/// What is told of content before it comes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) content_type: Option<String>,
    pub(super) file_name: Option<String>,
    /// The length, when HTTP tells it of content that is the whole of an answer; what comes is measured by it.
    pub(super) length: Option<u64>,
}

impl Head {
    fn new(content_type: Option<String>, disposition: Option<String>, length: Option<u64>) -> Self {
        let disposition =
            disposition.and_then(|told| ContentDisposition::try_from(told.as_bytes()).ok());
        let file_name = disposition.and_then(|told| told.filename);
        let fits = |text: &String| text.len() <= TEXT_BYTES_MAX;
        Self {
            content_type: content_type.filter(fits),
            file_name: file_name.filter(fits),
            length,
        }
    }
}

/// Why content of another server does not come, or not all of it.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum Lost {
    /// Its server gives none.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The place to which its server points gives none.
    #[error("elsewhere: {0}")]
    Elsewhere(#[from] OutboundError),
    /// What comes is not what such an answer has to be.
    #[error("the answer is no piece of media")]
    Nonsense,
    /// It is larger than allowed.
    #[error("it is too large")]
    TooLarge,
    /// It must not be kept.
    #[error(transparent)]
    Media(#[from] MediaError),
    /// It cannot be kept.
    #[error("{0}")]
    Inside(Arc<BlobError>),
    /// There is no place for one more fetch.
    #[error("too much is being fetched")]
    Crowded,
    /// Nobody wants it any more, and nothing of it has come.
    #[error("nobody wants it any more")]
    Unwanted,
    /// Nobody fetches it any more.
    #[error("the server stops")]
    Stopped,
}

impl From<BlobError> for Lost {
    fn from(error: BlobError) -> Self {
        match error {
            BlobError::TooLarge(_) => Self::TooLarge,
            error => Self::Inside(Arc::new(error)),
        }
    }
}

/// A piece of another server's media.
struct Piece {
    server_name: OwnedServerName,
    media_id: String,
}

impl Piece {
    /// The name by which the house knows it.
    fn key(&self) -> String {
        format!("{}/{}", self.server_name, self.media_id)
    }
}

/// A piece of media that can be given out.
pub(super) enum Found {
    /// It is here.
    Kept(Uploaded),
    /// It has begun to come.
    Coming(Coming),
}

/// Content that is given out while it comes.
pub(super) struct Coming {
    pub(super) head: Arc<Head>,
    /// From the beginning. Whoever comes to the end without an error has got all, and it is kept.
    pub(super) pieces: BoxStream<'static, Result<Bytes, Lost>>,
}

/// What is known of a piece of another server's media, once it is here as a whole; it is fetched if it has to be.
pub(super) async fn find(app: &App, wanted: &Wanted<'_>) -> Result<Uploaded, Failure> {
    match ask(app, wanted).await? {
        Asked::Kept(uploaded) => Ok(uploaded),
        Asked::Fetched(watching) => Ok(watching.end().await?),
    }
}

/// The same as soon as it begins to come.
pub(super) async fn open(app: &App, wanted: &Wanted<'_>) -> Result<Found, Failure> {
    match ask(app, wanted).await? {
        Asked::Kept(uploaded) => Ok(Found::Kept(uploaded)),
        Asked::Fetched(watching) => Ok(watching.begin().await?),
    }
}

enum Asked {
    Kept(Uploaded),
    Fetched(Watching),
}

async fn ask(app: &App, wanted: &Wanted<'_>) -> Result<Asked, Failure> {
    if !is_media_id(wanted.media_id) {
        return Err(Failure::not_found("unknown media"));
    }
    let piece = Piece {
        server_name: wanted.server_name.to_owned(),
        media_id: wanted.media_id.to_owned(),
    };
    let key = piece.key();
    if let Some((uploaded, used_ms)) = kept(&app.house, &key).await? {
        note_use(app, &key, used_ms);
        return Ok(Asked::Kept(uploaded));
    }
    Ok(Asked::Fetched(app.fetches.join(piece, wanted.timeout)))
}

/// The characters that addresses of media may have (client-server API, "Matrix Content URI").
fn is_media_id(media_id: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    (1..=200).contains(&media_id.len()) && media_id.bytes().all(fits)
}

/// The copy that is here, with when it was last used.
async fn kept(house: &House, key: &str) -> Result<Option<(Uploaded, u64)>, MediaError> {
    match house.media_query(key, MediaQuery::Describe).await {
        Ok(MediaAnswer::There { uploaded, used_ms }) => Ok(Some((uploaded, used_ms))),
        Ok(MediaAnswer::Awaited(_) | MediaAnswer::Facts(_)) | Err(MediaError::Unknown) => Ok(None),
        Err(error) => Err(error),
    }
}

impl From<Lost> for Failure {
    fn from(lost: Lost) -> Self {
        let unreachable = || {
            Failure::new(
                ErrorCode::ConnectionFailed,
                "the media's server cannot be reached",
            )
        };
        match lost {
            Lost::Peer(PeerError::Off | PeerError::Denied | PeerError::Barred)
            | Lost::Elsewhere(OutboundError::Refused(_) | OutboundError::NotAUrl) => {
                Failure::not_found("the media's server is not asked")
            }
            Lost::Peer(PeerError::Refused { status: 504, .. }) | Lost::Crowded => {
                Failure::new(ErrorCode::NotYetUploaded, "the content is not there yet")
            }
            Lost::Peer(PeerError::Refused { status, .. })
            | Lost::Elsewhere(OutboundError::Status(status))
                if (400..500).contains(&status) && status != 429 =>
            {
                Failure::not_found("the media's server does not give it")
            }
            Lost::Peer(PeerError::TooSlow) | Lost::Elsewhere(OutboundError::TooSlow) => {
                Failure::new(
                    ErrorCode::ConnectionTimeout,
                    "the media's server does not answer in time",
                )
            }
            Lost::Peer(PeerError::TooLarge)
            | Lost::Elsewhere(OutboundError::TooLarge)
            | Lost::TooLarge => {
                Failure::new(ErrorCode::TooLarge, "this media is too large").with_status(502)
            }
            Lost::Nonsense => Failure::new(
                ErrorCode::ConnectionFailed,
                "the media's server answers with nonsense",
            ),
            Lost::Peer(_) | Lost::Elsewhere(_) => unreachable(),
            Lost::Media(error) => error.into(),
            Lost::Inside(_) | Lost::Unwanted | Lost::Stopped => Failure::internal(lost),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_media() {
        assert!(is_media_id("aZ0-_"));
        assert!(!is_media_id("") && !is_media_id("a/b") && !is_media_id("é"));
    }

    #[test]
    fn what_is_told_is_bounded() {
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        let disposition = format!("inline; filename={long}");
        let head = Head::new(Some(long), Some(disposition), None);
        assert_eq!(head, Head::default());
        let head = Head::new(None, Some("attachment; filename=a.txt".to_owned()), None);
        assert_eq!(head.file_name.as_deref(), Some("a.txt"));
    }
}
