//! Member events that another server is to make and sign: everything but its part.

use bytes::Bytes;
use ruma::{
    OwnedServerName, OwnedUserId, events::TimelineEventType, events::room::member::MembershipState,
};
use serde::{Deserialize, Serialize};

use super::super::{
    Room, RoomError, build::NewEvent, canonical::Canonical, membership, send_event::make,
};
use crate::env::Env;

/// A member event that another server wants to make for its user (server-server API, `make_join`, `make_leave`, `make_knock`).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TemplateWish {
    /// Whose, and by whom.
    pub user_id: OwnedUserId,
    /// `join`, `leave` or `knock`.
    pub membership: MembershipState,
    /// A condition of a restricted room was found to hold.
    pub restriction_met: bool,
    /// The server of those who may vouch for the user.
    pub vouching: OwnedServerName,
}

/// The event at the room's present end, judged by the room's rules, without hashes, signatures and ID.
pub(super) fn template(room: &Room, env: &Env, wish: TemplateWish) -> Result<Bytes, RoomError> {
    let mut content = Canonical::default();
    content.set_string("membership", wish.membership.as_str());
    if wish.membership == MembershipState::Join {
        let met = wish.restriction_met;
        membership::vouch_for(room, (&wish.user_id, &wish.vouching), met, &mut content)?;
    }
    let event = NewEvent::state(
        wish.user_id.clone(),
        TimelineEventType::RoomMember,
        wish.user_id.as_str(),
        content,
    );
    let made = make(room, env, event)?;
    let text = std::str::from_utf8(made.pdu.json()).map_err(|_| RoomError::NotFound)?;
    let mut event = Canonical::received(text)?;
    for key in ["hashes", "signatures", "event_id"] {
        event.object.remove(key);
    }
    Ok(event.to_text().into())
}
