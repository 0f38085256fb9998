//! The tokens in force: access tokens, refresh tokens, and which of them replaced which.

use std::sync::Arc;

use imbl::OrdMap;
use playhouse_schema::record::user::TokenIssued;
use ruma::{DeviceId, OwnedDeviceId};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

use super::token::TokenHash;

/// An access token in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct AccessToken {
    pub(super) device_id: OwnedDeviceId,
    pub(super) expires_ms: Option<u64>,
    /// The refresh token that was given out with it.
    pub(super) refresh: Option<TokenHash>,
    /// The refresh token that was exchanged for it, which ends when this one is first used.
    pub(super) replaces: Option<TokenHash>,
    /// The OAuth client that has it.
    pub(super) client_id: Option<Arc<str>>,
}

/// A refresh token in force.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct RefreshToken {
    /// The access token that was given out with it.
    pub(super) access: TokenHash,
    pub(super) device_id: OwnedDeviceId,
    pub(super) expires_ms: Option<u64>,
    pub(super) replaces: Option<TokenHash>,
    /// The OAuth client that has it.
    pub(super) client_id: Option<Arc<str>>,
}

/// All tokens of a user that are in force.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Tokens {
    access: OrdMap<TokenHash, AccessToken>,
    refresh: OrdMap<TokenHash, RefreshToken>,
}

impl Tokens {
    pub(super) fn issue(&mut self, issued: &TokenIssued) {
        let device_id = OwnedDeviceId::from(issued.device_id.as_str());
        let access = TokenHash::from_record(&issued.access_hash);
        let refresh = issued
            .refresh_hash
            .as_ref()
            .map(|hash| TokenHash::from_record(hash));
        let replaces = issued
            .replaces_refresh_hash
            .as_ref()
            .map(|hash| TokenHash::from_record(hash));
        let client_id: Option<Arc<str>> = issued.client_id.as_deref().map(Into::into);
        if let Some(refresh) = refresh.clone() {
            let token = RefreshToken {
                access: access.clone(),
                device_id: device_id.clone(),
                expires_ms: issued.refresh_expires_ms,
                replaces: replaces.clone(),
                client_id: client_id.clone(),
            };
            self.refresh.insert(refresh, token);
        }
        let token = AccessToken {
            device_id,
            expires_ms: issued.expires_ms,
            refresh,
            replaces,
            client_id,
        };
        self.access.insert(access, token);
    }

    pub(super) fn revoke(&mut self, hashes: &[ByteBuf]) {
        for hash in hashes {
            let hash = TokenHash::from_record(hash);
            self.access.remove(&hash);
            self.refresh.remove(&hash);
        }
    }

    pub(super) fn revoke_device(&mut self, device_id: &DeviceId) {
        let ended = self.of_device(device_id);
        self.revoke(&ended);
    }

    pub(super) fn access(&self, hash: &TokenHash) -> Option<&AccessToken> {
        self.access.get(hash)
    }

    pub(super) fn refresh(&self, hash: &TokenHash) -> Option<&RefreshToken> {
        self.refresh.get(hash)
    }

    /// The OAuth client that has the tokens of a device.
    pub(super) fn client_of(&self, device_id: &DeviceId) -> Option<&Arc<str>> {
        let mut tokens = self.access.values();
        let access = tokens.find(|token| token.device_id == *device_id);
        let mut tokens = self.refresh.values();
        let refresh = tokens.find(|token| token.device_id == *device_id);
        access
            .and_then(|token| token.client_id.as_ref())
            .or_else(|| refresh?.client_id.as_ref())
    }

    /// Tokens of a device.
    pub(super) fn of_device(&self, device_id: &DeviceId) -> Vec<ByteBuf> {
        self.matching(|device, _| device == device_id)
    }

    /// Tokens that a refresh token was exchanged for and that nobody has used: else it would not be in force.
    pub(super) fn unused_successors(&self, refresh: &TokenHash) -> Vec<ByteBuf> {
        self.matching(|_, replaces| replaces == Some(refresh))
    }

    /// What ends when a token that replaces this refresh token is used: it and the access token beside it. Empty when it has ended already.
    pub(super) fn replaced(&self, replaces: Option<&TokenHash>) -> Vec<ByteBuf> {
        let Some((hash, token)) = replaces.and_then(|hash| Some((hash, self.refresh.get(hash)?)))
        else {
            return Vec::new();
        };
        let mut ended = vec![hash.to_record()];
        if self.access.contains_key(&token.access) {
            ended.push(token.access.to_record());
        }
        ended
    }

    pub(super) fn len(&self) -> usize {
        self.access.len() + self.refresh.len()
    }

    fn matching(&self, wanted: impl Fn(&DeviceId, Option<&TokenHash>) -> bool) -> Vec<ByteBuf> {
        let access = self
            .access
            .iter()
            .filter(|(_, token)| wanted(&token.device_id, token.replaces.as_ref()))
            .map(|(hash, _)| hash.to_record());
        let refresh = self
            .refresh
            .iter()
            .filter(|(_, token)| wanted(&token.device_id, token.replaces.as_ref()))
            .map(|(hash, _)| hash.to_record());
        access.chain(refresh).collect()
    }
}
