//! What a room says of itself, as answers show it.

use playhouse_actors::room::message::RoomAccess;
use ruma::{
    OwnedRoomId, UInt,
    room::{JoinRuleSummary, RestrictedSummary, RoomSummary},
};
use serde::Deserialize;

#[derive(Deserialize)]
struct Rules {
    join_rule: String,
}

/// The summary of a room.
pub(crate) fn summary(room_id: OwnedRoomId, access: RoomAccess) -> RoomSummary {
    let rules = access.join_rules.as_deref();
    let rule = rules.and_then(|rules| serde_json::from_str::<Rules>(rules).ok());
    let rule = rule.map_or_else(String::new, |rules| rules.join_rule);
    let mut summary = RoomSummary::new(
        room_id,
        join_rule(&rule, access.allowed_rooms),
        access.guests_can_join,
        UInt::new_saturating(access.joined_count),
        access.world_readable,
    );
    summary.canonical_alias = access.canonical_alias;
    summary.name = access.name;
    summary.topic = access.topic;
    summary.avatar_url = access.avatar_url;
    summary.room_type = access.room_type.map(Into::into);
    summary.encryption = access.encryption.map(Into::into);
    summary.room_version = Some(access.version);
    summary
}

/// Rules that are missing or not known let in who is invited.
fn join_rule(rule: &str, allowed: Vec<OwnedRoomId>) -> JoinRuleSummary {
    match rule {
        "public" => JoinRuleSummary::Public,
        "knock" => JoinRuleSummary::Knock,
        "private" => JoinRuleSummary::Private,
        "restricted" => JoinRuleSummary::Restricted(RestrictedSummary::new(allowed)),
        "knock_restricted" => JoinRuleSummary::KnockRestricted(RestrictedSummary::new(allowed)),
        _ => JoinRuleSummary::Invite,
    }
}
