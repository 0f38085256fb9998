//! Who may see which event (client-server API, "Room history visibility"), and as of when somebody sees the room.

use std::sync::Arc;

use playhouse_schema::{address::Sequence, record::room::Placement};
use ruma::{
    UserId,
    events::{
        TimelineEventType,
        room::{history_visibility::HistoryVisibility, member::MembershipState},
    },
};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        message::Reader,
        state::{Room, StateKey, membership_of},
    },
    history::History,
    past::Moment,
};

/// How many changes of a reader's membership, or of the visibility, are looked at.
const STEPS_MAX: usize = 2_000;

/// How somebody stands to a room.
#[derive(Clone, Debug)]
pub(super) enum Standing {
    /// Joined.
    Joined,
    /// Was joined once; the event that ended it.
    Departed(Arc<RoomEvent>),
    /// Never joined, but the room is readable for everybody.
    Peeking,
    /// Never joined.
    Stranger,
}

/// What a reader gets of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Judgement {
    /// The reader may see it.
    pub(super) visible: bool,
    /// The reader's membership at the event, with what the event itself changed.
    pub(super) membership: MembershipState,
}

#[derive(Deserialize)]
struct VisibilityContent {
    history_visibility: HistoryVisibility,
}

/// What a history visibility event says; what is not understood means `shared`.
pub(super) fn visibility_of(event: &RoomEvent) -> HistoryVisibility {
    match event.pdu.content_as::<VisibilityContent>() {
        Some(content) => match content.history_visibility {
            known @ (HistoryVisibility::Invited
            | HistoryVisibility::Joined
            | HistoryVisibility::WorldReadable) => known,
            _ => HistoryVisibility::Shared,
        },
        None => HistoryVisibility::Shared,
    }
}

/// The key of the history visibility.
pub(super) fn visibility_key() -> StateKey {
    (TimelineEventType::RoomHistoryVisibility, String::new())
}

/// The key of somebody's membership.
pub(super) fn member_key(user_id: &UserId) -> StateKey {
    (TimelineEventType::RoomMember, user_id.as_str().to_owned())
}

/// The history visibility in force.
pub(super) fn visibility_now(room: &Room) -> HistoryVisibility {
    room.current
        .get(&visibility_key())
        .map_or(HistoryVisibility::Shared, |event| visibility_of(event))
}

/// The values that a key had, newest first, read as far as they were needed.
pub(super) struct Trail<T> {
    steps: Vec<(Sequence, T)>,
    rest: Option<Sequence>,
    read: fn(&RoomEvent) -> T,
}

impl<T: Clone> Trail<T> {
    /// What is in force now.
    pub(super) fn new(newest: Option<&Arc<RoomEvent>>, read: fn(&RoomEvent) -> T) -> Self {
        let mut trail = Self {
            steps: Vec::new(),
            rest: None,
            read,
        };
        if let Some(event) = newest {
            trail.push(event);
        }
        trail
    }

    /// How many values were read.
    pub(super) fn len(&self) -> usize {
        self.steps.len()
    }

    fn push(&mut self, event: &RoomEvent) {
        self.steps.push((event.sequence, (self.read)(event)));
        self.rest = event.replaces;
    }

    /// The value that was in force before a record.
    pub(super) async fn before(
        &mut self,
        history: &mut History,
        sequence: Sequence,
    ) -> Result<Option<T>, RoomError> {
        loop {
            let index = self.steps.partition_point(|(at, _)| *at >= sequence);
            if let Some((_, value)) = self.steps.get(index) {
                return Ok(Some(value.clone()));
            }
            let Some(rest) = self.rest.filter(|_| self.steps.len() < STEPS_MAX) else {
                return Ok(None);
            };
            match history.event(rest).await? {
                Some(event) => self.push(&event),
                None => self.rest = None,
            }
        }
    }
}

/// One reader's view of a room's history.
pub(super) struct Sight {
    /// See [`Reader::sees_all`].
    sees_all: bool,
    own_key: StateKey,
    /// The own member event in force now.
    own_now: Option<(Sequence, MembershipState)>,
    /// The newest join of the reader that is known to the log; events before it were followed by a join.
    joined_last: Option<Sequence>,
    /// The visibility in force now, and since when.
    visibility_now: (Sequence, HistoryVisibility),
    own: Trail<MembershipState>,
    visibility: Trail<HistoryVisibility>,
}

impl Sight {
    /// A reader's view. Reads the reader's membership history as far as the last join.
    pub(super) async fn new(
        history: &mut History,
        reader: &Reader,
    ) -> Result<(Self, Standing), RoomError> {
        let room = history.room.clone();
        let own_key = member_key(&reader.user_id);
        let own_event = room.current.get(&own_key);
        let visibility_event = room.current.get(&visibility_key());
        let own = Trail::new(own_event, membership_or_leave);
        let visibility = Trail::new(visibility_event, visibility_of);
        let mut sight = Self {
            sees_all: reader.sees_all,
            own_now: own.steps.first().cloned(),
            own_key,
            joined_last: None,
            visibility_now: visibility
                .steps
                .first()
                .cloned()
                .unwrap_or((0, HistoryVisibility::Shared)),
            own,
            visibility,
        };
        if reader.sees_all {
            return Ok((sight, Standing::Joined));
        }
        let standing = sight.take_stand(history, own_event.cloned()).await?;
        Ok((sight, standing))
    }

    async fn take_stand(
        &mut self,
        history: &mut History,
        own_event: Option<Arc<RoomEvent>>,
    ) -> Result<Standing, RoomError> {
        let mut later: Option<Arc<RoomEvent>> = None;
        let mut event = own_event;
        for _ in 0..STEPS_MAX {
            let Some(member) = event else { break };
            if membership_of(&member) == Some(MembershipState::Join) {
                self.joined_last = Some(member.sequence);
                return Ok(later.map_or(Standing::Joined, Standing::Departed));
            }
            event = match member.replaces {
                Some(replaced) => history.event(replaced).await?,
                None => None,
            };
            later = Some(member);
        }
        if self.visibility_now.1 == HistoryVisibility::WorldReadable {
            Ok(Standing::Peeking)
        } else {
            Ok(Standing::Stranger)
        }
    }

    /// Judges an event from memory; `None` when the log must be asked.
    pub(super) fn quick(&self, history: &History, event: &RoomEvent) -> Option<Judgement> {
        if self.sees_all {
            let own = self.own_now.as_ref();
            return history.may_be_shown(event).then(|| Judgement {
                visible: true,
                membership: own.map_or(MembershipState::Leave, |(_, own)| own.clone()),
            });
        }
        let (since, membership) = self.own_now.as_ref()?;
        if !history.may_be_shown(event) {
            return None;
        }
        if *membership != MembershipState::Join {
            return None;
        }
        if event.placement == Placement::Backfilled {
            return None;
        }
        let joined = if history.room.forked {
            self.is_own_value_current(history, event)
        } else {
            event.sequence >= *since
        };
        joined.then_some(Judgement {
            visible: true,
            membership: MembershipState::Join,
        })
    }

    /// Whether it is certain, without asking the log, that the reader may see everything from an event on.
    pub(super) fn sees_all_after(&self, history: &History, event: &RoomEvent) -> bool {
        if self.quick(history, event).is_some() {
            return true;
        }
        let is_joined = self
            .own_now
            .as_ref()
            .is_some_and(|(_, membership)| *membership == MembershipState::Join);
        let (since, visibility) = &self.visibility_now;
        let is_open = match visibility {
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Shared => is_joined,
            _ => false,
        };
        let is_live = event.placement == Placement::Live;
        is_open && is_live && *since <= event.sequence && !history.room.forked
    }

    /// Whether, in a room whose states have branched, the reader's membership at an event is the one in force: walked through the window only.
    fn is_own_value_current(&self, history: &History, event: &RoomEvent) -> bool {
        let mut id = history.room.current_id;
        while id > event.before {
            match history.in_window(id) {
                Some(link) if !self.is_own(link) && link.pdu.is_state() => id = link.before,
                _ => return false,
            }
        }
        id == event.before
    }

    fn is_own(&self, event: &RoomEvent) -> bool {
        event.pdu.event_type == TimelineEventType::RoomMember
            && event.pdu.state_key.as_deref() == Some(&self.own_key.1)
    }

    /// Judges an event.
    pub(super) async fn judge(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
    ) -> Result<Judgement, RoomError> {
        if let Some(judgement) = self.quick(history, event) {
            return Ok(judgement);
        }
        if !history.may_be_shown(event) {
            return Ok(Judgement {
                visible: false,
                membership: MembershipState::Leave,
            });
        }
        let before = self.membership_before(history, event).await?;
        let after = if self.is_own(event) {
            membership_or_leave(event)
        } else {
            before.clone()
        };
        let is_inside = self
            .own_now
            .as_ref()
            .is_some_and(|(_, membership)| *membership == MembershipState::Join);
        let visible = (is_inside && history.is_sticky(event))
            || self.is_visible(history, event, [&before, &after]).await?;
        Ok(Judgement {
            visible,
            membership: after,
        })
    }

    async fn is_visible(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
        memberships: [&MembershipState; 2],
    ) -> Result<bool, RoomError> {
        if memberships.contains(&&MembershipState::Join) {
            return Ok(true);
        }
        let before = self.visibility_before(history, event).await?;
        let after = if event.pdu.event_type == TimelineEventType::RoomHistoryVisibility
            && event.pdu.state_key.as_deref() == Some("")
        {
            visibility_of(event)
        } else {
            before.clone()
        };
        // The past was recorded after it happened: whoever of this server joined did so later.
        let is_past = event.placement == Placement::Backfilled;
        let joined_later = self
            .joined_last
            .is_some_and(|join| is_past || join > event.sequence);
        Ok([before, after].iter().any(|visibility| match visibility {
            HistoryVisibility::WorldReadable => true,
            HistoryVisibility::Shared => joined_later,
            // An invite opens history to those who then joined, not to those who were only asked.
            HistoryVisibility::Invited => {
                self.joined_last.is_some() && memberships.contains(&&MembershipState::Invite)
            }
            _ => false,
        }))
    }

    async fn membership_before(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
    ) -> Result<MembershipState, RoomError> {
        let found = if history.room.forked {
            let value = history
                .value(Moment::State(event.before), &self.own_key)
                .await?;
            value.map(|member| membership_or_leave(&member))
        } else {
            self.own.before(history, event.sequence).await?
        };
        Ok(found.unwrap_or(MembershipState::Leave))
    }

    async fn visibility_before(
        &mut self,
        history: &mut History,
        event: &RoomEvent,
    ) -> Result<HistoryVisibility, RoomError> {
        let found = if history.room.forked {
            let value = history
                .value(Moment::State(event.before), &visibility_key())
                .await?;
            value.map(|event| visibility_of(&event))
        } else {
            self.visibility.before(history, event.sequence).await?
        };
        Ok(found.unwrap_or(HistoryVisibility::Shared))
    }
}

/// What a member event says; what is not understood means that somebody is not there.
pub(super) fn membership_or_leave(event: &RoomEvent) -> MembershipState {
    membership_of(event).unwrap_or(MembershipState::Leave)
}
