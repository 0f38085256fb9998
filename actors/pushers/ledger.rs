//! What a user has not seen, room by room: a fold of the log by the code that counts for syncs. Kept in memory only, and made anew whenever it is gone.

use std::{collections::BTreeMap, sync::Arc};

use futures_util::{StreamExt as _, stream};
use playhouse_schema::address::{Position, Sequence, ShardNumber};
use ruma::{OwnedRoomId, events::room::member::MembershipState};

use super::{board::Positions, body::Badge, delivery::Halt, slot::Dirty};
use crate::{
    room::RoomError,
    user::{
        feed::{
            Membership,
            surroundings::Sources,
            unread::{Judge, Tally, Unread},
        },
        hidden_invites::HiddenInvites,
        sync::counts::{self, Span},
    },
};

/// Of so many rooms, those in which something happened last, the unread events are held; of the others only their number.
const HELD_MAX: usize = 16;

/// So many rooms are read at the same time.
const ROOMS_AT_ONCE: usize = 8;

/// So many times reading of one room goes on. Each time brings a thousand events.
const READS_MAX: usize = 50;

/// Who counts, by what.
#[derive(Clone)]
pub(super) struct Reading {
    pub(super) sources: Arc<dyn Sources>,
    pub(super) judge: Arc<Judge>,
    /// Invites that a moderator took out of the user's sight.
    pub(super) hidden: HiddenInvites,
}

/// A room that the user is joined to.
struct Entry {
    shard: ShardNumber,
    /// The stay began with this record of the room.
    stay: Sequence,
    /// The newest position of the room, as of when the memberships were read.
    newest: Position,
    unread: Option<Unread>,
    notifications: u64,
    missed_calls: u64,
    /// When it was looked at last, by the ledger's own count.
    used: u64,
}

/// An invite that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Invite {
    pub(super) shard: ShardNumber,
    pub(super) position: Position,
    pub(super) sequence: Sequence,
}

/// See the module's documentation.
pub(super) struct Ledger {
    /// By whose rules it was counted.
    judge: Arc<Judge>,
    rooms: BTreeMap<OwnedRoomId, Entry>,
    invites: BTreeMap<OwnedRoomId, Invite>,
    /// Those of the invites that are not shown.
    hidden: HiddenInvites,
    uses: u64,
    /// No unread events are held one by one.
    is_thin: bool,
}

impl Ledger {
    /// Counts everything.
    pub(super) async fn open(reading: &Reading, at_least: &Positions) -> Result<Self, Halt> {
        let mut ledger = Self {
            judge: reading.judge.clone(),
            rooms: BTreeMap::new(),
            invites: BTreeMap::new(),
            hidden: reading.hidden.clone(),
            uses: 0,
            is_thin: false,
        };
        ledger.follow_memberships(reading, at_least).await?;
        Ok(ledger)
    }

    /// Whether it was counted by rules and ignored users that say the same as these. Takes in which invites are hidden now.
    pub(super) fn goes_by(&mut self, reading: &Reading) -> bool {
        let is_same = is_same(&self.judge, &reading.judge);
        if is_same {
            self.judge = reading.judge.clone();
            self.hidden = reading.hidden.clone();
        }
        is_same
    }

    /// Takes in where the user is, as of these positions or later, and how far the rooms are.
    pub(super) async fn follow_memberships(
        &mut self,
        reading: &Reading,
        at_least: &Positions,
    ) -> Result<(), Halt> {
        let user_id = &reading.judge.user_id;
        let sources = &reading.sources;
        let memberships = sources.memberships(user_id, at_least.clone()).await?;
        let of = |wanted: MembershipState| {
            let rows = memberships.iter();
            rows.filter(move |row| row.membership == wanted)
        };
        // Syncs do not show those of somebody ignored.
        let is_shown = |row: &&Membership| {
            let sender = row.sender.as_ref();
            sender.is_none_or(|sender| !reading.judge.ignored.contains(sender))
        };
        let invites = of(MembershipState::Invite).filter(is_shown).map(|row| {
            let invite = Invite {
                shard: row.shard,
                position: row.own_event,
                sequence: row.since_sequence,
            };
            (row.room_id.clone(), invite)
        });
        self.invites = invites.collect();
        let joined: Vec<Membership> = of(MembershipState::Join).cloned().collect();
        let rooms: Vec<_> = joined.iter().map(|row| row.room_id.clone()).collect();
        let newest = sources.newest(rooms).await?;
        let mut known = std::mem::take(&mut self.rooms);
        let mut news = Vec::new();
        for (row, newest) in joined.into_iter().zip(newest) {
            match known.remove(&row.room_id) {
                Some(mut entry) if entry.stay == row.since_sequence => {
                    entry.newest = newest;
                    self.rooms.insert(row.room_id, entry);
                }
                _ => news.push(count(reading.clone(), row, newest)),
            }
        }
        let counted = stream::iter(news).buffered(ROOMS_AT_ONCE);
        let counted: Vec<Result<(OwnedRoomId, Entry), Halt>> = counted.collect().await;
        for counted in counted {
            let (room_id, entry) = counted?;
            self.rooms.insert(room_id, entry);
        }
        Ok(())
    }

    /// Takes in what happened in a room.
    pub(super) fn hear(&mut self, room_id: &OwnedRoomId, dirty: &Dirty) {
        let Some(entry) = self.rooms.get_mut(room_id) else {
            return;
        };
        entry.newest = dirty.last.position.max(entry.newest);
        if dirty.is_cut {
            entry.unread = None;
        }
        if let Some(unread) = &mut entry.unread {
            for news in &dirty.news {
                unread.hear(news);
            }
        }
    }

    /// Counts a room that the user is joined to; `None` for any other.
    pub(super) async fn tally(
        &mut self,
        reading: &Reading,
        room_id: &OwnedRoomId,
    ) -> Result<Option<Arc<Tally>>, Halt> {
        self.is_thin = false;
        self.uses += 1;
        let uses = self.uses;
        let Some(entry) = self.rooms.get_mut(room_id) else {
            return Ok(None);
        };
        entry.used = uses;
        let unread = entry.unread.get_or_insert_default();
        let span = (room_id, entry.stay, entry.newest);
        let tally = settled(unread, reading, span).await?;
        match &tally {
            Some(tally) => entry.note(tally),
            None => (entry.notifications, entry.missed_calls) = (0, 0),
        }
        self.shrink();
        Ok(tally)
    }

    /// Rooms that the user is joined to and in which something may have happened after these positions.
    pub(super) fn rooms_after(&self, lag: &Positions) -> Vec<OwnedRoomId> {
        let rooms = self.rooms.iter();
        rooms
            .filter(|(_, entry)| entry.newest > lag.get(&entry.shard).copied().unwrap_or(0))
            .map(|(room_id, _)| room_id.clone())
            .collect()
    }

    /// Invites that the user is shown.
    fn shown(&self) -> impl Iterator<Item = (&OwnedRoomId, &Invite)> {
        let invites = self.invites.iter();
        invites.filter(move |(room_id, invite)| !self.hidden.hides(room_id, invite.sequence))
    }

    /// Invites that came after these positions.
    pub(super) fn invites_after(&self, lag: &Positions) -> Vec<(OwnedRoomId, Invite)> {
        let invites = self.shown();
        invites
            .filter(|(_, invite)| invite.position > lag.get(&invite.shard).copied().unwrap_or(0))
            .map(|(room_id, invite)| (room_id.clone(), *invite))
            .collect()
    }

    /// An invite into a room that stands.
    pub(super) fn invite(&self, room_id: &OwnedRoomId) -> Option<Invite> {
        let invite = self.invites.get(room_id).copied()?;
        (!self.hidden.hides(room_id, invite.sequence)).then_some(invite)
    }

    /// What gateways are told.
    pub(super) fn badge(&self, by_room: bool) -> Badge {
        let rooms = self.rooms.values();
        let unread = rooms.map(|entry| match by_room {
            true => entry.notifications.min(1),
            false => entry.notifications,
        });
        Badge {
            unread: unread.sum::<u64>() + self.shown().count() as u64,
            missed_calls: self.rooms.values().map(|entry| entry.missed_calls).sum(),
        }
    }

    /// How many rooms it tells of.
    pub(super) fn rooms(&self) -> usize {
        self.rooms.len()
    }

    /// Whether it holds no unread events one by one, but only their numbers.
    pub(super) fn is_thin(&self) -> bool {
        self.is_thin
    }

    /// Lets go of all unread events; their numbers stay. A room in which something happens is read again, and no other.
    pub(super) fn thin(&mut self) {
        if self.is_thin {
            return;
        }
        self.is_thin = true;
        for entry in self.rooms.values_mut() {
            entry.unread = None;
        }
    }

    /// Lets go of the unread events of rooms in which nothing happened of late.
    fn shrink(&mut self) {
        let held = self.rooms.values().filter(|entry| entry.unread.is_some());
        if held.count() <= HELD_MAX {
            return;
        }
        let held = self.rooms.values_mut();
        let held = held.filter(|entry| entry.unread.is_some());
        if let Some(oldest) = held.min_by_key(|entry| entry.used) {
            oldest.unread = None;
        }
    }
}

impl Entry {
    fn note(&mut self, tally: &Tally) {
        self.notifications = tally.counts().total().notifications;
        self.missed_calls = tally.missed_calls();
    }
}

/// Whether two judge alike. Those of a user who has slept meanwhile are read anew, and nearly always the same.
pub(super) fn is_same(one: &Judge, other: &Judge) -> bool {
    let written = |judge: &Judge| serde_json::to_string(&*judge.rules).ok();
    let same_rules = Arc::ptr_eq(&one.rules, &other.rules) || written(one) == written(other);
    same_rules && one.ignored == other.ignored
}

/// Counts a room for the first time.
async fn count(
    reading: Reading,
    row: Membership,
    newest: Position,
) -> Result<(OwnedRoomId, Entry), Halt> {
    let mut unread = Unread::default();
    let span = (&row.room_id, row.since_sequence, newest);
    let tally = settled(&mut unread, &reading, span).await?;
    let mut entry = Entry {
        shard: row.shard,
        stay: row.since_sequence,
        newest,
        unread: None,
        notifications: 0,
        missed_calls: 0,
        used: 0,
    };
    if let Some(tally) = tally {
        entry.note(&tally);
    }
    Ok((row.room_id, entry))
}

/// The unread events of a room up to a position that is known to be committed: told from the news, or read. `None` when the room does not tell.
async fn settled(
    unread: &mut Unread,
    reading: &Reading,
    (room_id, stay, until): (&OwnedRoomId, Sequence, Position),
) -> Result<Option<Arc<Tally>>, Halt> {
    if let Some(tally) = unread.settle(&reading.judge, room_id) {
        return Ok(Some(tally));
    }
    let mut last = None;
    for _ in 0..READS_MAX {
        let epoch = unread.epoch();
        let partial = unread.partial();
        let span = Span {
            stay,
            partial: partial.as_ref(),
            until,
        };
        let read = counts::read(&*reading.sources, &reading.judge, room_id, span).await;
        let (tally, is_complete) = match read {
            Ok(read) => read,
            Err(error @ (RoomError::Unavailable(_) | RoomError::Store(_))) => {
                return Err(error.into());
            }
            Err(error) => {
                tracing::debug!(%room_id, %error, "a room does not tell what is unread");
                return Ok(None);
            }
        };
        let tally = Arc::new(tally);
        unread.replace(tally.clone(), (until, is_complete), epoch);
        last = Some(tally);
        if is_complete {
            break;
        }
    }
    Ok(last)
}

#[cfg(test)]
impl Ledger {
    /// One of so many rooms in which nothing is unread.
    pub(super) fn of_rooms(judge: Arc<Judge>, rooms: usize) -> Self {
        let entry = |number: usize| {
            let room_id = OwnedRoomId::try_from(format!("!r{number}:example.org"));
            let entry = Entry {
                shard: 0,
                stay: 0,
                newest: 0,
                unread: Some(Unread::default()),
                notifications: 0,
                missed_calls: 0,
                used: 0,
            };
            (room_id.expect("a room ID"), entry)
        };
        Self {
            judge,
            rooms: (0..rooms).map(entry).collect(),
            invites: BTreeMap::new(),
            hidden: HiddenInvites::default(),
            uses: 0,
            is_thin: false,
        }
    }
}
