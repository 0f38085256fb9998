//! Who may administer this server, what administrators have changed, and by which policies they moderate.

mod matching;
mod policies;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use playhouse_schema::{
    address::{Entity, Sequence},
    models::{
        Model as _,
        audit::{self, Audit, NotedChange, WantedChanges},
    },
    port::StoredRecord,
    record::{
        admin::{AdminRecord, AdminRole, ChangeBegun, ChangeEnded},
        codec::Record as _,
    },
};

pub use self::{
    matching::MatchedInvite,
    policies::{Applied, DryRun, PolicyWish},
};
use super::{House, HouseError, surprise};
use crate::{
    admins::{
        AdminError, AdminToken, AdminTokens, AuditCommand, AuditLog, Policies, TokenAnswer,
        TokenCommand, TokenQuery, TokenReply,
    },
    kernel::Directory,
    user::token,
};

/// The actors behind it.
pub(super) struct Admins {
    pub(super) tokens: Arc<Directory<AdminTokens>>,
    pub(super) audit: Arc<Directory<AuditLog>>,
    pub(super) policies: Arc<Directory<Policies>>,
}

impl Admins {
    /// Ends them.
    pub(super) async fn close(&self, within: Duration) {
        self.tokens.close(within).await;
        self.audit.close(within).await;
        self.policies.close(within).await;
    }
}

/// The token that is wanted for a tool.
#[derive(Clone, Debug)]
pub struct TokenWish {
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub roles: Vec<AdminRole>,
    /// For how long, milliseconds.
    pub lifetime_ms: u64,
    /// Who makes it.
    pub by: String,
}

/// A change that was made, or was about to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// Its number.
    pub id: Sequence,
    /// What was asked for.
    pub begun: ChangeBegun,
    /// What became of it, where that is known.
    pub ended: Option<ChangeEnded>,
    /// The change that took it back.
    pub undone_by: Option<Sequence>,
}

impl House {
    /// Makes a token for a tool of administrators. Answers the token, and the name by which it is revoked.
    pub async fn make_admin_token(&self, wish: TokenWish) -> Result<(String, String), HouseError> {
        let command = TokenCommand::Make {
            name: wish.name,
            roles: wish.roles,
            lifetime_ms: wish.lifetime_ms,
            by: wish.by,
        };
        match self.admins.tokens.command(tokens(), command).await? {
            TokenReply::Made { token, id } => Ok((token, id)),
            TokenReply::Revoked => Err(surprise("Make")),
        }
    }

    /// Ends a token of a tool.
    pub async fn revoke_admin_token(&self, id: &str, by: &str) -> Result<(), HouseError> {
        let command = TokenCommand::Revoke {
            id: id.to_owned(),
            by: by.to_owned(),
        };
        self.admins.tokens.command(tokens(), command).await?;
        Ok(())
    }

    /// All tokens of tools that are good.
    pub async fn admin_tokens(&self) -> Result<Vec<AdminToken>, HouseError> {
        let TokenAnswer(known) = self.admins.tokens.query(tokens(), TokenQuery::List).await?;
        Ok(known)
    }

    /// What is known of a token of a tool; `None` when it looks like none. Refuses with `AdminError::UnknownToken`.
    pub async fn admin_of_token(&self, token: &str) -> Result<Option<AdminToken>, HouseError> {
        if !token::is_for_admins(token) {
            return Ok(None);
        }
        let query = TokenQuery::Look(token.to_owned());
        let TokenAnswer(found) = self.admins.tokens.query(tokens(), query).await?;
        Ok(found.into_iter().next())
    }

    /// Notes a change that is about to be made. Answers its number.
    pub async fn begin_change(&self, begun: ChangeBegun) -> Result<Sequence, HouseError> {
        let command = AuditCommand::Begin(Box::new(begun));
        Ok(self.admins.audit.command(list(), command).await?)
    }

    /// Notes what became of a change.
    pub async fn end_change(&self, ended: ChangeEnded) -> Result<(), HouseError> {
        let command = AuditCommand::End(Box::new(ended));
        self.admins.audit.command(list(), command).await?;
        Ok(())
    }

    /// Changes, the newest first: at most `limit`.
    pub async fn changes(
        &self,
        wanted: &WantedChanges,
        limit: usize,
    ) -> Result<Vec<Change>, HouseError> {
        self.models.caught_up(Audit::NAME).await?;
        let noted = audit::list(&**self.models.store(), wanted, limit).await?;
        self.changes_of(noted).await
    }

    /// One change. Refuses with `AdminError::Unknown`.
    pub async fn noted_change(&self, id: Sequence) -> Result<Change, HouseError> {
        self.models.caught_up(Audit::NAME).await?;
        let noted = audit::get(&**self.models.store(), id).await?;
        let mut told = self.changes_of(noted.into_iter().collect()).await?;
        told.pop()
            .ok_or_else(|| AdminError::Unknown("there is no such change".to_owned()).into())
    }

    /// What the log says of changes, in the order given.
    async fn changes_of(&self, noted: Vec<NotedChange>) -> Result<Vec<Change>, HouseError> {
        let begun = noted.iter().map(|change| change.begun);
        let ended = noted.iter().filter_map(|change| change.ended);
        let mut sequences: Vec<Sequence> = begun.chain(ended).collect();
        sequences.sort_unstable();
        let records = self.store.read_some(&list(), &sequences).await?;
        let mut told = BTreeMap::new();
        for record in &records {
            told.insert(record.sequence, decoded(record)?);
        }
        let mut changes = Vec::with_capacity(noted.len());
        for change in noted {
            let Some(Some(AdminRecord::ChangeBegun(begun))) = told.remove(&change.begun) else {
                return Err(surprise("a change in the log"));
            };
            let ended = change.ended.and_then(|ended| told.remove(&ended).flatten());
            let ended = ended.and_then(|record| match record {
                AdminRecord::ChangeEnded(ended) => Some(ended),
                _ => None,
            });
            changes.push(Change {
                id: change.begun,
                begun,
                ended,
                undone_by: change.undone_by,
            });
        }
        Ok(changes)
    }
}

fn decoded(record: &StoredRecord) -> Result<Option<AdminRecord>, HouseError> {
    Ok(AdminRecord::decode(record)?)
}

fn tokens() -> Entity {
    Entity::house("admin_tokens")
}

fn list() -> Entity {
    Entity::house("audit")
}
