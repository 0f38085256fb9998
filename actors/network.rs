//! Other servers, as the domain sees them: a request and its answer, and the keys with which they sign. How they are found and reached is the edge's.

use std::{collections::BTreeMap, fmt, time::Duration};

use bytes::Bytes;
use futures_util::{
    StreamExt as _,
    future::BoxFuture,
    stream::{self, BoxStream},
};
use ruma::{OwnedServerName, signatures::PublicKeyMap};

/// A request to another server (server-server API).
#[derive(Clone, Debug)]
pub struct PeerRequest {
    /// Whom to ask.
    pub destination: OwnedServerName,
    /// How.
    pub method: PeerMethod,
    /// Path and query, percent-encoded: `/_matrix/federation/v1/…`.
    pub path: String,
    /// The JSON body. It is signed and sent byte for byte.
    pub body: Option<Bytes>,
    /// The last byte of the answer must be here by then; the last one of its head, if it is read as it comes.
    pub within: Duration,
    /// A larger answer is refused.
    pub answer_bytes_max: u64,
}

/// The HTTP methods servers use towards each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerMethod {
    /// `GET`
    Get,
    /// `PUT`
    Put,
    /// `POST`
    Post,
}

impl PeerMethod {
    /// As HTTP spells it.
    pub fn as_str(self) -> &'static str {
        match self {
            PeerMethod::Get => "GET",
            PeerMethod::Put => "PUT",
            PeerMethod::Post => "POST",
        }
    }
}

/// Why another server gave no usable answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PeerError {
    /// This server talks to no other.
    #[error("federation is switched off")]
    Off,
    /// The operator, or the rules for addresses, forbid to ask it.
    #[error("this server is not asked")]
    Denied,
    /// The operator does not let this server talk with it.
    #[error("this server does not talk with it")]
    Barred,
    /// It cannot be found or reached, or the connection broke. What it was asked may have happened.
    #[error("cannot be reached: {0}")]
    Unreachable(String),
    /// It did not answer in time. What it was asked may have happened.
    #[error("does not answer in time")]
    TooSlow,
    /// Its answer is larger than wanted.
    #[error("answers with too much")]
    TooLarge,
    /// It refuses.
    #[error("refuses with {status} {errcode}: {error}")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// The Matrix error code; empty when there was none.
        errcode: String,
        /// What it says, cut to 300 characters.
        error: String,
    },
    /// Its answer is not what was asked for.
    #[error("answers with nonsense: {0}")]
    Nonsense(String),
}

/// An answer whose body is still coming.
pub struct PeerAnswer {
    /// The `Content-Type` header.
    pub content_type: Option<String>,
    /// The `Content-Disposition` header.
    pub content_disposition: Option<String>,
    /// The length of the body, when it is told.
    pub length: Option<u64>,
    /// The body. Who comes to the end of it without an error has got all of it.
    pub pieces: BoxStream<'static, Result<Bytes, PeerError>>,
}

impl From<Bytes> for PeerAnswer {
    fn from(body: Bytes) -> Self {
        Self {
            content_type: None,
            content_disposition: None,
            length: Some(body.len() as u64),
            pieces: stream::iter([Ok(body)]).boxed(),
        }
    }
}

/// Which keys are wanted: for each server the IDs of keys (`ed25519:abc`), each with the time in milliseconds since the Unix epoch at which it must have been
/// valid; 0 when any time will do (room versions 1 to 4).
pub type KeysWanted = BTreeMap<OwnedServerName, BTreeMap<String, u64>>;

/// Other servers.
pub trait Network: Send + Sync + 'static {
    /// Asks a server; answers the body of a 2xx answer. Signs the request; connection, name resolution and limits are the network's own. Never retries.
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>>;

    /// The same for an answer that is read as it comes: what is true of the whole body of [`Network::ask`] is true of each piece, but for the time. How long
    /// to wait for a piece, and for all of them, is for the reader to say.
    fn ask_in_pieces(
        &self,
        request: PeerRequest,
    ) -> BoxFuture<'static, Result<PeerAnswer, PeerError>> {
        let asked = self.ask(request);
        Box::pin(async move { Ok(PeerAnswer::from(asked.await?)) })
    }

    /// The keys that are known or can be found, by server and key ID. What cannot be found is missing. Never asks for this server's own keys, which it
    /// knows.
    fn keys(&self, wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap>;

    /// Whether there can be other servers at all.
    fn is_on(&self) -> bool {
        true
    }
}

/// There are no other servers.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoNetwork;

impl Network for NoNetwork {
    fn ask(&self, _request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        Box::pin(async { Err(PeerError::Off) })
    }

    fn keys(&self, _wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        Box::pin(async { PublicKeyMap::new() })
    }

    fn is_on(&self) -> bool {
        false
    }
}

impl fmt::Debug for dyn Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Network")
    }
}
