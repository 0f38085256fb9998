//! What sliding sync asks of a room beyond what `GET /sync` does.

use std::collections::BTreeSet;

use playhouse_schema::address::{Position, Sequence};
use ruma::{OwnedMxcUri, OwnedUserId};
use serde::{Deserialize, Serialize};

/// Stands for any event type or state key.
const ANY: &str = "*";

/// The type of member events.
const MEMBER: &str = "m.room.member";

/// State that is wanted, by event type and state key.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StateWish {
    /// Type and state key; `*` stands for any.
    pub entries: BTreeSet<(String, String)>,
    /// Members only as far as the timeline needs them: a type of `*` then means no members.
    pub lazy: bool,
}

impl StateWish {
    /// Whether state under this key is wanted for its own sake.
    pub fn wants(&self, event_type: &str, state_key: &str) -> bool {
        let by_lazy = self.lazy && event_type == MEMBER;
        self.entries.iter().any(|(wanted_type, wanted_key)| {
            let fits_type = wanted_type == event_type || (wanted_type == ANY && !by_lazy);
            fits_type && (wanted_key == ANY || wanted_key == state_key)
        })
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.lazy
    }

    /// What is wanted here and was not wanted there.
    pub fn beyond(&self, told: &Self) -> Self {
        // Who had members only as needed and now wants them all has not got all of what a `*` means.
        let is_wider = told.lazy && !self.lazy;
        let is_new = |entry: &&(String, String)| {
            !told.entries.contains(*entry) || (is_wider && entry.0 == ANY)
        };
        Self {
            entries: self.entries.iter().filter(is_new).cloned().collect(),
            lazy: self.lazy,
        }
    }

    /// Wants more.
    pub fn extend(&mut self, other: &Self) {
        self.entries.extend(other.entries.iter().cloned());
        self.lazy |= other.lazy;
    }

    /// The keys that are wanted by name; `None` when some of them are not.
    pub(crate) fn keys(&self) -> Option<impl Iterator<Item = &(String, String)>> {
        let is_open =
            |(event_type, state_key): &(String, String)| event_type == ANY || state_key == ANY;
        (!self.entries.iter().any(is_open)).then(|| self.entries.iter())
    }
}

/// What a window of sliding sync wants of a room.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Window {
    /// So many events at most.
    pub timeline_limit: usize,
    /// The state that is wanted.
    pub required_state: StateWish,
    /// The part of it of which the client has nothing yet.
    pub added_state: StateWish,
    /// The timeline goes back as far as the limit allows, although the client has some of it.
    pub expanded: bool,
    /// Events after this position count as live; `None` when none does.
    pub live_after: Option<Position>,
    /// Which receipts are wanted.
    pub receipts: ReceiptsWanted,
    /// All that sticks to the room is told, whatever the client has been told of it (MSC4354).
    #[serde(default)]
    pub sticky_anew: bool,
}

/// Receipts that are wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReceiptsWanted {
    /// None.
    #[default]
    None,
    /// Those that moved after a position.
    After(Position),
    /// Those at events of the timeline, and the reader's own.
    OfTimeline,
}

/// How a room looks in a list.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomFace {
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.avatar`.
    pub avatar_url: Option<OwnedMxcUri>,
    /// Members to name the room by when it has no name.
    pub heroes: Vec<Hero>,
    /// Joined members.
    pub joined_count: u64,
    /// Invited users.
    pub invited_count: u64,
}

/// A member by which a room is named.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hero {
    /// Who.
    pub user_id: OwnedUserId,
    /// As the member event says.
    pub displayname: Option<String>,
    /// As the member event says.
    pub avatar_url: Option<OwnedMxcUri>,
}

/// What lists of rooms are made by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomGlance {
    /// When something last happened for which the room rises to the top, milliseconds since the Unix epoch.
    pub bump_ms: u64,
    /// `m.room.name`.
    pub name: Option<String>,
    /// `m.room.avatar`.
    pub avatar_url: Option<OwnedMxcUri>,
    /// `type` of the create event.
    pub room_type: Option<String>,
    /// There is an `m.room.encryption` event.
    pub is_encrypted: bool,
}

/// Where things stand in a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ThreadPlace {
    /// The newest of the room's records.
    pub newest: Sequence,
    /// The event that was asked about, if it is in the thread.
    pub cause: Option<Sequence>,
}

/// Whether an event of this type lifts its room to the top of lists.
pub(crate) fn bumps(event_type: &str) -> bool {
    matches!(
        event_type,
        "m.room.create"
            | "m.room.message"
            | "m.room.encrypted"
            | "m.sticker"
            | "m.call.invite"
            | "m.poll.start"
            | "org.matrix.msc3381.poll.start"
            | "m.beacon_info"
            | "org.matrix.msc3672.beacon_info"
    )
}

/// Whether state of this type shows in a glance.
pub(crate) fn shows_in_glance(event_type: &str) -> bool {
    matches!(
        event_type,
        "m.room.name" | "m.room.avatar" | "m.room.create" | "m.room.encryption"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(entries: &[(&str, &str)], lazy: bool) -> StateWish {
        let entries = entries
            .iter()
            .map(|(event_type, state_key)| ((*event_type).to_owned(), (*state_key).to_owned()));
        StateWish {
            entries: entries.collect(),
            lazy,
        }
    }

    #[test]
    fn wildcards_fit_anything_but_lazy_members() {
        let all = wish(&[("*", "*")], false);
        assert!(all.wants("m.room.member", "@a:x") && all.wants("m.room.name", ""));
        let lazy = wish(&[("*", "*"), ("m.room.member", "@me:x")], true);
        assert!(lazy.wants("m.room.member", "@me:x") && lazy.wants("m.room.name", ""));
        assert!(!lazy.wants("m.room.member", "@a:x"));
        let named = wish(&[("m.room.name", ""), ("org.example", "*")], false);
        assert!(named.wants("org.example", "any") && !named.wants("m.room.topic", ""));
        assert!(named.keys().is_none() && wish(&[("a", "")], true).keys().is_some());
    }

    #[test]
    fn what_is_beyond_was_not_told() {
        let told = wish(&[("a", ""), ("*", "")], true);
        let now = wish(&[("a", ""), ("b", ""), ("*", "")], false);
        let beyond = now.beyond(&told);
        assert_eq!(beyond, wish(&[("b", ""), ("*", "")], false));
        assert!(told.beyond(&told).entries.is_empty());
    }
}
