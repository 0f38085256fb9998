//! Member events of local users as records bring them: events of rooms in which this server is, and what other servers told of rooms in which it is not.

use std::borrow::Cow;

use playhouse_schema::{
    address::{Position, Sequence, Shard},
    port::StoredRecord,
    record::{
        codec::Record as _,
        room::{EventRecord, MembershipTold, Placement, RoomRecord, Verdict, kind, may_hold},
    },
};
use ruma::{
    OwnedRoomId, OwnedUserId, RoomId, ServerName, UserId, events::room::member::MembershipState,
};
use serde::Deserialize;

const MEMBER: &str = "m.room.member";

/// A local user's new membership.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemberEvent {
    /// Where.
    pub room_id: OwnedRoomId,
    /// Whose.
    pub user_id: OwnedUserId,
    /// Who made it so.
    pub sender: OwnedUserId,
    /// Which.
    pub membership: MembershipState,
    /// An invite to a direct chat.
    pub is_direct: bool,
    /// The record that says it, among those of the room …
    pub sequence: Sequence,
    /// … and in the log.
    pub place: (Shard, Position),
    /// When it was recorded, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    content: Content,
}

#[derive(Deserialize)]
struct Content {
    membership: Option<MembershipState>,
    /// Anything may stand here.
    #[serde(default)]
    is_direct: serde_json::Value,
}

/// The membership of a local user that a record brings, if it does.
pub(super) fn read(stored: &StoredRecord, server_name: &ServerName) -> Option<MemberEvent> {
    let is_of_interest = match stored.kind {
        kind::EVENT => may_hold(&stored.payload, MEMBER),
        kind::MEMBERSHIP_TOLD => true,
        _ => false,
    };
    if !is_of_interest {
        return None;
    }
    match RoomRecord::decode(stored).ok()?? {
        RoomRecord::Event(EventRecord {
            pdu,
            verdict: Verdict::Accepted,
            placement: Placement::Live,
            ..
        })
        | RoomRecord::MembershipTold(MembershipTold { pdu, .. }) => {
            parse(stored, &pdu, server_name)
        }
        _ => None,
    }
}

fn parse(stored: &StoredRecord, pdu: &[u8], server_name: &ServerName) -> Option<MemberEvent> {
    let wire: Wire<'_> = serde_json::from_slice(pdu).ok()?;
    if wire.event_type != MEMBER {
        return None;
    }
    let user_id = UserId::parse(&*wire.state_key?).ok()?;
    (user_id.server_name() == server_name).then_some(())?;
    Some(MemberEvent {
        room_id: RoomId::parse(stored.entity.name()).ok()?,
        user_id,
        sender: UserId::parse(&*wire.sender).ok()?,
        membership: wire.content.membership?,
        is_direct: wire.content.is_direct == true,
        sequence: stored.sequence,
        place: (stored.shard, stored.position),
        at_ms: stored.at_ms,
    })
}

#[cfg(test)]
mod tests {
    use playhouse_schema::address::{Entity, Family};
    use ruma::server_name;
    use serde_json::json;

    use super::*;

    fn stored(record: &RoomRecord) -> StoredRecord {
        StoredRecord {
            shard: Shard {
                family: Family::Rooms,
                number: 3,
            },
            position: 7,
            entity: Entity::room("!r:far.test"),
            sequence: 5,
            kind: record.kind(),
            key: record.key().map(Into::into),
            epoch: 1,
            at_ms: 9,
            payload: record.encode(),
        }
    }

    fn event(verdict: Verdict, placement: Placement, target: &str) -> RoomRecord {
        let pdu = json!({
            "type": MEMBER, "state_key": target, "sender": "@b:far.test",
            "content": { "membership": "invite", "is_direct": true },
        });
        RoomRecord::Event(EventRecord {
            event_id: "$e".to_owned(),
            pdu: pdu.to_string().into_bytes().into(),
            before: 0,
            replaces: None,
            verdict,
            placement,
            transaction: None,
            from: None,
        })
    }

    #[test]
    fn only_what_counts_for_local_users_is_read() {
        let here = server_name!("near.test");
        let (good, local) = (Verdict::Accepted, "@a:near.test");
        let found = read(&stored(&event(good.clone(), Placement::Live, local)), here);
        let found = found.expect("an invite");
        assert_eq!(found.membership, MembershipState::Invite);
        assert!(found.is_direct && found.sequence == 5 && found.place.1 == 7);
        for other in [
            event(good.clone(), Placement::Backfilled, local),
            event(Verdict::SoftFailed(String::new()), Placement::Live, local),
            event(good, Placement::Live, "@a:far.test"),
        ] {
            assert_eq!(read(&stored(&other), here), None);
        }
    }
}
