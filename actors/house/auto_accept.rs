//! Invites that are accepted for their users.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use futures_util::future::BoxFuture;
use ruma::{OwnedServerName, RoomId, UserId, events::room::member::MembershipState};

use super::{House, HouseError, JoinWish, delays::HouseOutlet};
use crate::{
    followers::{
        acceptances::{Host, NotAccepted},
        member_events::MemberEvent,
    },
    room::RoomError,
    user::{UserAnswer, UserCommand, UserError, UserQuery, invite_filter::InviteVerdict},
};

/// A server that cannot be reached is tried for so long.
const UNREACHABLE_PATIENCE: Duration = Duration::from_secs(7 * 86_400);

/// One that refuses may not have heard yet that its invite has arrived.
const REFUSED_PATIENCE: Duration = Duration::from_secs(600);

/// Which invites are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AutoAccept {
    /// Of which kind.
    pub kind: AutoAcceptKind,
    /// Only those of users of this server.
    pub local_only: bool,
}

/// Invites that are accepted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoAcceptKind {
    /// None.
    #[default]
    Off,
    /// Those to direct chats.
    Direct,
    /// All.
    All,
}

impl AutoAccept {
    /// Whether an invite is among them.
    fn covers(&self, invite: &MemberEvent, server_name: &OwnedServerName) -> bool {
        let is_of_kind = match self.kind {
            AutoAcceptKind::Off => false,
            AutoAcceptKind::Direct => invite.is_direct,
            AutoAcceptKind::All => true,
        };
        is_of_kind && (!self.local_only || invite.sender.server_name() == server_name)
    }
}

/// The house as the follower of invites sees it. It comes to be after the follower.
pub(super) struct AutoHost {
    pub(super) outlet: Arc<HouseOutlet>,
    pub(super) wanted: AutoAccept,
    pub(super) server_name: OwnedServerName,
}

impl Host for AutoHost {
    fn wants(&self, invite: &MemberEvent) -> bool {
        self.wanted.covers(invite, &self.server_name)
    }

    fn accept(&self, invite: MemberEvent) -> BoxFuture<'static, Result<(), NotAccepted>> {
        let house = self.outlet.0.get().and_then(Weak::upgrade);
        Box::pin(async move {
            let Some(house) = house else {
                let why = "the server is starting or ending".to_owned();
                return Err(NotAccepted::Passing(why, Duration::MAX));
            };
            let accepted = house.accept_invite(&invite).await;
            accepted.map_err(|error| judged(&error))
        })
    }
}

impl House {
    /// Accepts an invite for its user, if it still stands and the user is there to see it.
    async fn accept_invite(&self, invite: &MemberEvent) -> Result<(), HouseError> {
        let MemberEvent {
            room_id, user_id, ..
        } = invite;
        if !self.is_invited(room_id, user_id).await? || !self.is_shown(user_id, invite).await? {
            return Ok(());
        }
        let wish = JoinWish {
            user_id: user_id.clone(),
            guest: false,
            room: room_id.clone().into(),
            via: vec![invite.sender.server_name().to_owned()],
            reason: None,
            extra_content: None,
        };
        self.join(wish).await?;
        if invite.is_direct {
            let mark = UserCommand::MarkDirect {
                room_id: room_id.clone(),
                with: invite.sender.clone(),
            };
            self.user_command(user_id, mark).await?;
        }
        Ok(())
    }

    /// Whether an invite of a user stands.
    pub(super) async fn is_invited(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<bool, HouseError> {
        if let Some(told) = self.told_of(room_id, user_id).await? {
            return Ok(told.membership() == Some(MembershipState::Invite));
        }
        match self.room_access(room_id, user_id).await {
            Ok(access) => Ok(access.membership == Some(MembershipState::Invite)),
            Err(HouseError::Room(RoomError::UnknownRoom)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether the user would see the invite, and may act on it.
    async fn is_shown(&self, user_id: &UserId, invite: &MemberEvent) -> Result<bool, HouseError> {
        match self.account(user_id).await {
            Ok(account) if account.deactivated || account.locked || account.suspended => {
                return Ok(false);
            }
            Ok(_) => {}
            Err(HouseError::User(UserError::UnknownUser | UserError::Deactivated)) => {
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        let hidden = self.user_query(user_id, UserQuery::HiddenInvites).await?;
        if let UserAnswer::HiddenInvites(hidden) = hidden
            && hidden.hides(&invite.room_id, invite.sequence)
        {
            return Ok(false);
        }
        let query = UserQuery::JudgeInvite(invite.sender.clone());
        let verdict = self.user_query(user_id, query).await?;
        Ok(matches!(verdict, UserAnswer::Invite(InviteVerdict::Allow)))
    }
}

fn judged(error: &HouseError) -> NotAccepted {
    let why = error.to_string();
    match error {
        HouseError::Unreachable(_)
        | HouseError::Busy
        | HouseError::Store(_)
        | HouseError::Broken(_)
        | HouseError::Lagging(_)
        | HouseError::Room(
            RoomError::Unavailable(_) | RoomError::Store(_) | RoomError::Broken(_),
        )
        | HouseError::User(
            UserError::Unavailable(_) | UserError::Store(_) | UserError::Broken(_),
        ) => NotAccepted::Passing(why, UNREACHABLE_PATIENCE),
        // Nobody who could help has answered with a reason.
        HouseError::RefusedElsewhere { errcode, .. } if errcode == "M_UNKNOWN" => {
            NotAccepted::Passing(why, UNREACHABLE_PATIENCE)
        }
        HouseError::RefusedElsewhere { .. } => NotAccepted::Passing(why, REFUSED_PATIENCE),
        _ => NotAccepted::Final(why),
    }
}

#[cfg(test)]
mod tests {
    use playhouse_schema::address::{Family, Shard};
    use ruma::{owned_room_id, owned_server_name, owned_user_id};

    use super::*;

    #[test]
    fn what_is_covered_follows_from_kind_and_server() {
        let here = owned_server_name!("near.test");
        let mut invite = MemberEvent {
            room_id: owned_room_id!("!r:far.test"),
            user_id: owned_user_id!("@a:near.test"),
            sender: owned_user_id!("@b:far.test"),
            membership: MembershipState::Invite,
            is_direct: false,
            sequence: 1,
            place: (
                Shard {
                    family: Family::Rooms,
                    number: 0,
                },
                1,
            ),
            at_ms: 0,
        };
        let covers = |kind, local_only, invite: &MemberEvent| {
            AutoAccept { kind, local_only }.covers(invite, &here)
        };
        assert!(!covers(AutoAcceptKind::Off, false, &invite));
        assert!(!covers(AutoAcceptKind::Direct, false, &invite));
        assert!(covers(AutoAcceptKind::All, false, &invite));
        assert!(!covers(AutoAcceptKind::All, true, &invite));
        invite.is_direct = true;
        assert!(covers(AutoAcceptKind::Direct, false, &invite));
        invite.sender = owned_user_id!("@c:near.test");
        assert!(covers(AutoAcceptKind::Direct, true, &invite));
    }

    #[test]
    fn who_refuses_is_asked_for_a_shorter_time() {
        let refused = HouseError::RefusedElsewhere {
            errcode: "M_FORBIDDEN".to_owned(),
            error: String::new(),
        };
        let NotAccepted::Passing(_, refused) = judged(&refused) else {
            panic!("it may pass");
        };
        let dead = HouseError::Unreachable(owned_server_name!("far.test"));
        assert!(matches!(judged(&dead), NotAccepted::Passing(_, dead) if dead > refused));
        let never = HouseError::Forbidden(String::new());
        assert!(matches!(judged(&never), NotAccepted::Final(_)));
    }
}
