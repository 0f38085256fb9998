//! `GET /_matrix/client/*/notifications`

use std::sync::Arc;

use playhouse_actors::house::{Notification, NotificationPlace, NotificationsWish};
use ruma::{OwnedRoomId, UInt, api::client::push::get_notifications::v3::Request};

use crate::{
    client::page::Object,
    edge::{App, Failure, RawJson, Session},
};

/// The most notifications on a page.
const LIMIT_MAX: u64 = 500;

/// So many notifications when the client does not say.
const LIMIT_DEFAULT: u64 = 50;

/// Lists what the caller was notified about.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<RawJson, Failure> {
    let from = request.from.as_deref().filter(|token| !token.is_empty());
    let before = from
        .map(|token| {
            read(token).ok_or_else(|| Failure::invalid_param("from is not a token of this list"))
        })
        .transpose()?;
    if request.limit == Some(UInt::MIN) {
        return Err(Failure::invalid_param("limit must be greater than zero"));
    }
    let limit = request.limit.map_or(LIMIT_DEFAULT, u64::from);
    let wish = NotificationsWish {
        before,
        limit: limit.min(LIMIT_MAX) as usize,
        highlights: request.only.as_deref() == Some("highlight"),
    };
    let page = app.house.notifications(&caller.user_id, wish).await?;
    let mut notifications = Vec::with_capacity(page.notifications.len());
    for notification in &page.notifications {
        notifications.push(written(notification)?.finish().0);
    }
    let next = page.next.as_ref().map(write);
    Ok(Object::new()
        .array("notifications", &notifications)
        .maybe_text("next_token", next.as_deref())
        .finish())
}

fn written(notification: &Notification) -> Result<Object, Failure> {
    let actions = serde_json::to_vec(&notification.actions).map_err(Failure::internal)?;
    let read: &[u8] = if notification.read { b"true" } else { b"false" };
    Ok(Object::new()
        .raw("actions", &actions)
        .raw("event", &notification.event)
        .raw("profile_tag", b"null")
        .raw("read", read)
        .text("room_id", notification.place.room_id.as_str())
        .raw("ts", notification.place.at_ms.to_string().as_bytes()))
}

fn write(place: &NotificationPlace) -> String {
    format!("{}-{}-{}", place.at_ms, place.sequence, place.room_id)
}

fn read(token: &str) -> Option<NotificationPlace> {
    let mut parts = token.splitn(3, '-');
    Some(NotificationPlace {
        at_ms: parts.next()?.parse().ok()?,
        sequence: parts.next()?.parse().ok()?,
        room_id: OwnedRoomId::try_from(parts.next()?).ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_written() {
        let place = NotificationPlace {
            at_ms: 17,
            room_id: OwnedRoomId::try_from("!a-b:example.org").expect("a room ID"),
            sequence: 4,
        };
        assert_eq!(read(&write(&place)), Some(place));
        for odd in ["", "1-2", "a-2-!r:x", "1-2-r"] {
            assert_eq!(read(odd), None, "{odd}");
        }
    }
}
