//! Passes: what lets a user in without a password.

use playhouse_schema::address::Entity;
use ruma::{OwnedUserId, UserId};

use super::{House, HouseError, externals::Origin, surprise};
use crate::{
    passes::{
        PassAnswer, PassCommand, PassError, PassKind, PassQuery, PassReply, SeenPass, token_kind,
    },
    user::{
        UserError,
        message::{LoggedIn, Login},
        token,
    },
};

impl House {
    /// Makes a pass for a local user. The detail is whatever its maker wants to find with it.
    pub async fn make_pass(
        &self,
        user_id: &UserId,
        kind: PassKind,
        lifetime_ms: u64,
        detail: String,
    ) -> Result<String, HouseError> {
        let command = PassCommand::Make {
            user_id: user_id.to_owned(),
            kind,
            lifetime_ms,
            detail,
        };
        match self.pass_command(user_id, command).await? {
            PassReply::Made(token) => Ok(token),
            _ => Err(surprise("Make")),
        }
    }

    /// Whose pass this is, and what goes with it. Refuses with `PassError::Unknown`.
    pub async fn look_at_pass(
        &self,
        kind: PassKind,
        token: &str,
    ) -> Result<(OwnedUserId, SeenPass), HouseError> {
        let owner = self.pass_owner(kind, token)?;
        let query = PassQuery::Look {
            kind,
            token: token.to_owned(),
        };
        let entity = passes_of(&owner);
        match self.passes.query(entity, query).await? {
            PassAnswer::Seen(seen) => Ok((owner, seen)),
            PassAnswer::Any(_) => Err(surprise("Look")),
        }
    }

    /// Uses a pass up. Refuses with `PassError::Unknown` or `Used`.
    pub async fn use_pass(
        &self,
        kind: PassKind,
        token: &str,
    ) -> Result<(OwnedUserId, String), HouseError> {
        let owner = self.pass_owner(kind, token)?;
        let command = PassCommand::Use {
            kind,
            token: token.to_owned(),
        };
        match self.pass_command(&owner, command).await? {
            PassReply::Detail(detail) => Ok((owner, detail)),
            _ => Err(surprise("Use")),
        }
    }

    /// Ends a pass, if there is such a one.
    pub async fn end_pass(&self, kind: PassKind, token: &str) -> Result<(), HouseError> {
        if let Ok(owner) = self.pass_owner(kind, token) {
            let command = PassCommand::End(token.to_owned());
            self.pass_command(&owner, command).await?;
        }
        Ok(())
    }

    /// Logs in by a login token, which is used up by it.
    pub async fn login_by_token(
        &self,
        token: &str,
        login: Login,
    ) -> Result<(OwnedUserId, LoggedIn), HouseError> {
        let (user_id, detail) = self.use_pass(PassKind::Login, token).await?;
        let session = self.login(&user_id, login).await?;
        // Before the client has its token: a session that nobody can end must not come to be.
        if let Ok(origin) = serde_json::from_str::<Origin>(&detail) {
            self.note_origin(&user_id, &session.device_id, origin)
                .await?;
        }
        Ok((user_id, session))
    }

    /// Lets a user replace the cross-signing keys once, within some time.
    pub async fn allow_cross_signing_reset(
        &self,
        user_id: &UserId,
        lifetime_ms: u64,
    ) -> Result<(), HouseError> {
        let kind = PassKind::CrossSigningReset;
        self.make_pass(user_id, kind, lifetime_ms, String::new())
            .await?;
        Ok(())
    }

    /// Uses up the permission to replace the cross-signing keys; `false` when there is none.
    pub async fn use_cross_signing_reset(&self, user_id: &UserId) -> Result<bool, HouseError> {
        let command = PassCommand::UseAny(PassKind::CrossSigningReset);
        match self.pass_command(user_id, command).await {
            Ok(_) => Ok(true),
            Err(HouseError::Pass(PassError::Unknown)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    fn pass_owner(&self, kind: PassKind, token: &str) -> Result<OwnedUserId, HouseError> {
        token::owner_of(&[token_kind(kind)], token, self.env.server_name())
            .ok_or(HouseError::Pass(PassError::Unknown))
    }

    pub(super) async fn pass_command(
        &self,
        user_id: &UserId,
        command: PassCommand,
    ) -> Result<PassReply, HouseError> {
        if !self.is_local(user_id.server_name()) {
            return Err(UserError::UnknownUser.into());
        }
        Ok(self.passes.command(passes_of(user_id), command).await?)
    }
}

fn passes_of(user_id: &UserId) -> Entity {
    Entity::house(&format!("passes:{user_id}"))
}
