//! Cross-signing: a user's signing keys, and its signatures on its own keys and those of others.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use ruma::{OwnedUserId, UserId};

use super::{House, HouseError, surprise};
use crate::{
    room::message::JsonText,
    user::{
        UserCommand, UserReply,
        message::{AddSignatures, SignatureFailure, UploadSigningKeys},
    },
};

/// Other servers tell their users' keys within this time.
const WITHIN: Duration = Duration::from_secs(10);

impl House {
    /// Publishes cross-signing keys. `UserError::ProofNeeded` when keys would change and the caller has proven nothing.
    pub async fn upload_signing_keys(
        &self,
        user_id: &UserId,
        keys: UploadSigningKeys,
    ) -> Result<(), HouseError> {
        let command = UserCommand::UploadSigningKeys(Box::new(keys));
        self.user_command(user_id, command).await?;
        Ok(())
    }

    /// Takes in signatures that a user's clients made; tells which were not right.
    pub async fn add_signatures(
        &self,
        user_id: &UserId,
        signed: Vec<(OwnedUserId, String, JsonText)>,
    ) -> Result<Vec<SignatureFailure>, HouseError> {
        let others: BTreeSet<_> = signed
            .iter()
            .map(|(of, ..)| of)
            .filter(|of| **of != *user_id)
            .cloned()
            .collect();
        let wanted = others.into_iter().map(|of| (of, Vec::new())).collect();
        let found = self.query_keys(user_id, wanted, WITHIN).await?;
        let masters: BTreeMap<_, _> = found.master_keys;
        let upload = AddSignatures { signed, masters };
        let command = UserCommand::AddSignatures(Box::new(upload));
        match self.user_command(user_id, command).await? {
            UserReply::SignatureFailures(failures) => Ok(failures),
            _ => Err(surprise("AddSignatures")),
        }
    }
}
