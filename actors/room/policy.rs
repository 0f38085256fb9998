//! Policy servers: a room may name a server that looks at events before they become part of it (server-server API, "Policy Servers").

use bytes::Bytes;
use playhouse_schema::record::room::Transaction;
use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedServerName, ServerName, UserId,
    events::{
        TimelineEventType,
        room::{member::MembershipState, policy::RoomPolicyEventContent},
    },
    room_version_rules::RoomVersionRules,
    serde::Base64,
    signatures::{PublicKeySet, verify_policy_server_signature},
};
use serde::{Deserialize, Serialize};

use super::{
    Room, RoomError, build::Built, canonical::Canonical, pdu::Pdu, receive::hashes::is_signed_by,
    state::membership_of,
};

/// The ID of the key by which policy servers sign, always.
pub(crate) const KEY_ID: &str = "ed25519:policy_server";

/// The policy server of a room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyServer {
    /// Its name.
    pub server: OwnedServerName,
    /// Its public Ed25519 key (unpadded Base64), as the room names it.
    key: String,
}

/// An event of a local user that the room's policy server is to recommend before it is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unrecommended {
    /// Who is to be asked.
    pub policy: PolicyServer,
    /// The event's ID.
    pub event_id: OwnedEventId,
    /// The event.
    pub json: Bytes,
    /// The client's transaction.
    pub transaction: Option<Transaction>,
}

impl PolicyServer {
    /// Whether it has signed an event; of some events it is not asked.
    pub fn recommends(&self, pdu: &Pdu, rules: &RoomVersionRules) -> bool {
        let Some(event) = read(pdu) else {
            return false;
        };
        let Ok(key) = Base64::parse(&self.key) else {
            return false;
        };
        if !event.is_plain() {
            let keys = PublicKeySet::from([(KEY_ID.to_owned(), key)]);
            let signed = is_signed_by(self.server.as_str(), &keys, (&event, rules));
            return is_exempt(pdu) || signed.is_ok();
        }
        let content = RoomPolicyEventContent::new(self.server.clone(), key);
        verify_policy_server_signature(&content, &event.object, rules).is_ok()
    }

    /// Whether there is a signature of its, whatever it is worth.
    pub fn has_signed(&self, pdu: &Pdu) -> bool {
        let signature = read(pdu).and_then(|event| {
            let all = event.object.get("signatures")?.as_object()?;
            let theirs = all.get(self.server.as_str())?.as_object()?;
            theirs.get(KEY_ID).map(|_| ())
        });
        signature.is_some()
    }

    /// An event with the signature that the server has answered with; `None` when it answered something else.
    pub fn with_signature(&self, pdu: &Pdu, answer: &CanonicalJsonObject) -> Option<Pdu> {
        let theirs = answer.get(self.server.as_str())?.as_object()?;
        let text = std::str::from_utf8(pdu.json()).ok()?;
        let mut event = Canonical::received_beside(text, theirs).ok()?;
        let all = event.object.get_mut("signatures")?;
        let CanonicalJsonValue::Object(all) = all else {
            return None;
        };
        // What the server has signed the event with as its sender's server stays.
        let kept = all
            .entry(self.server.to_string())
            .or_insert_with(|| CanonicalJsonValue::Object(CanonicalJsonObject::new()));
        let CanonicalJsonValue::Object(kept) = kept else {
            return None;
        };
        kept.insert(KEY_ID.to_owned(), theirs.get(KEY_ID)?.clone());
        let json = event.to_text().into_bytes();
        Pdu::parse(pdu.event_id.clone(), json.into()).ok()
    }
}

impl Room {
    /// The policy server in force: the room names it, with a key, and somebody of it is in the room.
    pub(crate) fn policy_server(&self) -> Option<PolicyServer> {
        let key = (TimelineEventType::RoomPolicy, String::new());
        let event = self.current.get(&key)?;
        let content: RoomPolicyEventContent = event.pdu.content_as()?;
        let key = content.public_keys.get(&"ed25519".into())?.encode();
        self.has_member_of(&content.via).then_some(PolicyServer {
            server: content.via,
            key,
        })
    }

    fn has_member_of(&self, server: &ServerName) -> bool {
        let first = (TimelineEventType::RoomMember, String::new());
        let members = self.current.range(first..);
        let mut members =
            members.take_while(|((kind, _), _)| *kind == TimelineEventType::RoomMember);
        members.any(|((_, state_key), event)| {
            let user_id = <&UserId>::try_from(state_key.as_str());
            user_id.is_ok_and(|user_id| user_id.server_name() == server)
                && membership_of(event) == Some(MembershipState::Join)
        })
    }
}

/// Refuses an event that was made here, is fit to be sent and must be recommended first.
pub(super) fn check(
    room: &Room,
    built: &Built,
    transaction: Option<&Transaction>,
) -> Result<(), RoomError> {
    let Some(policy) = room.policy_server() else {
        return Ok(());
    };
    let pdu = &built.pdu;
    if is_exempt(pdu) {
        return Ok(());
    }
    Err(RoomError::Unrecommended(Box::new(Unrecommended {
        policy,
        event_id: pdu.event_id.clone(),
        json: pdu.json().clone(),
        transaction: transaction.cloned(),
    })))
}

fn read(pdu: &Pdu) -> Option<Canonical> {
    Canonical::received(std::str::from_utf8(pdu.json()).ok()?).ok()
}

/// The server is not asked of what names it.
fn is_exempt(pdu: &Pdu) -> bool {
    pdu.event_type == TimelineEventType::RoomPolicy && pdu.state_key.as_deref() == Some("")
}
