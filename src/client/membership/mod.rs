//! Membership of rooms (client-server API, "Room membership").

mod ban_user;
mod forget_room;
mod get_member_events;
mod get_mutual_rooms;
pub(crate) mod invite_address;
mod invite_user;
mod is_joined;
mod join_room_by_id;
mod join_room_by_id_or_alias;
mod joined_members;
mod joined_rooms;
mod kick_user;
mod leave_room;
pub(crate) mod permission;
mod unban_user;

use playhouse_actors::house::{MemberWish, SignedInvite};
use ruma::{
    OwnedRoomId, OwnedUserId,
    api::client::membership::{
        ThirdPartySigned, get_member_events as members, joined_members as joined,
    },
};

use crate::edge::{Class, Failure, Routes, Session};

/// Mounts the area.
pub(crate) fn mount(routes: &mut Routes) {
    routes.mount(ban_user::handle);
    routes.mount(forget_room::handle);
    routes
        .mount_raw::<members::v3::Request, _, _, _, _>(get_member_events::handle)
        .guests();
    routes.mount(get_mutual_rooms::handle);
    routes
        .mount(get_mutual_rooms::handle_unstable)
        .also("/_matrix/client/unstable/mutual_rooms");
    routes.mount_fast::<is_joined::Request, _, _, _, _>(is_joined::handle);
    routes.mount(invite_user::handle).class(Class::Invite);
    routes
        .mount(join_room_by_id::handle)
        .guests()
        .class(Class::Join);
    routes
        .mount(join_room_by_id_or_alias::handle)
        .guests()
        .class(Class::Join);
    routes
        .mount_raw::<joined::v3::Request, _, _, _, _>(joined_members::handle)
        .guests();
    routes.mount(joined_rooms::handle).guests();
    routes.mount(kick_user::handle);
    routes.mount(leave_room::handle).guests();
    routes.mount(unban_user::handle);
}

/// A change of somebody's membership by the caller.
fn wish(
    caller: &Session,
    room_id: OwnedRoomId,
    target: OwnedUserId,
    reason: Option<String>,
) -> MemberWish {
    MemberWish {
        room_id,
        sender: caller.user_id.clone(),
        target,
        reason,
        extra_content: None,
        guest: caller.guest,
    }
}

/// What an identity server has signed.
fn signed(signed: ThirdPartySigned) -> Result<SignedInvite, Failure> {
    Ok(SignedInvite {
        sender: signed.sender,
        mxid: signed.mxid,
        token: signed.token,
        signatures: serde_json::to_value(&signed.signatures).map_err(Failure::internal)?,
    })
}
