//! Accounts that end unless they are renewed: until when they hold, and whom to warn.

use playhouse_schema::models::{
    Model as _,
    validity::{self as model, Validity},
};
use ruma::{OwnedUserId, UserId};

use super::{House, HouseError};
use crate::user::UserCommand;

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// The account holds until then, milliseconds since the Unix epoch.
    Done(u64),
    /// It was renewed before by the same right.
    Already,
}

impl House {
    /// Says until when an account holds.
    pub async fn set_validity(&self, user_id: &UserId, until_ms: u64) -> Result<(), HouseError> {
        let command = UserCommand::SetValidity(until_ms);
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// Renews an account for a period from now, by the right to renew it at one end: a second time that does nothing.
    pub async fn renew(
        &self,
        user_id: &UserId,
        end_ms: u64,
        period_ms: u64,
    ) -> Result<Renewal, HouseError> {
        if self.account(user_id).await?.valid_until_ms != Some(end_ms) {
            return Ok(Renewal::Already);
        }
        let until_ms = self.env.now_ms().saturating_add(period_ms);
        self.set_validity(user_id, until_ms).await?;
        Ok(Renewal::Done(until_ms))
    }

    /// Remembers that the user was mailed of this end.
    pub async fn note_renewal_mail(&self, user_id: &UserId, end_ms: u64) -> Result<(), HouseError> {
        let command = UserCommand::NoteRenewalMail(end_ms);
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// A page of the accounts that end until then, of which their users were not mailed yet, each with its end.
    pub async fn ending_accounts(
        &self,
        until_ms: u64,
        (after, limit): (&str, usize),
    ) -> Result<Vec<(OwnedUserId, u64)>, HouseError> {
        self.models.caught_up(Validity::NAME).await?;
        let found = model::due(&**self.models.store(), until_ms, (after, limit)).await?;
        let users = found.into_iter();
        Ok(users
            .filter_map(|(user_id, until_ms)| Some((UserId::parse(&user_id).ok()?, until_ms)))
            .collect())
    }

    /// A page of the accounts of which nobody has said when they end.
    pub async fn endless_accounts(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<OwnedUserId>, HouseError> {
        self.models.caught_up(Validity::NAME).await?;
        let found = model::endless(&**self.models.store(), after, limit).await?;
        let users = found.iter();
        Ok(users
            .filter_map(|user_id| UserId::parse(user_id).ok())
            .collect())
    }
}
