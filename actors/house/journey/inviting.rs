//! Inviting users of other servers: their server signs the invite before it becomes part of the room (server-server API, "Inviting to a room").

use std::collections::BTreeMap;

use ruma::{
    CanonicalJsonObject, CanonicalJsonValue, OwnedEventId, OwnedUserId, RoomId, RoomVersionId,
    ServerName,
};
use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};

use super::handshake::refusal;
use crate::{
    house::{
        House, HouseError,
        peers::{Patience, segment},
        receive::next,
        surprise,
    },
    network::{PeerError, PeerMethod},
    room::{
        RoomAnswer, RoomError, RoomQuery,
        canonical::Canonical,
        message::ChangeMembership,
        pdu::Pdu,
        receive::{CheckedPdu, Fate},
    },
};

#[derive(Serialize)]
struct Invite<'a> {
    room_version: &'a RoomVersionId,
    event: &'a RawValue,
    invite_room_state: &'a [Box<RawValue>],
}

#[derive(Deserialize)]
struct Signed {
    event: Signatures,
}

/// What is looked at of an event that came back.
#[derive(Deserialize)]
struct Signatures {
    signatures: BTreeMap<String, CanonicalJsonObject>,
}

/// An invite that was made, but is not part of the room yet.
struct Draft {
    event_id: OwnedEventId,
    event: Box<RawValue>,
    version: RoomVersionId,
    /// What the other server is told of the room: whole events, as all room versions demand of the create event at least.
    state: Vec<Box<RawValue>>,
}

impl House {
    /// Invites a user of another server.
    pub(in crate::house) async fn invite_elsewhere(
        &self,
        room_id: &RoomId,
        change: ChangeMembership,
    ) -> Result<(), HouseError> {
        let target: OwnedUserId = change.target.clone();
        let Some((event_id, mut pdu)) = self.drafted(room_id, change).await? else {
            return Ok(());
        };
        let gate = self.room_gate(room_id, target.server_name()).await?;
        if let Some(policy) = &gate.policy {
            let made = Pdu::parse(event_id.clone(), pdu);
            let made = made.map_err(|error| unusable(&policy.server, &error.to_string()))?;
            pdu = self.recommended(policy, &made).await?.json().clone();
        }
        let draft = self.draft(room_id, event_id, &pdu).await?;
        let server = target.server_name();
        let signed = self.signed_there(server, room_id, &draft).await;
        let signed = signed.map_err(|error| invite_refusal(server, error))?;
        let json = with_signature_of(server, &draft.event, &signed)
            .ok_or_else(|| unusable(server, "the invite comes back without a signature"))?;
        let pdu = Pdu::parse(draft.event_id, json.into());
        let pdu = pdu.map_err(|error| unusable(server, &error.to_string()))?;
        let event = next(CheckedPdu::from(pdu));
        let fates = self.receive(room_id, None, vec![event]).await?;
        match fates.into_iter().next() {
            Some((_, Fate::Accepted | Fate::Known)) => Ok(()),
            Some((_, Fate::Rejected(reason) | Fate::SoftFailed(reason))) => {
                Err(RoomError::Forbidden(reason).into())
            }
            _ => Err(surprise("Receive")),
        }
    }

    /// The event as the room would make it; `None` when nothing is to be done.
    async fn drafted(
        &self,
        room_id: &RoomId,
        change: ChangeMembership,
    ) -> Result<Option<(OwnedEventId, bytes::Bytes)>, HouseError> {
        let query = RoomQuery::Draft(Box::new(change));
        match self.room_query(room_id, query).await? {
            RoomAnswer::Draft(draft) => Ok(draft),
            _ => Err(surprise("Draft")),
        }
    }

    async fn draft(
        &self,
        room_id: &RoomId,
        event_id: OwnedEventId,
        pdu: &[u8],
    ) -> Result<Draft, HouseError> {
        let query = RoomQuery::Introduction;
        let RoomAnswer::Introduction(told) = self.room_query(room_id, query).await? else {
            return Err(surprise("Introduction"));
        };
        let state = told.state.iter();
        let state = state
            .filter_map(|event| serde_json::from_slice(event).ok())
            .collect();
        let event = serde_json::from_slice(pdu);
        Ok(Draft {
            event_id,
            event: event.map_err(|error| RoomError::BadJson(error.to_string()))?,
            version: told.version,
            state,
        })
    }

    /// The event as the invited user's server has signed it.
    async fn signed_there(
        &self,
        server: &ServerName,
        room_id: &RoomId,
        draft: &Draft,
    ) -> Result<Signatures, PeerError> {
        let room = segment(room_id.as_str());
        let event = segment(draft.event_id.as_str());
        let path = format!("/_matrix/federation/v2/invite/{room}/{event}");
        let body = Invite {
            room_version: &draft.version,
            event: &draft.event,
            invite_room_state: &draft.state,
        };
        let told: Result<Signed, _> = self
            .tell_peer(server, (PeerMethod::Put, path), &body, Patience::SHORT)
            .await;
        let error = match told {
            Ok(signed) => return Ok(signed.event),
            Err(error) => error,
        };
        // Version 1 does not say of which version the room is.
        let is_old = matches!(draft.version, RoomVersionId::V1 | RoomVersionId::V2);
        // However an old server says that it does not know version 2.
        let is_unknown = matches!(
            error,
            PeerError::Refused {
                status: 400 | 404,
                ..
            }
        );
        if !is_old || !is_unknown {
            return Err(error);
        }
        let path = format!("/_matrix/federation/v1/invite/{room}/{event}");
        let nonsense = |error: serde_json::Error| PeerError::Nonsense(error.to_string());
        let mut body: BTreeMap<String, Box<RawValue>> =
            serde_json::from_str(draft.event.get()).map_err(nonsense)?;
        let unsigned = BTreeMap::from([("invite_room_state", &draft.state)]);
        let unsigned = to_raw_value(&unsigned).map_err(nonsense)?;
        body.insert("unsigned".to_owned(), unsigned);
        let (_, signed): (u16, Signed) = self
            .tell_peer(server, (PeerMethod::Put, path), &body, Patience::SHORT)
            .await?;
        Ok(signed.event)
    }
}

/// The event with the signatures that another server has put on it, and nothing else of what came back.
fn with_signature_of(
    server: &ServerName,
    event: &RawValue,
    signed: &Signatures,
) -> Option<Vec<u8>> {
    let theirs = signed.signatures.get(server.as_str())?.clone();
    let mut event = Canonical::received_beside(event.get(), &theirs).ok()?;
    let signatures = event.object.get_mut("signatures")?.as_object_mut()?;
    signatures.insert(server.to_string(), CanonicalJsonValue::Object(theirs));
    Some(event.to_text().into_bytes())
}

fn unusable(server: &ServerName, what: &str) -> HouseError {
    refusal(server, PeerError::Nonsense(what.to_owned()))
}

/// What a client hears when the other server refuses an invite.
fn invite_refusal(server: &ServerName, error: PeerError) -> HouseError {
    match refusal(server, error) {
        HouseError::RefusedElsewhere { errcode, error }
            if errcode == "M_INCOMPATIBLE_ROOM_VERSION" =>
        {
            HouseError::RefusedElsewhere {
                errcode: "M_UNSUPPORTED_ROOM_VERSION".to_owned(),
                error,
            }
        }
        refused => refused,
    }
}
