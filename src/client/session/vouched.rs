//! People whom another system vouches for: a token it has signed, or a password it knows.

use playhouse_actors::{
    house::{HouseError, NewAccount},
    user::UserError,
};
use ruma::OwnedUserId;

use crate::{
    canary,
    edge::{App, Failure},
};

/// Somebody whom another system vouches for.
pub(super) struct Vouched<'a> {
    /// The local part of the user ID, as the other system has it.
    pub(super) localpart: &'a str,
    /// The display name of who comes for the first time.
    pub(super) displayname: Option<&'a str>,
    /// Who comes for the first time gets an account.
    pub(super) register: bool,
}

impl Vouched<'_> {
    /// The account, and whether it was made now.
    pub(super) async fn account(&self, app: &App) -> Result<(OwnedUserId, bool), Failure> {
        let user_id = match app.house.available_user_id(self.localpart).await {
            Ok(user_id) => user_id,
            Err(HouseError::User(UserError::UserInUse)) => {
                let localpart = self.localpart.to_ascii_lowercase();
                let user_id = format!("@{localpart}:{}", app.env().server_name());
                let known = OwnedUserId::try_from(user_id).map_err(Failure::internal)?;
                if app.house.is_notifier(&known) || canary::owns(app, &known).await? {
                    return Err(Failure::forbidden("this account is the server's own"));
                }
                return Ok((known, false));
            }
            Err(error) => return Err(error.into()),
        };
        if !self.register {
            return Err(Failure::forbidden("no such account"));
        }
        app.bridges.check_user(&user_id)?;
        app.house.must_have_room_for_newcomer(None).await?;
        let new = NewAccount {
            username: Some(self.localpart.to_owned()),
            displayname: self.displayname.map(str::to_owned),
            ..NewAccount::default()
        };
        match app.house.register(new).await {
            Ok(_) => Ok((user_id, true)),
            // The same person was faster on another device.
            Err(HouseError::User(UserError::UserInUse)) => Ok((user_id, false)),
            Err(error) => Err(error.into()),
        }
    }
}
