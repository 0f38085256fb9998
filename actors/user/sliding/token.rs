//! Where a connection stands (`pos`): the version of what was told of its rooms, and a sync token.
//!
//! Written as `<version>~<account data>~<threads>~<sync token>`, numbers in hexadecimal. The extensions that follow the user's own log have
//! a number each: one that is switched off for a while misses nothing.

use playhouse_schema::address::{Layout, Sequence};

use crate::user::sync::token::{Parsed, SyncToken};

/// Where a connection stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pos {
    /// The version of what was told of its rooms.
    pub version: u64,
    /// Account data were told up to this record of the user.
    pub data: Sequence,
    /// Thread subscriptions were told up to this record of the user.
    pub threads: Sequence,
    /// All else.
    pub token: SyncToken,
}

impl Pos {
    /// Reads a `pos`; `None` when it is none, or of another layout.
    pub fn parse(word: &str, layout: Layout) -> Option<Self> {
        let mut parts = word.splitn(4, '~');
        let mut number = || u64::from_str_radix(parts.next()?, 16).ok();
        let (version, data, threads) = (number()?, number()?, number()?);
        let Ok(Parsed::Token(token)) = SyncToken::parse(parts.next()?, layout) else {
            return None;
        };
        Some(Self {
            version,
            data,
            threads,
            token,
        })
    }

    /// Writes it.
    pub fn write(&self, layout: Layout) -> String {
        let token = self.token.write(layout);
        format!(
            "{:x}~{:x}~{:x}~{token}",
            self.version, self.data, self.threads
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_nonsense_is_not() {
        let layout = Layout::default();
        let pos = Pos {
            version: u64::MAX,
            data: 7,
            threads: 3,
            token: SyncToken {
                rooms: [(3, 500)].into(),
                own: 9,
                ..SyncToken::default()
            },
        };
        assert_eq!(Pos::parse(&pos.write(layout), layout), Some(pos.clone()));
        assert_eq!(
            Pos::parse(&pos.write(layout), Layout { shards: 4, era: 0 }),
            None
        );
        for nonsense in ["", "1", "1~2~3", "1~2~3~", "x~1~1~sAQ", "s123"] {
            assert_eq!(Pos::parse(nonsense, layout), None);
        }
    }
}
