//! What the operator lets people do with memberships: the configured rules, and what the operator's endpoint says.

use ruma::{RoomId, events::room::member::MembershipState};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    edge::{App, Failure, Session},
    third_party::Check,
};

/// Whether the operator lets somebody invite.
pub(crate) fn may_invite(app: &App, caller: &Session) -> Result<(), Failure> {
    if app.config.rooms.invite == "admins" && !caller.admin {
        return Err(Failure::forbidden(
            "only administrators of this server invite",
        ));
    }
    Ok(())
}

/// Whether the operator lets somebody invite this user, or whoever has this address.
pub(super) async fn may_invite_to(
    app: &App,
    caller: &Session,
    (room_id, invited): (&RoomId, &str),
) -> Result<(), Failure> {
    may_invite(app, caller)?;
    ask(
        app,
        caller,
        Check::Invite,
        || json!({"user_id": caller.user_id, "room_id": room_id, "invited": invited}),
    )
    .await
}

/// Whether the operator lets somebody join a room, or knock.
pub(crate) async fn may_join(app: &App, caller: &Session, room: &str) -> Result<(), Failure> {
    ask(
        app,
        caller,
        Check::Join,
        || json!({"user_id": caller.user_id, "room": room}),
    )
    .await
}

/// The same for a membership that is set as any other state.
pub(crate) async fn may_set(
    app: &App,
    caller: &Session,
    (room_id, state_key, content): (&RoomId, &str, &str),
) -> Result<(), Failure> {
    #[derive(Default, Deserialize)]
    struct Content {
        membership: Option<MembershipState>,
    }
    let content: Content = serde_json::from_str(content).unwrap_or_default();
    match content.membership {
        Some(MembershipState::Invite) => may_invite_to(app, caller, (room_id, state_key)).await,
        Some(MembershipState::Join | MembershipState::Knock) => {
            may_join(app, caller, room_id.as_str()).await
        }
        _ => Ok(()),
    }
}

/// Asks the operator's endpoint, but not about administrators.
pub(crate) async fn ask(
    app: &App,
    caller: &Session,
    check: Check,
    question: impl FnOnce() -> Value,
) -> Result<(), Failure> {
    if caller.admin {
        return Ok(());
    }
    app.third_party.spam_check.ask(check, question).await
}
