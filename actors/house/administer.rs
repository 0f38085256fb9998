//! What administrators do with accounts.

use playhouse_schema::{
    models::{
        Model as _,
        memberships::{self, Membership, Memberships},
        users::{self, Page, Users, Wanted},
    },
    record::external::Identity,
};
use ruma::UserId;

use super::{House, HouseError, NewAccount, surprise};
use crate::{
    room::message::JsonText,
    threepid::{Address, Validation},
    user::{
        UserCommand, UserError, UserReply,
        message::{AdminDecision, LoggedIn},
    },
};

/// What an administrator wants an account to be; what is `None` stays as it is.
#[derive(Clone, Debug, Default)]
pub struct AccountWish {
    /// A new password, and whether all sessions end.
    pub password: Option<(String, bool)>,
    /// The display name; `Some(None)` removes it.
    pub displayname: Option<Option<String>>,
    /// The avatar; `Some(None)` removes it.
    pub avatar_url: Option<Option<String>>,
    /// Server administrator.
    pub admin: Option<bool>,
    /// Locked.
    pub locked: Option<bool>,
    /// `bot`, `support` or nothing.
    pub user_type: Option<Option<String>>,
    /// All addresses.
    pub threepids: Option<Vec<Address>>,
    /// All identities at other systems.
    pub externals: Option<Vec<Identity>>,
}

impl House {
    /// Makes or changes an account as an administrator wants it. Tells whether it was made.
    pub async fn set_account(
        &self,
        user_id: &UserId,
        wish: AccountWish,
    ) -> Result<bool, HouseError> {
        let made = match self.account(user_id).await {
            Ok(_) => false,
            Err(HouseError::User(UserError::UnknownUser)) => {
                self.make_account(user_id, &wish).await?;
                true
            }
            Err(error) => return Err(error),
        };
        if !made {
            self.change_standing(user_id, &wish).await?;
        }
        self.set_text(user_id, "displayname", wish.displayname)
            .await?;
        self.set_text(user_id, "avatar_url", wish.avatar_url)
            .await?;
        if let Some(threepids) = wish.threepids {
            self.replace_threepids(user_id, threepids).await?;
        }
        if let Some(externals) = wish.externals {
            self.replace_externals(user_id, externals).await?;
        }
        // Last: who locks an account that cannot be changed has not locked it either.
        if let Some(locked) = wish.locked {
            let command = UserCommand::SetLocked(locked);
            self.user_command(user_id, command).await?;
        }
        Ok(made)
    }

    async fn make_account(&self, user_id: &UserId, wish: &AccountWish) -> Result<(), HouseError> {
        let available = self.available_user_id(user_id.localpart()).await?;
        if available != *user_id {
            return Err(HouseError::InvalidUsername(
                "new user names have no capital letters".to_owned(),
            ));
        }
        let account = NewAccount {
            username: Some(user_id.localpart().to_owned()),
            password: wish.password.as_ref().map(|(password, _)| password.clone()),
            admin: wish.admin.unwrap_or(false),
            user_type: wish.user_type.clone().flatten(),
            ..NewAccount::default()
        };
        self.register(account).await?;
        Ok(())
    }

    async fn change_standing(
        &self,
        user_id: &UserId,
        wish: &AccountWish,
    ) -> Result<(), HouseError> {
        if let Some((password, logout)) = wish.password.clone() {
            self.set_password(user_id, password, logout.then_some(None))
                .await?;
        }
        if let Some(admin) = wish.admin {
            let command = UserCommand::SetAdmin(admin);
            self.user_command(user_id, command).await?;
        }
        if let Some(user_type) = wish.user_type.clone() {
            let decision = AdminDecision::SetUserType(user_type);
            self.administer(user_id, decision).await?;
        }
        Ok(())
    }

    /// Decides something of an account.
    pub async fn administer(
        &self,
        user_id: &UserId,
        decision: AdminDecision,
    ) -> Result<(), HouseError> {
        let command = UserCommand::Administer(decision);
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// Begins a session for an administrator who acts for a user; it ends at a time, if one is said.
    pub async fn log_in_as(
        &self,
        user_id: &UserId,
        until_ms: Option<u64>,
    ) -> Result<LoggedIn, HouseError> {
        let command = UserCommand::Administer(AdminDecision::LogIn { until_ms });
        match self.user_command(user_id, command).await? {
            UserReply::LoggedIn(session) => Ok(session),
            _ => Err(surprise("LogIn")),
        }
    }

    /// In which rooms a user, of whichever server, has which membership, as far as it is known here.
    pub async fn memberships_of(&self, user_id: &UserId) -> Result<Vec<Membership>, HouseError> {
        self.models.caught_up(Memberships::NAME).await?;
        Ok(memberships::of_user(&**self.models.store(), user_id.as_str()).await?)
    }

    async fn set_text(
        &self,
        user_id: &UserId,
        name: &str,
        text: Option<Option<String>>,
    ) -> Result<(), HouseError> {
        let Some(text) = text else {
            return Ok(());
        };
        // An empty text is what clients know as none.
        let text = text.filter(|text| !text.is_empty());
        let value: Option<JsonText> = text.map(|text| serde_json::Value::String(text).to_string());
        self.set_profile_field(user_id, name, value).await
    }

    async fn replace_threepids(
        &self,
        user_id: &UserId,
        wanted: Vec<Address>,
    ) -> Result<(), HouseError> {
        let known = self.threepids(user_id).await?;
        let known: Vec<Address> = known
            .iter()
            .filter_map(|claim| Address::new(&claim.medium, &claim.address))
            .collect();
        for address in wanted.iter().filter(|address| !known.contains(address)) {
            let validated_ms = self.env.now_ms();
            let address = address.clone();
            let proven = Validation {
                address,
                validated_ms,
            };
            self.claim_threepid(user_id, proven).await?;
        }
        for address in known.iter().filter(|address| !wanted.contains(address)) {
            self.release_threepid(user_id, address).await?;
        }
        Ok(())
    }

    async fn replace_externals(
        &self,
        user_id: &UserId,
        wanted: Vec<Identity>,
    ) -> Result<(), HouseError> {
        let known = self.externals_of(user_id).await?;
        for identity in wanted.iter().filter(|identity| !known.contains(identity)) {
            self.link_external(&identity.provider, &identity.subject, user_id)
                .await?;
        }
        for identity in known.iter().filter(|identity| !wanted.contains(identity)) {
            self.unlink_external(&identity.provider, &identity.subject)
                .await?;
        }
        Ok(())
    }

    /// A page of the accounts that are wanted, and how many there are in all.
    pub async fn find_accounts(
        &self,
        wanted: &Wanted,
        page: &Page,
    ) -> Result<(Vec<users::User>, u64), HouseError> {
        self.models.caught_up(Users::NAME).await?;
        let store = self.models.store();
        let total = users::count(&**store, wanted).await?;
        let found = users::list(&**store, wanted, page).await?;
        Ok((found, total))
    }
}
