//! The lists of a request: which rooms belong to them, in which order, and which of them are in range.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use ruma::{OwnedRoomId, RoomId, UserId, events::room::member::MembershipState};

use super::request::{Filters, RoomConfig, SlidingRequest};
use crate::{
    room::message::{RoomGlance, StateWish},
    user::feed::{Feed, account::Account, rooms::RoomEntry},
};

/// A room that is wanted.
#[derive(Debug, Default)]
pub(super) struct Wanted<'q> {
    /// So many events at most.
    pub(super) limit: u32,
    /// State.
    pub(super) wish: StateWish,
    /// By these lists.
    pub(super) lists: Vec<&'q str>,
    /// By a subscription.
    pub(super) is_subscribed: bool,
}

/// What is wanted of which rooms.
#[derive(Debug, Default)]
pub(super) struct Selection<'q> {
    /// By room.
    pub(super) rooms: BTreeMap<OwnedRoomId, Wanted<'q>>,
    /// How many rooms each list has.
    pub(super) counts: Vec<(&'q str, usize)>,
}

/// One's own facts about rooms.
pub(super) struct Facts<'a> {
    pub(super) user_id: &'a UserId,
    pub(super) account: &'a dyn Account,
    /// Rooms named by `m.direct`.
    pub(super) direct: &'a BTreeSet<OwnedRoomId>,
    /// The children of spaces by which is filtered.
    pub(super) children: &'a BTreeMap<OwnedRoomId, BTreeSet<OwnedRoomId>>,
}

/// Whether a room may stand in a list.
pub(crate) fn is_listed(
    feed: &Feed,
    account: &dyn Account,
    (room_id, entry): (&RoomId, &RoomEntry),
) -> bool {
    matches!(
        entry.membership,
        MembershipState::Join | MembershipState::Invite | MembershipState::Knock
    ) && !entry.is_hidden(room_id, (account, feed.durable))
}

/// Finds what is wanted.
pub(super) fn select<'q>(
    feed: &Feed,
    request: &'q SlidingRequest,
    facts: &Facts<'_>,
) -> Selection<'q> {
    let mut selection = Selection::default();
    let ordered = if request.lists.is_empty() {
        Vec::new()
    } else {
        ordered(feed, facts.account)
    };
    for (name, list) in &request.lists {
        let fits = |(room_id, entry): &&(&OwnedRoomId, &RoomEntry)| {
            let filters = list.filters.as_ref();
            filters.is_none_or(|filters| passes(filters, (room_id, entry), facts))
        };
        let rooms: Vec<_> = ordered.iter().filter(fits).collect();
        selection.counts.push((name, rooms.len()));
        let wish = list.config.wish(facts.user_id);
        for (first, last) in list.ranges() {
            let first = usize::try_from(first).unwrap_or(usize::MAX);
            let length = usize::try_from(last)
                .unwrap_or(usize::MAX)
                .saturating_sub(first);
            let in_range = rooms.iter().skip(first).take(length.saturating_add(1));
            for (room_id, _) in in_range {
                let wanted = selection.want(room_id, &list.config, &wish);
                if !wanted.lists.contains(&name.as_str()) {
                    wanted.lists.push(name);
                }
            }
        }
    }
    for (room_id, config) in &request.room_subscriptions {
        let entry = feed.rooms.get(room_id);
        let is_listed = entry.is_some_and(|it| is_listed(feed, facts.account, (room_id, it)));
        if is_listed && !feed.is_silent(room_id) {
            let wanted = selection.want(room_id, config, &config.wish(facts.user_id));
            wanted.is_subscribed = true;
        }
    }
    selection
}

impl<'q> Selection<'q> {
    fn want(
        &mut self,
        room_id: &OwnedRoomId,
        config: &RoomConfig,
        wish: &StateWish,
    ) -> &mut Wanted<'q> {
        let wanted = self.rooms.entry(room_id.clone()).or_default();
        wanted.limit = wanted.limit.max(config.limit());
        wanted.wish.extend(wish);
        wanted
    }
}

/// All rooms that may stand in a list, those first in which something happened last.
fn ordered<'f>(feed: &'f Feed, account: &dyn Account) -> Vec<(&'f OwnedRoomId, &'f RoomEntry)> {
    let mut rooms: Vec<_> = feed
        .rooms
        .iter()
        .filter(|(room_id, entry)| {
            is_listed(feed, account, (room_id, entry)) && !feed.is_silent(room_id)
        })
        .collect();
    // Rooms of the same moment stay in the order of their IDs.
    rooms.sort_by_key(|(_, entry)| Reverse(entry.glimpse.bump_ms()));
    rooms
}

fn passes(
    filters: &Filters,
    (room_id, entry): (&OwnedRoomId, &RoomEntry),
    facts: &Facts<'_>,
) -> bool {
    let unknown = Arc::default();
    let glance: &RoomGlance = entry.glimpse.known().unwrap_or(&unknown);
    let is = |wanted: Option<bool>, is: bool| wanted.is_none_or(|wanted| wanted == is);
    let of_type = |types: &Vec<Option<String>>| types.contains(&glance.room_type);
    let in_space = |spaces: &Vec<OwnedRoomId>| {
        let holds = |space: &OwnedRoomId| {
            let children = facts.children.get(space);
            children.is_some_and(|children| children.contains(room_id))
        };
        spaces.iter().any(holds)
    };
    let is_named = |part: &String| {
        let name = glance.name.as_deref().unwrap_or_default();
        name.to_lowercase().contains(&part.to_lowercase())
    };
    let has_tag = |tags: &Vec<String>| {
        let own = facts.account.tags(room_id);
        tags.iter().any(|tag| own.contains(tag))
    };
    is(filters.is_dm, facts.direct.contains(room_id))
        && is(filters.is_encrypted, glance.is_encrypted)
        && is(
            filters.is_invite,
            entry.membership == MembershipState::Invite,
        )
        && filters.room_types.as_ref().is_none_or(of_type)
        && !filters.not_room_types.as_ref().is_some_and(of_type)
        && filters.room_name_like.as_ref().is_none_or(is_named)
        && filters.spaces.as_ref().is_none_or(in_space)
        && filters.tags.as_ref().is_none_or(has_tag)
        && !filters.not_tags.as_ref().is_some_and(has_tag)
}
