//! What of a room is for another server: who is in it at some moment, and which events it should have from this one: those of its users, and those that
//! were handed to it to be passed on.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use playhouse_schema::{
    address::{Position, Sequence},
    record::room::ReceiptMoved,
};
use ruma::{
    OwnedServerName, OwnedUserId, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::{Deserialize, Serialize};

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::TimelinePoint,
        state::{StateMap, membership_of},
        wire::is_handed_in,
    },
    View,
    members::member_events,
    scroll::Scroll,
};

/// A server that missed more records of a room than this is told the newest event only, and asks for the others as far back as it likes. What servers find out
/// by asking is bounded by much less, and so who was away for a short while is told everything, however busy the room.
const MISSED_MAX: u64 = 20_000;

/// What a server missed of a room.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct OutgoingQuery {
    /// Which server.
    pub destination: OwnedServerName,
    /// This server: events of its users are meant, and those that were handed to it.
    pub origin: OwnedServerName,
    /// After this position of the room's shard.
    pub after: Position,
    /// Up to this one.
    pub until: Position,
    /// At most so many events.
    pub limit: usize,
}

/// Events that a server missed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Outgoing {
    /// Their numbers among the room's records, oldest first.
    pub events: Vec<Sequence>,
    /// Everything up to this position is told.
    pub upto: Position,
    /// With the last events: public receipts that moved.
    pub receipts: Vec<ReceiptMoved>,
}

/// Answers the users that had joined just after a record, by server.
pub(super) async fn servers(
    view: &mut View,
    after: Sequence,
) -> Result<BTreeMap<OwnedServerName, BTreeSet<OwnedUserId>>, RoomError> {
    let moment = view
        .history
        .after_record(after.min(view.history.last))
        .await?;
    let state = view.history.state(moment).await?;
    let mut servers = joined_by_server(&state);
    for server in view.room().partial().iter().flat_map(|it| &it.servers) {
        let users = servers.entry(server.clone()).or_default();
        users.extend(stand_in(server));
    }
    Ok(servers)
}

/// Who stands for those users of a server who are in a room and are not known yet.
fn stand_in(server: &ServerName) -> Option<OwnedUserId> {
    UserId::parse(format!("@members-not-known-yet:{server}")).ok()
}

/// The users that are joined in a state, by server.
pub(super) fn joined_by_server(
    state: &StateMap,
) -> BTreeMap<OwnedServerName, BTreeSet<OwnedUserId>> {
    let mut servers = BTreeMap::<OwnedServerName, BTreeSet<OwnedUserId>>::new();
    let joined = member_events(state)
        .filter(|event| membership_of(event) == Some(MembershipState::Join))
        .filter_map(|event| UserId::parse(event.pdu.state_key.as_deref()?).ok());
    for user_id in joined {
        let users = servers.entry(user_id.server_name().to_owned()).or_default();
        users.insert(user_id);
    }
    servers
}

/// Answers which events of a server's users, up to a record, stick to the room (MSC4354): a server that comes in is sent them.
pub(super) fn sticky(view: &View, origin: &ServerName, until: Sequence) -> Outgoing {
    let lasting = view.room().sticky.lasting(view.now_ms, (0, until));
    let ours = lasting
        .iter()
        .filter(|event| event.pdu.sender.server_name() == origin);
    Outgoing {
        events: ours.map(|event| event.sequence).collect(),
        ..Outgoing::default()
    }
}

/// Answers what a server missed.
pub(super) async fn outgoing(
    view: &mut View,
    query: &OutgoingQuery,
) -> Result<Outgoing, RoomError> {
    let sticky = sticky(view, &query.origin, Sequence::MAX).events;
    let history = &mut view.history;
    let from = history
        .resolve(TimelinePoint::Position(query.after))
        .await?;
    let moment = history.after_record(from).await?;
    let mut joined = joined_by_server(&history.state(moment).await?);
    let mut present = joined.remove(&query.destination).unwrap_or_default();
    if history.room.is_told_inside(&query.destination) {
        present.extend(stand_in(&query.destination));
    }
    let mut walk = Walk {
        query,
        present,
        sticky,
        missed: Vec::new(),
        seen: query.after,
    };
    let is_far = history.last.saturating_sub(from) > MISSED_MAX;
    let mut scroll = Scroll::forwards(from + 1, history.last).for_servers();
    let mut is_full = false;
    while !scroll.is_done() && !is_full {
        for event in scroll.next(history).await? {
            if event.position() > query.until || (!is_far && walk.missed.len() >= query.limit) {
                is_full = true;
                break;
            }
            walk.pass(&event);
        }
    }
    let is_whole = !is_full || is_far || walk.missed.len() < query.limit;
    let newest = walk
        .missed
        .len()
        .saturating_sub(if is_far { 1 } else { walk.missed.len() });
    let receipts = if is_whole && !walk.present.is_empty() {
        receipts(view, query)
    } else {
        Vec::new()
    };
    Ok(Outgoing {
        events: walk.missed.split_off(newest),
        upto: if is_whole { query.until } else { walk.seen },
        receipts,
    })
}

/// A way through a room's timeline with an eye on who is in it.
struct Walk<'a> {
    query: &'a OutgoingQuery,
    /// Users of the destination that have joined.
    present: BTreeSet<OwnedUserId>,
    /// What of our users' sticks to the room: the destination is sent it when it comes in.
    sticky: Vec<Sequence>,
    missed: Vec<Sequence>,
    seen: Position,
}

impl Walk<'_> {
    fn pass(&mut self, event: &Arc<RoomEvent>) {
        let was_present = !self.present.is_empty();
        let target = member_of(event, &self.query.destination);
        if let Some((user_id, membership)) = &target {
            if *membership == MembershipState::Join {
                if !was_present {
                    let untold = |sequence: &&Sequence| {
                        **sequence < event.sequence && !self.missed.contains(sequence)
                    };
                    let sticky: Vec<_> = self.sticky.iter().filter(untold).copied().collect();
                    self.missed.extend(sticky);
                }
                self.present.insert(user_id.clone());
            } else {
                self.present.remove(user_id);
            }
        }
        let is_ours = event.pdu.sender.server_name() == self.query.origin;
        let is_missed = if is_ours {
            was_present || target.is_some()
        } else {
            // Who handed it over has it.
            was_present
                && target.is_none()
                && event.pdu.event_type == TimelineEventType::RoomMember
                && is_handed_in(&self.query.origin, event.pdu.json())
        };
        if is_missed {
            self.missed.push(event.sequence);
        }
        self.seen = event.position();
    }
}

/// The user of a server that a member event is about, and what it becomes.
fn member_of(event: &RoomEvent, server: &ServerName) -> Option<(OwnedUserId, MembershipState)> {
    if event.pdu.event_type != TimelineEventType::RoomMember {
        return None;
    }
    let user_id = UserId::parse(event.pdu.state_key.as_deref()?).ok()?;
    let membership = membership_of(event)?;
    (user_id.server_name() == server).then_some((user_id, membership))
}

fn receipts(view: &View, query: &OutgoingQuery) -> Vec<ReceiptMoved> {
    let moved = &view.room().receipts;
    moved
        .moved_between(query.after, query.until)
        .filter(|((user_id, receipt_type, _), _)| {
            user_id.server_name() == query.origin && receipt_type == "m.read"
        })
        .map(|(_, receipt)| receipt.moved.clone())
        .collect()
}
