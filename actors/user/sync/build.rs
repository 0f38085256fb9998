//! Making an answer from its plan.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use playhouse_schema::address::Sequence;
use ruma::{OwnedRoomId, OwnedUserId, UserId};
use serde::Deserialize;

use super::{
    Outcome, ReadTally,
    body::Body,
    counts,
    devices::{DeviceLists, Movements, device_lists},
    plan::{Plan, RoomPlan, Section, Source, UnreadPlan},
    rooms::{RoomPart, data_event, write_rooms},
};
use crate::{
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{RoomSlice, SliceQuery},
    },
    user::{UserError, feed::unread::UnreadCounts, message::Presence},
};

/// So many rooms are asked at once.
const ROOMS_AT_ONCE: usize = 64;

/// So many to-device messages one answer brings.
pub(crate) const TO_DEVICE_MAX: usize = 100;

/// A room as answered.
struct Answered<'p> {
    room: &'p RoomPlan,
    part: RoomPart,
    slice: Option<RoomSlice>,
    tally: Option<ReadTally>,
}

/// What came of asking the rooms and the store.
pub(crate) struct Gathered<'p> {
    pub(crate) parts: Vec<(&'p RoomPlan, RoomPart)>,
    pub(crate) lists: DeviceLists,
    pub(crate) tallies: Vec<ReadTally>,
    /// Members sent by lazy loading.
    pub(crate) members: BTreeMap<OwnedRoomId, BTreeSet<OwnedUserId>>,
}

/// Makes an answer for which everything is at hand.
pub(crate) fn build_direct(plan: &Plan) -> Outcome {
    write(plan, gather_direct(plan))
}

/// Makes an answer, asking rooms and store.
pub(crate) async fn build(plan: &Plan) -> Result<Outcome, UserError> {
    Ok(write(plan, gather(plan).await?))
}

/// Gathers what is at hand.
pub(crate) fn gather_direct(plan: &Plan) -> Gathered<'_> {
    let parts = plan
        .rooms
        .iter()
        .map(|room| {
            let mut part = RoomPart::default();
            match &room.source {
                Source::Direct(direct) => part.add_direct(plan, direct),
                Source::Hidden => part.add_end(plan, room),
                Source::Nothing | Source::Room => {}
            }
            if let UnreadPlan::Known(counts) = &room.unread {
                part.unread = Some(counts.clone());
            }
            part.add_own(plan, room);
            (room, part)
        })
        .collect();
    let lists = DeviceLists {
        changed: plan.device_changes.clone(),
        ..DeviceLists::default()
    };
    Gathered {
        parts,
        lists,
        tallies: Vec::new(),
        members: BTreeMap::new(),
    }
}

/// Asks rooms and store.
pub(crate) async fn gather(plan: &Plan) -> Result<Gathered<'_>, UserError> {
    let mut movements = Movements::default();
    let mut parts = Vec::with_capacity(plan.rooms.len());
    let mut tallies = Vec::new();
    let mut members = BTreeMap::new();
    let questions: Vec<_> = plan
        .rooms
        .iter()
        .map(|room| answer(plan, room).boxed())
        .collect();
    let mut answers = stream::iter(questions).buffered(ROOMS_AT_ONCE);
    while let Some(answered) = answers.next().await {
        let Some(answered) = answered? else {
            continue;
        };
        if !plan.is_initial && answered.room.moves {
            let slice = answered.slice.as_ref();
            movements.add(plan, answered.room, slice).await;
        }
        if answered.room.is_silent {
            continue;
        }
        if let Some(slice) = &answered.slice
            && plan.request.remembers_members()
            && !slice.sent_members.is_empty()
        {
            let sent: BTreeSet<OwnedUserId> = slice.sent_members.iter().cloned().collect();
            members.insert(answered.room.room_id.clone(), sent);
        }
        tallies.extend(answered.tally);
        parts.push((answered.room, answered.part));
    }
    drop(answers);
    Ok(Gathered {
        parts,
        lists: device_lists(plan, movements).await?,
        tallies,
        members,
    })
}

/// What `GET /keys/changes` tells.
pub(crate) async fn key_changes(plan: &Plan) -> Result<DeviceLists, UserError> {
    let mut movements = Movements::default();
    let questions: Vec<_> = plan
        .rooms
        .iter()
        .map(|room| moved(plan, room).boxed())
        .collect();
    let mut answers = stream::iter(questions).buffered(ROOMS_AT_ONCE);
    let mut rooms = plan.rooms.iter();
    while let (Some(slice), Some(room)) = (answers.next().await, rooms.next()) {
        match slice {
            Ok(slice) => movements.add(plan, room, slice.as_ref()).await,
            Err(RoomError::Unavailable(error)) => return Err(error.into()),
            Err(error) => tracing::warn!(room_id = %room.room_id, %error, "room left out"),
        }
    }
    drop(answers);
    device_lists(plan, movements).await
}

/// What a room tells of its members; nothing to one who is not in it and never read it.
async fn moved(plan: &Plan, room: &RoomPlan) -> Result<Option<RoomSlice>, RoomError> {
    match room.section {
        Section::Invite | Section::Knock => Ok(None),
        Section::Leave => match slice(plan, room).await {
            Err(error @ RoomError::Unavailable(_)) => Err(error),
            slice => Ok(slice.ok()),
        },
        Section::Join => slice(plan, room).await.map(Some),
    }
}

/// Asks a room. A room that cannot be reached fails the sync, which is then repeated; one that is damaged or refuses is left out, so that one bad
/// room does not end all syncs of its members.
async fn answer<'p>(plan: &'p Plan, room: &'p RoomPlan) -> Result<Option<Answered<'p>>, UserError> {
    match try_answer(plan, room).await {
        Ok(answered) => Ok(Some(answered)),
        Err(RoomError::Unavailable(error)) => Err(error.into()),
        Err(error) => {
            let is_gone = room.section == Section::Leave;
            if !is_gone {
                tracing::warn!(room_id = %room.room_id, %error, "room left out of a sync");
                return Ok(None);
            }
            let mut part = RoomPart::default();
            part.add_own(plan, room);
            Ok(Some(Answered {
                room,
                part,
                slice: None,
                tally: None,
            }))
        }
    }
}

/// Who invited a user, by the stripped state of the room.
fn inviter(stripped: &[Bytes], invited: &UserId) -> Option<OwnedUserId> {
    #[derive(Deserialize)]
    struct Stripped {
        #[serde(rename = "type")]
        event_type: String,
        state_key: String,
        sender: OwnedUserId,
    }
    // The member event stands last.
    let events = stripped.iter().rev();
    events
        .filter_map(|event| serde_json::from_slice::<Stripped>(event).ok())
        .find(|event| event.event_type == "m.room.member" && event.state_key == *invited)
        .map(|event| event.sender)
}

async fn try_answer<'p>(plan: &'p Plan, room: &'p RoomPlan) -> Result<Answered<'p>, RoomError> {
    let mut answered = Answered {
        room,
        part: RoomPart::default(),
        slice: None,
        tally: None,
    };
    let part = &mut answered.part;
    match (&room.source, room.section) {
        (Source::Nothing, _) => {}
        (Source::Hidden, _) => part.add_end(plan, room),
        (Source::Direct(direct), _) => part.add_direct(plan, direct),
        (Source::Room, Section::Invite | Section::Knock) => {
            let query = RoomQuery::Stripped {
                user_id: plan.home.user_id.clone(),
            };
            match plan.home.sources.ask_room(&room.room_id, query).await? {
                RoomAnswer::Events(events) => {
                    part.is_hidden = room.section == Section::Invite
                        && inviter(&events, &plan.home.user_id)
                            .is_some_and(|inviter| plan.account.hides_invites_of(&inviter));
                    part.stripped = events;
                }
                _ => return Err(counts::unexpected()),
            }
        }
        (Source::Room, _) => {
            let mut slice = slice(plan, room).await?;
            let shown = RoomSlice {
                timeline: std::mem::take(&mut slice.timeline),
                state: std::mem::take(&mut slice.state),
                sticky: std::mem::take(&mut slice.sticky),
                summary: slice.summary.take(),
                receipts: slice.receipts.take(),
                prev_batch: slice.prev_batch,
                limited: slice.limited,
                face: slice.face.take(),
                num_live: slice.num_live,
                ..RoomSlice::default()
            };
            part.add_slice(shown);
            // A client that knew the room before must not take the timeline for the continuation of what it has.
            part.limited |= room.since.is_none() && !plan.is_initial && room.window.is_none();
            answered.slice = Some(slice);
        }
    }
    match &room.unread {
        UnreadPlan::None => {}
        UnreadPlan::Known(counts) => part.unread = Some(counts.clone()),
        UnreadPlan::Read {
            stay,
            partial,
            epoch,
        } => {
            let span = counts::Span {
                stay: *stay,
                partial: partial.as_ref(),
                until: room.until,
            };
            let (counts, tally) = read_tally(plan, room, span, *epoch).await?;
            part.unread = Some(counts);
            answered.tally = Some(tally);
        }
    }
    part.add_own(plan, room);
    Ok(answered)
}

/// Reads how much is unread in a span of a room.
async fn read_tally(
    plan: &Plan,
    room: &RoomPlan,
    span: counts::Span<'_>,
    epoch: u64,
) -> Result<(UnreadCounts, ReadTally), RoomError> {
    let sources = &*plan.home.sources;
    let (tally, is_complete) = counts::read(sources, &plan.judge, &room.room_id, span).await?;
    let counts = tally.counts();
    let read = ReadTally {
        room_id: room.room_id.clone(),
        tally: tally.into(),
        until: room.until,
        is_complete,
        epoch,
    };
    Ok((counts, read))
}

async fn slice(plan: &Plan, room: &RoomPlan) -> Result<RoomSlice, RoomError> {
    let query = SliceQuery {
        reader: plan.reader.clone(),
        since: room.since,
        until: room.until,
        filter: plan.request.filter.room_json.clone(),
        full_state: room.full_state,
        state_after: plan.request.state_after,
        known_members: room.known_members.clone(),
        typing: false,
        format: plan.request.filter.format,
        window: room
            .window
            .as_ref()
            .map(|window| Box::new(window.wanted.clone())),
    };
    let query = RoomQuery::Slice(Box::new(query));
    match plan.home.sources.ask_room(&room.room_id, query).await? {
        RoomAnswer::Slice(slice) => Ok(*slice),
        _ => Err(counts::unexpected()),
    }
}

/// Writes the text.
fn write(plan: &Plan, gathered: Gathered<'_>) -> Outcome {
    let Gathered {
        mut parts,
        mut lists,
        tallies,
        members,
    } = gathered;
    parts.retain(|(room, part)| !part.is_hidden && (room.is_wanted || !part.is_empty()));
    let mut next = plan.next.clone();
    let device_id = &plan.request.device_id;
    let bounds = (plan.durable(), TO_DEVICE_MAX);
    let (messages, delivered) = plan
        .account
        .to_device(device_id, plan.since.to_device, bounds);
    next.to_device = delivered;
    let data = account_data(plan, plan.since.own);
    let presence = presence_events(plan);
    let is_empty = parts.is_empty()
        && messages.is_empty()
        && data.is_empty()
        && presence.is_empty()
        && lists.changed.is_empty()
        && lists.left.is_empty();
    let room_bytes: usize = parts.iter().map(|(_, part)| part.weight_bytes()).sum();
    let own_bytes: usize = messages.iter().map(Bytes::len).sum();
    let mut body = Body::new(512 + room_bytes + own_bytes);
    body.key("next_batch")
        .string(&next.write(plan.home.sources.layout()));
    body.events("account_data", &data, false);
    body.events("presence", &presence, false);
    write_rooms(&mut body, plan, &parts);
    body.events("to_device", &messages, false);
    write_device_lists(&mut body, &lists);
    write_key_counts(&mut body, plan);
    Outcome {
        body: body.finish(),
        next,
        slid: None,
        is_empty,
        members,
        tallies,
        devices: lists.found.take(),
    }
}

/// Writes `device_lists`, if there is something in them.
pub(crate) fn write_device_lists(body: &mut Body, lists: &DeviceLists) {
    if !lists.changed.is_empty() || !lists.left.is_empty() {
        body.key("device_lists").object(|body| {
            write_users(body, "changed", &lists.changed);
            write_users(body, "left", &lists.left);
        });
    }
}

fn write_users(body: &mut Body, name: &str, users: &BTreeSet<OwnedUserId>) {
    body.key(name).array(|body| {
        for user_id in users {
            body.string(user_id.as_str());
        }
    });
}

/// Writes how many one-time keys are left, and which fallback keys are unused.
pub(crate) fn write_key_counts(body: &mut Body, plan: &Plan) {
    let device_id = &plan.request.device_id;
    let counts = plan.account.one_time_key_counts(device_id);
    body.key("device_one_time_keys_count").object(|body| {
        // Clients wait for this one to upload their first keys.
        let usual = "signed_curve25519";
        if !counts.iter().any(|(algorithm, _)| algorithm == usual) {
            body.key(usual).number(0);
        }
        for (algorithm, count) in &counts {
            body.key(algorithm).number(*count);
        }
    });
    let unused = plan.account.unused_fallback_types(device_id);
    // The second is the name from before fallback keys were specified, for clients of that time.
    for name in [
        "device_unused_fallback_key_types",
        "org.matrix.msc2732.device_unused_fallback_key_types",
    ] {
        body.key(name).array(|body| {
            for algorithm in &unused {
                body.string(algorithm);
            }
        });
    }
}

/// Global account data that were set after a record.
pub(crate) fn account_data(plan: &Plan, after: Sequence) -> Vec<String> {
    let filter = &plan.request.filter.account_data;
    let until = plan.durable();
    let mut data = Vec::new();
    plan.account
        .visit_data(after, &mut |event_type, content, sequence| {
            if sequence <= until && filter.wants_type(event_type) {
                data.push(data_event(event_type, content));
            }
        });
    data
}

fn presence_events(plan: &Plan) -> Vec<Bytes> {
    let filter = &plan.request.filter.presence;
    plan.presence
        .iter()
        .filter(|(user_id, _)| {
            filter.wants("m.presence", user_id) && !plan.judge.ignored.contains(user_id)
        })
        .map(|(user_id, presence)| presence_event(user_id, presence, plan.now_ms))
        .collect()
}

fn presence_event(user_id: &OwnedUserId, presence: &Presence, now_ms: u64) -> Bytes {
    let mut body = Body::new(192);
    body.key("type").string("m.presence");
    body.key("sender").string(user_id.as_str());
    body.key("content").object(|body| {
        body.key("presence").string(presence.presence.as_str());
        if presence.active_ms > 0 {
            body.key("last_active_ago")
                .number(now_ms.saturating_sub(presence.active_ms));
        }
        body.key("currently_active").flag(presence.currently_active);
        if let Some(text) = &presence.status_msg {
            body.key("status_msg").string(text);
        }
    });
    body.finish()
}
