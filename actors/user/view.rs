//! What can be read from a user's state.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{
    DeviceId, OwnedRoomId, OwnedUserId, RoomId,
    events::ignored_user_list::IgnoredUserListEventContent,
    events::push_rules::PushRulesEventContent, push::Ruleset,
};
use serde_json::Value as JsonValue;

use super::{
    device::DeviceState,
    error::UserError,
    message::{Account, Device, Session, ToDeviceIndex},
    state::{AccountState, User},
    token::TokenHash,
};
use crate::room::message::JsonText;

/// Account data with the push rules.
pub(super) const PUSH_RULES: &str = "m.push_rules";

impl User {
    /// The account of a user that exists, open or closed.
    pub(super) fn existing(&self) -> Result<&AccountState, UserError> {
        self.account.as_ref().ok_or(UserError::UnknownUser)
    }

    /// The account of a user that exists and is not closed.
    pub(super) fn open(&self) -> Result<&AccountState, UserError> {
        let account = self.existing()?;
        if account.deactivated {
            return Err(UserError::Deactivated);
        }
        Ok(account)
    }

    /// A device.
    pub fn device(&self, device_id: &DeviceId) -> Option<&DeviceState> {
        self.devices.get(device_id).map(|device| &**device)
    }

    /// At most `limit` to-device messages after an index, and the index to go on from. When all are told, that is the newest record.
    pub fn to_device_after(
        &self,
        device_id: &DeviceId,
        index: ToDeviceIndex,
        limit: usize,
    ) -> (Vec<Arc<str>>, ToDeviceIndex) {
        let (messages, more) = self
            .device(device_id)
            .map(|device| device.inbox.after(index, limit))
            .unwrap_or_default();
        let end = ToDeviceIndex {
            sequence: self.sequence,
            partial: 0,
        };
        (messages, more.unwrap_or(end))
    }

    /// A profile field in force.
    pub fn profile_field(&self, name: &str) -> Option<&Arc<str>> {
        self.profile.get(name)?.json.as_ref()
    }

    pub(super) fn session(&self, token: &str, now_ms: u64) -> Result<Session, UserError> {
        let unknown = |soft_logout| UserError::UnknownToken { soft_logout };
        let account = self.account.as_ref().ok_or(unknown(false))?;
        let access = self
            .tokens
            .access(&TokenHash::of(token))
            .ok_or(unknown(false))?;
        if account.deactivated {
            return Err(unknown(false));
        }
        let expired = access
            .expires_ms
            .is_some_and(|expires_ms| expires_ms <= now_ms);
        if expired && account.locked {
            return Err(UserError::Locked);
        }
        if expired {
            return Err(unknown(true));
        }
        let replaced = access.replaces.as_ref();
        Ok(Session {
            user_id: self.user_id.clone(),
            device_id: Some(access.device_id.clone()),
            admin: account.admin,
            guest: account.guest,
            suspended: account.suspended,
            locked: account.locked,
            expires_ms: access.expires_ms,
            valid_until_ms: account.valid_until_ms,
            shadow_banned: account.shadow_banned,
            rate: account.rate,
            confirms_refresh: replaced.is_some_and(|hash| self.tokens.refresh(hash).is_some()),
        })
    }

    pub(super) fn account_answer(&self) -> Result<Account, UserError> {
        let account = self.existing()?;
        Ok(Account {
            user_id: self.user_id.clone(),
            created_ms: account.created_ms,
            password_hash: account.password_hash.clone(),
            admin: account.admin,
            guest: account.guest,
            locked: account.locked,
            suspended: account.suspended,
            deactivated: account.deactivated,
            valid_until_ms: account.valid_until_ms,
            user_type: account.user_type.clone(),
            erased: account.erased,
            shadow_banned: account.shadow_banned,
            rate: account.rate,
            terms: account.terms.clone(),
            reopened_ms: account.reopened_ms,
        })
    }

    pub(super) fn devices_answer(
        &self,
        device_id: Option<&DeviceId>,
    ) -> Result<Vec<Device>, UserError> {
        let dehydrated = self.dehydrated.as_ref().map(|device| &device.device_id);
        let described = |device: &DeviceState| Device {
            device_id: device.device_id.clone(),
            display_name: device.display_name.clone(),
            last_seen_ms: device.last_seen_ms,
            last_seen_address: device.last_seen_address.clone(),
            user_agent: device.user_agent.clone(),
            dehydrated: dehydrated == Some(&device.device_id),
        };
        match device_id {
            Some(device_id) => {
                let device = self.device(device_id).ok_or(UserError::NotFound)?;
                Ok(vec![described(device)])
            }
            None => Ok(self
                .devices
                .values()
                .map(|device| described(device))
                .collect()),
        }
    }

    pub(super) fn profile_answer(&self) -> Vec<(String, JsonText)> {
        self.profile
            .iter()
            .filter_map(|(name, item)| Some((name.clone(), item.json.as_ref()?.to_string())))
            .collect()
    }

    /// The content of a piece of account data in force. There are always push rules.
    pub fn account_data_json(
        &self,
        room_id: Option<&RoomId>,
        event_type: &str,
    ) -> Option<JsonText> {
        if room_id.is_none() && event_type == PUSH_RULES {
            return Some(push_rules_json(&self.push_rules()).to_string());
        }
        self.account_data
            .json(room_id, event_type)
            .map(|json| json.to_string())
    }

    /// All pieces of account data in force, global ones first.
    pub(super) fn all_account_data(&self) -> Vec<(Option<OwnedRoomId>, String, JsonText)> {
        let rules = push_rules_json(&self.push_rules()).to_string();
        let mut told = vec![(None, PUSH_RULES.to_owned(), rules)];
        for ((room_id, event_type), item) in self.account_data.iter() {
            let is_told_already = room_id.is_none() && event_type == PUSH_RULES;
            if let Some(json) = item.json.as_ref().filter(|_| !is_told_already) {
                told.push((room_id.clone(), event_type.clone(), json.to_string()));
            }
        }
        told
    }

    /// A stored filter.
    pub fn filter(&self, filter_id: &str) -> Option<&Arc<str>> {
        self.filters.get(filter_id.parse().ok()?)
    }
}

/// The push rules as set, with today's rules of the server; the server's alone when none are set.
pub(super) fn push_rules(user: &User) -> Ruleset {
    let server = Ruleset::server_default(&user.user_id);
    let set = user
        .account_data
        .json(None, PUSH_RULES)
        .and_then(|json| serde_json::from_str::<PushRulesEventContent>(json).ok());
    match set {
        Some(content) => {
            let mut rules = content.global;
            rules.update_with_server_default(server);
            rules
        }
        None => server,
    }
}

/// The content of `m.push_rules`. Kinds without rules are there and empty: clients count on them.
pub(super) fn push_rules_json(rules: &Ruleset) -> JsonValue {
    let mut global = serde_json::to_value(rules).unwrap_or_default();
    if let JsonValue::Object(kinds) = &mut global {
        for kind in ["content", "override", "room", "sender", "underride"] {
            kinds
                .entry(kind)
                .or_insert_with(|| JsonValue::Array(Vec::new()));
        }
    }
    serde_json::json!({ "global": global })
}

/// The users on the ignore list.
pub(super) fn ignored(user: &User) -> BTreeSet<OwnedUserId> {
    user.account_data
        .json(None, "m.ignored_user_list")
        .and_then(|json| serde_json::from_str::<IgnoredUserListEventContent>(json).ok())
        .map(|content| content.ignored_users.into_keys().collect())
        .unwrap_or_default()
}
