//! Sync tokens: a set of log positions, written as one short word.
//!
//! `next_batch` says, for everything a sync can tell, up to where it was told. The next sync with it as `since` tells the half-open interval
//! after it. Fields:
//!
//! | field | means |
//! |---|---|
//! | layout | number of shards, and which life of the log it is; a token of another layout, or from before the log was restored from a backup, is treated as none (initial sync) |
//! | rooms | per shard of the rooms family in which the user has a room: everything that concerns the user up to this position was told |
//! | devices | per shard of the users family: device list changes of other users up to this position were told |
//! | own | the sequence in the user's own log up to which account data was told |
//! | to-device | up to where to-device messages were delivered; a sync that shows it proves their receipt |
//! | life, serial | typing and presence are volatile: `life` names the life of the feed that counts `serial`. After another life everything in force is told again |
//! | typing | rooms in which somebody was told to type (16 bits of a hash each): in another life these are told again even when nobody types there now |
//!
//! A shard that is absent stands at 0: the user had no room there. Positions are coded as differences to the one before, in base 128, and the
//! whole in URL-safe base 64 after an `s`. Forging a token gains nothing: it only chooses what of one's own is told again.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_schema::address::{Layout, Position, Sequence, ShardNumber};
use ruma::RoomId;

use crate::user::message::ToDeviceIndex;

/// The format written now.
const VERSION: u8 = 1;

/// A longer word is no token of ours.
const TOKEN_CHARS_MAX: usize = 2_048;

/// So many rooms with typing users are told apart; beyond it the rest is told again too.
const TYPING_ROOMS_MAX: usize = 16;

/// Positions by shard number.
pub type Vector = BTreeMap<ShardNumber, Position>;

/// What a `next_batch` or `since` says. See the module's documentation.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SyncToken {
    /// Room positions by shard.
    pub rooms: Vector,
    /// Device list positions by shard of the users family.
    pub devices: Vector,
    /// The sequence in the user's own log.
    pub own: Sequence,
    /// To-device messages.
    pub to_device: ToDeviceIndex,
    /// Which life of the feed counted `serial`.
    pub life: u32,
    /// Typing and presence.
    pub serial: u64,
    /// Rooms with typing users, hashed.
    pub typing: BTreeSet<u16>,
}

/// What became of a word that should be a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parsed {
    /// A token.
    Token(SyncToken),
    /// A token of another layout or an older format: begin anew.
    Outdated,
}

/// The word is no token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a sync token")]
pub struct MalformedToken;

impl SyncToken {
    /// Reads a token.
    pub fn parse(word: &str, layout: Layout) -> Result<Parsed, MalformedToken> {
        let coded = word
            .strip_prefix('s')
            .filter(|coded| coded.len() <= TOKEN_CHARS_MAX)
            .ok_or(MalformedToken)?;
        let bytes = URL_SAFE_NO_PAD.decode(coded).map_err(|_| MalformedToken)?;
        let (version, rest) = bytes.split_first().ok_or(MalformedToken)?;
        if *version != VERSION {
            return Ok(Parsed::Outdated);
        }
        let mut reader = Reader(rest);
        if reader.number()? != mark_of(layout) {
            return Ok(Parsed::Outdated);
        }
        let rooms = reader.vector()?;
        let devices = reader.vector()?;
        let own = reader.number()?;
        let to_device = ToDeviceIndex {
            sequence: own.wrapping_add_signed(unzigzag(reader.number()?)),
            partial: reader.number()?,
        };
        let life = u32::try_from(reader.number()?).map_err(|_| MalformedToken)?;
        let serial = reader.number()?;
        let mut typing = BTreeSet::new();
        while !reader.0.is_empty() && typing.len() < TYPING_ROOMS_MAX {
            typing.insert(u16::try_from(reader.number()?).map_err(|_| MalformedToken)?);
        }
        Ok(Parsed::Token(Self {
            rooms,
            devices,
            own,
            to_device,
            life,
            serial,
            typing,
        }))
    }

    /// Writes the token.
    pub fn write(&self, layout: Layout) -> String {
        let mut out = Vec::with_capacity(64);
        out.push(VERSION);
        push_number(&mut out, mark_of(layout));
        push_vector(&mut out, &self.rooms);
        push_vector(&mut out, &self.devices);
        push_number(&mut out, self.own);
        push_number(
            &mut out,
            zigzag(self.to_device.sequence.wrapping_sub(self.own) as i64),
        );
        push_number(&mut out, self.to_device.partial);
        push_number(&mut out, u64::from(self.life));
        push_number(&mut out, self.serial);
        for room in self.typing.iter().take(TYPING_ROOMS_MAX) {
            push_number(&mut out, u64::from(*room));
        }
        let mut word = String::with_capacity(1 + out.len() * 4 / 3 + 2);
        word.push('s');
        URL_SAFE_NO_PAD.encode_string(&out, &mut word);
        word
    }

    /// Up to which position of a room shard everything was told.
    pub fn room_position(&self, shard: ShardNumber) -> Position {
        self.rooms.get(&shard).copied().unwrap_or(0)
    }

    /// Up to which position of a shard of the users family device list changes were told.
    pub fn device_position(&self, shard: ShardNumber) -> Position {
        self.devices.get(&shard).copied().unwrap_or(0)
    }
}

/// A log that was never restored is marked by the number of its shards alone.
fn mark_of(layout: Layout) -> u64 {
    u64::from(layout.shards) | (u64::from(layout.era) << 8)
}

/// The mark of a room in [`SyncToken::typing`].
pub fn typing_mark(room_id: &RoomId) -> u16 {
    // FNV-1a, folded: stable across processes, which the standard hasher is not.
    let hash = room_id
        .as_bytes()
        .iter()
        .fold(0x811c_9dc5_u32, |hash, byte| {
            (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
        });
    ((hash >> 16) ^ (hash & 0xffff)) as u16
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn push_vector(out: &mut Vec<u8>, vector: &Vector) {
    let shards = vector
        .keys()
        .filter(|shard| **shard < Layout::SHARDS_MAX)
        .fold(0u64, |bits, shard| bits | (1 << shard));
    push_number(out, shards);
    let mut last = 0u64;
    for position in vector
        .range(..Layout::SHARDS_MAX)
        .map(|(_, position)| *position)
    {
        push_number(out, zigzag(position.wrapping_sub(last) as i64));
        last = position;
    }
}

fn zigzag(number: i64) -> u64 {
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> i64 {
    ((number >> 1) as i64) ^ -((number & 1) as i64)
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn number(&mut self) -> Result<u64, MalformedToken> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first().ok_or(MalformedToken)?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        Err(MalformedToken)
    }

    fn vector(&mut self) -> Result<Vector, MalformedToken> {
        let shards = self.number()?;
        let mut last = 0u64;
        (0..Layout::SHARDS_MAX)
            .filter(|shard| shards & (1 << shard) != 0)
            .map(|shard| {
                last = last.wrapping_add_signed(unzigzag(self.number()?));
                Ok((shard, last))
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use ruma::room_id;

    use super::*;

    #[test]
    fn a_usual_token_is_short() {
        let rooms = (0..16).map(|shard| (shard, 120_000 + u64::from(shard) * 700));
        let devices = (0..16).map(|shard| (shard, 40_000 + u64::from(shard) * 90));
        let token = SyncToken {
            rooms: rooms.collect(),
            devices: devices.collect(),
            own: 300,
            to_device: ToDeviceIndex {
                sequence: 290,
                partial: 0,
            },
            life: 77,
            serial: 5,
            typing: BTreeSet::new(),
        };
        let word = token.write(Layout::default());
        assert!(word.len() < 110, "{} characters", word.len());
        let small = SyncToken {
            rooms: [(3, 500), (9, 481)].into(),
            ..SyncToken::default()
        };
        assert!(small.write(Layout::default()).len() < 30);
    }

    #[test]
    fn other_layouts_and_formats_begin_anew_and_nonsense_is_refused() {
        let word = SyncToken::default().write(Layout { shards: 4, era: 0 });
        let layout = Layout::default();
        assert_eq!(SyncToken::parse(&word, layout), Ok(Parsed::Outdated));
        assert_eq!(SyncToken::parse("sAgA", layout), Ok(Parsed::Outdated));
        let restored = Layout { era: 7, ..layout };
        let before = SyncToken::default().write(layout);
        assert_eq!(SyncToken::parse(&before, restored), Ok(Parsed::Outdated));
        let after = SyncToken::default().write(restored);
        assert_eq!(SyncToken::parse(&after, layout), Ok(Parsed::Outdated));
        let token = Parsed::Token(SyncToken::default());
        assert_eq!(SyncToken::parse(&after, restored), Ok(token));
        for nonsense in ["", "s", "t12", "s1_2_3", "s???", "sAQ"] {
            assert_eq!(SyncToken::parse(nonsense, layout), Err(MalformedToken));
        }
        assert_ne!(
            typing_mark(room_id!("!a:b.c")),
            typing_mark(room_id!("!b:b.c"))
        );
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(
            rooms in prop::collection::btree_map(0u16..64, any::<u64>(), 0..64),
            devices in prop::collection::btree_map(0u16..64, any::<u64>(), 0..64),
            own in any::<u64>(), sequence in any::<u64>(), partial in any::<u64>(),
            life in any::<u32>(), serial in any::<u64>(),
            typing in prop::collection::btree_set(any::<u16>(), 0..16),
        ) {
            let to_device = ToDeviceIndex { sequence, partial };
            let token = SyncToken { rooms, devices, own, to_device, life, serial, typing };
            let layout = Layout { shards: 64, era: 0 };
            prop_assert_eq!(SyncToken::parse(&token.write(layout), layout), Ok(Parsed::Token(token)));
        }

        #[test]
        fn nothing_makes_it_panic(word in "s[A-Za-z0-9_-]{0,60}") {
            let _ = SyncToken::parse(&word, Layout::default());
        }
    }
}
