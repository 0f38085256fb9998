//! Identities at other systems, by which users log in.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_schema::{address::Entity, chain::digest};
use ruma::{OwnedUserId, UserId};

use super::{House, HouseError};
use crate::externals::{ExternalCommand, ExternalQuery};

impl House {
    /// The user to whom an identity at another system belongs.
    pub async fn user_of_external(
        &self,
        provider: &str,
        subject: &str,
    ) -> Result<Option<OwnedUserId>, HouseError> {
        let entity = external(provider, subject);
        Ok(self.externals.query(entity, ExternalQuery).await?)
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
        Ok(())
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

/// Names at other systems may be long and hold anything: their digest stands for them.
fn external(provider: &str, subject: &str) -> Entity {
    let digest = URL_SAFE_NO_PAD.encode(digest(subject.as_bytes()));
    Entity::house(&format!("external:{provider}:{digest}"))
}
