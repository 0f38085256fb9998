//! E-mail addresses and phone numbers of accounts: validating, claiming, giving up.

use playhouse_schema::{
    models::{
        Model as _,
        threepids::{self as model, Threepids},
    },
    record::threepid::{self as record, Binding, Claim},
};
use ruma::{OwnedUserId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    house::{MadeAccount, NewAccount},
    threepid::{
        Address, SessionId, ThreepidAnswer, ThreepidCommand, ThreepidError, ThreepidQuery,
        ThreepidReply, Validation, digest,
    },
    user::UserError,
};

/// A claim by an account that was never made is one whose registration was cut off; after so long it may be taken again.
const ABANDONED_MS: u64 = 5 * 60 * 1000;

/// A token to be sent.
#[derive(Clone, Debug)]
pub struct ValidationWish {
    /// Where to.
    pub address: Address,
    /// What for.
    pub purpose: &'static str,
    /// The client's secret.
    pub client_secret: String,
    /// Which attempt it is.
    pub attempt: u64,
    /// Where the person goes on.
    pub next_link: Option<String>,
    /// The token is good for so long.
    pub lifetime_ms: u64,
}

impl House {
    /// The session of a wish, and whether a token is to be sent for it.
    pub async fn validation_session(
        &self,
        wish: &ValidationWish,
    ) -> Result<(SessionId, bool), HouseError> {
        let id = SessionId::of(&wish.address, wish.purpose, &wish.client_secret);
        let query = ThreepidQuery::IsToSend {
            session: id.session.clone(),
            attempt: wish.attempt,
        };
        match self.threepid_query(&id.name, query).await? {
            ThreepidAnswer::Yes(is_to_send) => Ok((id, is_to_send)),
            _ => Err(surprise("IsToSend")),
        }
    }

    /// Writes down that a token was sent.
    pub async fn begin_validation(
        &self,
        wish: ValidationWish,
        token: &str,
    ) -> Result<SessionId, HouseError> {
        let id = SessionId::of(&wish.address, wish.purpose, &wish.client_secret);
        let now_ms = self.env.now_ms();
        let begin = ThreepidCommand::Begin(record::Validation {
            session: id.session.clone(),
            purpose: wish.purpose.to_owned(),
            medium: wish.address.medium.as_str().to_owned(),
            address: wish.address.address,
            secret: digest(&wish.client_secret),
            token: digest(token),
            attempt: wish.attempt,
            next_link: wish.next_link,
            at_ms: now_ms,
            until_ms: now_ms + wish.lifetime_ms,
        });
        self.threepid_command(&id.name, begin).await?;
        Ok(id)
    }

    /// Takes back the token of a session, and gives where the person goes on.
    pub async fn validate(
        &self,
        sid: &str,
        client_secret: &str,
        token: &str,
    ) -> Result<Option<String>, HouseError> {
        let id = SessionId::parse(sid).ok_or(ThreepidError::Invalid)?;
        let validate = ThreepidCommand::Validate {
            session: id.session,
            secret: digest(client_secret),
            token: digest(token),
        };
        match self.threepid_command(&id.name, validate).await? {
            ThreepidReply::Validated(next_link) => Ok(next_link),
            _ => Err(surprise("Validate")),
        }
    }

    /// What a session has proven.
    pub async fn proven(
        &self,
        sid: &str,
        client_secret: &str,
        purpose: &str,
    ) -> Result<Option<Validation>, HouseError> {
        let Some(id) = SessionId::parse(sid) else {
            return Ok(None);
        };
        let query = ThreepidQuery::Proven {
            session: id.session,
            secret: digest(client_secret),
            purpose: purpose.to_owned(),
        };
        match self.threepid_query(&id.name, query).await? {
            ThreepidAnswer::Proven(proven) => Ok(proven),
            _ => Err(surprise("Proven")),
        }
    }

    /// Uses what a session has proven: a second time it fails with `ThreepidError::Invalid`.
    pub async fn use_proof(
        &self,
        sid: &str,
        client_secret: &str,
        purpose: &str,
    ) -> Result<Validation, HouseError> {
        let id = SessionId::parse(sid).ok_or(ThreepidError::Invalid)?;
        let spend = ThreepidCommand::Use {
            session: id.session,
            secret: digest(client_secret),
            purpose: purpose.to_owned(),
        };
        match self.threepid_command(&id.name, spend).await? {
            ThreepidReply::Used(proven) => Ok(proven),
            _ => Err(surprise("Use")),
        }
    }

    /// Whose an address is. Owners whose registration was cut off do not count, nor those whose account is closed.
    pub async fn owner_of_threepid(
        &self,
        address: &Address,
    ) -> Result<Option<OwnedUserId>, HouseError> {
        let Some((owner, since_ms)) = self.claimed_by(address).await? else {
            return Ok(None);
        };
        let gone = self.is_gone(&owner, since_ms).await?;
        Ok((!gone).then_some(owner))
    }

    /// Gives a validated address to an account. `ThreepidError::Taken` when another has it.
    pub async fn claim_threepid(
        &self,
        user_id: &UserId,
        proven: Validation,
    ) -> Result<(), HouseError> {
        let claim = |from| ThreepidCommand::Claim {
            user_id: user_id.to_owned(),
            from,
            address: proven.address.clone(),
            validated_ms: proven.validated_ms,
        };
        let name = proven.address.name();
        let owner = match self.threepid_command(&name, claim(None)).await {
            Ok(_) => return Ok(()),
            Err(ThreepidError::Taken(owner)) => owner,
            Err(error) => return Err(error.into()),
        };
        let since_ms = self.claimed_by(&proven.address).await?;
        let since_ms = since_ms.map_or(0, |(_, since_ms)| since_ms);
        if !self.is_gone(&owner, since_ms).await? {
            return Err(ThreepidError::Taken(owner).into());
        }
        self.threepid_command(&name, claim(Some(owner))).await?;
        Ok(())
    }

    /// Takes an address from an account. `ThreepidError::Unknown` when it is not the account's.
    pub async fn release_threepid(
        &self,
        user_id: &UserId,
        address: &Address,
    ) -> Result<(), HouseError> {
        let release = ThreepidCommand::Release {
            user_id: user_id.to_owned(),
        };
        self.threepid_command(&address.name(), release).await?;
        self.end_mails_to(user_id, &address.address).await
    }

    /// The addresses of an account.
    pub async fn threepids(&self, user_id: &UserId) -> Result<Vec<Claim>, HouseError> {
        self.models.caught_up(Threepids::NAME).await?;
        Ok(model::of_user(&**self.models.store(), user_id.as_str()).await?)
    }

    /// What identity servers know of an account.
    pub async fn threepid_bindings(&self, user_id: &UserId) -> Result<Vec<Binding>, HouseError> {
        self.models.caught_up(Threepids::NAME).await?;
        Ok(model::bindings_of(&**self.models.store(), user_id.as_str()).await?)
    }

    /// Writes down that an identity server knows of an address, or that it has forgotten it.
    pub async fn note_binding(&self, binding: Binding, bound: bool) -> Result<(), HouseError> {
        let Some(address) = Address::new(&binding.medium, &binding.address) else {
            return Ok(());
        };
        let command = if bound {
            ThreepidCommand::Bind(binding)
        } else {
            ThreepidCommand::Unbind(binding)
        };
        self.threepid_command(&address.name(), command).await?;
        Ok(())
    }

    /// Takes all addresses from an account.
    pub(super) async fn release_threepids(&self, user_id: &UserId) -> Result<(), HouseError> {
        for claim in self.threepids(user_id).await? {
            let Some(address) = Address::new(&claim.medium, &claim.address) else {
                continue;
            };
            match self.release_threepid(user_id, &address).await {
                Ok(()) | Err(HouseError::Threepid(ThreepidError::Unknown)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Makes an account that has a validated address from its first moment.
    pub async fn register_with_threepid(
        &self,
        mut new: NewAccount,
        proven: Validation,
    ) -> Result<MadeAccount, HouseError> {
        let username = match &new.username {
            Some(username) => username.clone(),
            None => self.env.random_string(12).to_lowercase(),
        };
        let user_id = self.available_user_id(&username).await?;
        new.username = Some(username);
        let address = proven.address.clone();
        // First the address: an account without it could not be told from one that never had one, while a claim without an account can be taken again.
        self.claim_threepid(&user_id, proven).await?;
        match self.register(new).await {
            Ok(made) => Ok(made),
            Err(error) => {
                // In doubt the account may be there: then the claim is its own, and otherwise it can be taken again.
                if !matches!(error, HouseError::User(UserError::Unavailable(_))) {
                    self.release_threepid(&user_id, &address).await?;
                }
                Err(error)
            }
        }
    }

    async fn claimed_by(
        &self,
        address: &Address,
    ) -> Result<Option<(OwnedUserId, u64)>, HouseError> {
        match self
            .threepid_query(&address.name(), ThreepidQuery::Owner)
            .await?
        {
            ThreepidAnswer::Owner(owner) => Ok(owner),
            _ => Err(surprise("Owner")),
        }
    }

    async fn is_gone(&self, owner: &UserId, since_ms: u64) -> Result<bool, HouseError> {
        match self.account(owner).await {
            Ok(account) => Ok(account.deactivated),
            Err(HouseError::User(UserError::UnknownUser)) => {
                Ok(self.env.now_ms().saturating_sub(since_ms) >= ABANDONED_MS)
            }
            Err(error) => Err(error),
        }
    }

    async fn threepid_command(
        &self,
        name: &str,
        command: ThreepidCommand,
    ) -> Result<ThreepidReply, ThreepidError> {
        let entity = playhouse_schema::address::Entity::threepid(name);
        self.threepids.command(entity, command).await
    }

    async fn threepid_query(
        &self,
        name: &str,
        query: ThreepidQuery,
    ) -> Result<ThreepidAnswer, ThreepidError> {
        let entity = playhouse_schema::address::Entity::threepid(name);
        self.threepids.query(entity, query).await
    }
}
