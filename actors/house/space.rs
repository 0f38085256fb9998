//! Rooms as seen before joining them: alone, and in the tree of a space.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use bytes::Bytes;
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedServerName, OwnedUserId, RoomAliasId, RoomId, UserId,
    events::room::member::MembershipState,
    room::{RoomSummary, RoomType},
};

use super::{House, HouseError, journey::Footing, surprise};
use crate::room::{
    RoomAnswer, RoomError, RoomQuery,
    message::{RoomAccess, SpaceChild},
};

/// A walk through a space looks at so many rooms at most.
const ROOMS_MAX: usize = 5_000;

/// For a page, other servers are asked no longer.
const ELSEWHERE_MAX: Duration = Duration::from_secs(20);

/// What somebody wants of the tree of a space.
#[derive(Clone, Debug)]
pub struct HierarchyWish {
    /// The space.
    pub room_id: OwnedRoomId,
    /// Servers that may know it, if it is not here.
    pub via: Vec<OwnedServerName>,
    /// Who asks.
    pub user_id: OwnedUserId,
    /// The asker is an administrator of this server: sees all rooms that are known here, and nobody else is asked.
    pub sees_all: bool,
    /// Only rooms that their spaces suggest.
    pub suggested_only: bool,
    /// So far into the tree.
    pub depth_max: Option<u64>,
    /// The last room that was told.
    pub after: Option<OwnedRoomId>,
    /// At most so many rooms.
    pub limit: usize,
}

/// A page of a tree, depth first.
#[derive(Clone, Debug)]
pub struct HierarchyPage {
    /// The rooms.
    pub rooms: Vec<SeenRoom>,
    /// There are more.
    pub more: bool,
}

/// A room of a tree.
#[derive(Clone, Debug)]
pub struct SeenRoom {
    /// What it says of itself.
    pub summary: RoomSummary,
    /// Its children's events, stripped.
    pub children: Vec<Bytes>,
}

/// A room that a walk comes to.
struct Step {
    room_id: OwnedRoomId,
    depth: u64,
    /// Servers to ask.
    via: Vec<OwnedServerName>,
    /// What the space's server told of it.
    hint: Option<RoomSummary>,
    /// The space's server told that this one may not see it: that is not asked again.
    is_hidden: bool,
}

/// What a walk finds in a room.
struct Sight {
    summary: RoomSummary,
    children: Vec<SpaceChild>,
    hints: BTreeMap<OwnedRoomId, Option<RoomSummary>>,
}

impl House {
    /// A room that somebody may see and the user's membership, or `UnknownRoom`. `None` stands for somebody without a session: for them nobody else is asked.
    pub async fn room_summary(
        &self,
        room: &OwnedRoomOrAliasId,
        via: &[OwnedServerName],
        user_id: Option<&UserId>,
    ) -> Result<(RoomSummary, Option<MembershipState>), HouseError> {
        let (room_id, servers) = match user_id {
            Some(_) => self.room_and_servers(room, via).await?,
            None => (self.local_room_of(room).await?, Vec::new()),
        };
        let nobody = UserId::parse(format!("@:{}", self.env.server_name()))
            .map_err(|error| HouseError::Broken(error.to_string()))?;
        let asker = user_id.unwrap_or(&nobody);
        let footing = self.footing(&room_id, asker).await?;
        if footing.is_here || user_id.is_none() {
            let access = self.room_access(&room_id, asker).await?;
            if self.may_see(&access, user_id).await? {
                let membership = access.membership.clone();
                return Ok((access.into_summary(room_id), membership));
            }
            return Err(RoomError::UnknownRoom.into());
        }
        let told = footing.told.as_ref().and_then(|told| told.membership());
        let there = (&footing, &*servers);
        match self.room_elsewhere(&room_id, there, false).await {
            Some(room)
                if self
                    .may_see_elsewhere((&room.summary, &footing), asker)
                    .await? =>
            {
                Ok((room.summary, told))
            }
            _ => Err(RoomError::UnknownRoom.into()),
        }
    }

    async fn local_room_of(&self, room: &OwnedRoomOrAliasId) -> Result<OwnedRoomId, HouseError> {
        match <&RoomAliasId>::try_from(room.as_str()) {
            Ok(alias) if !self.is_local(alias.server_name()) => Err(RoomError::UnknownRoom.into()),
            _ => self.room_of(room, &[]).await,
        }
    }

    /// A page of the tree of a space. `Forbidden` when the space itself may not be seen, `InvalidParam` when the tree has no such place to go on.
    ///
    /// Every page walks from the root: so nothing is kept between pages but other servers' answers, and any node can give the next one. Other servers
    /// are asked for a while; rooms of which nobody has told until then are left out.
    pub async fn hierarchy(&self, wish: HierarchyWish) -> Result<HierarchyPage, HouseError> {
        let until_ms = self.env.now_ms() + ELSEWHERE_MAX.as_millis() as u64;
        let mut walk = vec![Step {
            room_id: wish.room_id.clone(),
            depth: 0,
            via: wish.via.clone(),
            hint: None,
            is_hidden: false,
        }];
        let mut met = BTreeSet::from([wish.room_id.clone()]);
        let mut passing = wish.after.is_some();
        let mut page = HierarchyPage {
            rooms: Vec::new(),
            more: false,
        };
        while let Some(step) = walk.pop() {
            let asks_others = self.env.now_ms() < until_ms;
            let Some(mut sight) = self.seen(&step, &wish, asks_others).await? else {
                continue;
            };
            if !passing && page.rooms.len() == wish.limit {
                page.more = true;
                return Ok(page);
            }
            if wish.depth_max.is_none_or(|most| step.depth < most) {
                walk.extend(next_steps(&mut sight, step.depth + 1, &mut met));
            }
            if passing {
                passing = wish.after.as_ref() != Some(&step.room_id);
                continue;
            }
            let children = sight.children.into_iter();
            page.rooms.push(SeenRoom {
                summary: sight.summary,
                children: children.map(|child| child.event).collect(),
            });
        }
        if passing {
            return Err(HouseError::InvalidParam(
                "the tree has changed, begin again".to_owned(),
            ));
        }
        Ok(page)
    }

    /// A room of a walk; `None` when nobody tells of it, or it is not for the asker. For the root that is an error.
    async fn seen(
        &self,
        step: &Step,
        wish: &HierarchyWish,
        asks_others: bool,
    ) -> Result<Option<Sight>, HouseError> {
        let sight = self.sight(step, wish, asks_others).await?;
        if sight.is_none() && wish.sees_all && wish.room_id == step.room_id {
            return Err(RoomError::UnknownRoom.into());
        }
        if sight.is_none() && wish.room_id == step.room_id {
            // Whether there is such a room is not told to those who may not see it.
            return Err(HouseError::Forbidden(
                "you may not see this room".to_owned(),
            ));
        }
        Ok(sight)
    }

    /// The same, whether it is the root or not.
    async fn sight(
        &self,
        step: &Step,
        wish: &HierarchyWish,
        asks_others: bool,
    ) -> Result<Option<Sight>, HouseError> {
        let access = match self.room_access(&step.room_id, &wish.user_id).await {
            Ok(access) => Some(access),
            Err(HouseError::Room(RoomError::UnknownRoom)) => None,
            Err(error) => return Err(error),
        };
        let mut servers = access.iter().flat_map(|access| &access.servers);
        let is_inhabited = servers.any(|server| self.is_local(server));
        // In most rooms of a tree somebody of this server is: nothing more is asked of those. An administrator sees what is here, and no other server is asked.
        if !is_inhabited && !wish.sees_all {
            let footing = self.footing(&step.room_id, &wish.user_id).await?;
            if !footing.is_here {
                let there = (step, &footing, asks_others);
                return self.seen_elsewhere(there, wish).await;
            }
        }
        match access {
            Some(access) => self.seen_here(&step.room_id, access, wish).await,
            None => Ok(None),
        }
    }

    async fn seen_here(
        &self,
        room_id: &RoomId,
        access: RoomAccess,
        wish: &HierarchyWish,
    ) -> Result<Option<Sight>, HouseError> {
        if !wish.sees_all && !self.may_see(&access, Some(&wish.user_id)).await? {
            return Ok(None);
        }
        let children = self.children(room_id, &access, wish.suggested_only).await?;
        Ok(Some(Sight {
            summary: access.into_summary(room_id.to_owned()),
            children,
            hints: BTreeMap::new(),
        }))
    }

    async fn seen_elsewhere(
        &self,
        (step, footing, asks_others): (&Step, &Footing, bool),
        wish: &HierarchyWish,
    ) -> Result<Option<Sight>, HouseError> {
        let sight = match &step.hint {
            None if step.is_hidden => return Ok(None),
            // What a space holds, its parent's server does not tell.
            Some(hint) if hint.room_type != Some(RoomType::Space) => Sight {
                summary: hint.clone(),
                children: Vec::new(),
                hints: BTreeMap::new(),
            },
            _ if asks_others => {
                let there = (footing, &*step.via);
                let told = self.room_elsewhere(&step.room_id, there, wish.suggested_only);
                let Some(room) = told.await else {
                    return Ok(None);
                };
                Sight {
                    summary: room.summary,
                    children: room.children,
                    hints: room.hints,
                }
            }
            _ => return Ok(None),
        };
        let room = (&sight.summary, footing);
        let visible = self.may_see_elsewhere(room, &wish.user_id).await?;
        Ok(visible.then_some(sight))
    }

    /// The rooms of a space, in their order.
    pub(super) async fn children(
        &self,
        room_id: &RoomId,
        access: &RoomAccess,
        suggested_only: bool,
    ) -> Result<Vec<SpaceChild>, HouseError> {
        if access.room_type.as_deref() != Some("m.space") {
            return Ok(Vec::new());
        }
        let query = RoomQuery::Children { suggested_only };
        match self.room_query(room_id, query).await? {
            RoomAnswer::Children(children) => Ok(children),
            _ => Err(surprise("Children")),
        }
    }

    /// Whether somebody may know what a room says of itself: who is in it or invited, and who could come in or read it.
    async fn may_see(
        &self,
        access: &RoomAccess,
        user_id: Option<&UserId>,
    ) -> Result<bool, HouseError> {
        if is_open(access) {
            return Ok(true);
        }
        let Some(user_id) = user_id else {
            return Ok(false);
        };
        let inside = [MembershipState::Join, MembershipState::Invite].map(Some);
        if inside.contains(&access.membership) {
            return Ok(true);
        }
        if !is_restricted(access) {
            return Ok(false);
        }
        self.is_member_of_any(user_id, &access.allowed_rooms).await
    }
}

/// Where a walk goes from a room, the last first.
fn next_steps(sight: &mut Sight, depth: u64, met: &mut BTreeSet<OwnedRoomId>) -> Vec<Step> {
    let mut steps = Vec::new();
    for child in &sight.children {
        if met.len() >= ROOMS_MAX || !met.insert(child.room_id.clone()) {
            continue;
        }
        let told = sight.hints.remove(&child.room_id);
        steps.push(Step {
            room_id: child.room_id.clone(),
            depth,
            via: child.via.clone(),
            is_hidden: matches!(told, Some(None)),
            hint: told.flatten(),
        });
    }
    steps.reverse();
    steps
}

/// Whether everybody may see a room.
pub(super) fn is_open(access: &RoomAccess) -> bool {
    let rule = access.join_rule();
    access.world_readable
        || matches!(
            rule.as_deref(),
            Some("public" | "knock" | "knock_restricted")
        )
}

/// Whether those may see a room who are in one of some other rooms.
pub(super) fn is_restricted(access: &RoomAccess) -> bool {
    !access.allowed_rooms.is_empty() && access.join_rule().as_deref() == Some("restricted")
}
