//! The rooms of an answer.

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use ruma::{OwnedUserId, RoomId};

use super::{
    body::Body,
    direct::Direct,
    plan::{Plan, RoomPlan, Section},
};
use crate::{
    room::{
        event::{RoomEvent, push_json_string},
        message::{RoomFace, RoomSlice, RoomSummary},
        query::client_form::as_member,
    },
    user::{
        feed::unread::{Counts, UnreadCounts},
        message::ReceiptNews,
    },
};

/// A room as it will be written.
#[derive(Debug, Default)]
pub(crate) struct RoomPart {
    pub(crate) timeline: Vec<Bytes>,
    pub(crate) limited: bool,
    pub(crate) prev_batch: String,
    pub(crate) state: Vec<Bytes>,
    pub(crate) sticky: Vec<Bytes>,
    pub(crate) summary: Option<RoomSummary>,
    pub(crate) ephemeral: Vec<Bytes>,
    pub(crate) account_data: Vec<String>,
    pub(crate) unread: Option<UnreadCounts>,
    /// Stripped state of an invite or knock.
    pub(crate) stripped: Vec<Bytes>,
    /// It is not told at all: an invite from somebody ignored.
    pub(crate) is_hidden: bool,
    /// For sliding sync: how the room looks, when that may have changed.
    pub(crate) face: Option<RoomFace>,
    /// For sliding sync: so many events of the timeline are live.
    pub(crate) num_live: usize,
}

impl RoomPart {
    /// Nothing is in it that the client would not know otherwise.
    pub(crate) fn is_empty(&self) -> bool {
        self.timeline.is_empty()
            && !self.limited
            && self.state.is_empty()
            && self.sticky.is_empty()
            && self.summary.is_none()
            && self.ephemeral.is_empty()
            && self.account_data.is_empty()
            && self.stripped.is_empty()
            && self.face.is_none()
    }

    /// A rough figure of its length.
    pub(crate) fn weight_bytes(&self) -> usize {
        let events = self
            .timeline
            .iter()
            .chain(&self.state)
            .chain(&self.sticky)
            .chain(&self.stripped);
        events.map(Bytes::len).sum::<usize>() + 512
    }

    /// Takes over what a room answered.
    pub(crate) fn add_slice(&mut self, slice: RoomSlice) {
        self.timeline = slice.timeline;
        self.limited = slice.limited;
        self.prev_batch = format!("t{}", slice.prev_batch);
        self.state = slice.state;
        self.sticky = slice.sticky;
        self.summary = slice.summary;
        self.face = slice.face;
        self.num_live = slice.num_live;
        self.ephemeral.extend(slice.receipts);
        self.ephemeral.extend(slice.typing);
    }

    /// Takes over what was at hand.
    pub(crate) fn add_direct(&mut self, plan: &Plan, direct: &Direct) {
        let form = |event: &Arc<RoomEvent>| {
            as_member(event, &plan.reader, plan.request.filter.format, plan.now_ms)
        };
        self.timeline = direct.events.iter().map(form).collect();
        self.num_live = self.timeline.len();
        self.prev_batch = format!("t{}", direct.before);
        if !direct.receipts.is_empty() {
            self.ephemeral.push(receipt_event(&direct.receipts));
        }
    }

    /// Adds the end of an invite that is not shown any more. In sliding sync nothing but a member event tells it: one that no room has.
    pub(crate) fn add_end(&mut self, plan: &Plan, room: &RoomPlan) {
        if room.window.is_none() {
            return;
        }
        let user_id = plan.home.user_id.as_str();
        let room_id = room.room_id.as_str().trim_start_matches('!');
        let mut body = Body::new(256);
        body.key("type").string("m.room.member");
        body.key("event_id").string(&format!("$hidden-{room_id}"));
        body.key("sender").string(user_id);
        body.key("state_key").string(user_id);
        body.key("origin_server_ts").number(plan.now_ms);
        body.key("content").object(|body| {
            body.key("membership").string("leave");
        });
        self.state.push(body.finish());
    }

    /// Adds what does not come from the room, and cuts what does down to the fields that are wanted.
    pub(crate) fn add_own(&mut self, plan: &Plan, room: &RoomPlan) {
        if room.window.is_some() {
            // Sliding sync tells all of this elsewhere, by rules of its own.
            return;
        }
        if let Some(fields) = &plan.request.filter.fields {
            let events = self.timeline.iter_mut().chain(&mut self.state);
            for event in events.chain(&mut self.sticky) {
                *event = fields.cut(event);
            }
        }
        if let Some(users) = &room.typing {
            self.ephemeral.push(typing_event(plan, users));
        }
        if self.prev_batch.is_empty() {
            self.prev_batch = plan.next.write(plan.home.sources.layout());
        }
        let filter = &plan.request.filter.room.account_data;
        if room.section == Section::Invite
            || room.section == Section::Knock
            || !filter.wants_room(&room.room_id)
        {
            return;
        }
        let after = if room.since.is_none() || plan.request.full_state {
            0
        } else {
            plan.since.own
        };
        let data = &mut self.account_data;
        let until = plan.durable();
        plan.account.visit_room_data(
            &room.room_id,
            after,
            &mut |event_type, content, sequence| {
                if sequence <= until && filter.wants_type(event_type) {
                    data.push(data_event(event_type, content));
                }
            },
        );
    }
}

/// An account data event.
pub(crate) fn data_event(event_type: &str, content: &str) -> String {
    let mut out = String::with_capacity(content.len() + event_type.len() + 24);
    out.push_str("{\"type\":");
    push_json_string(&mut out, event_type);
    out.push_str(",\"content\":");
    out.push_str(content);
    out.push('}');
    out
}

/// Who types.
pub(crate) fn typing_event(plan: &Plan, users: &[OwnedUserId]) -> Bytes {
    let filter = &plan.request.filter.room.ephemeral;
    let mut body = Body::new(96);
    body.key("type").string("m.typing");
    body.key("content").object(|body| {
        body.key("user_ids").array(|body| {
            let shown = |user: &&OwnedUserId| {
                filter.wants("m.typing", user) && !plan.judge.ignored.contains(*user)
            };
            for user in users.iter().filter(shown) {
                body.string(user.as_str());
            }
        });
    });
    body.finish()
}

/// The receipts are sorted by event.
fn receipt_event(receipts: &[ReceiptNews]) -> Bytes {
    let mut body = Body::new(64 + receipts.len() * 128);
    body.key("type").string("m.receipt");
    body.key("content").object(|body| {
        for of_event in receipts.chunk_by(|a, b| a.event_id == b.event_id) {
            body.key(of_event[0].event_id.as_str()).object(|body| {
                for (is_private, name) in [(false, "m.read"), (true, "m.read.private")] {
                    let mut users = BTreeMap::new();
                    for receipt in of_event.iter().filter(|one| one.is_private == is_private) {
                        users.insert(&receipt.user_id, receipt);
                    }
                    if !users.is_empty() {
                        body.key(name).object(|body| {
                            for (user_id, receipt) in users {
                                body.key(user_id.as_str()).object(|body| {
                                    body.key("ts").number(receipt.ts_ms);
                                    if let Some(thread) = &receipt.thread_id {
                                        body.key("thread_id").string(thread);
                                    }
                                });
                            }
                        });
                    }
                }
            });
        }
    });
    body.finish()
}

/// Writes `rooms`.
pub(crate) fn write_rooms(body: &mut Body, plan: &Plan, parts: &[(&RoomPlan, RoomPart)]) {
    if parts.is_empty() {
        return;
    }
    body.key("rooms").object(|body| {
        for (section, name) in [
            (Section::Join, "join"),
            (Section::Invite, "invite"),
            (Section::Knock, "knock"),
            (Section::Leave, "leave"),
        ] {
            let mut of_section = parts
                .iter()
                .filter(|(room, _)| room.section == section)
                .peekable();
            if of_section.peek().is_none() && section == Section::Knock {
                continue;
            }
            body.key(name).object(|body| {
                for (room, part) in of_section {
                    write_room(body, plan, (&room.room_id, section), part);
                }
            });
        }
    });
}

fn write_room(
    body: &mut Body,
    plan: &Plan,
    (room_id, section): (&RoomId, Section),
    part: &RoomPart,
) {
    body.key(room_id.as_str()).object(|body| match section {
        Section::Invite => body.events("invite_state", &part.stripped, true),
        Section::Knock => body.events("knock_state", &part.stripped, true),
        Section::Join | Section::Leave => {
            body.key("timeline").object(|body| {
                body.key("events").array(|body| {
                    for event in &part.timeline {
                        body.raw(event);
                    }
                });
                body.key("limited").flag(part.limited);
                body.key("prev_batch").string(&part.prev_batch);
            });
            // Exactly one of the two, even if it is empty.
            let state = if plan.request.state_after {
                "state_after"
            } else {
                "state"
            };
            body.events(state, &part.state, true);
            body.events("account_data", &part.account_data, false);
            if section == Section::Join {
                write_joined(body, plan, part);
            }
        }
    });
}

fn write_joined(body: &mut Body, plan: &Plan, part: &RoomPart) {
    body.events("ephemeral", &part.ephemeral, false);
    body.events("msc4354_sticky", &part.sticky, false);
    if let Some(summary) = &part.summary {
        body.key("summary").object(|body| {
            if !summary.heroes.is_empty() {
                body.key("m.heroes").array(|body| {
                    for hero in &summary.heroes {
                        body.string(hero.as_str());
                    }
                });
            }
            body.key("m.joined_member_count")
                .number(summary.joined_count);
            body.key("m.invited_member_count")
                .number(summary.invited_count);
        });
    }
    let Some(unread) = &part.unread else {
        return;
    };
    let apart = plan.request.filter.counts_threads();
    let main = if apart { unread.main } else { unread.total() };
    body.key("unread_notifications")
        .object(|body| write_counts(body, main));
    if apart {
        body.key("unread_thread_notifications").object(|body| {
            for (root, counts) in &unread.threads {
                body.key(root.as_str())
                    .object(|body| write_counts(body, *counts));
            }
        });
    }
}

fn write_counts(body: &mut Body, counts: Counts) {
    body.key("notification_count").number(counts.notifications);
    body.key("highlight_count").number(counts.highlights);
}
