//! Identities at other systems, by which users log in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_schema::{
    address::Entity,
    chain::digest,
    record::external::{Identity, SessionBegun},
};
use ruma::{DeviceId, OwnedDeviceId, OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use super::{House, HouseError};
use crate::{
    externals::{ExternalCommand, ExternalQuery},
    passes::{PassCommand, PassKind},
    user::{UserCommand, UserError},
};

/// By what a session begins that begins by single sign-on. It goes with passes, as JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The other system.
    pub provider: String,
    /// The name there.
    pub subject: String,
    /// What the other system calls its own session.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
}

/// Whom another system has logged out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoggedOut {
    /// The other system.
    pub provider: String,
    /// The name there.
    pub subject: Option<String>,
    /// Only the session of this name there.
    pub sid: Option<String>,
}

impl House {
    /// The user to whom an identity at another system belongs.
    pub async fn user_of_external(
        &self,
        provider: &str,
        subject: &str,
    ) -> Result<Option<OwnedUserId>, HouseError> {
        let entity = external(provider, subject);
        Ok(self.externals.query(entity, ExternalQuery).await?.owner)
    }

    /// Lets an identity at another system belong to a user; refused with `ExternalError::Taken` when it belongs to another.
    pub async fn link_external(
        &self,
        provider: &str,
        subject: &str,
        user_id: &UserId,
    ) -> Result<(), HouseError> {
        let command = ExternalCommand::Link {
            provider: provider.to_owned(),
            subject: subject.to_owned(),
            user_id: user_id.to_owned(),
        };
        self.externals
            .command(external(provider, subject), command)
            .await?;
        let note = ExternalCommand::Note(Identity {
            provider: provider.to_owned(),
            subject: subject.to_owned(),
        });
        self.externals.command(identities_of(user_id), note).await?;
        Ok(())
    }

    /// The identities at other systems that still belong to a user.
    pub async fn externals_of(&self, user_id: &UserId) -> Result<Vec<Identity>, HouseError> {
        let noted = self
            .externals
            .query(identities_of(user_id), ExternalQuery)
            .await?;
        let mut theirs = Vec::new();
        for identity in noted.identities {
            let owner = self.user_of_external(&identity.provider, &identity.subject);
            if owner.await?.as_deref() == Some(user_id) {
                theirs.push(identity);
            }
        }
        Ok(theirs)
    }

    /// Remembers by what a session began, so that the other system can end it.
    pub async fn note_origin(
        &self,
        user_id: &UserId,
        device_id: &DeviceId,
        origin: Origin,
    ) -> Result<(), HouseError> {
        let begun = SessionBegun {
            user_id: user_id.to_string(),
            device_id: device_id.to_string(),
            sid: origin.sid.clone(),
        };
        if let Some(sid) = &origin.sid {
            let command = ExternalCommand::BeginSession(begun.clone());
            let entity = session_there(&origin.provider, sid);
            self.externals.command(entity, command).await?;
        }
        let command = ExternalCommand::BeginSession(begun);
        let entity = external(&origin.provider, &origin.subject);
        self.externals.command(entity, command).await?;
        Ok(())
    }

    /// Ends the sessions that began by an identity, or by a session there; browsers that were let in here go out with them. Tells how many ended.
    pub async fn log_out_external(&self, gone: &LoggedOut) -> Result<usize, HouseError> {
        let mut ended = 0;
        for (entity, only_nameless) in places_of(gone) {
            let known = self.externals.query(entity.clone(), ExternalQuery).await?;
            let mut left = 0;
            for begun in &known.sessions {
                let is_meant = !only_nameless || begun.sid.is_none();
                if is_meant && self.end_begun(begun, gone).await? {
                    ended += 1;
                } else {
                    left += 1;
                }
            }
            if left == 0 {
                self.externals
                    .command(entity, ExternalCommand::EndSessions)
                    .await?;
            }
        }
        Ok(ended)
    }

    async fn end_begun(&self, begun: &SessionBegun, gone: &LoggedOut) -> Result<bool, HouseError> {
        let Ok(user_id) = UserId::parse(&begun.user_id) else {
            return Ok(false);
        };
        if let Some(subject) = &gone.subject
            && self
                .user_of_external(&gone.provider, subject)
                .await?
                .as_ref()
                != Some(&user_id)
        {
            return Ok(false);
        }
        let device_ids = vec![OwnedDeviceId::from(begun.device_id.as_str())];
        let command = UserCommand::RemoveDevices { device_ids };
        match self.user_command(&user_id, command).await {
            Ok(_) | Err(UserError::UnknownUser | UserError::Deactivated) => {}
            Err(error) => return Err(error.into()),
        }
        let browsers = PassCommand::EndAll(PassKind::Browser);
        self.pass_command(&user_id, browsers).await?;
        Ok(true)
    }

    /// Lets an identity at another system belong to nobody.
    pub async fn unlink_external(&self, provider: &str, subject: &str) -> Result<(), HouseError> {
        let entity = external(provider, subject);
        self.externals
            .command(entity, ExternalCommand::Unlink)
            .await?;
        Ok(())
    }
}

/// Where the sessions are remembered that are meant. Who names a session and a person may mean one that began before the system told its sessions' names.
fn places_of(gone: &LoggedOut) -> Vec<(Entity, bool)> {
    let mut places = Vec::new();
    if let Some(sid) = &gone.sid {
        places.push((session_there(&gone.provider, sid), false));
    }
    if let Some(subject) = &gone.subject {
        places.push((external(&gone.provider, subject), gone.sid.is_some()));
    }
    places
}

/// The identities of a user.
fn identities_of(user_id: &UserId) -> Entity {
    Entity::house(&format!("externals-of:{user_id}"))
}

/// A session at another system.
fn session_there(provider: &str, sid: &str) -> Entity {
    let digest = URL_SAFE_NO_PAD.encode(digest(sid.as_bytes()));
    Entity::house(&format!("external-session:{provider}:{digest}"))
}

/// Names at other systems may be long and hold anything: their digest stands for them.
fn external(provider: &str, subject: &str) -> Entity {
    let digest = URL_SAFE_NO_PAD.encode(digest(subject.as_bytes()));
    Entity::house(&format!("external:{provider}:{digest}"))
}
