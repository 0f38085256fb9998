//! What goes over a connection: a byte that says what it is, the name of the connection, and what belongs to it.
//!
//! The name is what tells from whom a frame is: ractor does not say, and a frame of a connection that has ended is nobody's.

use bytes::Bytes;
use playhouse_schema::register::NodeName;
use uuid::Uuid;

/// What is asked or told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Kind {
    /// A call follows.
    Ask = 1,
    /// A call too large for one frame is to be fetched: a ticket and its bytes follow.
    Fetch = 2,
    /// Part of something is wanted: a ticket and an offset follow.
    Part = 3,
    /// Whether the other lives.
    Ping = 4,
    /// Something to be heard follows.
    Tell = 5,
    /// A call for a third node follows: see [`Relay`].
    Relay = 6,
    /// A call follows that waits for something to happen.
    Wait = 7,
    /// The same for a third node.
    RelayWait = 8,
}

/// What is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Answer {
    /// It follows.
    Here = 1,
    /// It is too large for one frame, and to be fetched: a ticket and its bytes follow.
    Fetch = 2,
    /// The call was not carried out: the connection is none, or nobody answers calls now.
    Refused = 3,
    /// It cannot be answered.
    Mute = 4,
    /// The third node may have carried it out: the connection with it broke.
    Broken = 5,
    /// The third node has not answered in time.
    Late = 6,
}

const HEAD_BYTES: usize = 17;

const KINDS: [Kind; 8] = [
    Kind::Ask,
    Kind::Fetch,
    Kind::Part,
    Kind::Ping,
    Kind::Tell,
    Kind::Relay,
    Kind::Wait,
    Kind::RelayWait,
];

const ANSWERS: [Answer; 6] = [
    Answer::Here,
    Answer::Fetch,
    Answer::Refused,
    Answer::Mute,
    Answer::Broken,
    Answer::Late,
];

/// A call that goes through another node, because there is no connection with the one that it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relay {
    /// For whom it is.
    pub(super) node: NodeName,
    /// So long is its answer waited for.
    pub(super) within_ms: u64,
    /// The call.
    pub(super) call: Bytes,
}

impl Relay {
    /// Writes it.
    pub(super) fn write(&self) -> Vec<u8> {
        let name = self.node.as_str().as_bytes();
        // A name has no more than 64 bytes.
        let mut body = vec![name.len() as u8];
        body.extend_from_slice(name);
        body.extend_from_slice(&self.within_ms.to_be_bytes());
        body.extend_from_slice(&self.call);
        body
    }

    /// Reads it.
    pub(super) fn read(body: &Bytes) -> Option<Self> {
        let name_end = 1 + usize::from(*body.first()?);
        let name = std::str::from_utf8(body.get(1..name_end)?).ok()?;
        let within = body.get(name_end..name_end + 8)?;
        Some(Self {
            node: NodeName::parse(name)?,
            within_ms: u64::from_be_bytes(within.try_into().ok()?),
            call: body.slice(name_end + 8..),
        })
    }
}

impl Kind {
    fn read(byte: u8) -> Option<Self> {
        KINDS.into_iter().find(|kind| *kind as u8 == byte)
    }

    /// Whether it waits for something to happen.
    pub(super) fn waits(self) -> bool {
        matches!(self, Kind::Wait | Kind::RelayWait)
    }

    /// A frame of this kind.
    pub(super) fn frame(self, connection: Uuid, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(HEAD_BYTES + body.len());
        frame.push(self as u8);
        frame.extend_from_slice(connection.as_bytes());
        frame.extend_from_slice(body);
        frame
    }
}

impl Answer {
    /// An answer of this kind.
    pub(super) fn frame(self, body: &[u8]) -> Vec<u8> {
        let mut frame = Vec::with_capacity(1 + body.len());
        frame.push(self as u8);
        frame.extend_from_slice(body);
        frame
    }

    /// Opens an answer.
    pub(super) fn open(frame: Vec<u8>) -> Option<(Self, Bytes)> {
        let first = *frame.first()?;
        let answer = ANSWERS.into_iter().find(|answer| *answer as u8 == first)?;
        Some((answer, Bytes::from(frame).slice(1..)))
    }
}

/// Opens a frame.
pub(super) fn open(frame: Vec<u8>) -> Option<(Kind, Uuid, Bytes)> {
    let kind = Kind::read(*frame.first()?)?;
    let connection = Uuid::from_slice(frame.get(1..HEAD_BYTES)?).ok()?;
    Some((kind, connection, Bytes::from(frame).slice(HEAD_BYTES..)))
}

/// Writes two numbers.
pub(super) fn pair(one: u64, other: u64) -> [u8; 16] {
    ((u128::from(one) << 64) | u128::from(other)).to_be_bytes()
}

/// Reads two numbers.
pub(super) fn read_pair(body: &[u8]) -> Option<(u64, u64)> {
    let both = u128::from_be_bytes(body.try_into().ok()?);
    Some(((both >> 64) as u64, both as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back_as_they_went() {
        let connection = Uuid::from_u128(7);
        for kind in KINDS {
            let frame = kind.frame(connection, b"body");
            let opened = open(frame.clone()).unwrap();
            assert_eq!(opened, (kind, connection, Bytes::from_static(b"body")));
            for end in 0..HEAD_BYTES {
                assert_eq!(open(frame[..end].to_vec()), None);
            }
        }
        assert_eq!(open(vec![9; 40]), None);
        for answer in ANSWERS {
            let opened = Answer::open(answer.frame(b"x"));
            assert_eq!(opened, Some((answer, Bytes::from_static(b"x"))));
        }
        assert_eq!(Answer::open(Vec::new()), None);
        assert_eq!(Answer::open(vec![0]), None);
    }

    #[test]
    fn what_is_relayed_comes_back() {
        let relay = Relay {
            node: NodeName::parse("n3").unwrap(),
            within_ms: 7,
            call: Bytes::from_static(b"call"),
        };
        let body = Bytes::from(relay.write());
        assert_eq!(Relay::read(&body), Some(relay));
        for end in 0..body.len() - 4 {
            assert_eq!(Relay::read(&body.slice(..end)), None);
        }
    }

    #[test]
    fn numbers_come_back() {
        for numbers in [(0, 0), (1, u64::MAX), (u64::MAX, 5)] {
            assert_eq!(read_pair(&pair(numbers.0, numbers.1)), Some(numbers));
        }
        assert_eq!(read_pair(&[0; 15]), None);
    }
}
