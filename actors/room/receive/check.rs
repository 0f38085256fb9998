//! An event of another server, looked at alone: its format, its signatures, its hashes.

use std::collections::BTreeMap;

use bytes::Bytes;
use ruma::{
    CanonicalJsonValue, OwnedEventId, RoomId,
    canonical_json::redact_in_place,
    room_version_rules::RoomVersionRules,
    serde::{Base64, base64::Standard},
    signatures::{PublicKeyMap, Verified, required_server_signatures_to_verify_event},
};

use super::{CheckedPdu, hashes};
use crate::{
    env::Env,
    network::KeysWanted,
    room::{
        build::{FIELD_BYTES_MAX, PDU_BYTES_MAX},
        canonical::Canonical,
        pdu::Pdu,
        policy::KEY_ID as POLICY_KEY_ID,
    },
};

/// The most predecessors of an event that is news (server-server API, "PDUs").
const PREV_EVENTS_MAX: usize = 20;

/// So many keys by which a server has signed an event are looked for.
const KEYS_MAX: usize = 16;

/// The most events that authorise one directly that is news.
const AUTH_EVENTS_MAX: usize = 10;

/// What is wrong with an event that is not even looked at further.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// It is no event.
    #[error("malformed: {0}")]
    Malformed(String),
    /// It is larger, or says more, than an event may.
    #[error("too large: {0}")]
    TooLarge(&'static str),
    /// It is of another room.
    #[error("this event is of another room")]
    OtherRoom,
    /// Who must have signed it has not.
    #[error("signature: {0}")]
    Signature(String),
    /// Of the keys by which a server that must have signed it did, none could be had: that may be otherwise later.
    #[error("signature: {0}")]
    Keyless(String),
}

/// An event that was read, but not yet checked.
#[derive(Clone, Debug)]
pub struct RawPdu {
    event: Canonical,
    /// Its ID.
    pub event_id: OwnedEventId,
    is_past: bool,
}

impl RawPdu {
    /// Reads an event of a room version. `unsigned` is nothing that another server can vouch for, and left out.
    pub fn read(text: &str, rules: &RoomVersionRules) -> Result<Self, Flaw> {
        // Twice what is allowed leaves room for whitespace and `unsigned`.
        if text.len() > 2 * PDU_BYTES_MAX {
            return Err(Flaw::TooLarge("the event"));
        }
        let mut event =
            Canonical::event(text, rules).map_err(|error| Flaw::Malformed(error.to_string()))?;
        event.object.remove("unsigned");
        let event_id = hashes::event_id(&event, rules)?;
        Ok(Self {
            event,
            event_id,
            is_past: false,
        })
    }

    /// The same as a part of a room's past, its state, or what authorises events. There are events from before it was limited how many others one may name,
    /// and rooms whose state they are: what backfill and joins bring must not be refused for that (server-server API, `/backfill`). The size of an event
    /// bounds them.
    pub fn of_past(mut self) -> Self {
        self.is_past = true;
        self
    }

    /// Adds the keys that are needed to check it to `wanted`.
    pub fn want_keys(&self, rules: &RoomVersionRules, wanted: &mut KeysWanted) -> Result<(), Flaw> {
        let object = &self.event.object;
        let servers = required_server_signatures_to_verify_event(object, &rules.signatures)
            .map_err(|error| Flaw::Signature(error.to_string()))?;
        let sent_ms = object.get("origin_server_ts");
        let sent_ms = sent_ms.and_then(CanonicalJsonValue::as_integer);
        let valid_at = sent_ms.map_or(0, |ts| u64::try_from(i64::from(ts)).unwrap_or(0));
        let valid_at = if rules.enforce_key_validity {
            valid_at
        } else {
            0
        };
        let signatures = object.get("signatures");
        let signatures = signatures.and_then(CanonicalJsonValue::as_object);
        for server in servers {
            let by_server = signatures
                .and_then(|all| all.get(server.as_str()))
                .and_then(CanonicalJsonValue::as_object)
                .ok_or_else(|| Flaw::Signature(format!("{server} has not signed it")))?;
            let keys = wanted.entry(server).or_default();
            for key_id in by_server
                .keys()
                .filter(|id| id.starts_with("ed25519:") && *id != POLICY_KEY_ID)
                .take(KEYS_MAX)
            {
                let at = keys.entry(key_id.clone()).or_default();
                *at = (*at).max(valid_at);
            }
        }
        Ok(())
    }

    /// Checks everything that can be checked without the room.
    pub fn check(
        mut self,
        room_id: &RoomId,
        rules: &RoomVersionRules,
        keys: &PublicKeyMap,
    ) -> Result<CheckedPdu, Flaw> {
        let verified = match hashes::verify(&self.event, rules, keys) {
            Ok(verified) => verified,
            Err(flaw) => return Err(self.flaw_with(keys, (rules, flaw))),
        };
        let whole = self.event.to_text();
        if whole.len() > PDU_BYTES_MAX {
            return Err(Flaw::TooLarge("the event"));
        }
        let json = match verified {
            Verified::All => whole,
            Verified::Signatures => {
                redact_in_place(&mut self.event.object, &rules.redaction, None)
                    .map_err(|error| Flaw::Malformed(error.to_string()))?;
                self.event.to_text()
            }
        };
        let pdu = Pdu::parse(self.event_id.clone(), Bytes::from(json))
            .map_err(|error| Flaw::Malformed(error.to_string()))?;
        let is_roomless = rules.authorization.room_create_event_id_as_room_id
            && pdu.event_type == ruma::events::TimelineEventType::RoomCreate;
        let is_here = match &pdu.room_id {
            Some(named) => !is_roomless && named == room_id,
            None => is_roomless && self.event_id.as_str()[1..] == room_id.as_str()[1..],
        };
        if !is_here {
            return Err(Flaw::OtherRoom);
        }
        check_limits(&pdu)?;
        if !self.is_past {
            check_counts(&pdu)?;
        }
        Ok(CheckedPdu::from(pdu))
    }

    /// What is wrong with an event that could not be verified with some keys: its signatures, or only that there are none to look at them with.
    fn flaw_with(&self, keys: &PublicKeyMap, (rules, flaw): (&RoomVersionRules, Flaw)) -> Flaw {
        let mut wanted = KeysWanted::new();
        let is_signed = self.want_keys(rules, &mut wanted).is_ok();
        let lacks_all = wanted.iter().any(|(server, ids)| {
            let known = keys.get(server.as_str());
            let is_known = |id: &String| known.is_some_and(|known| known.contains_key(id));
            !ids.is_empty() && !ids.keys().any(is_known)
        });
        match flaw {
            Flaw::Signature(reason) if is_signed && lacks_all => Flaw::Keyless(reason),
            flaw => flaw,
        }
    }
}

/// The event type, and the state key of a state event, of an event that was only read.
impl RawPdu {
    /// A text under a key of the event.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.event.string(key)
    }
}

/// Keys with this server's own among them: those in use, and retired ones that are wanted for a time at which they were in use.
pub fn with_own_keys(
    mut keys: PublicKeyMap,
    wanted: &BTreeMap<String, u64>,
    env: &Env,
) -> PublicKeyMap {
    let signer = &env.identity.signer;
    let own: &mut BTreeMap<String, Base64> = keys.entry(env.server_name().to_string()).or_default();
    for retired in signer.retired() {
        let holds = |at_ms: &u64| *at_ms <= retired.expired_ts;
        if wanted.get(&retired.key_id).is_some_and(holds) {
            let key = Base64::<Standard>::new(retired.public_key.clone());
            own.insert(retired.key_id.clone(), key);
        }
    }
    for signer in std::iter::once(signer).chain(signer.beside()) {
        let key = Base64::<Standard>::new(signer.public_key().to_vec());
        own.insert(signer.key_id().to_string(), key);
    }
    keys
}

fn check_limits(pdu: &Pdu) -> Result<(), Flaw> {
    let fields = [
        pdu.event_type.to_string().len(),
        pdu.state_key.as_ref().map_or(0, String::len),
        pdu.sender.as_str().len(),
        pdu.room_id.as_ref().map_or(0, |id| id.as_str().len()),
        pdu.event_id.as_str().len(),
    ];
    if fields.into_iter().any(|length| length > FIELD_BYTES_MAX) {
        return Err(Flaw::TooLarge("a field of the event"));
    }
    let is_first = pdu.event_type == ruma::events::TimelineEventType::RoomCreate;
    if pdu.prev_events.is_empty() && !is_first {
        return Err(Flaw::Malformed("an event without predecessors".to_owned()));
    }
    Ok(())
}

fn check_counts(pdu: &Pdu) -> Result<(), Flaw> {
    if pdu.prev_events.len() > PREV_EVENTS_MAX {
        return Err(Flaw::TooLarge("the number of its predecessors"));
    }
    if pdu.auth_events.len() > AUTH_EVENTS_MAX {
        return Err(Flaw::TooLarge("the number of events that authorise it"));
    }
    Ok(())
}
