//! Whether there is anything to tell a sync. Cheap, and rather yes than no: an answer that comes out empty goes on waiting.

use ruma::RoomId;

use super::{request::Request, token::typing_mark};
use crate::user::feed::{Feed, account::Account};

/// Whether anything happened after the sync's token that it may want.
pub(crate) fn has_news(feed: &Feed, account: &dyn Account, request: &Request) -> bool {
    let Some(since) = &request.since else {
        return true;
    };
    let room_filter = &request.filter.room;
    let wants = |room_id: &RoomId| room_filter.wants(room_id) && !feed.is_silent(room_id);
    if feed.rooms.changed_after(since).any(|(room_id, entry)| {
        let after = since.room_position(entry.shard);
        wants(room_id) || entry.may_move_after(Some(after))
    }) {
        return true;
    }
    let same_life = since.life == feed.life;
    if same_life {
        if feed.serial > since.serial {
            let typing = room_filter.ephemeral.wants_type("m.typing")
                && feed
                    .rooms
                    .iter()
                    .any(|(room_id, entry)| entry.typing_serial > since.serial && wants(room_id));
            if typing || feed.presence.after(since.serial).next().is_some() {
                return true;
            }
        }
    } else {
        let stale = feed
            .rooms
            .joined()
            .any(|room_id| since.typing.contains(&typing_mark(room_id)));
        if stale || !feed.typing.is_empty() || feed.presence.after(0).next().is_some() {
            return true;
        }
    }
    has_own_news(feed, account, request)
}

fn has_own_news(feed: &Feed, account: &dyn Account, request: &Request) -> bool {
    let Some(since) = &request.since else {
        return true;
    };
    if feed.devices.has_gap_after(&since.devices)
        || feed.devices.after(&since.devices).next().is_some()
    {
        return true;
    }
    if feed.durable <= since.own && feed.durable <= since.to_device.sequence {
        return false;
    }
    let (messages, _) = account.to_device(&request.device_id, since.to_device, (feed.durable, 1));
    if !messages.is_empty() {
        return true;
    }
    let mut changed = false;
    account.visit_data(since.own, &mut |_, _, sequence| {
        changed |= sequence <= feed.durable;
    });
    changed
        || !account.rooms_with_data(since.own).is_empty()
        || !account.invites_turned(since.own).is_empty()
        || !account.signed_users(since.own).is_empty()
}
