//! Events that are sent later (MSC4140).

mod get_all_delayed_events;
mod get_delayed_event;
mod send_delayed_event;
mod update_delayed_event;

use bytes::Bytes;
use playhouse_actors::delays::{Delayed, NewDelay, Outcome, Stage};
use ruma::{
    RoomId,
    api::client::delayed_events::{
        get_all_delayed_events as all, get_delayed_event as one, send_delayed_event as send,
    },
};
use serde_json::{Value, json, value::RawValue};

use super::{message::EVENT_BODY_BYTES_MAX, page, query};
use crate::edge::{App, Arguments, Class, Failure, RawJson, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<all::unstable::Request, _, _, _, _>(get_all_delayed_events::handle)
        .guests();
    routes
        .mount_raw::<one::unstable::Request, _, _, _, _>(get_delayed_event::handle)
        .guests();
    routes
        .mount_fast::<send::unstable::Request, _, _, _, _>(send_delayed_event::handle)
        .guests()
        .class(Class::Message)
        .body_bytes_max(EVENT_BODY_BYTES_MAX);
    routes
        .mount_raw::<update_delayed_event::Request, _, _, _, _>(update_delayed_event::handle)
        .class(Class::DelayedEvent);
    routes
        .mount_raw::<update_delayed_event::in_body::Request, _, _, _, _>(
            update_delayed_event::handle_in_body,
        )
        .class(Class::DelayedEvent);
}

/// How an event is sent later.
pub(super) struct Wish {
    /// It waits so long, milliseconds.
    delay_ms: u64,
    /// It sticks to its room for so long then (MSC4354).
    sticky_ms: Option<u64>,
}

impl Wish {
    /// With what the query says besides the delay.
    fn new(delay_ms: u64, arguments: &Arguments) -> Result<Self, Failure> {
        let sticky_ms = query::sticky_ms(arguments.query.as_deref())?;
        Ok(Self {
            delay_ms,
            sticky_ms,
        })
    }
}

/// `org.matrix.msc4140.delay`: how long an event is to wait, milliseconds.
pub(super) fn delay(arguments: &Arguments) -> Result<Option<Wish>, Failure> {
    let value = query::parameter(arguments.query.as_deref(), "org.matrix.msc4140.delay");
    let Some(value) = value else {
        return Ok(None);
    };
    let delay_ms = value.parse::<u64>().map_err(|_| {
        Failure::invalid_param("org.matrix.msc4140.delay is not a number of milliseconds")
    })?;
    Wish::new(delay_ms, arguments).map(Some)
}

/// Sends an event later. The body may be empty when the transaction was seen before.
pub(super) async fn schedule(
    app: &App,
    caller: &Session,
    (room_id, (event_type, state_key)): (&RoomId, (&str, Option<String>)),
    (wish, content, transaction_id): (Wish, &Bytes, Option<String>),
) -> Result<RawJson, Failure> {
    caller.not_suspended()?;
    if app.config.delayed_events.delay_max_ms == 0 {
        return Err(Failure::forbidden("this server sends no events later"));
    }
    let content =
        String::from_utf8(content.to_vec()).map_err(|_| Failure::not_json("body is not UTF-8"))?;
    let device_id = caller.device_id.as_ref();
    let new = NewDelay {
        user_id: caller.user_id.to_string(),
        device_id: device_id.map(ToString::to_string).unwrap_or_default(),
        transaction_id,
        room_id: room_id.to_string(),
        event_type: event_type.to_owned(),
        state_key,
        content,
        delay_ms: wish.delay_ms,
        guest: caller.guest,
        sticky_ms: wish.sticky_ms,
    };
    let delay_id = app.house.delay_event(new).await?;
    Ok(page::Object::new().text("delay_id", &delay_id).finish())
}

/// A delayed event as its owner sees it.
fn described(delayed: &Delayed) -> Result<Value, Failure> {
    let scheduled = &delayed.scheduled;
    let content: Box<RawValue> =
        serde_json::from_str(&scheduled.content).map_err(Failure::internal)?;
    let mut told = json!({
        "delay_id": scheduled.delay_id,
        "room_id": scheduled.room_id,
        "type": scheduled.event_type,
        "content": content,
        "delay": scheduled.delay_ms,
        "running_since": delayed.running_since_ms,
    });
    if let Some(state_key) = &scheduled.state_key {
        told["state_key"] = json!(state_key);
    }
    if let Stage::Finished(finished) = &delayed.stage {
        told["finalised_ts"] = json!(finished.at_ms);
        match &finished.outcome {
            Outcome::Sent(event_id) => told["event_id"] = json!(event_id),
            Outcome::Refused { errcode, error } => {
                told["error"] = json!({ "errcode": errcode, "error": error });
            }
            Outcome::Overtaken => {
                let error = "somebody else has set this state meanwhile";
                told["error"] = json!({ "errcode": "M_UNKNOWN", "error": error });
            }
            Outcome::Cancelled => {}
        }
    }
    Ok(told)
}
