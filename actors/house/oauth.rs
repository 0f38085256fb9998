//! OAuth clients and the sessions they are given.

use playhouse_schema::address::Entity;
use ruma::{DeviceId, OwnedUserId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    oauth::{DeviceCodes, DeviceWish, OauthAnswer, OauthCommand, OauthError, OauthQuery, Progress},
    user::{
        UserAnswer, UserCommand, UserError, UserQuery, UserReply,
        message::{ClientLogin, GrantOf, LoggedIn, TokenGrant},
        token,
    },
};

impl House {
    /// Registers an OAuth client by what it says of itself, and gives its ID.
    pub async fn register_client(&self, metadata: String) -> Result<String, HouseError> {
        let command = OauthCommand::Register(metadata);
        Ok(self.oauth.command(clients(), command).await?.0)
    }

    /// What an OAuth client said of itself.
    pub async fn client(&self, client_id: &str) -> Result<Option<String>, HouseError> {
        let query = OauthQuery::Client(client_id.to_owned());
        match self.oauth_query(query).await? {
            OauthAnswer::Client(metadata) => Ok(metadata),
            _ => Err(surprise("Client")),
        }
    }

    /// Logs a user in who let an OAuth client in.
    pub async fn login_of_client(
        &self,
        user_id: &UserId,
        login: ClientLogin,
    ) -> Result<LoggedIn, HouseError> {
        self.must_not_be_notifier(user_id)?;
        self.must_have_room(user_id).await?;
        let command = OauthCommand::Admit(login.client_id.clone());
        self.oauth.command(clients(), command).await?;
        let command = UserCommand::LoginOfClient(Box::new(login));
        match self.user_command(user_id, command).await? {
            UserReply::LoggedIn(session) => Ok(session),
            _ => Err(surprise("LoginOfClient")),
        }
    }

    /// To whom a token in force was given.
    pub async fn grant_of_token(
        &self,
        token: &str,
    ) -> Result<Option<(OwnedUserId, TokenGrant)>, HouseError> {
        let Some(owner) = token::owner(token, self.env.server_name()) else {
            return Ok(None);
        };
        let of = GrantOf::Token(token.to_owned());
        let grant = self.grant(&owner, of).await?;
        Ok(grant.map(|grant| (owner, grant)))
    }

    /// The OAuth client that has the session of a device; `None` for a session that did not begin by OAuth.
    pub async fn client_of_device(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
    ) -> Result<Option<String>, HouseError> {
        let grant = self.grant(user_id, GrantOf::Device(device_id.to_owned()));
        Ok(grant.await?.and_then(|grant| grant.client_id))
    }

    /// A device without a browser asks to be let in.
    pub async fn ask_for_device(&self, wish: DeviceWish) -> Result<DeviceCodes, HouseError> {
        match self.oauth_query(OauthQuery::AskForDevice(wish)).await? {
            OauthAnswer::Asked(codes) => Ok(codes),
            _ => Err(surprise("AskForDevice")),
        }
    }

    /// Which device asks with the code that its user typed.
    pub async fn device_wish(&self, typed: &str) -> Result<Option<DeviceWish>, HouseError> {
        let query = OauthQuery::DeviceWish(typed.to_owned());
        match self.oauth_query(query).await? {
            OauthAnswer::Wish(wish) => Ok(wish),
            _ => Err(surprise("DeviceWish")),
        }
    }

    /// The user has decided about a device: with an authorization code it is let in. `false` when it does not wait any more.
    pub async fn settle_device(
        &self,
        typed: &str,
        code: Option<String>,
    ) -> Result<bool, HouseError> {
        let query = OauthQuery::SettleDevice {
            user_code: typed.to_owned(),
            code,
        };
        match self.oauth_query(query).await? {
            OauthAnswer::Settled(settled) => Ok(settled),
            _ => Err(surprise("SettleDevice")),
        }
    }

    /// How far a device is that asked to be let in.
    pub async fn poll_device(
        &self,
        device_code: &str,
        client_id: &str,
    ) -> Result<Progress, HouseError> {
        let query = OauthQuery::PollDevice {
            device_code: device_code.to_owned(),
            client_id: client_id.to_owned(),
        };
        match self.oauth_query(query).await? {
            OauthAnswer::Progress(progress) => Ok(progress),
            _ => Err(surprise("PollDevice")),
        }
    }

    async fn grant(&self, user_id: &UserId, of: GrantOf) -> Result<Option<TokenGrant>, HouseError> {
        match self.user_query(user_id, UserQuery::Grant(of)).await {
            Ok(UserAnswer::Grant(grant)) => Ok(grant),
            Ok(_) => Err(surprise("Grant")),
            Err(UserError::UnknownUser) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn oauth_query(&self, query: OauthQuery) -> Result<OauthAnswer, OauthError> {
        self.oauth.query(clients(), query).await
    }
}

fn clients() -> Entity {
    Entity::house("oauth")
}
