//! Other systems that know passwords: an LDAP directory, an HTTP endpoint.

mod ldap;
mod rest;

use std::{sync::Arc, time::Duration};

use ruma::{UserId, api::error::ErrorCode};

use self::{ldap::Directory, rest::Endpoint};
use crate::{config::Config, edge::Failure, outbound::Trust};

/// More addresses of one person are not taken over.
const ADDRESSES_MAX: usize = 10;

/// Somebody who another system says knows the password.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Proved {
    /// The local part of the user ID, as the other system has it.
    pub(crate) localpart: String,
    /// The display name.
    pub(crate) displayname: Option<String>,
    /// E-mail addresses.
    pub(crate) emails: Vec<String>,
}

/// All such systems.
pub(crate) struct PasswordProviders {
    directory: Option<Directory>,
    endpoint: Option<Endpoint>,
}

impl PasswordProviders {
    /// As configured.
    pub(super) fn new(config: &Config, trust: &Arc<Trust>) -> Self {
        Self {
            directory: Directory::new(config, trust),
            endpoint: Endpoint::new(config, trust),
        }
    }

    /// Whether there is any.
    pub(crate) fn is_empty(&self) -> bool {
        self.directory.is_none() && self.endpoint.is_none()
    }

    /// Asks one after the other whether this is the user's password. 502 when one that cannot be reached might have known.
    pub(crate) async fn check(
        &self,
        user_id: &UserId,
        password: &str,
    ) -> Result<Option<Proved>, Failure> {
        // A directory lets in anybody without a password: as nobody.
        if password.is_empty() {
            return Ok(None);
        }
        let mut unreachable = None;
        if let Some(directory) = &self.directory {
            match directory.check(user_id.localpart(), password).await {
                Ok(Some(proved)) => return Ok(Some(proved)),
                Ok(None) => {}
                Err(error) => unreachable = Some(("directory", error)),
            }
        }
        if let Some(endpoint) = &self.endpoint {
            match endpoint.check(user_id, password).await {
                Ok(Some(proved)) => return Ok(Some(proved)),
                Ok(None) => {}
                Err(error) => unreachable = Some(("endpoint", error)),
            }
        }
        match unreachable {
            None => Ok(None),
            Some((system, error)) => {
                tracing::warn!(
                    system,
                    error,
                    "a system that knows passwords cannot be asked"
                );
                Err(
                    Failure::new(ErrorCode::Unknown, "passwords cannot be checked now")
                        .with_status(502),
                )
            }
        }
    }
}

fn patience(config: &Config) -> Duration {
    Duration::from_millis(config.passwords.timeout_ms)
}
