//! Rooms as seen before joining them: alone, and in the tree of a space.

use std::collections::BTreeSet;

use bytes::Bytes;
use ruma::{
    OwnedRoomId, OwnedRoomOrAliasId, OwnedUserId, RoomId, UserId,
    events::room::member::MembershipState,
};
use serde::Deserialize;

use super::{House, HouseError, surprise};
use crate::room::{
    RoomAnswer, RoomError, RoomQuery,
    message::{RoomAccess, SpaceChild},
};

/// A walk through a space looks at so many rooms at most.
const ROOMS_MAX: usize = 5_000;

/// What somebody wants of the tree of a space.
#[derive(Clone, Debug)]
pub struct HierarchyWish {
    /// The space.
    pub room_id: OwnedRoomId,
    /// Who asks.
    pub user_id: OwnedUserId,
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
    /// The room.
    pub room_id: OwnedRoomId,
    /// What is known of it.
    pub access: RoomAccess,
    /// Its children's events, stripped.
    pub children: Vec<Bytes>,
}

impl House {
    /// A room that somebody may see, or `UnknownRoom`. `None` stands for somebody without a session.
    pub async fn room_summary(
        &self,
        room: &OwnedRoomOrAliasId,
        user_id: Option<&UserId>,
    ) -> Result<(OwnedRoomId, RoomAccess), HouseError> {
        let room_id = self.room_of(room, &[]).await?;
        let nobody = UserId::parse(format!("@:{}", self.env.server_name()))
            .map_err(|error| HouseError::Store(error.to_string()))?;
        let access = self
            .room_access(&room_id, user_id.unwrap_or(&nobody))
            .await?;
        if self.may_see(&access, user_id).await? {
            Ok((room_id, access))
        } else {
            Err(RoomError::UnknownRoom.into())
        }
    }

    /// A page of the tree of a space. `Forbidden` when the space itself may not be seen, `InvalidParam` when the tree has no such place to go on.
    ///
    /// Every page walks from the root: so nothing is kept between pages, and any node can give the next one.
    pub async fn hierarchy(&self, wish: HierarchyWish) -> Result<HierarchyPage, HouseError> {
        let mut walk = vec![(wish.room_id.clone(), 0_u64)];
        let mut met = BTreeSet::from([wish.room_id.clone()]);
        let mut passing = wish.after.is_some();
        let mut page = HierarchyPage {
            rooms: Vec::new(),
            more: false,
        };
        while let Some((room_id, depth)) = walk.pop() {
            let Some(access) = self.seen(&room_id, &wish).await? else {
                continue;
            };
            if !passing && page.rooms.len() == wish.limit {
                page.more = true;
                return Ok(page);
            }
            let children = self
                .children(&room_id, &access, wish.suggested_only)
                .await?;
            if wish.depth_max.is_none_or(|most| depth < most) {
                for child in children.iter().rev() {
                    if met.len() < ROOMS_MAX && !met.contains(&child.room_id) {
                        walk.push((child.room_id.clone(), depth + 1));
                    }
                }
                met.extend(children.iter().map(|child| child.room_id.clone()));
            }
            if passing {
                passing = wish.after.as_ref() != Some(&room_id);
                continue;
            }
            page.rooms.push(SeenRoom {
                room_id,
                access,
                children: children.into_iter().map(|child| child.event).collect(),
            });
        }
        if passing {
            return Err(HouseError::InvalidParam(
                "the tree has changed, begin again".to_owned(),
            ));
        }
        Ok(page)
    }

    /// A room of a walk; `None` when it is not here, or not for the asker. For the root that is an error.
    async fn seen(
        &self,
        room_id: &RoomId,
        wish: &HierarchyWish,
    ) -> Result<Option<RoomAccess>, HouseError> {
        let visible = match self.room_access(room_id, &wish.user_id).await {
            Ok(access) => self
                .may_see(&access, Some(&wish.user_id))
                .await?
                .then_some(access),
            Err(HouseError::Room(RoomError::UnknownRoom)) => None,
            Err(error) => return Err(error),
        };
        if visible.is_none() && wish.room_id == room_id {
            // Whether there is such a room is not told to those who may not see it.
            return Err(HouseError::Forbidden(
                "you may not see this room".to_owned(),
            ));
        }
        Ok(visible)
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

/// Whether everybody may see a room.
pub(super) fn is_open(access: &RoomAccess) -> bool {
    let rule = join_rule(access);
    access.world_readable
        || matches!(
            rule.as_deref(),
            Some("public" | "knock" | "knock_restricted")
        )
}

/// Whether those may see a room who are in one of some other rooms.
pub(super) fn is_restricted(access: &RoomAccess) -> bool {
    !access.allowed_rooms.is_empty() && join_rule(access).as_deref() == Some("restricted")
}

fn join_rule(access: &RoomAccess) -> Option<String> {
    #[derive(Deserialize)]
    struct Rules {
        join_rule: String,
    }
    let rules: Rules = serde_json::from_str(access.join_rules.as_deref()?).ok()?;
    Some(rules.join_rule)
}
