//! The rooms that concern a user: in which membership, and up to which position they were heard of.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use playhouse_schema::address::{Position, Sequence, ShardNumber};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId, events::room::member::MembershipState};

use super::{account::Account, unread::Unread};
use crate::user::{
    hidden_invites::InviteTurn,
    message::{NewsKind, RoomNews},
    sliding::glimpse::Glimpse,
    sync::token::{SyncToken, Vector},
};

/// So many of the newest news of a room are kept at hand.
const RECENT_NEWS_MAX: usize = 32;

/// So many earlier stays in a room are remembered.
const STAYS_MAX: usize = 8;

/// Rooms of a user as read from the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    /// The room.
    pub room_id: OwnedRoomId,
    /// Its shard.
    pub shard: ShardNumber,
    /// What the user is in it.
    pub membership: MembershipState,
    /// Who made it so, as far as that is known.
    pub sender: Option<OwnedUserId>,
    /// The position at which that began (a change of name while joined is no beginning).
    pub since: Position,
    /// The same as a number among the room's records.
    pub since_sequence: Sequence,
    /// The position of the user's newest member event.
    pub own_event: Position,
    /// The newest position of the room.
    pub newest: Position,
    /// The last time of being joined that has ended, as first and end positions; zeros when there was none.
    pub stay: (Position, Position),
}

/// One room of a user.
#[derive(Debug)]
pub(crate) struct RoomEntry {
    pub(crate) shard: ShardNumber,
    pub(crate) membership: MembershipState,
    /// Where this membership began …
    pub(crate) since: Position,
    /// … as a number among the room's records.
    pub(crate) since_sequence: Sequence,
    /// The newest position that concerns the user.
    pub(crate) newest: Position,
    /// The newest member event of the user. While waking it may be older than news read otherwise: later ones are still to be heard.
    own_event: Position,
    /// Earlier times of being joined, as (first, end) positions.
    stays: VecDeque<(Position, Position)>,
    /// The newest news, oldest first; only while joined.
    recent: VecDeque<Arc<RoomNews>>,
    /// All news after this position are in `recent`.
    recent_after: Position,
    /// Who types, and the serial of that change.
    pub(crate) typing: Arc<Vec<OwnedUserId>>,
    pub(crate) typing_serial: u64,
    /// What was not read.
    pub(crate) unread: Unread,
    /// What lists of rooms go by.
    pub(crate) glimpse: Glimpse,
}

/// All rooms of a user.
#[derive(Debug, Default)]
pub(crate) struct Rooms {
    entries: BTreeMap<OwnedRoomId, RoomEntry>,
    /// Rooms by their newest position.
    order: BTreeMap<(ShardNumber, Position), OwnedRoomId>,
    /// Per shard: everything that concerns the user up to here was heard of.
    known: Vector,
}

impl RoomEntry {
    fn new(found: &Membership) -> Self {
        Self {
            shard: found.shard,
            membership: found.membership.clone(),
            since: found.since,
            since_sequence: found.since_sequence,
            newest: found.newest,
            own_event: found.own_event,
            stays: Some(found.stay)
                .filter(|(_, end)| *end > 0)
                .into_iter()
                .collect(),
            recent: VecDeque::new(),
            recent_after: found.newest,
            typing: Arc::default(),
            typing_serial: 0,
            unread: Unread::default(),
            glimpse: Glimpse::default(),
        }
    }

    /// Whether the user was joined when this position was the newest, as far as is remembered.
    pub(crate) fn was_joined_at(&self, position: Position) -> bool {
        let now = self.membership == MembershipState::Join && self.since <= position;
        now || self
            .stays
            .iter()
            .any(|(from, to)| *from <= position && position < *to)
    }

    /// Whether it is over and the user wants to hear no more of it than that.
    pub(crate) fn is_forgotten(&self, room_id: &RoomId, account: &dyn Account) -> bool {
        let is_over = matches!(
            self.membership,
            MembershipState::Leave | MembershipState::Ban
        );
        is_over && account.has_forgotten(room_id, self.since_sequence)
    }

    /// What a moderator did last about it, if it is an invite.
    pub(crate) fn invite_turn(
        &self,
        room_id: &RoomId,
        account: &dyn Account,
    ) -> Option<InviteTurn> {
        let turn = account.invite_turn(room_id, self.since_sequence);
        turn.filter(|_| self.membership == MembershipState::Invite)
    }

    /// Whether it is an invite that is not shown to the user, as of the user's newest durable record.
    pub(crate) fn is_hidden(
        &self,
        room_id: &RoomId,
        (account, durable): (&dyn Account, Sequence),
    ) -> bool {
        self.invite_turn(room_id, account)
            .is_some_and(|turn| turn.is_hidden_at(durable))
    }

    /// Whether a time of being joined began after a position and is over.
    pub(crate) fn was_joined_after(&self, position: Position) -> bool {
        self.stays.iter().any(|(from, _)| *from > position)
    }

    /// All news after one position up to another, if all of them are at hand.
    pub(crate) fn news_between(
        &self,
        after: Position,
        until: Position,
    ) -> Option<Vec<Arc<RoomNews>>> {
        let within = |news: &&Arc<RoomNews>| news.position > after && news.position <= until;
        (after >= self.recent_after).then(|| self.recent.iter().filter(within).cloned().collect())
    }

    /// Whether anybody may have come or gone after a position; never in an initial sync, which names nobody.
    pub(crate) fn may_move_after(&self, since: Option<Position>) -> bool {
        let Some(since) = since else {
            return false;
        };
        if self.newest <= since {
            return false;
        }
        let still = |news: &Arc<RoomNews>| match &news.kind {
            NewsKind::Event { membership, .. } => membership.is_none(),
            NewsKind::Receipt(_) => true,
            NewsKind::StateSet => false,
        };
        let is_still = self.membership == MembershipState::Join
            && self.since <= since
            && self
                .news_between(since, Position::MAX)
                .is_some_and(|news| news.iter().all(still));
        !is_still
    }

    /// Whether a receipt of this user may have moved after a position: of what happened before the server was started, nothing is known.
    pub(crate) fn own_receipt_after(&self, user_id: &UserId, after: Position) -> bool {
        if self.newest > after && after < self.recent_after {
            return true;
        }
        let mut newer = self
            .recent
            .iter()
            .rev()
            .take_while(|news| news.position > after);
        newer.any(
            |news| matches!(&news.kind, NewsKind::Receipt(receipt) if receipt.user_id == user_id),
        )
    }

    fn remember(&mut self, news: &Arc<RoomNews>) {
        self.recent.push_back(news.clone());
        if self.recent.len() > RECENT_NEWS_MAX
            && let Some(oldest) = self.recent.pop_front()
        {
            self.recent_after = oldest.position;
        }
    }

    fn change(&mut self, membership: &MembershipState, news: &Arc<RoomNews>) {
        if self.membership == MembershipState::Join {
            self.stays.push_back((self.since, news.position));
            if self.stays.len() > STAYS_MAX {
                self.stays.pop_front();
            }
        }
        self.membership = membership.clone();
        self.since = news.position;
        self.since_sequence = news.sequence;
        self.own_event = news.position;
        self.recent.clear();
        self.recent_after = self.newest.max(news.position - 1);
        self.typing = Arc::default();
        self.unread = Unread::default();
        self.glimpse.forget();
    }
}

/// What a piece of news meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Known already, or no concern of this user.
    Nothing,
    /// Something new in a room the user is in.
    News,
    /// The user's own membership changed.
    Membership,
}

impl Rooms {
    /// Takes in a room as the store knows it. Called before any news.
    pub(crate) fn found(&mut self, found: &Membership) {
        self.order
            .insert((found.shard, found.newest), found.room_id.clone());
        self.entries
            .insert(found.room_id.clone(), RoomEntry::new(found));
        self.reach(found.shard, found.newest);
    }

    /// Takes in news.
    pub(crate) fn hear(&mut self, user_id: &UserId, news: &Arc<RoomNews>) -> Heard {
        let own = match &news.kind {
            NewsKind::Event {
                membership: Some((target, membership)),
                ..
            } if target == user_id => Some(membership),
            _ => None,
        };
        let known = self.entries.get(&news.room_id);
        let heard = known.map_or(0, |entry| match own {
            Some(_) => entry.own_event,
            None => entry.newest,
        });
        if heard >= news.position {
            return Heard::Nothing;
        }
        if known.is_none() {
            let Some(membership) = own else {
                return Heard::Nothing;
            };
            self.found(&Membership {
                room_id: news.room_id.clone(),
                shard: news.shard.number,
                membership: membership.clone(),
                sender: news.event().map(|event| event.pdu.sender.clone()),
                since: news.position,
                since_sequence: news.sequence,
                own_event: news.position,
                newest: news.position,
                stay: (0, 0),
            });
            if let Some(entry) = self.entries.get_mut(&news.room_id) {
                entry.recent_after = news.position - 1;
                entry.remember(news);
            }
            return Heard::Membership;
        }
        self.hear_known(news, own)
    }

    fn hear_known(&mut self, news: &Arc<RoomNews>, own: Option<&MembershipState>) -> Heard {
        let Some(entry) = self.entries.get_mut(&news.room_id) else {
            return Heard::Nothing;
        };
        let changed = own.filter(|membership| **membership != entry.membership);
        if changed.is_none() && own.is_none() && entry.membership != MembershipState::Join {
            return Heard::Nothing;
        }
        if let Some(membership) = changed {
            entry.change(membership, news);
        } else if entry.membership != MembershipState::Join {
            // Invited again, banned again: it is told again.
            entry.since = news.position;
            entry.since_sequence = news.sequence;
        }
        if own.is_some() {
            entry.own_event = news.position;
        }
        let newest = entry.newest.max(news.position);
        if newest == news.position {
            entry.remember(news);
            entry.unread.hear(news);
            entry.glimpse.hear(news);
        }
        let before = (entry.shard, std::mem::replace(&mut entry.newest, newest));
        self.order.remove(&before);
        self.order.insert((before.0, newest), news.room_id.clone());
        self.reach(before.0, newest);
        match changed {
            Some(_) => Heard::Membership,
            None => Heard::News,
        }
    }

    fn reach(&mut self, shard: ShardNumber, position: Position) {
        let known = self.known.entry(shard).or_default();
        *known = position.max(*known);
    }

    /// Who types in a room now.
    pub(crate) fn type_in(
        &mut self,
        room_id: &RoomId,
        users: Arc<Vec<OwnedUserId>>,
        serial: u64,
    ) -> bool {
        let joined = |entry: &&mut RoomEntry| entry.membership == MembershipState::Join;
        let Some(entry) = self.entries.get_mut(room_id).filter(joined) else {
            return false;
        };
        entry.typing = users;
        entry.typing_serial = serial;
        true
    }

    /// One room.
    pub(crate) fn get(&self, room_id: &RoomId) -> Option<&RoomEntry> {
        self.entries.get(room_id)
    }

    /// One room, to be changed in what is not position or membership.
    pub(crate) fn get_mut(&mut self, room_id: &RoomId) -> Option<&mut RoomEntry> {
        self.entries.get_mut(room_id)
    }

    /// All rooms.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&OwnedRoomId, &RoomEntry)> {
        self.entries.iter()
    }

    /// Joined rooms.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &OwnedRoomId> {
        let joined =
            |(_, entry): &(&OwnedRoomId, &RoomEntry)| entry.membership == MembershipState::Join;
        self.entries
            .iter()
            .filter(joined)
            .map(|(room_id, _)| room_id)
    }

    /// Rooms in which something happened after a token, in the order of their positions.
    pub(crate) fn changed_after<'a>(
        &'a self,
        token: &'a SyncToken,
    ) -> impl Iterator<Item = (&'a OwnedRoomId, &'a RoomEntry)> {
        self.known
            .keys()
            .flat_map(move |shard| {
                let after = (*shard, token.room_position(*shard).saturating_add(1));
                self.order.range(after..=(*shard, Position::MAX))
            })
            .filter_map(|(_, room_id)| self.entries.get_key_value(room_id))
    }

    /// Per shard: everything that concerns the user up to here was heard of.
    pub(crate) fn known(&self) -> &Vector {
        &self.known
    }
}
