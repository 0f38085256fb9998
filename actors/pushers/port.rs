//! How pushes leave the house: what the outside must offer.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ruma::{OwnedEventId, OwnedRoomId, OwnedUserId};

/// A request to a push gateway.
#[derive(Clone, Debug)]
pub struct Push {
    /// Where the gateway listens, as the client has said.
    pub url: String,
    /// The JSON body.
    pub body: Bytes,
    /// The trace to which the request belongs, for its `traceparent` header.
    pub trace: String,
}

/// A gateway took a push.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PushTaken {
    /// Keys that it knows no more.
    pub rejected: Vec<String>,
}

/// A push or a mail was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct PushTrouble {
    /// Why, for the operator: without keys and addresses.
    pub reason: String,
    /// It wants to be left alone for so long, milliseconds.
    pub retry_after_ms: Option<u64>,
}

/// What a mail tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Digest {
    /// Whose.
    pub user_id: OwnedUserId,
    /// What the user is called; the user ID where nothing better is known.
    pub user_name: String,
    /// The application of the pusher.
    pub app_id: String,
    /// To whom it goes: the key of the pusher.
    pub address: String,
    /// The language that the user prefers, as a tag.
    pub language: String,
    /// The application on whose behalf it is sent, if the client has said.
    pub brand: Option<String>,
    /// The rooms, the one that was first first.
    pub rooms: Vec<DigestRoom>,
    /// Rooms that there was no place for.
    pub further_rooms: usize,
}

/// What a mail tells of a room.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestRoom {
    /// Which.
    pub room_id: OwnedRoomId,
    /// What it is called, if anything.
    pub name: Option<String>,
    /// What others in it are called, when it has no name.
    pub others: Vec<String>,
    /// Who invites the user; then there are no messages.
    pub inviter: Option<String>,
    /// Messages, the oldest first.
    pub messages: Vec<DigestMessage>,
    /// Messages that there was no place for.
    pub further: usize,
}

/// A message in a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DigestMessage {
    /// The event.
    pub event_id: OwnedEventId,
    /// What the sender is called.
    pub sender: String,
    /// What it says; `None` when that cannot be shown: it is encrypted, or no text.
    pub text: Option<String>,
    /// When it was sent, milliseconds since the Unix epoch.
    pub sent_ms: u64,
}

/// Brings pushes and mails over. Times, sizes and whom it may ask are its own business; it never retries.
pub trait Postman: Send + Sync + 'static {
    /// Asks a push gateway.
    fn push(&self, push: Push) -> BoxFuture<'static, Result<PushTaken, PushTrouble>>;

    /// Sends a mail.
    fn mail(&self, digest: Digest) -> BoxFuture<'static, Result<(), PushTrouble>>;

    /// Whether there is a way to send mails.
    fn mails(&self) -> bool;
}

/// Nothing leaves.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPostman;

impl Postman for NoPostman {
    fn push(&self, _push: Push) -> BoxFuture<'static, Result<PushTaken, PushTrouble>> {
        Box::pin(async { Err(nobody()) })
    }

    fn mail(&self, _digest: Digest) -> BoxFuture<'static, Result<(), PushTrouble>> {
        Box::pin(async { Err(nobody()) })
    }

    fn mails(&self) -> bool {
        false
    }
}

fn nobody() -> PushTrouble {
    PushTrouble {
        reason: "nothing is sent from here".to_owned(),
        retry_after_ms: None,
    }
}
