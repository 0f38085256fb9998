//! Memberships of rooms in which nobody of this server is: knocks, and the end of invites and knocks, from this side and from the other.

use std::collections::BTreeMap;

use futures_util::FutureExt as _;
use playhouse_schema::record::room::MembershipTold;
use ruma::{
    OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, RoomVersionId, ServerName, UserId,
    events::{TimelineEventType, room::member::MembershipState},
};
use serde::{Deserialize, de::IgnoredAny};
use serde_json::{json, value::RawValue};
use tokio::time::Instant;

use super::{
    ASKING_MAX, Footing, LEAVING_MAX,
    handshake::{Journey, Setback, Setbacks},
};
use crate::{
    house::{House, HouseError, JoinWish, MemberWish, PduOutcome, peers::Patience},
    room::{
        RoomCommand, RoomError,
        message::MemberProfile,
        receive::sign::{SignedPdu, finish_template},
        told::Told,
    },
    user::UserCommand,
};

/// So many stripped events are kept.
const STRIPPED_MAX: usize = 50;

/// And so many bytes of each.
const STRIPPED_BYTES_MAX: usize = 65_536;

#[derive(Deserialize)]
struct KnockAnswer {
    #[serde(default)]
    knock_room_state: Vec<Box<RawValue>>,
}

impl House {
    /// Records what another server told, or was told, of a local user's membership.
    pub(super) async fn tell(
        &self,
        room_id: &RoomId,
        told: MembershipTold,
    ) -> Result<(), HouseError> {
        let command = RoomCommand::Tell(Box::new(told));
        self.room_command(room_id, command).await?;
        Ok(())
    }

    /// Knocks through a server that is in the room. `servers` may be.
    pub(in crate::house) async fn knock_through_others(
        &self,
        room_id: OwnedRoomId,
        (wish, servers): (JoinWish, Vec<OwnedServerName>),
    ) -> Result<OwnedRoomId, HouseError> {
        let journey = move |house: std::sync::Arc<House>| async move {
            let _alone = house.turn_into(&room_id).await?;
            let footing = house.footing(&room_id, &wish.user_id).await?;
            if wish.guest {
                return Err(RoomError::GuestForbidden.into());
            }
            let membership = MembershipState::Knock;
            let profile = house.member_profile(&wish.user_id).await?;
            let extra = (wish.reason, wish.extra_content.as_deref());
            let journey = Journey {
                omit_members: false,
                room_id: room_id.clone(),
                content: Self::member_content(&membership, profile, extra)?,
                user_id: wish.user_id,
                membership,
            };
            let begun = Instant::now();
            let mut setbacks = Setbacks::default();
            for server in house.helpers(&room_id, &footing, &servers) {
                if begun.elapsed() > ASKING_MAX {
                    break;
                }
                match house.knock_there(&server, &journey).await {
                    Ok(()) => return Ok(room_id),
                    Err(Setback::Peer(error)) => setbacks.note(&server, error),
                    Err(Setback::Version(version)) => setbacks.note_version(&server, version),
                    Err(Setback::House(error)) => return Err(error),
                }
            }
            Err(setbacks.into_error())
        };
        self.travel(|house| journey(house).boxed()).await
    }

    async fn knock_there(&self, server: &ServerName, journey: &Journey) -> Result<(), Setback> {
        let finished = self.make_there(server, journey).await?;
        let mut answer: KnockAnswer = self
            .send_there(server, journey, (&finished, Patience::SHORT))
            .await?;
        answer.knock_room_state.truncate(STRIPPED_MAX);
        let room = (&*journey.room_id, &finished.version);
        let state = self.introduced_by_knock(room, answer.knock_room_state);
        let stripped = stripped_of(&state.await?, &journey.user_id);
        let told = told_by(&finished.event, &finished.version, stripped);
        Ok(self.tell(&journey.room_id, told).await?)
    }

    /// Ends an invite or a knock through a server that is in the room. When nobody answers it ends here all the same. A join of the user that is under way comes to
    /// nothing.
    pub(in crate::house) async fn leave_through_others(
        &self,
        wish: MemberWish,
    ) -> Result<(), HouseError> {
        let journey = move |house: std::sync::Arc<House>| async move {
            // Before it is this one's turn: whoever goes on with the join has the turn until it hears of this.
            let was_joining = house.give_up_join(&wish.room_id, &wish.sender).await?;
            let _alone = house.turn_into(&wish.room_id).await?;
            match house.leave_in_turn(wish).await {
                // Where the join may have come to, the leave goes without anybody waiting for it.
                Err(HouseError::Room(RoomError::UnknownRoom | RoomError::Forbidden(_)))
                    if was_joining =>
                {
                    Ok(())
                }
                left => left,
            }
        };
        self.travel(|house| journey(house).boxed()).await
    }

    async fn leave_in_turn(&self, wish: MemberWish) -> Result<(), HouseError> {
        let footing = self.footing(&wish.room_id, &wish.sender).await?;
        if footing.is_here {
            return self.leave_here(wish).await;
        }
        let Some(version) = footing.version.clone() else {
            return Err(RoomError::UnknownRoom.into());
        };
        let now = match &footing.told {
            Some(told) => told.membership(),
            None => {
                let access = self.room_access(&wish.room_id, &wish.sender).await?;
                access.membership
            }
        };
        match now {
            Some(MembershipState::Invite | MembershipState::Knock | MembershipState::Join) => {}
            Some(MembershipState::Leave) => return Ok(()),
            _ => return Err(RoomError::Forbidden("the user is not in this room".into()).into()),
        }
        let membership = MembershipState::Leave;
        let extra = (wish.reason, wish.extra_content.as_deref());
        let journey = Journey {
            omit_members: false,
            content: Self::member_content(&membership, MemberProfile::default(), extra)?,
            room_id: wish.room_id,
            user_id: wish.sender,
            membership,
        };
        let left = match self.leave_there(&journey, &footing).await {
            Some(left) => left,
            None => self.leave_alone(&journey, &version)?,
        };
        let told = told_by(&left, &version, Vec::new());
        self.tell(&journey.room_id, told).await
    }

    /// The leave as a server in the room has taken it.
    async fn leave_there(&self, journey: &Journey, footing: &Footing) -> Option<SignedPdu> {
        let begun = Instant::now();
        for server in self.helpers(&journey.room_id, footing, &[]) {
            if begun.elapsed() > LEAVING_MAX {
                break;
            }
            let Ok(finished) = self.make_there(&server, journey).await else {
                continue;
            };
            let sent: Result<IgnoredAny, _> = self
                .send_there(&server, journey, (&finished, Patience::SHORT))
                .await;
            match sent {
                Ok(_) => return Some(finished.event),
                Err(error) => {
                    tracing::info!(%server, %error, "a server does not take a leave");
                }
            }
        }
        None
    }

    /// The leave that only this server knows of.
    fn leave_alone(
        &self,
        journey: &Journey,
        version: &RoomVersionId,
    ) -> Result<SignedPdu, HouseError> {
        let rules = version
            .rules()
            .ok_or_else(|| RoomError::UnsupportedVersion(version.clone()))?;
        let template = json!({
            "auth_events": [], "prev_events": [], "depth": 1, "room_id": journey.room_id, "sender": journey.user_id,
            "state_key": journey.user_id, "type": "m.room.member", "content": { "membership": journey.membership },
        });
        let user_id = journey.user_id.as_str();
        let content = journey.content.clone();
        finish_template(&template.to_string(), user_id, content, (&rules, &self.env))
            .map_err(|flaw| HouseError::InvalidParam(flaw.to_string()))
    }

    /// Forgets a room of which only others told; `None` when they did not.
    pub(in crate::house) async fn forget_told(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<()>, HouseError> {
        let Some(told) = self.told_of(room_id, user_id).await? else {
            return Ok(None);
        };
        if is_waiting(&told) {
            return Err(HouseError::StillInRoom);
        }
        let command = UserCommand::ForgetRoom {
            room_id: room_id.to_owned(),
            until: told.event.sequence,
        };
        self.user_command(user_id, command).await?;
        Ok(Some(()))
    }

    /// Events of a room in which nobody of this server is: only the end of an invite or a knock is of interest, and only when it names that as what it is about.
    pub(in crate::house) async fn hear_from_outside(
        &self,
        room_id: &RoomId,
        pdus: &[Box<RawValue>],
    ) -> Result<BTreeMap<OwnedEventId, PduOutcome>, HouseError> {
        let mut outcomes = BTreeMap::new();
        for pdu in pdus {
            let Some(told) = self.ended_by(room_id, pdu).await? else {
                continue;
            };
            let text = std::slice::from_ref(pdu);
            let checked = self.checked_of(room_id, &told.version, text).boxed();
            let (checked, _) = checked.await?;
            for pdu in checked {
                if !pdu.auth_events.contains(&told.event.pdu.event_id) {
                    continue;
                }
                let record = MembershipTold {
                    event_id: pdu.event_id.to_string(),
                    pdu: pdu.json().to_vec().into(),
                    room_version: told.version.to_string(),
                    stripped: Vec::new(),
                };
                self.tell(room_id, record).await?;
                outcomes.insert(pdu.event_id.clone(), Ok(()));
            }
        }
        Ok(outcomes)
    }

    /// The invite or knock of a local user that an event would end.
    async fn ended_by(
        &self,
        room_id: &RoomId,
        pdu: &RawValue,
    ) -> Result<Option<std::sync::Arc<Told>>, HouseError> {
        #[derive(Deserialize)]
        struct Content {
            membership: MembershipState,
        }
        #[derive(Deserialize)]
        struct Member {
            #[serde(rename = "type")]
            event_type: TimelineEventType,
            state_key: ruma::OwnedUserId,
            content: Content,
        }
        let Ok(member) = serde_json::from_str::<Member>(pdu.get()) else {
            return Ok(None);
        };
        let ends = matches!(
            member.content.membership,
            MembershipState::Leave | MembershipState::Ban
        );
        let is_member = member.event_type == TimelineEventType::RoomMember;
        if !ends || !is_member || !self.is_local(member.state_key.server_name()) {
            return Ok(None);
        }
        let told = self.told_of(room_id, &member.state_key).await?;
        Ok(told.filter(|told| is_waiting(told)))
    }
}

/// Whether it is an invite or a knock that nobody has answered.
pub(super) fn is_waiting(told: &Told) -> bool {
    matches!(
        told.membership(),
        Some(MembershipState::Invite | MembershipState::Knock)
    )
}

/// The record of an event that this server has signed.
pub(super) fn told_by(
    event: &SignedPdu,
    version: &RoomVersionId,
    stripped: Vec<serde_json::Value>,
) -> MembershipTold {
    let stripped = stripped.into_iter().map(|event| event.to_string());
    MembershipTold {
        event_id: event.event_id.to_string(),
        pdu: event.json.get().as_bytes().to_vec().into(),
        room_version: version.to_string(),
        stripped: stripped.map(|text| text.into_bytes().into()).collect(),
    }
}

/// What another server tells of a room, in stripped form whatever form it came in, but for the user's own member event.
pub(super) fn stripped_of(events: &[Box<RawValue>], user_id: &UserId) -> Vec<serde_json::Value> {
    #[derive(Deserialize)]
    struct Event {
        #[serde(rename = "type")]
        event_type: String,
        state_key: String,
        sender: ruma::OwnedUserId,
        content: serde_json::Map<String, serde_json::Value>,
    }
    let events = events.iter().take(STRIPPED_MAX);
    let events = events.filter(|event| event.get().len() <= STRIPPED_BYTES_MAX);
    let events = events.filter_map(|event| serde_json::from_str::<Event>(event.get()).ok());
    let others = events
        .filter(|event| event.event_type != "m.room.member" || event.state_key != user_id.as_str());
    others
        .map(|event| {
            json!({
                "type": event.event_type, "state_key": event.state_key, "sender": event.sender, "content": event.content,
            })
        })
        .collect()
}
