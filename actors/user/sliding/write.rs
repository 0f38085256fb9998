//! The text of an answer of sliding sync.

use bytes::Bytes;
use playhouse_schema::record::user::SlidingSyncKept;

use super::{Slid, WindowPlan, connection, extensions::Extensions, plan::SlidingPlan};
use crate::{
    room::message::{Hero, RoomFace},
    user::sync::{
        Outcome,
        body::Body,
        build::Gathered,
        plan::{RoomPlan, Section},
        rooms::RoomPart,
    },
};

/// Writes the answer.
pub(crate) fn write(sliding: &SlidingPlan, gathered: Gathered<'_>) -> Outcome {
    let Gathered {
        parts,
        mut lists,
        tallies,
        members,
    } = gathered;
    let is_told = |(room, part): &&(&RoomPlan, RoomPart)| {
        !part.is_hidden && (room.is_wanted || !is_bare(part)) && !room.is_silent
    };
    let told: Vec<_> = parts.iter().filter(is_told).collect();
    let extensions = Extensions::gather(sliding, &parts);
    let has_lists = !lists.changed.is_empty() || !lists.left.is_empty();
    let plan = &sliding.plan;
    let is_empty = told.is_empty() && extensions.is_empty() && !has_lists && !plan.is_initial;
    let kept = kept(sliding);
    let base = sliding
        .sliding
        .base
        .as_ref()
        .map_or(0, |(version, _)| *version);
    let pos = sliding.next(kept.as_ref().map_or(base, |kept| kept.version));
    let room_bytes: usize = told.iter().map(|(_, part)| part.weight_bytes()).sum();
    let mut body = Body::new(1024 + room_bytes);
    body.key("pos")
        .string(&pos.write(plan.home.sources.layout()));
    if let Some(txn_id) = &sliding.sliding.query.request.txn_id {
        body.key("txn_id").string(txn_id);
    }
    body.key("lists").object(|body| {
        for (name, count) in &sliding.counts {
            body.key(name).object(|body| {
                body.key("count").number(*count as u64);
            });
        }
    });
    body.key("rooms").object(|body| {
        for (room, part) in &told {
            if let Some(window) = &room.window {
                body.key(room.room_id.as_str())
                    .object(|body| write_room(body, (room, window), part));
            }
        }
    });
    body.key("extensions")
        .object(|body| extensions.write(body, sliding, &lists));
    Outcome {
        body: body.finish(),
        next: plan.next.clone(),
        slid: Some(Box::new(Slid { pos, kept })),
        is_empty,
        members,
        tallies,
        devices: lists.found.take(),
    }
}

/// Nothing is in it but what extensions tell.
fn is_bare(part: &RoomPart) -> bool {
    part.timeline.is_empty()
        && !part.limited
        && part.state.is_empty()
        && part.face.is_none()
        && part.stripped.is_empty()
}

/// What must be durable before the answer leaves: a connection that begins, or changes in what it was told.
fn kept(sliding: &SlidingPlan) -> Option<SlidingSyncKept> {
    let asked = &sliding.sliding;
    let parent = asked.base.as_ref().map(|(version, _)| *version);
    if parent.is_some() && sliding.changes.is_empty() {
        return None;
    }
    let version = u64::from_be_bytes(sliding.plan.home.env.random_bytes());
    let name = (&*sliding.plan.request.device_id, asked.connection());
    Some(connection::write(name, (parent, version), &sliding.changes))
}

fn write_room(body: &mut Body, (room, window): (&RoomPlan, &WindowPlan), part: &RoomPart) {
    if window.is_initial {
        body.key("initial").flag(true);
        body.key("is_dm").flag(window.is_dm);
    }
    body.key("bump_stamp").number(window.bump_ms);
    match room.section {
        Section::Invite | Section::Knock => {
            if let Some(glance) = &window.glance {
                let avatar = glance.avatar_url.as_ref();
                write_names(body, glance.name.as_deref(), avatar.map(|url| url.as_str()));
            }
            // The name that knocks go by, too: whoever reads it looks at the member event in it.
            write_events(body, "invite_state", &part.stripped);
        }
        Section::Join | Section::Leave => write_window(body, window, part),
    }
}

fn write_window(body: &mut Body, window: &WindowPlan, part: &RoomPart) {
    if let Some(face) = &part.face {
        write_face(body, window, face);
    }
    if !part.state.is_empty() {
        write_events(body, "required_state", &part.state);
    }
    if !part.timeline.is_empty() {
        write_events(body, "timeline", &part.timeline);
    }
    if window.wanted.expanded {
        body.key("unstable_expanded_timeline").flag(true);
    }
    if !part.prev_batch.is_empty() {
        body.key("prev_batch").string(&part.prev_batch);
        body.key("limited").flag(part.limited);
        body.key("num_live").number(part.num_live as u64);
    }
    if let Some(unread) = &part.unread {
        let counts = unread.total();
        body.key("notification_count").number(counts.notifications);
        body.key("highlight_count").number(counts.highlights);
    }
}

fn write_face(body: &mut Body, window: &WindowPlan, face: &RoomFace) {
    let avatar = face.avatar_url.as_ref().map(|url| url.as_str());
    write_names(body, face.name.as_deref(), avatar);
    if avatar.is_none() && !window.is_initial {
        // There may have been one.
        body.key("avatar").raw(b"null");
    }
    if !face.heroes.is_empty() {
        body.key("heroes").array(|body| {
            for hero in &face.heroes {
                body.object(|body| write_hero(body, hero));
            }
        });
    }
    body.key("joined_count").number(face.joined_count);
    body.key("invited_count").number(face.invited_count);
}

fn write_names(body: &mut Body, name: Option<&str>, avatar: Option<&str>) {
    if let Some(name) = name {
        body.key("name").string(name);
    }
    if let Some(avatar) = avatar {
        body.key("avatar").string(avatar);
    }
}

fn write_hero(body: &mut Body, hero: &Hero) {
    body.key("user_id").string(hero.user_id.as_str());
    if let Some(name) = &hero.displayname {
        body.key("displayname").string(name);
    }
    if let Some(avatar) = &hero.avatar_url {
        body.key("avatar_url").string(avatar.as_str());
    }
}

fn write_events(body: &mut Body, name: &str, events: &[Bytes]) {
    body.key(name).array(|body| {
        for event in events {
            body.raw(event);
        }
    });
}
