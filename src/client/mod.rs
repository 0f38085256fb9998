//! The client-server API: one folder per area, one file per endpoint.
//!
//! An endpoint turns a request into a message for an actor and its answer into a response; it decides nothing.

pub(crate) mod account;
pub(crate) mod account_validity;
pub(crate) mod admin;
mod alias;
mod appservice;
mod authenticated_media;
mod backup;
mod config;
pub(crate) mod context;
mod dehydrated_device;
mod delayed_events;
mod device;
pub(crate) mod directory;
pub(crate) mod discovery;
mod filter;
pub(crate) mod keys;
mod knock;
mod legacy;
pub(crate) mod media;
pub(crate) mod membership;
pub(crate) mod message;
pub(crate) mod oauth;
pub(crate) mod page;
mod peeking;
pub(crate) mod point;
mod presence;
mod profile;
pub(crate) mod push;
pub(crate) mod query;
mod read_marker;
mod receipt;
mod redact;
mod relations;
pub(crate) mod rendezvous;
mod reporting;
mod retention;
mod room;
mod rtc;
mod search;
mod session;
pub(crate) mod space;
pub(crate) mod sso;
mod state;
mod sync;
mod tag;
mod thirdparty;
mod threads;
pub(crate) mod threepid;
mod to_device;
mod typing;
mod user_directory;
mod voip;
mod web;

use bytes::Bytes;
use playhouse_actors::{
    room::message::Reader,
    user::{UserAnswer, UserQuery},
};
use playhouse_schema::record::room::Transaction;
use ruma::{RoomId, UserId};

use crate::edge::{App, Failure, RawJson, Routes, Session};

/// Mounts all of it.
pub(crate) fn mount(routes: &mut Routes) {
    account::mount(routes);
    account_validity::mount(routes);
    admin::mount(routes);
    alias::mount(routes);
    appservice::mount(routes);
    authenticated_media::mount(routes);
    backup::mount(routes);
    config::mount(routes);
    context::mount(routes);
    delayed_events::mount(routes);
    dehydrated_device::mount(routes);
    device::mount(routes);
    directory::mount(routes);
    discovery::mount(routes);
    filter::mount(routes);
    keys::mount(routes);
    knock::mount(routes);
    legacy::mount(routes);
    media::mount(routes);
    membership::mount(routes);
    message::mount(routes);
    oauth::mount(routes);
    peeking::mount(routes);
    presence::mount(routes);
    profile::mount(routes);
    push::mount(routes);
    read_marker::mount(routes);
    receipt::mount(routes);
    redact::mount(routes);
    relations::mount(routes);
    rendezvous::mount(routes);
    reporting::mount(routes);
    retention::mount(routes);
    room::mount(routes);
    rtc::mount(routes);
    search::mount(routes);
    session::mount(routes);
    space::mount(routes);
    sso::mount(routes);
    state::mount(routes);
    sync::mount(routes);
    tag::mount(routes);
    threads::mount(routes);
    thirdparty::mount(routes);
    threepid::mount(routes);
    to_device::mount(routes);
    typing::mount(routes);
    user_directory::mount(routes);
    voip::mount(routes);
    web::mount(routes);
}

/// `{}`.
fn empty() -> RawJson {
    RawJson(Bytes::from_static(b"{}"))
}

/// An object out of names and values that are JSON already.
fn json_object<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> RawJson {
    let mut text = String::from("{");
    for (name, value) in fields {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name).to_string());
        text.push(':');
        text.push_str(value);
    }
    text.push('}');
    RawJson(Bytes::from(text))
}

/// A body as text, if it is a JSON object.
fn json_object_text(body: &[u8]) -> Result<String, Failure> {
    let text = std::str::from_utf8(body).map_err(|_| Failure::not_json("body is not UTF-8"))?;
    serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(text)?;
    Ok(text.trim().to_owned())
}

/// What belongs to somebody else may not be touched.
fn must_be_own(caller: &Session, user_id: &UserId) -> Result<(), Failure> {
    if caller.user_id == *user_id {
        Ok(())
    } else {
        Err(Failure::forbidden("this belongs to another user"))
    }
}

/// An identifier out of a path.
fn parse_id<'a, T: ?Sized>(text: &'a str) -> Result<&'a T, Failure>
where
    &'a T: TryFrom<&'a str>,
{
    <&T>::try_from(text)
        .map_err(|_| Failure::invalid_param(format!("{text} is not a valid identifier")))
}

/// The caller as somebody who reads a room.
fn reader(caller: &Session) -> Reader {
    Reader {
        user_id: caller.user_id.clone(),
        device_id: caller.device_id.as_ref().map(ToString::to_string),
        ignored: Vec::new(),
        forgotten: None,
        sees_all: false,
    }
}

/// The caller as somebody who reads a timeline, from which ignored users are left out, unless they have forgotten the room.
async fn reader_of_history(
    app: &App,
    caller: &Session,
    room_id: &RoomId,
) -> Result<Reader, Failure> {
    match app
        .house
        .user_query(&caller.user_id, UserQuery::Reading(room_id.to_owned()))
        .await?
    {
        UserAnswer::Reading(ignored, forgotten) => Ok(Reader {
            ignored,
            forgotten,
            ..reader(caller)
        }),
        _ => Err(Failure::internal("unexpected answer to Reading")),
    }
}

/// A body as text. What it says is judged where it belongs.
fn text_body(body: &Bytes) -> Result<String, Failure> {
    if body.is_empty() {
        return Err(Failure::not_json("body is empty"));
    }
    String::from_utf8(body.to_vec()).map_err(|_| Failure::not_json("body is not UTF-8"))
}

/// The transaction of a request: its scope is the device and the path, of which `detail` is what stands between the room and the transaction ID.
fn transaction(
    caller: &Session,
    (endpoint, detail): (&str, &str),
    transaction_id: &str,
) -> Transaction {
    // The first slash ends the scope: what follows is the client's own.
    let detail = detail.replace('%', "%25").replace('/', "%2F");
    Transaction {
        user_id: caller.user_id.to_string(),
        device_id: caller
            .device_id
            .as_ref()
            .map(ToString::to_string)
            .unwrap_or_default(),
        transaction_id: format!("{endpoint}:{detail}/{transaction_id}"),
    }
}
