//! What another server tells of a room in which nobody of this server is: with an invite, and in answer to a knock.

use std::collections::BTreeSet;

use futures_util::FutureExt as _;
use ruma::{OwnedUserId, RoomId, RoomVersionId, events::TimelineEventType};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::value::RawValue;

use super::invited::IncomingInvite;
use crate::{
    house::{House, HouseError},
    network::KeysWanted,
    room::{
        RoomError,
        receive::{CheckedPdu, check::RawPdu},
    },
};

/// The whole events of an introduction may be signed by so many servers: what tells a room from others is the work of a few.
const SERVERS_MAX: usize = 16;

impl House {
    /// What comes with an invite, once it is looked at (server-server API, "Inviting to a room"): refused unless it proves which room it is.
    pub(super) async fn introduced_by_invite(
        &self,
        invite: &IncomingInvite,
    ) -> Result<Vec<Box<RawValue>>, HouseError> {
        if !must_be_proved(&invite.version)? {
            return Ok(invite.state.clone());
        }
        let bad = |what: &str| HouseError::InvalidParam(format!("invite_room_state: {what}"));
        let (stripped, mut whole) = parted(invite.state.clone(), StrippedCreate::No);
        let all = whole.len();
        keep_few_servers(&invite.version, &mut whole)?;
        if whole.len() < all {
            return Err(bad("too many servers made it"));
        }
        let checked = self.checked_of(&invite.room_id, &invite.version, &whole);
        let (sound, flaws) = checked.boxed().await?;
        if let Some(flaw) = flaws.into_values().find_map(Result::err) {
            return Err(bad(&flaw));
        }
        let distinct: BTreeSet<&str> = whole.iter().map(|event| event.get()).collect();
        let is_state = sound.iter().all(|pdu| pdu.is_state());
        if sound.len() < distinct.len() || !is_state {
            return Err(bad("not all of it are state events of the room's version"));
        }
        if !sound.iter().any(is_create) {
            return Err(bad("the create event is missing"));
        }
        Ok(texts(&sound).chain(stripped).collect())
    }

    /// What a knock is answered with, without what is not sound: the knock itself stands.
    pub(super) async fn introduced_by_knock(
        &self,
        (room_id, version): (&RoomId, &RoomVersionId),
        state: Vec<Box<RawValue>>,
    ) -> Result<Vec<Box<RawValue>>, HouseError> {
        let create = if must_be_proved(version)? {
            StrippedCreate::No
        } else {
            StrippedCreate::Yes
        };
        let (stripped, mut whole) = parted(state, create);
        keep_few_servers(version, &mut whole)?;
        let checked = self.checked_of(room_id, version, &whole);
        let (sound, _) = checked.boxed().await?;
        Ok(texts(&sound).chain(stripped).collect())
    }
}

/// Whether it must be proved which room is meant: from room version 12 on the create event proves it (MSC4311).
fn must_be_proved(version: &RoomVersionId) -> Result<bool, HouseError> {
    let unsupported = || RoomError::UnsupportedVersion(version.clone());
    let rules = version.rules().ok_or_else(unsupported)?;
    Ok(rules.authorization.room_create_event_id_as_room_id)
}

/// Whether a create event that is not whole is believed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum StrippedCreate {
    Yes,
    No,
}

/// Leaves out events beyond those that the first few servers have made: each of them may have to be asked for its keys.
fn keep_few_servers(
    version: &RoomVersionId,
    whole: &mut Vec<Box<RawValue>>,
) -> Result<(), HouseError> {
    let unsupported = || RoomError::UnsupportedVersion(version.clone());
    let rules = version.rules().ok_or_else(unsupported)?;
    let mut wanted = KeysWanted::new();
    whole.retain(|event| {
        let Ok(pdu) = RawPdu::read(event.get(), &rules) else {
            return true;
        };
        let mut more = wanted.clone();
        // What it lacks is found later, and some servers may be asked until then.
        pdu.want_keys(&rules, &mut more).ok();
        let are_few = more.len() <= SERVERS_MAX;
        if are_few {
            wanted = more;
        }
        are_few
    });
    Ok(())
}

/// Stripped events, create events among them only where such are believed, and all others, which must be whole. The specification wants whole events only;
/// until the summer of 2026 Synapse sent no other one than the create event, and its users are to be able to invite ours. Nobody but the inviter's server
/// vouches for them.
fn parted(
    state: Vec<Box<RawValue>>,
    create: StrippedCreate,
) -> (Vec<Box<RawValue>>, Vec<Box<RawValue>>) {
    #[derive(Deserialize)]
    struct Stripped {
        #[serde(rename = "type")]
        event_type: TimelineEventType,
        #[serde(rename = "state_key")]
        _state_key: String,
        #[serde(rename = "sender")]
        _sender: OwnedUserId,
        signatures: Option<IgnoredAny>,
    }
    state.into_iter().partition(|event| {
        let event = serde_json::from_str::<Stripped>(event.get());
        event.is_ok_and(|event| {
            let is_create = event.event_type == TimelineEventType::RoomCreate;
            event.signatures.is_none() && (!is_create || create == StrippedCreate::Yes)
        })
    })
}

fn is_create(pdu: &CheckedPdu) -> bool {
    pdu.event_type == TimelineEventType::RoomCreate && pdu.state_key.as_deref() == Some("")
}

fn texts(sound: &[CheckedPdu]) -> impl Iterator<Item = Box<RawValue>> {
    let texts = sound.iter();
    texts.filter_map(|pdu| serde_json::from_slice(pdu.json()).ok())
}
