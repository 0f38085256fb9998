//! What goes over a connection: a byte that says what it is, the name of the connection, and what belongs to it.
//!
//! The name is what tells from whom a frame is: ractor does not say, and a frame of a connection that has ended is nobody's.

use bytes::Bytes;
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
}

const HEAD_BYTES: usize = 17;

impl Kind {
    fn read(byte: u8) -> Option<Self> {
        [Kind::Ask, Kind::Fetch, Kind::Part, Kind::Ping, Kind::Tell]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
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
        let known = [Answer::Here, Answer::Fetch, Answer::Refused, Answer::Mute];
        let answer = known.into_iter().find(|answer| *answer as u8 == first)?;
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
        for kind in [Kind::Ask, Kind::Fetch, Kind::Part, Kind::Ping, Kind::Tell] {
            let frame = kind.frame(connection, b"body");
            let opened = open(frame.clone()).unwrap();
            assert_eq!(opened, (kind, connection, Bytes::from_static(b"body")));
            for end in 0..HEAD_BYTES {
                assert_eq!(open(frame[..end].to_vec()), None);
            }
        }
        assert_eq!(open(vec![9; 40]), None);
        for answer in [Answer::Here, Answer::Fetch, Answer::Refused, Answer::Mute] {
            let opened = Answer::open(answer.frame(b"x"));
            assert_eq!(opened, Some((answer, Bytes::from_static(b"x"))));
        }
        assert_eq!(Answer::open(Vec::new()), None);
        assert_eq!(Answer::open(vec![0]), None);
    }

    #[test]
    fn numbers_come_back() {
        for numbers in [(0, 0), (1, u64::MAX), (u64::MAX, 5)] {
            assert_eq!(read_pair(&pair(numbers.0, numbers.1)), Some(numbers));
        }
        assert_eq!(read_pair(&[0; 15]), None);
    }
}
