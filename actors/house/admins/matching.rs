//! What a moderation policy matches: pending invites of local users that are shown to them.

use std::collections::{BTreeMap, BTreeSet};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use playhouse_schema::{
    address::{Entity, Position, Sequence, ShardNumber},
    chain::{Digest, digest},
    models::{
        Model as _,
        memberships::{self, Membership, Memberships},
    },
};
use ruma::{OwnedRoomId, OwnedUserId, RoomId, UserId};
use serde::Deserialize;

use crate::{
    admins::{AdminError, PolicyRule, policies::USERS_MAX},
    house::{House, HouseError, surprise},
    room::{RoomAnswer, RoomError, RoomQuery, acl::fits},
    user::{UserAnswer, UserError, UserQuery, hidden_invites::HiddenInvites},
};

/// So many invites are read at once from the read model.
const PAGE: usize = 1_000;

/// A policy may match so many invites.
const MATCHES_MAX: usize = 100_000;

/// So many bytes of a room's name are held against a pattern: whoever invites may call a room anything.
const NAME_BYTES_MAX: usize = 1_024;

/// So many users or rooms are asked at once.
const ASKED_AT_ONCE: usize = 32;

/// What is shown of a dry run has at most so many bytes when it comes back.
const SEEN_BYTES_MAX: usize = 4_096;

/// An invite that a policy matches.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MatchedInvite {
    /// Who is invited.
    pub user_id: OwnedUserId,
    /// Where to.
    pub room_id: OwnedRoomId,
    /// Who invites.
    pub inviter: OwnedUserId,
    /// The invite.
    pub event_id: String,
    /// Its number among the room's records.
    pub since: Sequence,
    shard: ShardNumber,
    position: Position,
}

/// As of when a policy is judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Moment {
    /// Of when ages are counted, milliseconds since the Unix epoch.
    pub(super) at_ms: u64,
    /// Up to which position of each shard an invite counts; without it all do.
    pub(super) until: Option<BTreeMap<ShardNumber, Position>>,
    /// What this run of the policy has hidden is as if it were not.
    pub(super) run: Option<Sequence>,
}

/// What was found.
#[derive(Clone, Debug, Default)]
pub(super) struct Found {
    /// By user and room.
    pub(super) invites: Vec<MatchedInvite>,
    /// So many would fit as well, but came later.
    pub(super) later: usize,
}

/// What a dry run has shown, in a form that somebody can bring back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) at_ms: u64,
    until: BTreeMap<ShardNumber, Position>,
    digest: Digest,
}

impl Seen {
    pub(super) fn of(at_ms: u64, rule: &PolicyRule, invites: &[MatchedInvite]) -> Self {
        let mut until = BTreeMap::new();
        for invite in invites {
            let last = until.entry(invite.shard).or_default();
            *last = invite.position.max(*last);
        }
        Self {
            at_ms,
            until,
            digest: digest_of(rule, invites),
        }
    }

    /// Whether these are the invites that were shown.
    pub(super) fn shows(&self, rule: &PolicyRule, invites: &[MatchedInvite]) -> bool {
        self.digest == digest_of(rule, invites)
    }

    /// As of when what was shown is found again.
    pub(super) fn moment(&self, run: Option<Sequence>) -> Moment {
        Moment {
            at_ms: self.at_ms,
            until: Some(self.until.clone()),
            run,
        }
    }

    pub(super) fn write(&self) -> String {
        let until = self.until.iter();
        let until: Vec<_> = until
            .map(|(shard, position)| format!("{shard:x}-{position:x}"))
            .collect();
        let digest = URL_SAFE_NO_PAD.encode(self.digest);
        format!("{:x}.{}.{digest}", self.at_ms, until.join("_"))
    }

    pub(super) fn read(text: &str) -> Option<Self> {
        if text.len() > SEEN_BYTES_MAX {
            return None;
        }
        let mut parts = text.splitn(3, '.');
        let at_ms = u64::from_str_radix(parts.next()?, 16).ok()?;
        let mut until = BTreeMap::new();
        for part in parts.next()?.split('_').filter(|part| !part.is_empty()) {
            let (shard, position) = part.split_once('-')?;
            let shard = ShardNumber::from_str_radix(shard, 16).ok()?;
            until.insert(shard, Position::from_str_radix(position, 16).ok()?);
        }
        let digest = URL_SAFE_NO_PAD.decode(parts.next()?).ok()?;
        Some(Self {
            at_ms,
            until,
            digest: digest.try_into().ok()?,
        })
    }
}

fn digest_of(rule: &PolicyRule, invites: &[MatchedInvite]) -> Digest {
    let mut text = serde_json::to_string(rule).unwrap_or_default();
    for invite in invites {
        for part in [
            invite.user_id.as_str(),
            invite.room_id.as_str(),
            invite.event_id.as_str(),
        ] {
            text.push('\n');
            text.push_str(part);
        }
    }
    digest(text.as_bytes())
}

/// Whether a text fits a pattern, if there is one.
fn is_wanted(pattern: &Option<String>, text: &str) -> bool {
    pattern.as_ref().is_none_or(|pattern| fits(pattern, text))
}

/// The invite, if all fits of the rule that is known of it at once.
fn fitting(rule: &PolicyRule, invite: Membership) -> Option<MatchedInvite> {
    let user_id = OwnedUserId::try_from(invite.user_id).ok()?;
    let inviter = OwnedUserId::try_from(invite.sender).ok()?;
    let room_id = OwnedRoomId::try_from(invite.room_id).ok()?;
    let fits = is_wanted(&rule.user_id, user_id.as_str())
        && is_wanted(&rule.inviter, inviter.as_str())
        && is_wanted(&rule.inviter_server, inviter.server_name().host())
        && is_wanted(&rule.room_id, room_id.as_str());
    fits.then_some(MatchedInvite {
        user_id,
        room_id,
        inviter,
        event_id: invite.event_id,
        since: invite.since_sequence,
        shard: invite.shard,
        position: invite.position,
    })
}

/// The room's name, by the stripped state of an invite.
fn name_told(stripped: &[Bytes]) -> Option<String> {
    #[derive(Deserialize)]
    struct Stripped {
        #[serde(rename = "type")]
        event_type: String,
        content: serde_json::Value,
    }
    let events = stripped.iter();
    let mut events = events.filter_map(|it| serde_json::from_slice::<Stripped>(it).ok());
    let named = events.find(|event| event.event_type == "m.room.name")?;
    let name = named.content.get("name")?.as_str()?;
    Some(name[..name.floor_char_boundary(NAME_BYTES_MAX)].to_owned())
}

impl House {
    /// Finds what a rule matches.
    pub(super) async fn matched(
        &self,
        rule: &PolicyRule,
        moment: &Moment,
    ) -> Result<Found, HouseError> {
        let mut found = self.matched_at_once(rule, moment).await?;
        let users: BTreeSet<_> = found.invites.iter().map(|it| it.user_id.clone()).collect();
        let hidden = self.hidden_invites_of(users).await?;
        found.invites.retain(|invite| {
            let place = (&*invite.room_id, invite.since);
            // Whoever has no account any more has no invites either.
            hidden.get(&invite.user_id).is_some_and(|hidden| {
                let is_own = moment.run.is_some_and(|run| hidden.hides_by(run, place));
                is_own || !hidden.hides(place.0, place.1)
            })
        });
        if rule.room_name.is_some() || rule.age_min_ms.is_some() || rule.age_max_ms.is_some() {
            self.keep_fitting(rule, (&mut found, moment.at_ms)).await?;
        }
        must_be_bearable(&found, &hidden)?;
        Ok(found)
    }

    /// Keeps those of which also fits what only the room can tell.
    async fn keep_fitting(
        &self,
        rule: &PolicyRule,
        (found, at_ms): (&mut Found, u64),
    ) -> Result<(), HouseError> {
        let questions: Vec<_> = std::mem::take(&mut found.invites)
            .into_iter()
            .map(|invite| {
                async move {
                    let fits = self.fits_closely(rule, &invite, at_ms).await?;
                    Ok::<_, HouseError>(fits.then_some(invite))
                }
                .boxed()
            })
            .collect();
        let mut answers = stream::iter(questions).buffered(ASKED_AT_ONCE);
        while let Some(answer) = answers.next().await {
            found.invites.extend(answer?);
        }
        drop(answers);
        Ok(())
    }

    /// What fits by the read model alone.
    async fn matched_at_once(
        &self,
        rule: &PolicyRule,
        moment: &Moment,
    ) -> Result<Found, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let store = &**self.models.store();
        let mut found = Found::default();
        let mut after = (String::new(), String::new());
        loop {
            let page = memberships::invites(store, (&after.0, &after.1), PAGE).await?;
            let is_last = page.len() < PAGE;
            if let Some(last) = page.last() {
                after = (last.user_id.clone(), last.room_id.clone());
            }
            let fitting = page.into_iter().filter_map(|invite| fitting(rule, invite));
            for invite in fitting.filter(|invite| self.is_local(invite.user_id.server_name())) {
                let until = moment.until.as_ref();
                let is_later = until.is_some_and(|until| {
                    invite.position > until.get(&invite.shard).copied().unwrap_or(0)
                });
                match is_later {
                    true => found.later += 1,
                    false => found.invites.push(invite),
                }
            }
            if found.invites.len() > MATCHES_MAX {
                let reason =
                    format!("the policy matches more than {MATCHES_MAX} invites: say more of them");
                return Err(AdminError::Invalid(reason).into());
            }
            if is_last {
                return Ok(found);
            }
        }
    }

    /// What is hidden from users. Those without an account are left out.
    async fn hidden_invites_of(
        &self,
        users: BTreeSet<OwnedUserId>,
    ) -> Result<BTreeMap<OwnedUserId, HiddenInvites>, HouseError> {
        let questions: Vec<_> = users
            .into_iter()
            .map(|user_id| {
                async move {
                    let told = self.user_query(&user_id, UserQuery::HiddenInvites).await;
                    (user_id, told)
                }
                .boxed()
            })
            .collect();
        let mut answers = stream::iter(questions).buffer_unordered(ASKED_AT_ONCE);
        let mut hidden = BTreeMap::new();
        while let Some((user_id, told)) = answers.next().await {
            match told {
                Ok(UserAnswer::HiddenInvites(invites)) => {
                    hidden.insert(user_id, invites);
                }
                Ok(_) => return Err(surprise("HiddenInvites")),
                Err(UserError::UnknownUser | UserError::Deactivated) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(answers);
        Ok(hidden)
    }

    /// Whether what only the room can tell fits.
    async fn fits_closely(
        &self,
        rule: &PolicyRule,
        invite: &MatchedInvite,
        at_ms: u64,
    ) -> Result<bool, HouseError> {
        if rule.age_min_ms.is_some() || rule.age_max_ms.is_some() {
            let entity = Entity::room(invite.room_id.as_str());
            let records = self.store.read_some(&entity, &[invite.since]).await?;
            let Some(record) = records.first() else {
                return Ok(false);
            };
            let age_ms = at_ms.saturating_sub(record.at_ms);
            let is_old = rule.age_min_ms.is_none_or(|min| age_ms >= min);
            if !is_old || rule.age_max_ms.is_some_and(|max| age_ms > max) {
                return Ok(false);
            }
        }
        let Some(pattern) = &rule.room_name else {
            return Ok(true);
        };
        let name = self.name_in_invite(&invite.room_id, &invite.user_id);
        Ok(name.await?.is_some_and(|name| fits(pattern, &name)))
    }

    async fn name_in_invite(
        &self,
        room_id: &RoomId,
        user_id: &UserId,
    ) -> Result<Option<String>, HouseError> {
        let query = RoomQuery::Stripped {
            user_id: user_id.to_owned(),
        };
        match self.room_query(room_id, query).await {
            Ok(RoomAnswer::Events(stripped)) => Ok(name_told(&stripped)),
            Ok(_) => Err(surprise("Stripped")),
            Err(error @ RoomError::Unavailable(_)) => Err(error.into()),
            // A room that cannot tell its name has none that fits.
            Err(_) => Ok(None),
        }
    }

    /// A digest of what users are in which rooms, as it is told to them: hidden invites are none. The invites' own content is part of it, by their event IDs.
    pub(super) async fn state_digest(
        &self,
        users: BTreeSet<OwnedUserId>,
    ) -> Result<String, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        let store = &**self.models.store();
        let hidden = self.hidden_invites_of(users).await?;
        let mut digests = Vec::with_capacity(hidden.len() * size_of::<Digest>());
        for (user_id, hidden) in hidden {
            let known = memberships::of_user(store, user_id.as_str()).await?;
            digests.extend(digest_of_user(&user_id, &hidden, &known));
        }
        Ok(URL_SAFE_NO_PAD.encode(digest(&digests)))
    }
}

/// In what a user is, as it is told to the user.
fn digest_of_user(user_id: &UserId, hidden: &HiddenInvites, known: &[Membership]) -> Digest {
    let mut text = format!("{user_id}\n");
    for known in known {
        let room_id = <&RoomId>::try_from(known.room_id.as_str());
        let is_hidden = known.membership == "invite"
            && room_id.is_ok_and(|room_id| hidden.hides(room_id, known.since_sequence));
        let membership = if is_hidden {
            "leave"
        } else {
            known.membership.as_str()
        };
        for part in [known.room_id.as_str(), membership, known.event_id.as_str()] {
            text.push_str(part);
            text.push('\n');
        }
    }
    digest(text.as_bytes())
}

/// Refuses what one run could not do.
fn must_be_bearable(
    found: &Found,
    hidden: &BTreeMap<OwnedUserId, HiddenInvites>,
) -> Result<(), AdminError> {
    let mut by_user = BTreeMap::<&UserId, usize>::new();
    for invite in &found.invites {
        let known = hidden.get(&invite.user_id);
        let is_hidden = known.is_some_and(|known| known.hides(&invite.room_id, invite.since));
        *by_user.entry(&invite.user_id).or_default() += usize::from(!is_hidden);
    }
    if by_user.len() > USERS_MAX {
        let reason = format!("the policy touches more than {USERS_MAX} users: say more of them");
        return Err(AdminError::Invalid(reason));
    }
    for (user_id, count) in by_user {
        let room_left = hidden.get(user_id).map_or(0, HiddenInvites::room_left);
        if count > room_left {
            let reason = format!(
                "the policy matches {count} invites of {user_id}, of whom only {room_left} more can be hidden"
            );
            return Err(AdminError::Invalid(reason));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admins::PolicyAction;

    fn rule() -> PolicyRule {
        PolicyRule {
            action: PolicyAction::RejectInvites,
            inviter: Some("@spam*".to_owned()),
            inviter_server: Some("*.bad.example".to_owned()),
            room_id: None,
            room_name: None,
            user_id: None,
            age_min_ms: None,
            age_max_ms: None,
        }
    }

    fn invite(sender: &str, position: Position) -> Membership {
        Membership {
            user_id: "@a:b".to_owned(),
            room_id: format!("!{position}:c"),
            membership: "invite".to_owned(),
            sender: sender.to_owned(),
            event_id: "$e".to_owned(),
            sequence: 1,
            shard: 10,
            position,
            since_sequence: 1,
            since_position: position,
            stay: (0, 0),
        }
    }

    #[test]
    fn all_that_is_said_must_fit() {
        let fits = |sender: &str| fitting(&rule(), invite(sender, 1)).is_some();
        assert!(fits("@spam1:x.bad.example") && fits("@spam:x.bad.example:8448"));
        assert!(!fits("@eggs:x.bad.example") && !fits("@spam:good.example"));
    }

    #[test]
    fn nobody_is_to_have_more_hidden_than_can_be() {
        let one = fitting(&rule(), invite("@spam:x.bad.example", 1)).expect("it fits");
        let known = BTreeMap::from([(one.user_id.clone(), HiddenInvites::default())]);
        let mut found = Found::default();
        found.invites.push(one);
        assert_eq!(must_be_bearable(&found, &known), Ok(()));
        assert!(must_be_bearable(&found, &BTreeMap::new()).is_err());
    }

    #[test]
    fn what_was_shown_comes_back() {
        let invites: Vec<_> = (17..20)
            .filter_map(|at| fitting(&rule(), invite("@spam:x.bad.example", at)))
            .collect();
        let seen = Seen::of(300, &rule(), &invites);
        let read = Seen::read(&seen.write()).expect("what was written is read");
        assert_eq!(read, seen);
        assert_eq!(
            read.moment(None).until,
            Some(BTreeMap::from([(10_u16, 19_u64)]))
        );
        assert!(read.shows(&rule(), &invites) && !read.shows(&rule(), &invites[1..]));
        let mut other = rule();
        other.inviter = None;
        assert!(!read.shows(&other, &invites));
        let none = Seen::of(300, &rule(), &[]);
        assert_eq!(Seen::read(&none.write()), Some(none));
        let long = "1".repeat(5_000);
        for nonsense in ["", "x", "1.2.3", "1..AAAA", long.as_str()] {
            assert_eq!(Seen::read(nonsense), None, "{nonsense}");
        }
    }
}
