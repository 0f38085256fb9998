//! The plan of an answer of sliding sync: which rooms, from where on, and what the client then knows.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::{
    address::{Position, Sequence},
    record::user::SlidingTold,
};
use ruma::{OwnedRoomId, OwnedUserId, events::room::member::MembershipState};

use super::{
    Pos, Sliding, WindowPlan,
    connection::{Changes, SentRoom, SentRooms},
    list::{Facts, Wanted, is_listed, select},
};
use crate::{
    room::message::{ReceiptsWanted, StateWish, Window},
    user::{
        feed::{Feed, account::Account, home::Home, rooms::RoomEntry},
        sync::{
            direct::Direct,
            filter::SyncFilter,
            plan::{Plan, RoomPlan, Section, Source, Stay, UnreadPlan, has_data_in_flight},
            request::Request,
            token::typing_mark,
        },
    },
};

/// The plan of an answer.
pub(crate) struct SlidingPlan {
    /// Rooms to be asked, and all else that both kinds of sync tell alike.
    pub(crate) plan: Plan,
    pub(crate) sliding: Box<Sliding>,
    /// Up to where account data are told.
    pub(crate) data: Sequence,
    /// Up to where thread subscriptions are told.
    pub(crate) threads: Sequence,
    /// How the client's knowledge of rooms changes.
    pub(crate) changes: Changes,
    /// How many rooms each list has.
    pub(crate) counts: Vec<(String, usize)>,
    /// Typing users that are told.
    pub(crate) typing: Vec<(OwnedRoomId, Arc<Vec<OwnedUserId>>)>,
    /// Rooms whose account data are told, from where on.
    pub(crate) room_data: Vec<(OwnedRoomId, Sequence)>,
}

/// What a plan is made of.
struct Making<'a> {
    feed: &'a mut Feed,
    plan: Plan,
    sliding: &'a Sliding,
    base: SentRooms,
    direct: BTreeSet<OwnedRoomId>,
    /// Rooms whose account data changed.
    with_data: BTreeSet<OwnedRoomId>,
    changes: Changes,
    typing: Vec<(OwnedRoomId, Arc<Vec<OwnedUserId>>)>,
    room_data: Vec<(OwnedRoomId, Sequence)>,
}

impl SlidingPlan {
    /// Plans an answer; `None` when the request is none of sliding sync.
    pub(crate) fn make(
        feed: &mut Feed,
        account: &Arc<dyn Account>,
        home: &Arc<Home>,
        request: &Request,
    ) -> Option<Self> {
        let sliding = request.sliding.clone()?;
        let extensions = &sliding.query.request.extensions;
        let mut plan = Plan::begin(feed, account, home, request);
        let direct = account.direct_rooms();
        let facts = Facts {
            user_id: &home.user_id,
            account: &**account,
            direct: &direct,
            children: &sliding.children,
        };
        let selection = select(feed, &sliding.query.request, &facts);
        let data = if !extensions.account_data.is_on() || has_data_in_flight(feed, &**account) {
            sliding.data
        } else {
            feed.durable.max(sliding.data)
        };
        let has_threads = extensions.thread_subscriptions.enabled == Some(true);
        let threads = if has_threads {
            feed.durable.max(sliding.threads)
        } else {
            sliding.threads
        };
        let has_devices = extensions.e2ee.enabled == Some(true);
        if has_devices {
            plan.add_devices(feed);
        } else if !plan.is_initial {
            plan.next.devices.clone_from(&plan.since.devices);
        }
        let mut making = Making {
            plan,
            base: sliding
                .base
                .clone()
                .map(|(_, rooms)| rooms)
                .unwrap_or_default(),
            direct,
            with_data: account.rooms_with_data(sliding.data),
            sliding: &sliding,
            changes: Vec::new(),
            typing: Vec::new(),
            room_data: Vec::new(),
            feed,
        };
        for (room_id, wanted) in &selection.rooms {
            making.tell(room_id, wanted);
        }
        making.tell_departures();
        making.fall_behind(&selection.rooms);
        if has_devices {
            making.add_movements();
        }
        making.plan.note_joined(making.feed);
        let counts = selection.counts.into_iter();
        Some(Self {
            counts: counts
                .map(|(name, count)| (name.to_owned(), count))
                .collect(),
            plan: making.plan,
            changes: making.changes,
            typing: making.typing,
            room_data: making.room_data,
            data,
            threads,
            sliding,
        })
    }

    /// Where the answer ends.
    pub(crate) fn next(&self, version: u64) -> Pos {
        Pos {
            version,
            data: self.data,
            threads: self.threads,
            token: self.plan.next.clone(),
        }
    }
}

/// From where on something is to be told, given what was told of it.
fn after(told: SlidingTold, live: u64) -> Option<u64> {
    match told {
        SlidingTold::Never => None,
        SlidingTold::Live => Some(live),
        SlidingTold::Until(until) => Some(until),
    }
}

/// What was told of a thing, when it is not told this time although something happened.
fn left_behind(told: SlidingTold, live: u64) -> SlidingTold {
    match told {
        SlidingTold::Live => SlidingTold::Until(live),
        told => told,
    }
}

impl Making<'_> {
    /// Tells a room that is wanted, as far as there is something to tell.
    fn tell(&mut self, room_id: &OwnedRoomId, wanted: &Wanted<'_>) {
        let Some(entry) = self.feed.rooms.get(room_id) else {
            return;
        };
        let known = self.base.get(room_id).cloned();
        let live = self.plan.since_of(entry).unwrap_or(0);
        let covers = |scope: &super::request::Scope| {
            scope.covers(room_id.as_str(), &wanted.lists, wanted.is_subscribed)
        };
        let extensions = &self.sliding.query.request.extensions;
        let has_receipts = covers(&extensions.receipts);
        let has_data = covers(&extensions.account_data);
        let has_typing = covers(&extensions.typing);
        let has_news = entry.newest > live;
        let mut sent = known.clone().unwrap_or_else(|| SentRoom {
            events: SlidingTold::Never,
            receipts: SlidingTold::Never,
            data: SlidingTold::Never,
            timeline_limit: wanted.limit,
            wish: Arc::new(wanted.wish.clone()),
        });
        let receipts = match sent.receipts {
            told if has_receipts => Some(after(told, live)),
            _ => None,
        };
        let room = self.room((room_id, entry), (known.as_ref(), wanted), receipts);
        sent.events = SlidingTold::Live;
        if has_receipts {
            sent.receipts = SlidingTold::Live;
        } else if has_news {
            sent.receipts = left_behind(sent.receipts, live);
        }
        if has_typing {
            self.tell_typing(room_id, known.is_none());
        }
        self.tell_data(room_id, &mut sent.data, has_data);
        sent.timeline_limit = sent.timeline_limit.max(wanted.limit);
        if let Some(mut room) = room {
            if matches!(room.source, Source::Room) && *sent.wish != wanted.wish {
                sent.wish = Arc::new(wanted.wish.clone());
            }
            self.plan.count_unread(self.feed, &mut room);
            self.plan.rooms.push(room);
        }
        if known.as_ref() != Some(&sent) {
            self.changes.push((room_id.clone(), Some(sent)));
        }
    }

    /// What is told of a room, if something is.
    fn room(
        &self,
        (room_id, entry): (&OwnedRoomId, &RoomEntry),
        (known, wanted): (Option<&SentRoom>, &Wanted<'_>),
        receipts: Option<Option<Position>>,
    ) -> Option<RoomPlan> {
        let live = self.plan.since_of(entry);
        let since = known.and_then(|sent| after(sent.events, live.unwrap_or(0)));
        let stay = Stay::find(entry, since);
        let has_come_back = stay.has_come_back();
        let since = since.filter(|_| !stay.is_unknown);
        let is_joined = stay.section == Section::Join;
        let is_initial = since.is_none();
        let told = known.filter(|_| !is_initial);
        let added_state =
            told.map_or_else(StateWish::default, |sent| wanted.wish.beyond(&sent.wish));
        let is_expanded = told.is_some_and(|sent| sent.timeline_limit < wanted.limit);
        let receipts = match receipts {
            Some(_) if is_initial => ReceiptsWanted::OfTimeline,
            Some(after) => ReceiptsWanted::After(after.unwrap_or(0)),
            None => ReceiptsWanted::None,
        };
        let lags = matches!(receipts, ReceiptsWanted::After(after) if Some(after) != since);
        // Who has just begun to listen has heard of nothing yet.
        let wish = &self.sliding.query.request.extensions.sticky_events;
        let sticky_anew = wish.is_on() && wish.since.is_none();
        let must_ask = is_initial
            || has_come_back
            || (is_joined && sticky_anew)
            || (is_joined && (is_expanded || lags || !added_state.entries.is_empty()));
        let has_news = since.is_none_or(|since| entry.newest > since);
        let is_shown = if is_joined {
            must_ask || has_news
        } else {
            is_initial || stay.is_new
        };
        if !is_shown {
            return None;
        }
        let window = Window {
            timeline_limit: wanted.limit as usize,
            required_state: wanted.wish.clone(),
            added_state,
            expanded: is_expanded,
            live_after: live,
            receipts,
            sticky_anew,
        };
        let is_initial = is_initial || !is_joined;
        let mut room = self.plan_room((room_id, entry), (stay, since), (window, is_initial));
        room.is_wanted |= is_expanded;
        if is_joined && !must_ask {
            let known = self.known_members(room_id, &room);
            if let Some(direct) = self.direct(entry, &room, known) {
                room.source = Source::Direct(direct);
            }
        }
        Some(room)
    }

    fn plan_room(
        &self,
        (room_id, entry): (&OwnedRoomId, &RoomEntry),
        (stay, since): (Stay, Option<Position>),
        (window, is_initial): (Window, bool),
    ) -> RoomPlan {
        let full_state = stay.has_come_back();
        let own_receipt = entry.own_receipt_after(&self.plan.home.user_id, since.unwrap_or(0));
        let mut room = RoomPlan {
            room_id: room_id.clone(),
            section: stay.section,
            source: Source::Room,
            since,
            until: self.plan.next.room_position(entry.shard),
            full_state,
            is_new: stay.is_new,
            was_joined: stay.was_joined,
            typing: None,
            unread: UnreadPlan::None,
            is_wanted: is_initial || own_receipt || stay.section == Section::Leave,
            known_members: Vec::new(),
            is_silent: false,
            moves: false,
            window: Some(Box::new(WindowPlan {
                wanted: window,
                is_initial,
                is_dm: self.direct.contains(room_id),
                bump_ms: entry.glimpse.bump_ms().min(self.plan.now_ms),
                glance: entry.glimpse.known().cloned(),
            })),
        };
        let known = self.known_members(room_id, &room);
        room.known_members = known.into_iter().flatten().cloned().collect();
        room
    }

    /// Members that the client has: of a room that is new to it, none.
    fn known_members(
        &self,
        room_id: &OwnedRoomId,
        room: &RoomPlan,
    ) -> Option<&BTreeSet<OwnedUserId>> {
        room.since?;
        let key = self.plan.request.memory_key();
        self.feed.memory.known(&key, room_id)
    }

    /// What happened, if it is at hand.
    fn direct(
        &self,
        entry: &RoomEntry,
        room: &RoomPlan,
        known: Option<&BTreeSet<OwnedUserId>>,
    ) -> Option<Direct> {
        let window = room.window.as_ref()?;
        let news = entry.news_between(room.since?, room.until)?;
        let limit = window.wanted.timeline_limit as u32;
        let filter = SyncFilter::of_window(limit, window.wanted.required_state.lazy);
        // What is behind the rest counts as history.
        (room.since == window.wanted.live_after)
            .then(|| Direct::find(&filter, &self.plan.judge, &news, known))
            .flatten()
    }

    fn tell_typing(&mut self, room_id: &OwnedRoomId, is_new: bool) {
        let Some(entry) = self.feed.rooms.get(room_id) else {
            return;
        };
        if entry.membership != MembershipState::Join {
            return;
        }
        let since = &self.plan.since;
        let is_changed = if is_new || self.plan.is_initial {
            !entry.typing.is_empty()
        } else if since.life == self.feed.life {
            entry.typing_serial > since.serial
        } else {
            !entry.typing.is_empty() || since.typing.contains(&typing_mark(room_id))
        };
        if is_changed {
            self.typing.push((room_id.clone(), entry.typing.clone()));
        }
    }

    fn tell_data(&mut self, room_id: &OwnedRoomId, told: &mut SlidingTold, is_covered: bool) {
        let is_changed = self.with_data.contains(room_id);
        if !is_covered {
            if is_changed {
                *told = left_behind(*told, self.sliding.data);
            }
            return;
        }
        if *told != SlidingTold::Live || is_changed {
            let from = after(*told, self.sliding.data).unwrap_or(0);
            self.room_data.push((room_id.clone(), from));
        }
        *told = SlidingTold::Live;
    }

    fn is_hidden(&self, room_id: &OwnedRoomId, entry: &RoomEntry) -> bool {
        entry.is_hidden(room_id, (&*self.plan.account, self.feed.durable))
    }

    /// Rooms that the client has and the user has left: told once, whatever the lists say.
    fn tell_departures(&mut self) {
        for (room_id, sent) in &self.base.clone() {
            let Some(entry) = self.feed.rooms.get(room_id) else {
                self.changes.push((room_id.clone(), None));
                continue;
            };
            if is_listed(self.feed, &*self.plan.account, (room_id, entry)) {
                continue;
            }
            let is_hidden = self.is_hidden(room_id, entry);
            let live = self.plan.since_of(entry);
            let since = after(sent.events, live.unwrap_or(0));
            let mut stay = Stay::find(entry, since);
            stay.hide_if(is_hidden);
            let since = since.filter(|_| !stay.is_unknown);
            let window = Window {
                timeline_limit: sent.timeline_limit as usize,
                required_state: StateWish::clone(&sent.wish),
                live_after: live,
                ..Window::default()
            };
            // Who left and came back more often than is remembered is told all anew.
            let is_initial = since.is_none();
            let mut room = self.plan_room((room_id, entry), (stay, since), (window, is_initial));
            if is_hidden {
                room.source = Source::Hidden;
            }
            self.plan.rooms.push(room);
            self.changes.push((room_id.clone(), None));
        }
    }

    /// Rooms that the client has and that nothing wants any more: what happens in them now is to be told when they come back.
    fn fall_behind(&mut self, wanted: &BTreeMap<OwnedRoomId, Wanted<'_>>) {
        let changed: BTreeSet<_> = self
            .feed
            .rooms
            .changed_after(&self.plan.since)
            .map(|(room_id, _)| room_id)
            .chain(&self.with_data)
            .filter(|room_id| !wanted.contains_key(*room_id))
            .collect();
        for room_id in changed {
            let (Some(known), Some(entry)) = (self.base.get(room_id), self.feed.rooms.get(room_id))
            else {
                continue;
            };
            if !is_listed(self.feed, &*self.plan.account, (room_id, entry)) {
                continue;
            }
            let live = self.plan.since_of(entry).unwrap_or(0);
            let mut sent = known.clone();
            if entry.newest > live {
                sent.events = left_behind(sent.events, live);
                sent.receipts = left_behind(sent.receipts, live);
            }
            if self.with_data.contains(room_id) {
                sent.data = left_behind(sent.data, self.sliding.data);
            }
            if sent != *known {
                self.changes.push((room_id.clone(), Some(sent)));
            }
        }
    }

    /// Rooms in which members may have come or gone, for device lists: in those that are told from the same beginning it shows anyway.
    fn add_movements(&mut self) {
        if self.plan.is_initial {
            return;
        }
        let mut told = BTreeMap::new();
        for (index, room) in self.plan.rooms.iter().enumerate() {
            told.insert(room.room_id.clone(), index);
        }
        let mut silent = Vec::new();
        for (room_id, entry) in self.feed.rooms.changed_after(&self.plan.since) {
            let since = self.plan.since_of(entry);
            if !entry.may_move_after(since) {
                continue;
            }
            let stay = Stay::find(entry, since);
            let since = since.filter(|_| !stay.is_unknown);
            if let Some(index) = told.get(room_id)
                && self.plan.rooms[*index].since == since
            {
                let room = &mut self.plan.rooms[*index];
                (room.moves, room.is_new, room.was_joined) = (true, stay.is_new, stay.was_joined);
                continue;
            }
            let mut room =
                self.plan_room((room_id, entry), (stay, since), (Window::default(), false));
            room.window = None;
            room.moves = true;
            room.silence();
            silent.push(room);
        }
        self.plan.rooms.extend(silent);
    }
}
