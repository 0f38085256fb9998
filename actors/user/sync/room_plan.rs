//! What an answer tells of one room.

use std::sync::Arc;

use playhouse_schema::address::{Position, Sequence};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use super::direct::Direct;
use crate::user::{
    feed::{
        rooms::RoomEntry,
        unread::{Tally, UnreadCounts},
    },
    sliding::WindowPlan,
};

/// Under which heading a room stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Section {
    Join,
    Invite,
    Knock,
    Leave,
}

/// What is told of one room.
pub(crate) struct RoomPlan {
    pub(crate) room_id: OwnedRoomId,
    pub(crate) section: Section,
    /// Timeline and state: from the room, made here, or nothing.
    pub(crate) source: Source,
    /// The interval; `since` is `None` for a room that is new to the client.
    pub(crate) since: Option<Position>,
    pub(crate) until: Position,
    /// All of its state is wanted.
    pub(crate) full_state: bool,
    /// The membership began within the interval.
    pub(crate) is_new: bool,
    /// Whether the client knew the user as joined before.
    pub(crate) was_joined: bool,
    /// Typing users, if they are to be told.
    pub(crate) typing: Option<Arc<Vec<OwnedUserId>>>,
    pub(crate) unread: UnreadPlan,
    /// It is told although nothing in it is.
    pub(crate) is_wanted: bool,
    /// Lazily loaded members that the client has.
    pub(crate) known_members: Vec<OwnedUserId>,
    /// The filter leaves it out: it only counts for device lists.
    pub(crate) is_silent: bool,
    /// It counts for device lists.
    pub(crate) moves: bool,
    /// For sliding sync: how it is told.
    pub(crate) window: Option<Box<WindowPlan>>,
}

/// What a user is in a room at the end of an interval, and was before.
pub(crate) struct Stay {
    pub(crate) section: Section,
    /// The membership began within the interval.
    pub(crate) is_new: bool,
    /// Whether the client knew the user as joined before.
    pub(crate) was_joined: bool,
    /// What the client may know of the room from before does not reach up to the beginning of the interval: it gets the room anew.
    pub(crate) is_unknown: bool,
}

impl Stay {
    /// For the interval after a position; `None` for a client that knows nothing.
    pub(crate) fn find(entry: &RoomEntry, since: Option<Position>) -> Self {
        let section = match entry.membership {
            MembershipState::Join => Section::Join,
            MembershipState::Invite => Section::Invite,
            MembershipState::Knock => Section::Knock,
            _ => Section::Leave,
        };
        let is_new = since.is_none_or(|since| entry.since > since);
        let was_joined = since.is_some_and(|since| entry.was_joined_at(since));
        let is_unknown = !was_joined
            && match section {
                Section::Join => is_new,
                _ => since.is_some_and(|since| entry.was_joined_after(since)),
            };
        Self {
            section,
            is_new,
            was_joined,
            is_unknown,
        }
    }

    /// An invite that is not shown is one that has ended.
    pub(crate) fn hide_if(&mut self, is_hidden: bool) {
        if is_hidden {
            self.section = Section::Leave;
        }
    }

    /// Whether the user was away meanwhile.
    pub(crate) fn has_come_back(&self) -> bool {
        self.section == Section::Join && self.is_new && self.was_joined
    }
}

impl RoomPlan {
    /// Whether the room is asked: for what it tells, or for those in it whom one who was joined leaves behind.
    pub(crate) fn asks(&self) -> bool {
        match self.source {
            Source::Room => true,
            Source::Hidden => self.moves && self.was_joined,
            Source::Nothing | Source::Direct(_) => false,
        }
    }

    /// Nothing of the room is told, but who came and went.
    pub(crate) fn silence(&mut self) {
        self.is_silent = true;
        self.is_wanted = false;
        self.typing = None;
        self.source = Source::Room;
    }
}

/// Where a room's timeline comes from.
pub(crate) enum Source {
    /// Nothing happened: only account data or typing.
    Nothing,
    /// It is an invite that is not shown any more. The room knows of no end.
    Hidden,
    /// From the news at hand.
    Direct(Direct),
    /// Ask the room.
    Room,
}

/// Unread counts of a room.
pub(crate) enum UnreadPlan {
    /// Not told.
    None,
    /// Known.
    Known(UnreadCounts),
    /// To be read: the sequence at which the stay began, what was read before, and the epoch of the counts.
    Read {
        stay: Sequence,
        partial: Option<Arc<Tally>>,
        epoch: u64,
    },
}
