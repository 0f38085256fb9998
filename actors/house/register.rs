//! Making accounts. Whether somebody may is the edge's to say (open, by token, by shared secret); what a name may look like is said here.

use ruma::{OwnedUserId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    registration::{
        RegistrationAnswer, RegistrationCommand, RegistrationQuery, RegistrationSignal,
    },
    user::{
        UserCommand, UserError, UserReply,
        message::{LoggedIn, Login, Register},
    },
};

/// An account to be made.
#[derive(Clone, Debug, Default)]
pub struct NewAccount {
    /// The local part, upper case is lowered; absent: one is made up.
    pub username: Option<String>,
    /// The password in clear; absent: no login by password.
    pub password: Option<String>,
    /// Server administrator.
    pub admin: bool,
    /// Guest.
    pub guest: bool,
    /// `bot`, `support` or nothing.
    pub user_type: Option<String>,
    /// Display name to begin with.
    pub displayname: Option<String>,
    /// Log in at once.
    pub login: Option<Login>,
    /// The registration token that permits it, and the authentication session that holds it. One use is counted.
    pub token: Option<(String, String)>,
    /// The version of the terms that the user accepted.
    pub terms: Option<String>,
}

/// An account that was made.
#[derive(Clone, Debug)]
pub struct MadeAccount {
    /// The user.
    pub user_id: OwnedUserId,
    /// The session, when a login was asked for.
    pub login: Option<LoggedIn>,
}

/// The longest user ID.
const USER_ID_BYTES_MAX: usize = 255;

impl House {
    /// The user ID of a local part, if it may be given to a new account: `InvalidUsername` by grammar, `UserError::UserInUse` when taken.
    pub async fn available_user_id(&self, username: &str) -> Result<OwnedUserId, HouseError> {
        let user_id = self.new_user_id(username)?;
        if self.is_notifier(&user_id) {
            return Err(UserError::UserInUse.into());
        }
        match self.account(&user_id).await {
            Ok(_) => Err(UserError::UserInUse.into()),
            Err(HouseError::User(UserError::UnknownUser)) => Ok(user_id),
            Err(error) => Err(error),
        }
    }

    /// Makes an account.
    pub async fn register(&self, new: NewAccount) -> Result<MadeAccount, HouseError> {
        let user_id = match &new.username {
            Some(username) => self.available_user_id(username).await?,
            None => self.new_user_id(&self.env.random_string(12).to_lowercase())?,
        };
        let password_hash = match new.password {
            Some(password) => Some(self.hash_password(password).await?),
            None => None,
        };
        if let Some((token, _)) = &new.token {
            let command = RegistrationCommand::Use(token.clone());
            self.registration_command(command).await?;
        }
        let command = UserCommand::Register(Box::new(Register {
            password_hash,
            admin: new.admin,
            guest: new.guest,
            user_type: new.user_type,
            displayname: new.displayname,
            login: new.login,
            terms: new.terms,
        }));
        let made = self.user_command(&user_id, command).await;
        if let Some((token, session)) = new.token {
            // In doubt (a time-out) the use stays counted: a token must never admit more than it may.
            if matches!(made, Err(UserError::UserInUse)) {
                self.registration_command(RegistrationCommand::Return(token))
                    .await?;
            }
            self.release_registration_token(&session);
        }
        let made = made?;
        if !new.guest {
            self.join_rooms_for_all(&user_id).await;
        }
        let login = match made {
            UserReply::LoggedIn(login) => Some(login),
            _ => None,
        };
        Ok(MadeAccount { user_id, login })
    }

    /// Whether a registration token may be used now.
    pub async fn is_registration_token_valid(&self, token: &str) -> Result<bool, HouseError> {
        let query = RegistrationQuery::IsValid(token.to_owned());
        match self.registration_query(query).await? {
            RegistrationAnswer::Valid(valid) => Ok(valid),
            RegistrationAnswer::Tokens(_) => Err(surprise("IsValid")),
        }
    }

    /// Keeps one use of a token for an authentication session; `false` when there is none to keep.
    pub async fn hold_registration_token(
        &self,
        token: &str,
        session: &str,
    ) -> Result<bool, HouseError> {
        let query = RegistrationQuery::Hold {
            token: token.to_owned(),
            session: session.to_owned(),
        };
        match self.registration_query(query).await? {
            RegistrationAnswer::Valid(valid) => Ok(valid),
            RegistrationAnswer::Tokens(_) => Err(surprise("Hold")),
        }
    }

    /// Frees what an authentication session held.
    pub fn release_registration_token(&self, session: &str) {
        self.registration_signal(RegistrationSignal::Release {
            session: session.to_owned(),
        });
    }

    /// The user ID of a new account, by the strict grammar: new names have only `a-z 0-9 . _ = - / +`.
    fn new_user_id(&self, username: &str) -> Result<OwnedUserId, HouseError> {
        let local = username.to_ascii_lowercase();
        let fits = !local.is_empty()
            && !local.starts_with('_')
            && local.bytes().all(|byte| {
                byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"._=-/+".contains(&byte)
            });
        if !fits {
            return Err(HouseError::InvalidUsername(
                "a user name has only the characters a-z, 0-9, ., _, =, -, / and +, and does not begin with _".to_owned(),
            ));
        }
        let user_id = format!("@{local}:{}", self.env.server_name());
        if user_id.len() > USER_ID_BYTES_MAX {
            return Err(HouseError::InvalidUsername(
                "a user ID has at most 255 bytes".to_owned(),
            ));
        }
        UserId::parse(&user_id).map_err(|error| HouseError::InvalidUsername(error.to_string()))
    }
}
