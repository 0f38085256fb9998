//! Moderation policies: what one would do, doing it, and taking that back.
//!
//! Invites are not rejected but hidden: one record for each user says which, and the rooms keep them. So many are gone at once, nobody else hears of it,
//! and what comes back is what was there. Only where the other servers are to be told are invites really rejected, one by one, for good.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{FutureExt as _, StreamExt as _, stream};
use playhouse_schema::{
    address::{Entity, Sequence},
    record::user::{HiddenInvite, InvitesHidden},
};
use ruma::{OwnedUserId, UserId};
use serde_json::{Value, json};

use super::matching::{Found, MatchedInvite, Moment, Seen};
use crate::{
    admins::{
        AdminError, Policy, PolicyAnswer, PolicyCommand, PolicyQuery, PolicyReply, PolicyRule,
        PolicyRun,
    },
    house::{House, HouseError, MemberWish, surprise},
    user::{UserCommand, UserError, UserReply, message::InviteWish},
};

/// So many users are told at once.
const USERS_AT_ONCE: usize = 32;

/// So many invites are rejected at once.
const REJECTED_AT_ONCE: usize = 16;

/// So many invites may be rejected for good in one run: each may take as long as a server that does not answer.
const REJECTED_MAX: usize = 1_000;

/// One record names so many invites.
const INVITES_PER_RECORD: usize = 5_000;

/// What a policy would do.
#[derive(Clone, Debug)]
pub struct DryRun {
    /// What it matches, by user and room.
    pub invites: Vec<MatchedInvite>,
    /// What is brought back to have it done.
    pub token: String,
    /// A digest of what the users are in which rooms, as it is told to them.
    pub state: String,
}

/// A policy that is to be applied.
#[derive(Clone, Debug)]
pub struct PolicyWish {
    /// Its name.
    pub policy: String,
    /// What the dry run said.
    pub token: String,
    /// Reject the invites for good, and tell the servers of the rooms.
    pub tells_servers: bool,
    /// Who wants that.
    pub by: String,
}

/// What a policy did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Applied {
    /// The number of the run.
    pub run: Sequence,
    /// So many invites were taken away, …
    pub invites: u64,
    /// … from so many users.
    pub users: u64,
    /// So many could not be, where the other servers were to be told.
    pub failed: u64,
    /// So many fit as well, but came after the dry run: they stay.
    pub later: u64,
}

impl House {
    /// Writes a policy down, in place of one of the same name.
    pub async fn save_policy(
        &self,
        name: &str,
        rule: PolicyRule,
        by: &str,
    ) -> Result<(), HouseError> {
        let command = PolicyCommand::Save {
            name: name.to_owned(),
            rule: Box::new(rule),
            by: by.to_owned(),
        };
        self.policy_command(command).await?;
        Ok(())
    }

    /// Strikes a policy out. What it did stays as it is, and can still be taken back.
    pub async fn delete_policy(&self, name: &str, by: &str) -> Result<(), HouseError> {
        let command = PolicyCommand::Delete {
            name: name.to_owned(),
            by: by.to_owned(),
        };
        self.policy_command(command).await?;
        Ok(())
    }

    /// All policies, and the newest runs.
    pub async fn policies(&self) -> Result<PolicyAnswer, HouseError> {
        self.policy_query(PolicyQuery::All).await
    }

    /// A policy and its newest runs; the policy itself may have been struck out.
    pub async fn policy(&self, name: &str) -> Result<PolicyAnswer, HouseError> {
        self.policy_query(PolicyQuery::One(name.to_owned())).await
    }

    /// Tells what a policy would do now, and changes nothing.
    pub async fn dry_run(&self, name: &str) -> Result<DryRun, HouseError> {
        let (policy, run) = self.written_policy(name, false).await?;
        let at_ms = self.env.now_ms();
        let moment = Moment {
            at_ms,
            until: None,
            run,
        };
        let Found { invites, .. } = self.matched(&policy.rule, &moment).await?;
        let users = invites.iter().map(|it| it.user_id.clone()).collect();
        Ok(DryRun {
            token: Seen::of(at_ms, &policy.rule, &invites).write(),
            state: self.state_digest(users).await?,
            invites,
        })
    }

    /// Does what a dry run has shown. Refused with `AdminError::Differs` when that is not what would be done now; what came later stays as it is.
    pub async fn apply_policy(&self, wish: PolicyWish) -> Result<Applied, HouseError> {
        let invalid = |message: String| HouseError::from(AdminError::Invalid(message));
        let seen = Seen::read(&wish.token)
            .ok_or_else(|| invalid("this is not the token of a dry run".to_owned()))?;
        let (policy, run) = self
            .written_policy(&wish.policy, wish.tells_servers)
            .await?;
        let Found { invites, later } = self.matched(&policy.rule, &seen.moment(run)).await?;
        if !seen.shows(&policy.rule, &invites) {
            return Err(AdminError::Differs.into());
        }
        if invites.is_empty() {
            return Err(invalid("the policy matches nothing".to_owned()));
        }
        if wish.tells_servers && invites.len() > REJECTED_MAX {
            let message = format!(
                "at most {REJECTED_MAX} invites are rejected for good at once: say more of them"
            );
            return Err(invalid(message));
        }
        let touched: BTreeSet<_> = invites.iter().map(|it| it.user_id.to_string()).collect();
        let begin = PolicyCommand::Begin {
            name: policy.name,
            rule: Box::new(policy.rule),
            users: touched.into_iter().collect(),
            tells_servers: wish.tells_servers,
            by: wish.by,
        };
        let PolicyReply::Run(run, users) = self.policy_command(begin).await? else {
            return Err(surprise("Begin"));
        };
        let user_count = users.len() as u64;
        let (invites, failed) = match wish.tells_servers {
            true => self.reject_all(invites).await,
            false => (self.hide_all(run, (users.clone(), invites)).await?, 0),
        };
        let end = PolicyCommand::End { run, invites };
        let ended = self.policy_command(end).await;
        if matches!(ended, Err(HouseError::Admin(AdminError::ChangedSince))) {
            // Somebody has taken the run back while it went on. What was hidden after that would stay so, and nobody could bring it back.
            self.show_all(run, users).await?;
        }
        ended?;
        Ok(Applied {
            run,
            invites,
            users: user_count,
            failed,
            later: later as u64,
        })
    }

    /// Brings back what a run took away.
    pub(in crate::house) async fn undo_policy_run(
        &self,
        run: &str,
        by: &str,
    ) -> Result<(), HouseError> {
        let run = self.policy_run(run).await?;
        if run.tells_servers {
            let reason = "the other servers were told, and the invites are gone".to_owned();
            return Err(AdminError::Lasting(reason).into());
        }
        self.show_all(run.id, run.users.clone()).await?;
        let command = PolicyCommand::Undo {
            run: run.id,
            by: by.to_owned(),
        };
        self.policy_command(command).await?;
        // Whoever goes on with the run hears at its end that it is taken back. Until then more may have been hidden.
        self.show_all(run.id, run.users).await
    }

    /// Shows again what a run hides.
    async fn show_all(&self, run: Sequence, users: BTreeSet<String>) -> Result<(), HouseError> {
        let tasks = local_users(users).map(|user_id| (user_id, showing(run)));
        self.tell_users(tasks.collect()).await?;
        Ok(())
    }

    /// How a policy stands, for the list of changes.
    pub(in crate::house) async fn standing_of_policy(
        &self,
        name: &str,
    ) -> Result<Value, HouseError> {
        let told = self.policy(name).await?;
        let rule = told.policies.first().map(|policy| &policy.rule);
        Ok(rule.map_or(Value::Null, |rule| {
            json!({
                "inviter": rule.inviter,
                "inviter_server": rule.inviter_server,
                "room_id": rule.room_id,
                "room_name": rule.room_name,
                "user_id": rule.user_id,
                "age_min_ms": rule.age_min_ms,
                "age_max_ms": rule.age_max_ms,
            })
        }))
    }

    /// How a run stands, for the list of changes.
    pub(in crate::house) async fn standing_of_policy_run(
        &self,
        run: &str,
    ) -> Result<Value, HouseError> {
        let run = self.policy_run(run).await?;
        Ok(json!({
            "policy": run.policy,
            "applied": run.undone_by.is_none(),
            "invites": run.invites,
            "tells_servers": run.tells_servers,
        }))
    }

    /// A policy, and the run of it that did not come to its end.
    async fn written_policy(
        &self,
        name: &str,
        tells_servers: bool,
    ) -> Result<(Policy, Option<Sequence>), HouseError> {
        let told = self.policy(name).await?;
        let is_open = |run: &&PolicyRun| run.tells_servers == tells_servers && run.is_open();
        let run = told.runs.iter().find(is_open).map(|run| run.id);
        let policy = told.policies.into_iter().next();
        let policy = policy.ok_or_else(|| {
            HouseError::from(AdminError::Unknown("there is no such policy".to_owned()))
        })?;
        Ok((policy, run))
    }

    async fn policy_run(&self, run: &str) -> Result<PolicyRun, HouseError> {
        let unknown = || HouseError::from(AdminError::Unknown("there is no such run".to_owned()));
        let id = run.parse::<Sequence>().map_err(|_| unknown())?;
        let told = self.policy_query(PolicyQuery::Run(id)).await?;
        told.runs.into_iter().next().ok_or_else(unknown)
    }

    /// Hides invites. Those whom an earlier attempt may have reached are asked too. Answers how many the run hides.
    async fn hide_all(
        &self,
        run: Sequence,
        (users, invites): (BTreeSet<String>, Vec<MatchedInvite>),
    ) -> Result<u64, HouseError> {
        let mut by_user: BTreeMap<OwnedUserId, Vec<HiddenInvite>> = local_users(users)
            .map(|user_id| (user_id, Vec::new()))
            .collect();
        for invite in invites {
            by_user
                .entry(invite.user_id)
                .or_default()
                .push(HiddenInvite {
                    room_id: invite.room_id.to_string(),
                    until: invite.since,
                });
        }
        let mut last = Vec::with_capacity(by_user.len());
        for (user_id, mut invites) in by_user {
            // All but the last part of many: what that answers counts for all.
            while invites.len() > INVITES_PER_RECORD {
                let part = invites.split_off(invites.len() - INVITES_PER_RECORD);
                let command = hiding(run, part);
                self.tell_users(vec![(user_id.clone(), command)]).await?;
            }
            last.push((user_id, hiding(run, invites)));
        }
        self.tell_users(last).await
    }

    /// Tells users, and answers the sum of what they count. Those without an account are left out.
    async fn tell_users(&self, tasks: Vec<(OwnedUserId, UserCommand)>) -> Result<u64, HouseError> {
        let commands: Vec<_> = tasks
            .into_iter()
            .map(|(user_id, command)| {
                async move { self.user_command(&user_id, command).await }.boxed()
            })
            .collect();
        let mut answers = stream::iter(commands).buffer_unordered(USERS_AT_ONCE);
        let mut sum = 0;
        while let Some(answer) = answers.next().await {
            match answer {
                Ok(UserReply::Count(count)) => sum += count,
                Ok(_) => return Err(surprise("TurnInvites")),
                Err(UserError::UnknownUser | UserError::Deactivated) => {}
                Err(error) => return Err(error.into()),
            }
        }
        drop(answers);
        Ok(sum)
    }

    /// Rejects invites for good. Answers how many were rejected, and how many could not be.
    async fn reject_all(&self, invites: Vec<MatchedInvite>) -> (u64, u64) {
        let rejections: Vec<_> = invites
            .into_iter()
            .map(|invite| {
                async move {
                    let rejected = self.reject(&invite).await;
                    if let Err(error) = &rejected {
                        let MatchedInvite {
                            user_id, room_id, ..
                        } = &invite;
                        tracing::warn!(%user_id, %room_id, %error, "cannot reject an invite");
                    }
                    rejected.unwrap_or(false)
                }
                .boxed()
            })
            .collect();
        let mut answers = stream::iter(rejections).buffer_unordered(REJECTED_AT_ONCE);
        let (mut rejected, mut failed) = (0, 0);
        while let Some(is_rejected) = answers.next().await {
            match is_rejected {
                true => rejected += 1,
                false => failed += 1,
            }
        }
        drop(answers);
        (rejected, failed)
    }

    /// Rejects an invite for good; `false` when it does not stand any more: whoever has accepted it meanwhile stays in the room.
    async fn reject(&self, invite: &MatchedInvite) -> Result<bool, HouseError> {
        let (room_id, user_id) = (&*invite.room_id, &*invite.user_id);
        if !self.is_invited(room_id, user_id).await? {
            return Ok(false);
        }
        self.leave(MemberWish::of_oneself(room_id, user_id)).await?;
        Ok(true)
    }

    async fn policy_command(&self, command: PolicyCommand) -> Result<PolicyReply, HouseError> {
        Ok(self.admins.policies.command(list(), command).await?)
    }

    async fn policy_query(&self, query: PolicyQuery) -> Result<PolicyAnswer, HouseError> {
        Ok(self.admins.policies.query(list(), query).await?)
    }
}

fn hiding(run: Sequence, invites: Vec<HiddenInvite>) -> UserCommand {
    UserCommand::TurnInvites(Box::new(InviteWish::Hide(InvitesHidden { run, invites })))
}

fn showing(run: Sequence) -> UserCommand {
    UserCommand::TurnInvites(Box::new(InviteWish::Show(run)))
}

/// The users of a run.
fn local_users(users: BTreeSet<String>) -> impl Iterator<Item = OwnedUserId> {
    let users = users.into_iter();
    users.filter_map(|user_id| UserId::parse(user_id).ok())
}

fn list() -> Entity {
    Entity::house("policies")
}
