//! The hash chain over a shard's records.
//!
//! `chain(n) = SHA-256(chain(n-1), position, entity, sequence, kind, epoch, at, SHA-256(payload))`. The chain covers the payload's digest and not the payload, so
//! that a payload may be erased later (its digest stays) without breaking what follows it.

use aws_lc_rs::digest::{Context, SHA256, digest as hash};

use crate::{address::Position, record::Kind};

/// A SHA-256 value.
pub type Digest = [u8; 32];

/// What precedes the first record of a shard.
pub const GENESIS: Digest = [0; 32];

/// The digest of a payload.
pub fn digest(payload: &[u8]) -> Digest {
    to_digest(&hash(&SHA256, payload))
}

/// What a link covers besides the payload.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    /// Position in the shard.
    pub position: Position,
    /// The entity's full name.
    pub entity: &'a str,
    /// Number within the entity.
    pub sequence: u64,
    /// Kind of record.
    pub kind: Kind,
    /// The owner's epoch at the time of writing.
    pub epoch: u64,
    /// Time of writing, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// The chain value of a record whose payload has `payload` as digest and whose predecessor has `previous` as chain value.
pub fn link(previous: &Digest, header: Link<'_>, payload: &Digest) -> Digest {
    let mut hash = Context::new(&SHA256);
    hash.update(previous);
    hash.update(&header.position.to_be_bytes());
    hash.update(&(header.entity.len() as u64).to_be_bytes());
    hash.update(header.entity.as_bytes());
    hash.update(&header.sequence.to_be_bytes());
    hash.update(&header.kind.to_be_bytes());
    hash.update(&header.epoch.to_be_bytes());
    hash.update(&header.at_ms.to_be_bytes());
    hash.update(payload);
    to_digest(&hash.finish())
}

fn to_digest(value: &aws_lc_rs::digest::Digest) -> Digest {
    value.as_ref().try_into().expect("SHA-256 gives 32 bytes")
}
