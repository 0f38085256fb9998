//! `PUT /_matrix/client/*/rooms/{roomId}/state/{eventType}/{stateKey}`

use std::sync::Arc;

use playhouse_actors::room::message::SendEvent;
use ruma::RoomId;

use crate::{
    client::{
        delayed_events,
        membership::permission,
        message::send_message_event::{self, may_send},
        page, parse_id, query, text_body,
    },
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// Sets state; setting what is in force already is answered with the event in force.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    caller.not_suspended()?;
    let [room_id, event_type, rest @ ..] = arguments.path.as_slice() else {
        return Err(Failure::internal("the path has other variables"));
    };
    let room_id: &RoomId = parse_id(room_id)?;
    let state_key = rest.first().cloned().unwrap_or_default();
    let what = (event_type.as_str(), Some(&*state_key), &*arguments.body);
    may_send(&app, &caller, room_id, what).await?;
    if event_type == "m.room.member" {
        let content = text_body(&arguments.body)?;
        permission::may_set(&app, &caller, (room_id, &state_key, &content)).await?;
    }
    if let Some(delay) = delayed_events::delay(&arguments)? {
        let event = (event_type.as_str(), Some(state_key));
        return delayed_events::schedule(
            &app,
            &caller,
            (room_id, event),
            (delay, &arguments.body, None),
        )
        .await;
    }
    let content = text_body(&arguments.body)?;
    if caller.shadow_banned {
        return send_message_event::pretend(&app, &content);
    }
    let event = SendEvent {
        origin_server_ts: query::timestamp(&caller, arguments.query.as_deref())?,
        sticky_ms: query::sticky_ms(arguments.query.as_deref())?,
        guest: caller.guest,
        ..SendEvent::new(caller.known.user_id, event_type.as_str().into(), content)
            .with_state_key(state_key)
    };
    let event_id = app.house.send_event(room_id, event).await?;
    Ok(page::Object::new()
        .text("event_id", event_id.as_str())
        .finish())
}
