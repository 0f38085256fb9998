//! Logging in and out, passwords.

use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};

use super::{House, HouseError, surprise};
use crate::user::{
    UserAnswer, UserCommand, UserError, UserQuery, UserReply,
    message::{Account, LoggedIn, Login, Session},
    password::PasswordError,
    token,
};

impl House {
    /// Logs in by password. `user` is a user ID of this server or a local part. Unknown users cost as much as wrong passwords.
    pub async fn login_by_password(
        &self,
        user: &str,
        password: String,
        login: Login,
    ) -> Result<(OwnedUserId, LoggedIn), HouseError> {
        let user_id = self.user_id_of_login(user);
        let account = match &user_id {
            Some(user_id) => match self.account(user_id).await {
                Ok(account) => Some(account),
                Err(HouseError::User(UserError::UnknownUser)) => None,
                Err(error) => return Err(error),
            },
            None => None,
        };
        let hash = account
            .as_ref()
            .filter(|account| !account.deactivated)
            .and_then(|account| account.password_hash.clone());
        let fits = self.verify_password(password, hash).await?;
        let account = account.ok_or(HouseError::BadLogin)?;
        if account.deactivated {
            return Err(UserError::Deactivated.into());
        }
        if !fits {
            return Err(HouseError::BadLogin);
        }
        if account.locked {
            return Err(UserError::Locked.into());
        }
        let session = self.login(&account.user_id, login).await?;
        Ok((account.user_id, session))
    }

    /// Logs in a user who has proved who they are.
    pub async fn login(&self, user_id: &UserId, login: Login) -> Result<LoggedIn, HouseError> {
        self.must_not_be_notifier(user_id)?;
        self.must_have_room(user_id).await?;
        match self
            .user_command(user_id, UserCommand::Login(login))
            .await?
        {
            UserReply::LoggedIn(session) => Ok(session),
            _ => Err(surprise("Login")),
        }
    }

    /// Exchanges a refresh token.
    pub async fn refresh(&self, refresh_token: &str) -> Result<LoggedIn, HouseError> {
        let unknown = UserError::UnknownToken { soft_logout: false };
        let owner = token::owner(refresh_token, self.env.server_name()).ok_or(unknown)?;
        let command = UserCommand::Refresh {
            refresh_token: refresh_token.to_owned(),
        };
        match self.user_command(&owner, command).await {
            Ok(UserReply::LoggedIn(session)) => Ok(session),
            Ok(_) => Err(surprise("Refresh")),
            Err(UserError::UnknownUser) => {
                Err(UserError::UnknownToken { soft_logout: false }.into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Ends a session: its device goes.
    pub async fn logout(&self, session: &Session) -> Result<(), HouseError> {
        let device_ids: Vec<OwnedDeviceId> = session.device_id.iter().cloned().collect();
        let command = UserCommand::RemoveDevices { device_ids };
        self.user_command(&session.user_id, command).await?;
        Ok(())
    }

    /// Ends all sessions of a user: all devices go.
    pub async fn logout_all(&self, user_id: &UserId) -> Result<(), HouseError> {
        let command = UserCommand::RemoveAllDevices { except: None };
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// Whether this is the user's password (user-interactive authentication). Unknown users cost as much as wrong passwords.
    pub async fn is_password(
        &self,
        user_id: &UserId,
        password: String,
    ) -> Result<bool, HouseError> {
        let hash = match self.account(user_id).await {
            Ok(account) if !account.deactivated => account.password_hash,
            Ok(_) | Err(HouseError::User(UserError::UnknownUser)) => None,
            Err(error) => return Err(error),
        };
        self.verify_password(password, hash).await
    }

    /// Sets a password given in clear; `logout_except`: end all sessions but that of this device.
    pub async fn set_password(
        &self,
        user_id: &UserId,
        password: String,
        logout_except: Option<Option<&DeviceId>>,
    ) -> Result<(), HouseError> {
        let command = UserCommand::SetPassword {
            password_hash: Some(self.hash_password(password).await?),
            logout_except: logout_except.map(|device_id| device_id.map(ToOwned::to_owned)),
        };
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// The account of a local user.
    pub async fn account(&self, user_id: &UserId) -> Result<Account, HouseError> {
        match self.user_query(user_id, UserQuery::Account).await? {
            UserAnswer::Account(account) => Ok(account),
            _ => Err(surprise("Account")),
        }
    }

    /// The account of somebody for whom an application service acts, and whether the user has the device that it names; `true` when it names none.
    pub async fn acting(
        &self,
        user_id: &UserId,
        device_id: Option<&DeviceId>,
    ) -> Result<(Account, bool), HouseError> {
        let query = UserQuery::Acting(device_id.map(ToOwned::to_owned));
        match self.user_query(user_id, query).await? {
            UserAnswer::Acting(account, has_device) => Ok((account, has_device)),
            _ => Err(surprise("Acting")),
        }
    }

    /// Hashes a password off the runtime's threads, a bounded number at a time.
    pub async fn hash_password(&self, password: String) -> Result<String, HouseError> {
        Ok(self.passwords.hash(password, &self.env).await?)
    }

    async fn verify_password(
        &self,
        password: String,
        hash: Option<String>,
    ) -> Result<bool, HouseError> {
        match self.passwords.verify(password, hash).await {
            Err(PasswordError::TooLong) => Ok(false),
            outcome => Ok(outcome?),
        }
    }

    /// The user ID that a login names, if it can be one of ours.
    fn user_id_of_login(&self, user: &str) -> Option<OwnedUserId> {
        let user_id = if user.starts_with('@') {
            UserId::parse(user).ok()?
        } else {
            UserId::parse(format!("@{user}:{}", self.env.server_name())).ok()?
        };
        self.is_local(user_id.server_name()).then_some(user_id)
    }
}
