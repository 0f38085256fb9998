//! Whose token a request carries, and from where devices were seen.

use std::sync::Arc;

use playhouse_schema::address::Entity;
use ruma::UserId;

use super::{House, HouseError};
use crate::user::{
    UserAnswer, UserCommand, UserError, UserQuery,
    message::{DeviceSighting, Session},
    token::{self, TokenHash},
};

/// From where a request came.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The client's address.
    pub address: String,
    /// The User-Agent header.
    pub user_agent: String,
}

/// A device that was seen again sooner than this is not written down anew.
const SIGHTING_INTERVAL_MS: u64 = 15 * 60 * 1000;

/// So many devices are remembered as seen recently.
const SIGHTINGS_MAX: usize = 100_000;

/// The longest User-Agent that is kept.
const USER_AGENT_BYTES_MAX: usize = 200;

impl House {
    /// Whose access token this is. Refuses with `UserError::UnknownToken`, `Locked`.
    pub async fn authenticate(&self, access_token: &str) -> Result<Session, HouseError> {
        let session = self.authenticate_locked(access_token).await?;
        if session.locked {
            return Err(UserError::Locked.into());
        }
        Ok(session)
    }

    /// As [`House::authenticate`], but somebody whose account is locked is let in too: only for logging out.
    pub async fn authenticate_locked(&self, access_token: &str) -> Result<Session, HouseError> {
        let hash = TokenHash::of(access_token);
        // What a user that lives elsewhere has ended is not heard of here.
        let cached = self.sessions.get(&hash, self.env.now_ms());
        if let Some(session) = cached.filter(|session| self.has_user(&session.user_id)) {
            return Ok((*session).clone());
        }
        let unknown = UserError::UnknownToken { soft_logout: false };
        let owner = token::owner(access_token, self.env.server_name()).ok_or(unknown)?;
        let ticket = self.sessions.ticket(&owner);
        let query = UserQuery::Authenticate {
            access_token: access_token.to_owned(),
        };
        let session = match self.user_query(&owner, query).await {
            Ok(UserAnswer::Session(session)) => session,
            Err(UserError::UnknownUser) => {
                return Err(UserError::UnknownToken { soft_logout: false }.into());
            }
            Ok(_) => return Err(super::surprise("Authenticate")),
            Err(error) => return Err(error.into()),
        };
        if session.confirms_refresh && !session.locked {
            let confirm = UserCommand::ConfirmRefresh {
                access_hash: hash.as_bytes().to_vec(),
            };
            self.user_command(&owner, confirm).await?;
        } else if self.has_user(&owner) {
            self.sessions
                .insert(ticket, hash, Arc::new(session.clone()));
        }
        Ok(session)
    }

    fn has_user(&self, user_id: &UserId) -> bool {
        self.among.is_none() || self.is_here(&Entity::user(user_id.as_str()))
    }

    /// Notes that a device was seen. Returns at once; written down now and then.
    pub fn note_sighting(&self, session: &Session, sighting: Sighting) {
        let Some(device_id) = &session.device_id else {
            return;
        };
        let now_ms = self.env.now_ms();
        let key = (session.user_id.clone(), device_id.clone());
        {
            let mut seen = self.seen.lock();
            let fresh = seen
                .get(&key)
                .is_some_and(|last| now_ms.saturating_sub(*last) < SIGHTING_INTERVAL_MS);
            if fresh {
                return;
            }
            if seen.len() >= SIGHTINGS_MAX {
                seen.clear();
            }
            seen.insert(key, now_ms);
        }
        let mut user_agent = sighting.user_agent;
        user_agent.truncate(user_agent.floor_char_boundary(USER_AGENT_BYTES_MAX));
        let command = UserCommand::NoteDevicesSeen(vec![DeviceSighting {
            device_id: device_id.clone(),
            at_ms: now_ms,
            address: sighting.address,
            user_agent,
        }]);
        let Some(house) = self.myself.upgrade() else {
            return;
        };
        let user_id = session.user_id.clone();
        self.background(async move {
            if let Err(error) = house.user_command(&user_id, command).await {
                tracing::debug!(%user_id, %error, "cannot note a device's sighting");
            }
        });
    }

    /// Whether a user has an account here that is open.
    pub async fn has_open_account(&self, user_id: &UserId) -> Result<bool, HouseError> {
        if !self.is_local(user_id.server_name()) {
            return Ok(false);
        }
        match self.account(user_id).await {
            Ok(account) => Ok(!account.deactivated),
            Err(HouseError::User(UserError::UnknownUser)) => Ok(false),
            Err(error) => Err(error),
        }
    }
}
