//! Whose device lists a client must look at again, and whom it need not follow any more.
//!
//! `changed` names users whose keys changed and users newly seen in a room; `left` names those with whom no room is shared any more. Every joined room
//! counts, encrypted or not: a room may become encrypted at any time, and naming too many costs a key query while naming too few loses messages.

use std::collections::BTreeSet;

use futures_util::{FutureExt as _, StreamExt as _, stream};
use ruma::{OwnedUserId, RoomId, events::room::member::MembershipState};

use super::{
    plan::{Plan, RoomPlan, Section},
    token::Vector,
};
use crate::{
    room::{RoomAnswer, RoomQuery, message::RoomSlice},
    user::{UserError, feed::surroundings::DeviceChange},
};

/// So many users are looked up at once when a room of many is left.
const USERS_AT_ONCE: usize = 32;

/// Changes of device lists.
#[derive(Debug, Default)]
pub(crate) struct DeviceLists {
    pub(crate) changed: BTreeSet<OwnedUserId>,
    pub(crate) left: BTreeSet<OwnedUserId>,
    /// What was read from the store, and after which positions.
    pub(crate) found: Option<(Vector, Vec<DeviceChange>)>,
}

/// What rooms contribute.
#[derive(Debug, Default)]
pub(crate) struct Movements {
    came: BTreeSet<OwnedUserId>,
    went: BTreeSet<OwnedUserId>,
}

impl Movements {
    /// Takes in what a room tells: what it answered, if it was asked for a slice, and who is in it when the user came or went.
    pub(crate) async fn add(&mut self, plan: &Plan, room: &RoomPlan, slice: Option<&RoomSlice>) {
        let changes = slice.map_or(&[][..], |slice| &slice.member_changes);
        for (user_id, membership) in changes {
            match membership {
                MembershipState::Join => self.came.insert(user_id.clone()),
                _ => self.went.insert(user_id.clone()),
            };
        }
        // Whoever was joined and is now invited, banned or gone has departed.
        let departed = room.section != Section::Join && room.was_joined;
        if room.section == Section::Join && room.is_new {
            self.came
                .extend(joined_members(plan, &room.room_id, false).await);
        } else if departed {
            self.went
                .extend(joined_members(plan, &room.room_id, true).await);
        }
    }
}

/// The joined members now; or, for one who left, as of then.
async fn joined_members(plan: &Plan, room_id: &RoomId, of_former: bool) -> Vec<OwnedUserId> {
    let ask = |reader| {
        let query = RoomQuery::JoinedMembers { reader };
        plan.home.sources.ask_room(room_id, query)
    };
    let mut answer = ask(of_former.then(|| plan.reader.clone())).await;
    if of_former && answer.is_err() {
        answer = ask(None).await;
    }
    match answer {
        Ok(RoomAnswer::Joined(members)) => {
            members.into_iter().map(|(user_id, _)| user_id).collect()
        }
        Ok(_) => Vec::new(),
        Err(error) => {
            tracing::warn!(%room_id, %error, "cannot read members for device lists");
            Vec::new()
        }
    }
}

/// The device lists of an answer.
pub(crate) async fn device_lists(
    plan: &Plan,
    movements: Movements,
) -> Result<DeviceLists, UserError> {
    let mut lists = DeviceLists {
        changed: plan.device_changes.clone(),
        ..DeviceLists::default()
    };
    if let Some(until) = &plan.devices_until {
        let after = plan.since.devices.clone();
        let found = plan
            .home
            .sources
            .device_changes(&plan.home.user_id, after.clone(), until.clone())
            .await?;
        lists
            .changed
            .extend(found.iter().map(|(user_id, ..)| user_id.clone()));
        lists.found = Some((after, found));
    }
    let me = &plan.home.user_id;
    let questions: Vec<_> = movements
        .went
        .into_iter()
        .filter(|user_id| user_id != me)
        .map(|user_id| {
            async move {
                let shares = shares_room(plan, &user_id).await?;
                Ok::<_, UserError>((user_id, shares))
            }
            .boxed()
        })
        .collect();
    let mut answers = stream::iter(questions).buffer_unordered(USERS_AT_ONCE);
    while let Some(answer) = answers.next().await {
        let (user_id, shares) = answer?;
        if !shares {
            lists.left.insert(user_id);
        }
    }
    drop(answers);
    lists
        .changed
        .extend(movements.came.into_iter().filter(|user_id| user_id != me));
    lists
        .changed
        .retain(|user_id| !lists.left.contains(user_id));
    Ok(lists)
}

async fn shares_room(plan: &Plan, user_id: &OwnedUserId) -> Result<bool, UserError> {
    let rooms = plan
        .home
        .sources
        .joined_rooms(user_id, plan.next.rooms.clone())
        .await?;
    Ok(rooms.iter().any(|room_id| plan.joined.contains(room_id)))
}
