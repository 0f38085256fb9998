//! Joins of which nothing is to come: the user leaves wherever the join may have come to.
//!
//! Only the join is undone. An invite that it was to answer stands as long as nobody took the join, so that the user can try again.

use ruma::{
    CanonicalJsonObject, OwnedServerName, RoomId, ServerName, UserId,
    events::{StateEventType, room::member::MembershipState},
};
use serde::{Deserialize, de::IgnoredAny};
use tokio::time::Instant;

use super::{
    ASKING_MAX,
    handshake::{Finished, Journey, Setback},
    outside::{is_waiting, told_by},
    resume::{Round, is_final},
};
use crate::{
    house::{House, HouseError, MemberWish, peers::Patience, surprise},
    joins::Join,
    network::PeerError,
    room::{
        RoomAnswer, RoomError, RoomQuery,
        message::{MemberProfile, Reader},
        told::Told,
    },
};

/// A server that cannot be reached for so long, milliseconds, is not told any more that a user leaves.
const LEAVING_MS_MAX: u64 = 7 * 24 * 60 * 60 * 1_000;

/// So long after a join was sent, milliseconds, it is believed that there is nothing to be left: a server that was too slow may let the user in only now.
const SETTLED_MS_MIN: u64 = 10 * 60 * 1_000;

/// A member event, as far as it is looked at here.
#[derive(Deserialize)]
pub(super) struct Member {
    event_id: String,
    origin_server_ts: u64,
    content: MemberContent,
}

#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
}

impl Member {
    /// Whether the user has left, or was sent away, after some time, milliseconds since the Unix epoch.
    pub(super) fn has_left_after(&self, at_ms: u64) -> bool {
        let membership = &self.content.membership;
        let has_left = matches!(membership, MembershipState::Leave | MembershipState::Ban);
        has_left && self.origin_server_ts > at_ms
    }
}

/// What came of a leave at one server.
enum Left {
    /// It has taken it.
    Taken,
    /// There is nothing to be left at it, nor what the join was to answer.
    Refused,
    /// The same, but what the join was to answer may stand there.
    Stands,
    /// It may have to be told again.
    Unheard,
}

impl House {
    /// Has the user leave wherever the join may have come to.
    pub(super) async fn take_back(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Round, HouseError> {
        // Since when nothing is to come of it stands there only now.
        let Some(join) = self.noted_join(room_id, user_id).await? else {
            return Ok(Round::Over);
        };
        if self.is_in(room_id, user_id).await? {
            self.leave_what_was_joined((room_id, user_id), &join)
                .await?;
            self.note_undone(room_id, user_id).await?;
            return Ok(Round::Over);
        }
        let is_over = match self.leave_anywhere((room_id, user_id), &join).await? {
            Left::Taken => true,
            Left::Refused | Left::Stands => self.is_settled(&join),
            Left::Unheard => false,
        };
        if !is_over && !self.is_old(&join) {
            return Ok(Round::Again);
        }
        if is_over {
            tracing::info!(%room_id, %user_id, "a join is taken back");
        } else {
            tracing::warn!(%room_id, %user_id, "no server hears that a join is taken back");
        }
        self.note_undone(room_id, user_id).await?;
        Ok(Round::Over)
    }

    /// Whether no server can still be at work on what was sent to it. Until it was abandoned it may have been sent again.
    fn is_settled(&self, join: &Join) -> bool {
        let sent = join.sent.last().map_or(0, |sent| sent.at_ms);
        let abandoned = join.abandoned.as_ref().map_or(0, |it| it.at_ms);
        self.env.now_ms().saturating_sub(sent.max(abandoned)) > SETTLED_MS_MIN
    }

    /// Ends a join with which nothing can be done for a long time, whatever is in the way. Whether it is over.
    pub(super) async fn end_if_old(&self, room_id: &RoomId, user_id: &UserId) -> bool {
        match self.noted_join(room_id, user_id).await {
            Ok(Some(join)) if self.is_old(&join) => {
                tracing::warn!(%room_id, %user_id, "a join that was cut short is given up");
                self.note_undone(room_id, user_id).await.is_ok()
            }
            Ok(None) => true,
            Ok(Some(_)) | Err(_) => false,
        }
    }

    /// Whether a join stands in the log for too long.
    pub(super) fn is_old(&self, join: &Join) -> bool {
        let abandoned = join.abandoned.as_ref();
        let since_ms = abandoned.map_or(join.begun.at_ms, |it| it.at_ms);
        self.env.now_ms().saturating_sub(since_ms) >= LEAVING_MS_MAX
    }

    /// Leaves a room that is known here, unless the user came into it in another way.
    async fn leave_what_was_joined(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<(), HouseError> {
        let member = self.member_in_force(room_id, user_id).await?;
        let is_ours = |member: &Member| {
            let mut sent = join.sent.iter();
            sent.any(|sent| sent.event_id == member.event_id)
        };
        let came_by_it = member.as_ref().is_some_and(is_ours);
        if !came_by_it {
            return Ok(());
        }
        let wish = MemberWish::of_oneself(room_id, user_id);
        match self.leave_here(wish).await {
            // The user may have been faster.
            Ok(()) | Err(HouseError::Room(RoomError::Forbidden(_))) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The member event of a user that is in force in a room; `None` when there is none, or the room is not known here.
    pub(super) async fn member_in_force(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<Member>, HouseError> {
        let query = RoomQuery::StateEvent {
            reader: Reader::administrator(user_id.to_owned()),
            event_type: StateEventType::RoomMember,
            state_key: user_id.to_string(),
            content_only: false,
        };
        match self.room_query(room_id, query).await {
            Ok(RoomAnswer::Event(event)) => {
                let member: Result<Member, _> = serde_json::from_slice(&event);
                Ok(member.ok())
            }
            Ok(_) => Err(surprise("StateEvent")),
            Err(RoomError::NotFound | RoomError::UnknownRoom) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Tells the servers that may have let the user in, until one has taken it.
    async fn leave_anywhere(
        &self,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<Left, HouseError> {
        let begun = Instant::now();
        let mut servers: Vec<OwnedServerName> = Vec::new();
        // The newest first: it is the most likely one to have let the user in.
        for sent in join.sent.iter().rev() {
            if let Ok(server) = ServerName::parse(&sent.server)
                && !servers.contains(&server)
            {
                servers.push(server);
            }
        }
        let told = self.told_of(room_id, user_id).await?;
        let told = told.filter(|told| is_waiting(told));
        let is_its_own = |server: &ServerName| {
            let told = told.as_deref();
            told.is_some_and(|told| is_of(told, server))
        };
        // Whether what the join was to answer is still there is best told by the server that it is of.
        servers.sort_by_key(|server| !is_its_own(server));
        let mut is_gone = false;
        let mut all = Left::Refused;
        for (index, server) in servers.iter().enumerate() {
            let is_wanted = index > 0 && self.journeys.turns.is_waited_for(room_id.as_str());
            if is_wanted || begun.elapsed() > ASKING_MAX {
                return Ok(Left::Unheard);
            }
            let (left, leave) = self.leave_at(server, (room_id, user_id), join).await?;
            match left {
                Left::Taken => {
                    // A server outside the room takes what it likes, and has ended nothing.
                    if let Some(leave) = leave.filter(|_| is_gone || is_its_own(server)) {
                        let record = told_by(&leave.event, &leave.version, Vec::new());
                        self.tell(room_id, record).await?;
                    }
                    return Ok(Left::Taken);
                }
                Left::Refused => is_gone |= is_its_own(server),
                Left::Stands => {}
                Left::Unheard => all = Left::Unheard,
            }
        }
        Ok(all)
    }

    /// Tells a server that a user leaves whom it may have let in. With the leave, if it has taken one.
    async fn leave_at(
        &self,
        server: &ServerName,
        (room_id, user_id): (&RoomId, &UserId),
        join: &Join,
    ) -> Result<(Left, Option<Finished>), HouseError> {
        let membership = MembershipState::Leave;
        let (profile, extra) = (MemberProfile::default(), (None, None));
        let content: CanonicalJsonObject = Self::member_content(&membership, profile, extra)?;
        let journey = Journey {
            room_id: room_id.to_owned(),
            user_id: user_id.to_owned(),
            membership,
            content,
            omit_members: false,
        };
        let finished = match self.make_there(server, &journey).await {
            Ok(finished) => finished,
            Err(Setback::Peer(error)) => return Ok((left_after(&error), None)),
            // Whatever that is, it is not where a join that was made here was let in.
            Err(Setback::Version(_)) => return Ok((Left::Stands, None)),
            Err(Setback::House(error)) => return Err(error),
        };
        if !undoes(&finished, join) {
            tracing::info!(%server, %room_id, "a server has not let a user in: a leave would end an invite");
            return Ok((Left::Stands, None));
        }
        let leave = (&finished, Patience::SHORT);
        let sent: Result<IgnoredAny, _> = self.send_there(server, &journey, leave).await;
        match sent {
            Ok(_) => Ok((Left::Taken, Some(finished))),
            Err(error) => {
                tracing::info!(%server, %room_id, %error, "a server does not take a leave");
                Ok((left_after(&error), None))
            }
        }
    }
}

/// What came of a leave that a server did not take.
fn left_after(error: &PeerError) -> Left {
    match error {
        PeerError::Denied | PeerError::Barred => Left::Stands,
        error if is_final(error) => Left::Refused,
        _ => Left::Unheard,
    }
}

/// Whether a server has made what it told of: the invite of one of its users, or a knock that it, being in the room, has taken.
fn is_of(told: &Told, server: &ServerName) -> bool {
    match told.membership() {
        Some(MembershipState::Knock) => told.servers().contains(server),
        _ => told.event.pdu.sender.server_name() == server,
    }
}

/// Whether a leave is one from what a join has come to: it names, as what authorises it, the member event before it. Room versions 1 and 2 name pairs of an ID and
/// hashes.
fn undoes(leave: &Finished, join: &Join) -> bool {
    #[derive(Deserialize)]
    struct Leave {
        auth_events: Vec<serde_json::Value>,
    }
    let Ok(leave) = serde_json::from_str::<Leave>(leave.event.json.get()) else {
        return false;
    };
    let is_ours = |event_id: &str| join.sent.iter().any(|sent| sent.event_id == event_id);
    let mut named = leave.auth_events.iter();
    named.any(|named| {
        let event_id = named.as_str().or_else(|| named.get(0)?.as_str());
        event_id.is_some_and(is_ours)
    })
}
