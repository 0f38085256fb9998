//! Changes of membership: join, leave, invite, kick, ban, unban, knock.

use bytes::Bytes;
use playhouse_schema::record::room::RoomRecord;
use ruma::{
    OwnedEventId, OwnedUserId, ServerName, UserId,
    events::{
        StateEventType, TimelineEventType,
        room::member::MembershipState::{self, Ban, Invite, Join, Knock, Leave},
    },
    room::JoinRuleKind,
    state_res::events::{RoomJoinRulesEvent, RoomPowerLevelsIntField},
};
use serde::Deserialize;

use super::{
    Room, RoomError,
    auth::power::Power,
    build::NewEvent,
    canonical::Canonical,
    message::{ChangeMembership, MemberProfile, MembershipAction},
    send_event::submit,
};
use crate::{env::Env, kernel::Decision};

/// The key by which a restricted join names who vouches for it.
const VOUCHER: &str = "join_authorised_via_users_server";

/// Judges [`ChangeMembership`].
pub(super) fn decide(
    room: &Room,
    env: &Env,
    change: ChangeMembership,
) -> Result<Decision<Room>, RoomError> {
    let is_strict = room.rules()?.authorization.strict_canonical_json;
    let step = Step {
        sender: &change.sender,
        target: &change.target,
        to: membership_after(change.action),
        guest: change.guest,
    };
    step.check_known(room)?;
    step.check_action(room, change.action)?;
    step.check(room)?;
    let mut content = match &change.extra_content {
        Some(extra) => Canonical::parse(extra, is_strict, env)?,
        None => Canonical::default(),
    };
    content.object.remove(VOUCHER);
    fill_content(&mut content, &change, &step);
    if step.to == Join {
        vouch(room, &step, change.restriction_met, &mut content)?;
    }
    let event = NewEvent::state(
        change.sender.clone(),
        TimelineEventType::RoomMember,
        change.target.as_str(),
        content,
    );
    submit(room, env, event, None)
}

/// The event that a change would make, with its ID; `None` when it would make none.
pub(super) fn draft(
    room: &Room,
    env: &Env,
    change: ChangeMembership,
) -> Result<Option<(OwnedEventId, Bytes)>, RoomError> {
    let decision = decide(room, env, change)?;
    let made = decision
        .records
        .into_iter()
        .find_map(|record| match record {
            RoomRecord::Event(event) => Some(event),
            _ => None,
        });
    let Some(made) = made else {
        return Ok(None);
    };
    let event_id = OwnedEventId::try_from(made.event_id)
        .map_err(|error| RoomError::BadJson(error.to_string()))?;
    Ok(Some((event_id, made.pdu.into_vec().into())))
}

/// Checks a member event with content of the sender's own, as `PUT …/state/m.room.member/…` brings it.
pub(super) fn check_custom(
    room: &Room,
    event: &mut NewEvent,
    guest: bool,
) -> Result<(), RoomError> {
    let target = event
        .state_key
        .as_deref()
        .and_then(|state_key| UserId::parse(state_key).ok())
        .ok_or_else(|| bad("the state key of a member event must be a user ID"))?;
    let to: MembershipState = event
        .content
        .string("membership")
        .ok_or_else(|| bad("a member event needs a membership"))?
        .into();
    if !matches!(to, Join | Leave | Invite | Ban | Knock) {
        return Err(bad("unknown membership"));
    }
    let sender = event.sender.clone();
    let step = Step {
        sender: &sender,
        target: &target,
        to,
        guest,
    };
    step.check_known(room)?;
    step.check(room)?;
    event.content.object.remove(VOUCHER);
    if step.to == Join {
        vouch(room, &step, false, &mut event.content)?;
    }
    Ok(())
}

/// A change of membership to be judged.
struct Step<'a> {
    sender: &'a UserId,
    target: &'a UserId,
    to: MembershipState,
    guest: bool,
}

impl Step<'_> {
    /// Whether somebody else may be invited, or thrown out, depends on what they are now.
    fn check_known(&self, room: &Room) -> Result<(), RoomError> {
        let is_other = self.sender != self.target;
        if is_other && room.partial().is_some() && room.membership(self.target).is_none() {
            return Err(RoomError::PartialState);
        }
        Ok(())
    }

    /// What the client asked for must be what will happen.
    fn check_action(&self, room: &Room, action: MembershipAction) -> Result<(), RoomError> {
        let now = room.membership(self.target);
        let own = self.sender == self.target;
        match action {
            MembershipAction::Join | MembershipAction::Leave | MembershipAction::Knock if !own => {
                Err(forbidden("one joins, leaves and knocks only for oneself"))
            }
            MembershipAction::RefreshProfile if !own || now != Some(Join) => {
                Err(forbidden("only who has joined has a profile to refresh"))
            }
            MembershipAction::Kick if !matches!(now, Some(Join | Invite | Knock)) => {
                Err(forbidden("the user to kick is not in the room"))
            }
            MembershipAction::Unban if now != Some(Ban) => Err(forbidden("the user is not banned")),
            _ => Ok(()),
        }
    }

    /// What the authorisation rules leave open or say less clearly.
    fn check(&self, room: &Room) -> Result<(), RoomError> {
        let now = room.membership(self.target);
        let own = self.sender == self.target;
        if self.guest {
            if !own || !matches!(self.to, Join | Leave) {
                return Err(RoomError::GuestForbidden);
            }
            if self.to == Join && !guests_can_join(room) {
                return Err(RoomError::GuestForbidden);
            }
        }
        match (&self.to, now) {
            (Invite, Some(Join)) => Err(forbidden("the user is already in the room")),
            (Invite, Some(Ban)) => Err(forbidden("the user is banned from the room")),
            (Leave, None) if !own => Err(forbidden("the user is not in the room")),
            (Leave, Some(Leave)) if !own => Err(forbidden("the user is not in the room")),
            (Join | Knock, Some(Ban)) => Err(forbidden("the user is banned from the room")),
            _ => Ok(()),
        }
    }
}

fn membership_after(action: MembershipAction) -> MembershipState {
    match action {
        MembershipAction::Join | MembershipAction::RefreshProfile => Join,
        MembershipAction::Leave | MembershipAction::Kick | MembershipAction::Unban => Leave,
        MembershipAction::Invite { .. } => Invite,
        MembershipAction::Ban => Ban,
        MembershipAction::Knock => Knock,
    }
}

fn fill_content(content: &mut Canonical, change: &ChangeMembership, step: &Step<'_>) {
    content.set_string("membership", step.to.as_str());
    if matches!(step.to, Join | Invite | Knock) {
        put_profile(content, &change.profile);
    }
    if let Some(reason) = &change.reason {
        content.set_string("reason", reason);
    }
    if let MembershipAction::Invite { is_direct: true } = change.action {
        content
            .object
            .insert("is_direct".to_owned(), ruma::CanonicalJsonValue::Bool(true));
    }
}

/// Puts a profile into the content of a member event.
pub(super) fn put_profile(content: &mut Canonical, profile: &MemberProfile) {
    if let Some(displayname) = &profile.displayname {
        content.set_string("displayname", displayname);
    }
    if let Some(avatar_url) = &profile.avatar_url {
        content.set_string("avatar_url", avatar_url.as_str());
    }
}

fn vouch(
    room: &Room,
    step: &Step<'_>,
    restriction_met: bool,
    content: &mut Canonical,
) -> Result<(), RoomError> {
    let own = step.target.server_name();
    vouch_for(room, (step.target, own), restriction_met, content)
}

/// For a join by the condition of a restricted room: names a member of a server who may invite.
pub(super) fn vouch_for(
    room: &Room,
    (target, server): (&UserId, &ServerName),
    restriction_met: bool,
    content: &mut Canonical,
) -> Result<(), RoomError> {
    if !is_restricted(room) || matches!(room.membership(target), Some(Join | Invite)) {
        return Ok(());
    }
    if !restriction_met {
        return Err(forbidden(
            "the room is restricted, and none of its conditions holds for the user",
        ));
    }
    let voucher = voucher(room, server)?.ok_or_else(|| {
        RoomError::UnableToGrantJoin("no member of this server may invite".to_owned())
    })?;
    content.set_string(VOUCHER, voucher.as_str());
    Ok(())
}

fn is_restricted(room: &Room) -> bool {
    let Ok(rules) = room.rules() else {
        return false;
    };
    let rule = room
        .state_event(&StateEventType::RoomJoinRules, "")
        .and_then(|event| RoomJoinRulesEvent::new(&event.pdu).join_rule().ok());
    match rule {
        Some(JoinRuleKind::Restricted) => rules.authorization.restricted_join_rule,
        Some(JoinRuleKind::KnockRestricted) => rules.authorization.knock_restricted_join_rule,
        _ => false,
    }
}

impl Room {
    /// Whether somebody may vouch for others who join a restricted room: who is in it and may invite.
    pub(crate) fn may_vouch(&self, user_id: &UserId) -> Result<bool, RoomError> {
        let power = Power::of(self)?;
        let is_joined = self.membership(user_id) == Some(Join);
        Ok(is_joined && power.allows(user_id, RoomPowerLevelsIntField::Invite))
    }
}

/// A joined member of a server who may invite. Members with power of their own come first; everybody is asked only when all may invite.
fn voucher(room: &Room, server: &ServerName) -> Result<Option<OwnedUserId>, RoomError> {
    let power = Power::of(room)?;
    let may = |user_id: &UserId| {
        user_id.server_name() == server
            && room.membership(user_id) == Some(Join)
            && power.allows(user_id, RoomPowerLevelsIntField::Invite)
    };
    if let Some(named) = power.named_users().into_iter().find(|user_id| may(user_id)) {
        return Ok(Some(named.to_owned()));
    }
    let everybody = power.needed_for(RoomPowerLevelsIntField::UsersDefault);
    if everybody < power.needed_for(RoomPowerLevelsIntField::Invite) {
        return Ok(None);
    }
    let first = (TimelineEventType::RoomMember, String::new());
    Ok(room
        .current
        .range(first..)
        .take_while(|((event_type, _), _)| *event_type == TimelineEventType::RoomMember)
        .filter_map(|((_, state_key), _)| UserId::parse(state_key).ok())
        .find(|user_id| may(user_id)))
}

fn guests_can_join(room: &Room) -> bool {
    #[derive(Deserialize)]
    struct GuestAccess {
        guest_access: String,
    }
    room.state_event(&StateEventType::RoomGuestAccess, "")
        .and_then(|event| event.pdu.content_as::<GuestAccess>())
        .is_some_and(|content| content.guest_access == "can_join")
}

fn forbidden(text: &str) -> RoomError {
    RoomError::Forbidden(text.to_owned())
}

fn bad(text: &str) -> RoomError {
    RoomError::BadJson(text.to_owned())
}
