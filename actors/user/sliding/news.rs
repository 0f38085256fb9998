//! Whether there is anything to tell a sliding sync that waits. Cheap, and rather yes than no, as [`crate::user::sync::news`].

use super::{Pos, Sliding};
use crate::user::{
    feed::{Feed, account::Account},
    sync::request::Request,
};

/// Whether anything happened after what the sync has looked at that it may want.
pub(crate) fn has_news(feed: &Feed, account: &dyn Account, request: &Request) -> bool {
    let Some(sliding) = &request.sliding else {
        return true;
    };
    let Some(looked) = &sliding.looked else {
        return true;
    };
    let asked = &sliding.query.request;
    let has_rooms = !asked.lists.is_empty() || !asked.room_subscriptions.is_empty();
    let has_devices = asked.extensions.e2ee.enabled == Some(true);
    let since = &looked.token;
    let may_tell = feed.rooms.changed_after(since).any(|(room_id, entry)| {
        let after = since.room_position(entry.shard);
        (has_rooms && !feed.is_silent(room_id))
            || (has_devices && entry.may_move_after(Some(after)))
    });
    if may_tell || (has_rooms && !account.invites_turned(since.own).is_empty()) {
        return true;
    }
    let types = |serial: u64| {
        feed.rooms
            .iter()
            .any(|(_, room)| room.typing_serial > serial)
    };
    if asked.extensions.typing.is_on()
        && (since.life != feed.life || (feed.serial > since.serial && types(since.serial)))
    {
        return true;
    }
    if has_devices
        && (feed.devices.has_gap_after(&since.devices)
            || feed.devices.after(&since.devices).next().is_some())
    {
        return true;
    }
    has_own_news(feed, account, (request, sliding, looked))
}

fn has_own_news(
    feed: &Feed,
    account: &dyn Account,
    (request, sliding, looked): (&Request, &Sliding, &Pos),
) -> bool {
    let extensions = &sliding.query.request.extensions;
    if extensions.to_device.enabled == Some(true) {
        let bounds = (feed.durable, 1);
        let (messages, _) = account.to_device(&request.device_id, sliding.to_device, bounds);
        if !messages.is_empty() {
            return true;
        }
    }
    if extensions.e2ee.enabled == Some(true)
        && feed.durable > looked.token.own
        && !account.signed_users(looked.token.own).is_empty()
    {
        return true;
    }
    if extensions.thread_subscriptions.enabled == Some(true)
        && account.threads_changed(looked.threads, feed.durable)
    {
        return true;
    }
    if !extensions.account_data.is_on() || feed.durable <= looked.data {
        return false;
    }
    let mut changed = false;
    account.visit_data(looked.data, &mut |_, _, sequence| {
        changed |= sequence <= feed.durable;
    });
    changed || !account.rooms_with_data(looked.data).is_empty()
}
