//! Rooms with a policy server: events are sent, and taken in, as it recommends (server-server API, "Policy Servers").

use std::collections::BTreeSet;

use futures_util::{StreamExt as _, stream};
use ruma::{CanonicalJsonObject, OwnedEventId, RoomId};
use serde_json::value::RawValue;

use super::{House, HouseError, peers::Patience, surprise};
use crate::{
    network::{PeerError, PeerMethod},
    room::{
        RoomAnswer, RoomError, RoomQuery, RoomReply,
        pdu::Pdu,
        policy::{PolicyServer, Unrecommended},
        receive::{CheckedPdu, Fate, Fates, Occasion, Receive, ReceivedEvent, Role},
    },
};

/// Where a policy server is asked.
const SIGN: &str = "/_matrix/policy/v1/sign";

/// So many events a policy server is asked about at a time.
const ASKED_AT_ONCE: usize = 8;

impl House {
    /// Sends an event of a local user once the room's policy server recommends it; refused with what that says otherwise.
    pub(super) async fn send_recommended(
        &self,
        room_id: &RoomId,
        draft: Unrecommended,
    ) -> Result<RoomReply, RoomError> {
        let event_id = draft.event_id;
        let pdu = Pdu::parse(event_id.clone(), draft.json)
            .map_err(|error| RoomError::BadJson(error.to_string()))?;
        let event = ReceivedEvent {
            pdu: self.recommended(&draft.policy, &pdu).await?,
            role: Role::Own(draft.transaction),
        };
        let wish = Box::new(Receive {
            events: vec![event],
            occasion: Occasion::News,
        });
        let query = RoomQuery::Receive {
            version: None,
            wish,
        };
        let RoomAnswer::Received(mut fates) = self.room_query(room_id, query).await? else {
            return Err(RoomError::NotFound);
        };
        match fates.pop() {
            Some((_, Fate::Accepted | Fate::Known)) => Ok(RoomReply::Sent(event_id)),
            Some((_, Fate::Repeats(earlier))) => Ok(RoomReply::Sent(earlier)),
            Some((_, Fate::Rejected(reason) | Fate::SoftFailed(reason))) => {
                Err(RoomError::Forbidden(reason))
            }
            // It has another key now than it had a moment ago, or signs by another.
            _ => Err(not_recommended(invalid_signature())),
        }
    }

    /// An event with the policy server's signature.
    pub(super) async fn recommended(
        &self,
        policy: &PolicyServer,
        pdu: &Pdu,
    ) -> Result<CheckedPdu, RoomError> {
        let asked = self.ask_policy_server(policy, pdu).await;
        asked.map_err(not_recommended)
    }

    async fn ask_policy_server(
        &self,
        policy: &PolicyServer,
        pdu: &Pdu,
    ) -> Result<CheckedPdu, PeerError> {
        let event: &RawValue = serde_json::from_slice(pdu.json())
            .map_err(|error| PeerError::Nonsense(error.to_string()))?;
        let question = (PeerMethod::Post, SIGN.to_owned());
        let answer: CanonicalJsonObject = self
            .tell_peer(&policy.server, question, &event, Patience::EVENT)
            .await?;
        let signed = policy.with_signature(pdu, &answer);
        signed.map(CheckedPdu::from).ok_or_else(invalid_signature)
    }

    /// Has the room take in those events of a list that its policy server was not asked about, or that follow on such: once it was.
    pub(super) async fn receive_recommended(
        &self,
        room_id: &RoomId,
        (policy, events): (PolicyServer, Vec<ReceivedEvent>),
        mut fates: Fates,
    ) -> Result<Fates, HouseError> {
        let mut events = self.ask_about(&policy, events, &fates).await;
        for _ in 0..2 {
            let wish = Box::new(Receive {
                events: events.clone(),
                occasion: Occasion::News,
            });
            let query = RoomQuery::Receive {
                version: None,
                wish,
            };
            let RoomAnswer::Received(told) = self.room_query(room_id, query).await? else {
                return Err(surprise("Receive"));
            };
            let unsigned = unrecommended(&told);
            for (event_id, fate) in told {
                let known = fates.iter_mut().find(|(id, _)| *id == event_id);
                if let Some((_, known)) = known {
                    *known = fate;
                }
            }
            if unsigned.is_empty() {
                break;
            }
            // What it has signed with is not the key that the room names.
            for event in &mut events {
                if unsigned.contains(&event.pdu.event_id) {
                    event.role = Role::NotRecommended(invalid_signature().to_string());
                }
            }
        }
        Ok(fates)
    }

    /// Those of a list that are open still, with what the policy server says of each.
    async fn ask_about(
        &self,
        policy: &PolicyServer,
        events: Vec<ReceivedEvent>,
        fates: &Fates,
    ) -> Vec<ReceivedEvent> {
        let unsigned = unrecommended(fates);
        let open = fates
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Unrecommended(_) | Fate::Wanting { .. }));
        let open: BTreeSet<_> = open.map(|(event_id, _)| event_id).collect();
        let events = events.into_iter();
        let events = events.filter(|event| open.contains(&event.pdu.event_id));
        let unsigned = &unsigned;
        let asked = stream::iter(events.collect::<Vec<_>>()).map(|mut event| async move {
            let is_unsigned = unsigned.contains(&event.pdu.event_id);
            if !is_unsigned && policy.has_signed(&event.pdu) {
                return event;
            }
            match self.ask_policy_server(policy, &event.pdu).await {
                Ok(signed) => event.pdu = signed,
                Err(error) => event.role = Role::NotRecommended(error.to_string()),
            }
            event
        });
        asked.buffered(ASKED_AT_ONCE).collect().await
    }
}

fn unrecommended(fates: &Fates) -> BTreeSet<OwnedEventId> {
    let unsigned = fates.iter();
    let unsigned = unsigned.filter(|(_, fate)| matches!(fate, Fate::Unrecommended(_)));
    unsigned.map(|(event_id, _)| event_id.clone()).collect()
}

fn invalid_signature() -> PeerError {
    PeerError::Nonsense("the policy server's signature is not valid".to_owned())
}

/// What the policy server says goes to the client as it is.
fn not_recommended(error: PeerError) -> RoomError {
    match error {
        PeerError::Refused { errcode, error, .. } => RoomError::NotRecommended { errcode, error },
        error => RoomError::NotRecommended {
            errcode: "M_UNKNOWN".to_owned(),
            error: format!("the room's policy server cannot be asked: {error}"),
        },
    }
}
