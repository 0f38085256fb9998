//! `PUT` forms of requests that change rooms and memberships, with a transaction ID at the end: a repeat gets the first one's answer.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::LocalBoxFuture;
use playhouse_actors::house::{JoinWish, MemberWish};
use ruma::{OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId};
use serde::Deserialize;

use crate::{
    client::{empty, page::Object, parse_id, room::create_room},
    edge::{App, Arguments, Class, Failure, RawJson, Routes, Session},
};

/// A path; what stands in it is read by the handler.
macro_rules! form {
    ($name:ident, $old:tt, $new:tt, [$($variable:ident),*]) => {
        mod $name {
            use ruma::{api::{auth_scheme::AccessToken, request, response}, metadata};

            metadata! {
                method: PUT,
                rate_limited: true,
                authentication: AccessToken,
                history: {
                    1.0 => $old,
                    1.1 => $new,
                }
            }

            #[request]
            #[expect(dead_code, reason = "the handler reads the path itself")]
            pub(crate) struct Request {
                $(#[ruma_api(path)] $variable: String,)*
            }

            #[response]
            pub(crate) struct Response {}
        }
    };
}

form!(
    create,
    "/_matrix/client/r0/createRoom/{txn_id}",
    "/_matrix/client/v3/createRoom/{txn_id}",
    [txn_id]
);
form!(
    join_anywhere,
    "/_matrix/client/r0/join/{room_id_or_alias}/{txn_id}",
    "/_matrix/client/v3/join/{room_id_or_alias}/{txn_id}",
    [room_id_or_alias, txn_id]
);
form!(
    join,
    "/_matrix/client/r0/rooms/{room_id}/join/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/join/{txn_id}",
    [room_id, txn_id]
);
form!(
    invite,
    "/_matrix/client/r0/rooms/{room_id}/invite/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/invite/{txn_id}",
    [room_id, txn_id]
);
form!(
    leave,
    "/_matrix/client/r0/rooms/{room_id}/leave/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/leave/{txn_id}",
    [room_id, txn_id]
);
form!(
    ban,
    "/_matrix/client/r0/rooms/{room_id}/ban/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/ban/{txn_id}",
    [room_id, txn_id]
);
form!(
    unban,
    "/_matrix/client/r0/rooms/{room_id}/unban/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/unban/{txn_id}",
    [room_id, txn_id]
);
form!(
    kick,
    "/_matrix/client/r0/rooms/{room_id}/kick/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/kick/{txn_id}",
    [room_id, txn_id]
);
form!(
    forget,
    "/_matrix/client/r0/rooms/{room_id}/forget/{txn_id}",
    "/_matrix/client/v3/rooms/{room_id}/forget/{txn_id}",
    [room_id, txn_id]
);

/// What is done.
#[derive(Clone, Copy, Debug)]
enum Deed {
    Create,
    JoinByName,
    Join,
    Invite,
    Leave,
    Ban,
    Unban,
    Kick,
    Forget,
}

/// What a handler gives.
type Answered = LocalBoxFuture<'static, Result<RawJson, Failure>>;

/// The body of all but creation.
#[derive(Default, Deserialize)]
struct Body {
    user_id: Option<OwnedUserId>,
    reason: Option<String>,
}

/// Mounts the forms.
pub(super) fn mount(routes: &mut Routes) {
    routes
        .mount_fast::<create::Request, _, _, _, _>(repeatable(Deed::Create))
        .class(Class::CreateRoom);
    routes
        .mount_fast::<join_anywhere::Request, _, _, _, _>(repeatable(Deed::JoinByName))
        .class(Class::Join);
    routes
        .mount_fast::<join::Request, _, _, _, _>(repeatable(Deed::Join))
        .class(Class::Join);
    routes
        .mount_fast::<invite::Request, _, _, _, _>(repeatable(Deed::Invite))
        .class(Class::Invite);
    routes.mount_fast::<leave::Request, _, _, _, _>(repeatable(Deed::Leave));
    routes.mount_fast::<ban::Request, _, _, _, _>(repeatable(Deed::Ban));
    routes.mount_fast::<unban::Request, _, _, _, _>(repeatable(Deed::Unban));
    routes.mount_fast::<kick::Request, _, _, _, _>(repeatable(Deed::Kick));
    routes.mount_fast::<forget::Request, _, _, _, _>(repeatable(Deed::Forget));
}

/// A handler that does something once for each transaction.
fn repeatable(
    deed: Deed,
) -> impl Fn(Arc<App>, Session, Arguments) -> Answered + Copy + Send + Sync {
    move |app, caller, arguments| Box::pin(once(app, caller, deed, arguments))
}

async fn once(
    app: Arc<App>,
    caller: Session,
    deed: Deed,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let path = arguments.path.join("/");
    let device = caller.device_id.as_ref().map(ToString::to_string);
    let device = device.unwrap_or_default();
    let name = format!("{} {device} {deed:?} {path}", caller.user_id);
    let now_ms = app.env().now_ms();
    let work = perform(app.clone(), caller, deed, arguments);
    Ok(RawJson(app.repeats.once(name, now_ms, work).await?))
}

async fn perform(
    app: Arc<App>,
    caller: Session,
    deed: Deed,
    arguments: Arguments,
) -> Result<Bytes, Failure> {
    if let Deed::Create = deed {
        return Ok(create_room::handle(app, caller, arguments).await?.0);
    }
    let body: Body = match arguments.body.is_empty() {
        true => Body::default(),
        false => serde_json::from_slice(&arguments.body)?,
    };
    let place = arguments.path.first().map_or("", String::as_str);
    if let Deed::JoinByName | Deed::Join = deed {
        return join_room(&app, caller, place, body).await;
    }
    let room_id: &RoomId = parse_id(place)?;
    if let Deed::Forget = deed {
        app.house.forget(room_id, &caller.user_id).await?;
        return Ok(empty().0);
    }
    change(&app, &caller, deed, (room_id.to_owned(), body)).await?;
    Ok(empty().0)
}

async fn join_room(app: &App, caller: Session, place: &str, body: Body) -> Result<Bytes, Failure> {
    caller.not_suspended()?;
    let room = OwnedRoomOrAliasId::try_from(place)
        .map_err(|_| Failure::invalid_param(format!("{place} is neither room nor alias")))?;
    let wish = JoinWish {
        guest: caller.guest,
        user_id: caller.known.user_id,
        room,
        via: Vec::new(),
        reason: body.reason,
        extra_content: None,
    };
    let room_id = app.house.join(wish).await?;
    Ok(Object::new().text("room_id", room_id.as_str()).finish().0)
}

async fn change(
    app: &App,
    caller: &Session,
    deed: Deed,
    (room_id, body): (OwnedRoomId, Body),
) -> Result<(), Failure> {
    let target = match (deed, body.user_id) {
        (Deed::Leave, _) => caller.user_id.clone(),
        (_, Some(user_id)) => {
            caller.not_suspended()?;
            user_id
        }
        (_, None) => return Err(Failure::missing_param("missing field `user_id`")),
    };
    let wish = MemberWish {
        room_id,
        sender: caller.user_id.clone(),
        target,
        reason: body.reason,
        extra_content: None,
        guest: caller.guest,
    };
    let house = &app.house;
    match deed {
        // Looks done.
        Deed::Invite if caller.shadow_banned => {}
        Deed::Invite => house.invite(wish, false).await?,
        Deed::Leave => house.leave(wish).await?,
        Deed::Ban => house.ban(wish).await?,
        Deed::Unban => house.unban(wish).await?,
        Deed::Kick => house.kick(wish).await?,
        Deed::Create | Deed::JoinByName | Deed::Join | Deed::Forget => {
            return Err(Failure::internal("this is done elsewhere"));
        }
    }
    Ok(())
}
