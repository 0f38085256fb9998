//! The plan of an answer: what it tells of which interval, fixed in one step of the actor.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::address::{Position, Sequence, ShardNumber};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, events::room::member::MembershipState};

pub(crate) use super::room_plan::{RoomPlan, Section, Source, Stay, UnreadPlan};
use super::{
    direct::Direct,
    request::Request,
    token::{Parsed, SyncToken, Vector, typing_mark},
};
use crate::room::message::Reader;
use crate::user::{
    UserError,
    feed::{Feed, account::Account, home::Home, rooms::RoomEntry, unread::Judge},
    message::Presence,
};

/// The plan of an answer.
pub(crate) struct Plan {
    pub(crate) request: Request,
    pub(crate) account: Arc<dyn Account>,
    pub(crate) home: Arc<Home>,
    /// Where the interval begins; empty for an initial sync.
    pub(crate) since: SyncToken,
    pub(crate) is_initial: bool,
    /// Where it ends.
    pub(crate) next: SyncToken,
    pub(crate) rooms: Vec<RoomPlan>,
    pub(crate) presence: Vec<(OwnedUserId, Arc<Presence>)>,
    /// Users whose device lists changed.
    pub(crate) device_changes: BTreeSet<OwnedUserId>,
    /// Changes after `since` that only the store knows.
    pub(crate) devices_until: Option<Vector>,
    /// Rooms joined at the end of the interval; empty when no room is asked.
    pub(crate) joined: BTreeSet<OwnedRoomId>,
    pub(crate) judge: Judge,
    /// Who reads, as rooms are told.
    pub(crate) reader: Reader,
    pub(crate) now_ms: u64,
    durable: Sequence,
}

impl Plan {
    /// Plans the answer to a sync.
    pub(crate) fn make(
        feed: &mut Feed,
        account: &Arc<dyn Account>,
        home: &Arc<Home>,
        request: &Request,
    ) -> Self {
        let mut plan = Self::begin(feed, account, home, request);
        plan.presence = presence(feed, &plan.since);
        plan.add_devices(feed);
        plan.add_rooms(feed);
        plan.note_joined(feed);
        plan
    }

    /// The plan of an answer that tells nothing yet.
    pub(crate) fn begin(
        feed: &Feed,
        account: &Arc<dyn Account>,
        home: &Arc<Home>,
        request: &Request,
    ) -> Self {
        let since = request.since.clone().unwrap_or_default();
        let is_initial = request.since.is_none();
        let judge = Judge {
            user_id: home.user_id.clone(),
            rules: account.push_rules(),
            ignored: account.ignored(),
        };
        Self {
            next: next_token(feed, &**account, &since, is_initial),
            account: account.clone(),
            home: home.clone(),
            is_initial,
            rooms: Vec::new(),
            presence: Vec::new(),
            device_changes: BTreeSet::new(),
            devices_until: None,
            joined: BTreeSet::new(),
            reader: Reader {
                user_id: home.user_id.clone(),
                device_id: Some(request.device_id.to_string()),
                ignored: judge.ignored.iter().cloned().collect(),
                forgotten: None,
                sees_all: false,
            },
            judge,
            now_ms: home.env.now_ms(),
            durable: feed.durable,
            request: request.clone(),
            since,
        }
    }

    /// Notes the rooms that are joined, if a room is asked.
    pub(crate) fn note_joined(&mut self, feed: &Feed) {
        if self.rooms.iter().any(RoomPlan::asks) {
            self.joined = feed.rooms.joined().cloned().collect();
        }
    }

    /// Plans what `GET /keys/changes` tells: the device lists of the interval after a token.
    pub(crate) fn for_keys(
        feed: &mut Feed,
        account: &Arc<dyn Account>,
        home: &Arc<Home>,
        (from, to): (&str, &str),
    ) -> Result<Self, UserError> {
        let layout = home.sources.layout();
        let parse = |word: &str| match SyncToken::parse(word, layout) {
            Ok(Parsed::Token(token)) => Ok(token),
            Ok(Parsed::Outdated) | Err(_) => {
                Err(UserError::InvalidParam("from, to: not a sync token".into()))
            }
        };
        // The newer token is a hint that nothing after it is wanted. What is told is what is true now: memberships of then are not kept.
        let (from, _) = (parse(from)?, parse(to)?);
        let request = Request {
            device_id: "".into(),
            since_word: None,
            since: Some(from),
            filter: Arc::default(),
            filter_word: None,
            full_state: false,
            state_after: false,
            deadline: tokio::time::Instant::now(),
            sliding: None,
        };
        let mut plan = Self::make(feed, account, home, &request);
        plan.rooms.retain(|room| {
            let moves = feed.rooms.get(&room.room_id);
            moves.is_some_and(|entry| {
                entry.may_move_after(plan.since.rooms.get(&entry.shard).copied().or(Some(0)))
            })
        });
        for room in &mut plan.rooms {
            room.silence();
            room.unread = UnreadPlan::None;
        }
        plan.joined = feed.rooms.joined().cloned().collect();
        Ok(plan)
    }

    /// The user's newest durable record: what is younger is not told.
    pub(crate) fn durable(&self) -> Sequence {
        self.durable
    }

    /// Whether everything is at hand.
    pub(crate) fn is_direct(&self) -> bool {
        self.devices_until.is_none()
            && self
                .rooms
                .iter()
                .all(|room| !room.asks() && !matches!(room.unread, UnreadPlan::Read { .. }))
    }

    /// Adds changes of device lists.
    pub(crate) fn add_devices(&mut self, feed: &Feed) {
        if self.is_initial {
            return;
        }
        self.device_changes = feed.devices.after(&self.since.devices).cloned().collect();
        if feed.durable > self.since.own {
            self.device_changes
                .extend(self.account.signed_users(self.since.own));
        }
        if feed.devices.has_gap_after(&self.since.devices) {
            self.devices_until = Some(feed.devices.from.clone());
        }
    }

    fn add_rooms(&mut self, feed: &mut Feed) {
        for room_id in self.candidates(feed) {
            let Some(entry) = feed.rooms.get(&room_id) else {
                continue;
            };
            let is_silent = !self.request.filter.room.wants(&room_id) || feed.is_silent(&room_id);
            if is_silent && !entry.may_move_after(self.since_of(entry)) {
                continue;
            }
            let Some(mut room) = self.room(feed, &room_id, entry) else {
                continue;
            };
            if is_silent {
                room.silence();
                self.rooms.push(room);
                continue;
            }
            self.count_unread(feed, &mut room);
            self.rooms.push(room);
        }
    }

    /// Plans the unread counts of a room of which something is told.
    pub(crate) fn count_unread(&self, feed: &mut Feed, room: &mut RoomPlan) {
        if room.section != Section::Join || matches!(room.source, Source::Nothing) {
            return;
        }
        if let Some(entry) = feed.rooms.get_mut(&room.room_id) {
            let (stay, epoch) = (entry.since_sequence, entry.unread.epoch());
            room.unread = match entry.unread.settle(&self.judge, &room.room_id) {
                Some(tally) => UnreadPlan::Known(tally.counts()),
                None => UnreadPlan::Read {
                    stay,
                    partial: entry.unread.partial(),
                    epoch: epoch.max(entry.unread.epoch()),
                },
            };
        }
    }

    /// The room's part of the token; `None` for an initial sync.
    pub(crate) fn since_of(&self, entry: &RoomEntry) -> Option<Position> {
        (!self.is_initial).then(|| self.since.room_position(entry.shard))
    }

    /// Rooms of which there may be something to tell.
    fn candidates(&self, feed: &Feed) -> BTreeSet<OwnedRoomId> {
        if self.is_initial || self.request.full_state {
            return feed
                .rooms
                .iter()
                .map(|(room_id, _)| room_id.clone())
                .collect();
        }
        let mut rooms: BTreeSet<_> = feed
            .rooms
            .changed_after(&self.since)
            .map(|(room_id, _)| room_id.clone())
            .collect();
        if self.since.life != feed.life {
            rooms.extend(feed.typing.iter().cloned());
            if !self.since.typing.is_empty() {
                let told =
                    |room_id: &&OwnedRoomId| self.since.typing.contains(&typing_mark(room_id));
                rooms.extend(feed.rooms.joined().filter(told).cloned());
            }
        } else if feed.serial > self.since.serial {
            let changed = feed
                .rooms
                .iter()
                .filter(|(_, entry)| entry.typing_serial > self.since.serial);
            rooms.extend(changed.map(|(room_id, _)| room_id.clone()));
        }
        if feed.durable > self.since.own {
            rooms.extend(self.account.rooms_with_data(self.since.own));
            rooms.extend(self.account.invites_turned(self.since.own));
        }
        rooms
    }

    fn room(&self, feed: &Feed, room_id: &OwnedRoomId, entry: &RoomEntry) -> Option<RoomPlan> {
        let since = self.since_of(entry);
        let mut stay = Stay::find(entry, since);
        let turn = entry.invite_turn(room_id, &*self.account);
        let is_hidden = turn.is_some_and(|turn| turn.is_hidden_at(self.durable));
        // Hiding it is its end, also to a client that was not told of this invite: it may know an earlier one to the same room.
        let has_turned = !self.is_initial
            && turn.is_some_and(|turn| turn.is_within(self.since.own, self.durable));
        stay.hide_if(is_hidden);
        let (section, is_new, was_joined) = (stay.section, stay.is_new, stay.was_joined);
        let anew = self.is_initial || self.request.full_state;
        let has_news = since.is_none_or(|since| entry.newest > since);
        let shown = match section {
            Section::Join => true,
            Section::Invite | Section::Knock => anew || is_new || has_turned,
            Section::Leave if is_hidden => has_turned,
            // That a room was left is told once, also when it was forgotten since.
            Section::Leave if anew => {
                let is_kept = !entry.is_forgotten(room_id, &*self.account);
                (self.request.filter.room.include_leave && is_kept)
                    || (has_news && !self.is_initial)
            }
            Section::Leave => has_news,
        };
        if !shown {
            return None;
        }
        let mut room = RoomPlan {
            room_id: room_id.clone(),
            section,
            source: Source::Nothing,
            since: since.filter(|_| !stay.is_unknown),
            until: self.next.room_position(entry.shard),
            full_state: self.request.full_state || stay.has_come_back(),
            is_new,
            was_joined,
            typing: self.typing(feed, room_id, entry),
            unread: UnreadPlan::None,
            is_wanted: anew || has_turned || (is_new && section != Section::Leave),
            known_members: Vec::new(),
            is_silent: false,
            moves: true,
            window: None,
        };
        if is_hidden {
            room.source = Source::Hidden;
        } else if anew || has_news || has_turned {
            room.source = self.source(feed, entry, &mut room);
        }
        Some(room)
    }

    fn source(&self, feed: &Feed, entry: &RoomEntry, room: &mut RoomPlan) -> Source {
        if room.section == Section::Join {
            let after = room.since.unwrap_or(0);
            room.is_wanted |= entry.own_receipt_after(&self.home.user_id, after);
        }
        let known = self
            .request
            .filter
            .omits_redundant()
            .then(|| feed.memory.known(&self.request.device_id, &room.room_id))
            .flatten();
        let may_be_direct = room.section == Section::Join
            && !self.request.filter.room.timeline.asks_for_relations()
            && !room.full_state
            && !self.request.full_state
            && room.since.is_some();
        if may_be_direct
            && let Some(news) = entry.news_between(room.since.unwrap_or(0), room.until)
            && let Some(direct) = Direct::find(&self.request.filter, &self.judge, &news, known)
        {
            return Source::Direct(direct);
        }
        room.known_members = known.into_iter().flatten().cloned().collect();
        Source::Room
    }

    fn typing(
        &self,
        feed: &Feed,
        room_id: &RoomId,
        entry: &RoomEntry,
    ) -> Option<Arc<Vec<OwnedUserId>>> {
        if entry.membership != MembershipState::Join
            || !self.request.filter.room.ephemeral.wants_type("m.typing")
        {
            return None;
        }
        let is_changed = if self.is_initial {
            !entry.typing.is_empty()
        } else if self.since.life == feed.life {
            entry.typing_serial > self.since.serial
        } else {
            !entry.typing.is_empty() || self.since.typing.contains(&typing_mark(room_id))
        };
        is_changed.then(|| entry.typing.clone())
    }
}

/// The token with which the answer ends. To-device messages are put in when they are written.
fn next_token(
    feed: &Feed,
    account: &dyn Account,
    since: &SyncToken,
    is_initial: bool,
) -> SyncToken {
    let in_flight = has_data_in_flight(feed, account);
    SyncToken {
        rooms: latest(&feed.rooms.known().clone(), &since.rooms),
        devices: latest(&feed.devices.known, &since.devices),
        // Data in flight may hide older data of this interval: then the next sync looks at it again.
        own: if in_flight && !is_initial {
            since.own
        } else if in_flight {
            0
        } else {
            feed.durable.max(since.own)
        },
        to_device: since.to_device,
        life: feed.life,
        serial: feed.serial,
        typing: feed
            .typing
            .iter()
            .map(|room_id| typing_mark(room_id))
            .collect(),
    }
}

/// Whether account data was set, or an invite hidden or shown, that is not durable.
pub(crate) fn has_data_in_flight(feed: &Feed, account: &dyn Account) -> bool {
    let mut in_flight = false;
    account.visit_data(feed.durable, &mut |_, _, _| in_flight = true);
    in_flight
        || !account.rooms_with_data(feed.durable).is_empty()
        || !account.invites_turned(feed.durable).is_empty()
}

fn latest(known: &Vector, since: &Vector) -> Vector {
    let mut latest: BTreeMap<ShardNumber, Position> = since.clone();
    for (shard, position) in known {
        let entry = latest.entry(*shard).or_default();
        *entry = (*position).max(*entry);
    }
    latest
}

fn presence(feed: &Feed, since: &SyncToken) -> Vec<(OwnedUserId, Arc<Presence>)> {
    let after = if since.life == feed.life {
        since.serial
    } else {
        0
    };
    feed.presence
        .after(after)
        .map(|(user_id, presence)| (user_id.clone(), presence.clone()))
        .collect()
}
