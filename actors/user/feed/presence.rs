//! Presence: the user's own, kept alive by its syncs, and that of others as heard.
//!
//! A sync marks the user online (or unavailable) unless it says `offline`. When nothing has synced for a while the user goes offline. What is set by
//! hand (`PUT /presence`) holds until a sync says otherwise.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{OwnedDeviceId, OwnedUserId, presence::PresenceState};

use crate::user::message::Presence;

/// Nobody synced for so long: offline.
const OFFLINE_AFTER_MS: u64 = 45_000;

/// A user is called active for so long after its last activity.
const ACTIVE_FOR_MS: u64 = 5 * 60 * 1000;

/// Who stays is announced again: other servers take for gone who is not told of for half an hour.
const AGAIN_AFTER_MS: u64 = 25 * 60 * 1000;

/// Others' presence that is remembered.
const OTHERS_MAX: usize = 10_000;

/// Presence as a feed knows it.
#[derive(Debug, Default)]
pub(crate) struct PresenceBook {
    /// One's own; `None` until something is known.
    own: Option<Arc<Presence>>,
    /// As last taken over from the account's records.
    kept: Option<Presence>,
    /// When it was announced, at the earliest; `None` until time has passed since.
    announced_ms: Option<u64>,
    /// What the syncs of each device say, and when they last did.
    synced: BTreeMap<OwnedDeviceId, (PresenceState, u64)>,
    others: BTreeMap<OwnedUserId, (u64, Arc<Presence>)>,
}

impl PresenceBook {
    /// One's own at this moment.
    pub(crate) fn own(&self, now_ms: u64) -> Presence {
        let mut own = self.own.as_deref().cloned().unwrap_or(Presence {
            presence: PresenceState::Offline,
            status_msg: None,
            active_ms: 0,
            currently_active: false,
        });
        own.currently_active = own.presence == PresenceState::Online
            && now_ms.saturating_sub(own.active_ms) < ACTIVE_FOR_MS;
        own
    }

    /// A sync says how the user is; of several devices the most present one counts. Returns what is to be announced, if anything.
    pub(crate) fn synced(
        &mut self,
        device_id: &OwnedDeviceId,
        state: Option<PresenceState>,
        now_ms: u64,
    ) -> Option<Arc<Presence>> {
        let state = state.filter(|state| *state != PresenceState::Offline)?;
        self.synced.insert(device_id.clone(), (state, now_ms));
        self.drop_silent(now_ms);
        let is_online = |(state, _): &(PresenceState, u64)| *state == PresenceState::Online;
        let state = if self.synced.values().any(is_online) {
            PresenceState::Online
        } else {
            PresenceState::Unavailable
        };
        let mut own = self.own(now_ms);
        let changed = own.presence != state;
        if state == PresenceState::Online && changed {
            own.active_ms = now_ms;
        }
        own.currently_active = state == PresenceState::Online;
        own.presence = state;
        self.change(own, changed)
    }

    fn drop_silent(&mut self, now_ms: u64) {
        self.synced
            .retain(|_, (_, at_ms)| now_ms.saturating_sub(*at_ms) < OFFLINE_AFTER_MS);
    }

    /// The account's records say how the user is, by its own hand.
    pub(crate) fn kept(&mut self, kept: Option<Presence>) -> Option<Arc<Presence>> {
        if kept == self.kept {
            return None;
        }
        self.kept.clone_from(&kept);
        self.change(kept?, true)
    }

    /// At waking: what the records say, but nobody is there yet.
    pub(crate) fn woken(&mut self, kept: Option<Presence>) {
        self.kept.clone_from(&kept);
        self.own = kept.map(|kept| {
            Arc::new(Presence {
                presence: PresenceState::Offline,
                currently_active: false,
                ..kept
            })
        });
    }

    /// Time has passed; syncs of these devices wait.
    pub(crate) fn due<'a>(
        &mut self,
        now_ms: u64,
        waiting: impl Iterator<Item = &'a OwnedDeviceId>,
    ) -> Option<Arc<Presence>> {
        for device_id in waiting {
            if let Some((_, at_ms)) = self.synced.get_mut(device_id) {
                *at_ms = now_ms;
            }
        }
        self.drop_silent(now_ms);
        if !self.is_present() {
            return None;
        }
        let mut own = self.own(now_ms);
        if !self.synced.is_empty() {
            let announced_ms = *self.announced_ms.get_or_insert(now_ms);
            let again = now_ms.saturating_sub(announced_ms) >= AGAIN_AFTER_MS;
            return self.change(own, again);
        }
        own.presence = PresenceState::Offline;
        own.currently_active = false;
        self.change(own, true)
    }

    /// Whether the user counts as present, so that its going must be noticed.
    pub(crate) fn is_present(&self) -> bool {
        self.own
            .as_ref()
            .is_some_and(|own| own.presence != PresenceState::Offline)
    }

    fn change(&mut self, own: Presence, changed: bool) -> Option<Arc<Presence>> {
        let own = Arc::new(own);
        self.own = Some(own.clone());
        if changed {
            self.announced_ms = None;
        }
        changed.then_some(own)
    }

    /// Somebody's presence was heard of.
    pub(crate) fn heard(&mut self, user_id: OwnedUserId, presence: Arc<Presence>, serial: u64) {
        if self.others.len() >= OTHERS_MAX && !self.others.contains_key(&user_id) {
            self.others.pop_first();
        }
        self.others.insert(user_id, (serial, presence));
    }

    /// What was heard after a serial.
    pub(crate) fn after(
        &self,
        serial: u64,
    ) -> impl Iterator<Item = (&OwnedUserId, &Arc<Presence>)> {
        self.others
            .iter()
            .filter(move |(_, (heard, _))| *heard > serial)
            .map(|(user_id, (_, presence))| (user_id, presence))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stays_is_announced_again_and_who_goes_once() {
        let device = OwnedDeviceId::from("D");
        let mut book = PresenceBook::default();
        let online = Some(PresenceState::Online);
        assert!(book.synced(&device, online.clone(), 0).is_some());
        assert!(book.synced(&device, online, 1).is_none());
        let mut at_ms = 0;
        let mut announced = Vec::new();
        while at_ms < 3 * AGAIN_AFTER_MS {
            at_ms += 10_000;
            announced.extend(book.due(at_ms, [&device].into_iter()).map(|_| at_ms));
        }
        assert_eq!(announced.len(), 2, "{announced:?}");
        let gone = book.due(at_ms + OFFLINE_AFTER_MS, [].into_iter());
        assert_eq!(gone.expect("it went").presence, PresenceState::Offline);
        assert!(book.due(u64::MAX, [].into_iter()).is_none());
    }
}
