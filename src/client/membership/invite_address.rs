//! Inviting somebody of whom only an address is known.

use std::sync::Arc;

use playhouse_actors::{
    room::message::{RoomAccess, SendEvent},
    threepid::Address,
};
use ruma::{
    RoomId,
    api::client::membership::Invite3pid,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde_json::{Value, json};

use crate::{
    edge::{App, Failure, Session},
    third_party::Asking,
};

/// The address of an invite, in canonical form.
pub(crate) fn address_of(invite: &Invite3pid) -> Result<Address, Failure> {
    Address::new(invite.medium.as_str(), &invite.address)
        .ok_or_else(|| Failure::invalid_param("this is no address of that medium"))
}

/// Invites whose the address is, or lets the identity server keep the invite until somebody has it.
pub(crate) async fn invite(
    app: &Arc<App>,
    caller: &Session,
    (room_id, is_direct): (&RoomId, bool),
    invite: &Invite3pid,
) -> Result<(), Failure> {
    let address = address_of(invite)?;
    let access = app.house.room_access(room_id, &caller.user_id).await?;
    // Before anything is told to strangers.
    if access.membership != Some(MembershipState::Join) {
        return Err(Failure::forbidden("you are not in this room"));
    }
    let asking = Asking {
        server: &invite.id_server,
        token: &invite.id_access_token,
    };
    let servers = &app.third_party.identity;
    if let Some(user_id) = servers.look_up(asking, &address).await? {
        let wish = super::wish(caller, room_id.to_owned(), user_id, None);
        app.house.invite(wish, is_direct).await?;
        return Ok(());
    }
    let told = told(app, caller, (room_id, &access), &address).await?;
    let stored = servers.store_invite(asking, &told).await?;
    let keys: Vec<Value> = stored
        .public_keys
        .iter()
        .map(|key| json!({"public_key": key.public_key, "key_validity_url": key.key_validity_url}))
        .collect();
    let Some(first) = stored.public_keys.first() else {
        return Err(Failure::internal("an identity server gave no key"));
    };
    let content = json!({
        "display_name": stored.display_name,
        "public_key": first.public_key,
        "key_validity_url": first.key_validity_url,
        "public_keys": keys,
    });
    let event = SendEvent {
        guest: caller.guest,
        ..SendEvent::new(
            caller.user_id.clone(),
            TimelineEventType::RoomThirdPartyInvite,
            content.to_string(),
        )
        .with_state_key(stored.token)
    };
    app.house.send_event(room_id, event).await?;
    Ok(())
}

/// What the identity server is told, for the message it sends.
async fn told(
    app: &App,
    caller: &Session,
    (room_id, access): (&RoomId, &RoomAccess),
    address: &Address,
) -> Result<Value, Failure> {
    let profile = app.house.member_profile(&caller.user_id).await?;
    let mut told = json!({
        "medium": address.medium.as_str(),
        "address": address.address,
        "room_id": room_id,
        "sender": caller.user_id,
    });
    for (name, value) in [
        (
            "room_alias",
            access.canonical_alias.as_ref().map(ToString::to_string),
        ),
        (
            "room_avatar_url",
            access.avatar_url.as_ref().map(ToString::to_string),
        ),
        ("room_join_rules", access.join_rule()),
        ("room_name", access.name.clone()),
        ("room_type", access.room_type.clone()),
        ("sender_display_name", profile.displayname),
        (
            "sender_avatar_url",
            profile.avatar_url.map(|url| url.to_string()),
        ),
    ] {
        if let Some(value) = value {
            told[name] = json!(value);
        }
    }
    Ok(told)
}
