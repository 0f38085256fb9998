//! A sync as understood: token read, filter found.

use std::sync::Arc;

use playhouse_schema::address::Layout;
use ruma::OwnedDeviceId;

use super::{
    filter::SyncFilter,
    token::{Parsed, SyncToken},
};
use crate::user::{
    UserError,
    feed::account::Account,
    message::{SlidingQuery, SyncQuery},
    sliding::Sliding,
};

/// The longest filter that may be sent inline.
const FILTER_BYTES_MAX: usize = 64 * 1024;

/// A sync as understood.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// The device that syncs.
    pub(crate) device_id: OwnedDeviceId,
    /// From where on; `None` for an initial sync.
    pub(crate) since: Option<SyncToken>,
    /// The token as it came.
    pub(crate) since_word: Option<String>,
    /// What is wanted.
    pub(crate) filter: Arc<SyncFilter>,
    /// The filter as it came.
    pub(crate) filter_word: Option<String>,
    /// All state of all rooms.
    pub(crate) full_state: bool,
    /// State after the timeline.
    pub(crate) state_after: bool,
    /// When to end at the latest.
    pub(crate) deadline: tokio::time::Instant,
    /// It is a sliding sync: then nothing above but device, since and deadline counts.
    pub(crate) sliding: Option<Box<Sliding>>,
}

impl Request {
    /// Understands a sync.
    pub(crate) fn read(
        query: &SyncQuery,
        layout: Layout,
        filter: Arc<SyncFilter>,
        deadline: tokio::time::Instant,
    ) -> Result<Self, UserError> {
        let parsed = query
            .since
            .as_deref()
            .map(|word| SyncToken::parse(word, layout))
            .transpose()
            .map_err(|error| UserError::InvalidParam(format!("since: {error}")))?;
        let since = match parsed {
            Some(Parsed::Token(token)) => Some(token),
            Some(Parsed::Outdated) | None => None,
        };
        Ok(Self {
            device_id: query.device_id.clone(),
            since_word: query.since.clone().filter(|_| since.is_some()),
            since,
            filter,
            filter_word: query.filter.clone(),
            full_state: query.full_state,
            state_after: query.state_after,
            deadline,
            sliding: None,
        })
    }

    /// A sliding sync.
    pub(crate) fn slide(
        query: &SlidingQuery,
        sliding: Sliding,
        since: Option<SyncToken>,
        deadline: tokio::time::Instant,
    ) -> Self {
        Self {
            device_id: query.device_id.clone(),
            since,
            since_word: query.pos.clone(),
            filter: Arc::new(SyncFilter::of_window(0, false)),
            filter_word: None,
            full_state: false,
            state_after: true,
            deadline,
            sliding: Some(Box::new(sliding)),
        }
    }

    /// Whether the answer must not wait.
    pub(crate) fn is_immediate(&self) -> bool {
        self.since.is_none() || self.full_state
    }

    /// Whether it is to be remembered which members were sent.
    pub(crate) fn remembers_members(&self) -> bool {
        self.sliding.is_some() || self.filter.is_lazy()
    }

    /// Under what the members that were sent are remembered: each connection of a device has its own.
    pub(crate) fn memory_key(&self) -> OwnedDeviceId {
        match &self.sliding {
            Some(sliding) => format!("{}\n{}", self.device_id, sliding.connection()).into(),
            None => self.device_id.clone(),
        }
    }
}

/// The filter that a sync names by ID or brings along.
pub(crate) fn find_filter(
    word: Option<&str>,
    account: &dyn Account,
) -> Result<SyncFilter, UserError> {
    let Some(word) = word else {
        return Ok(SyncFilter::default());
    };
    let stored;
    let json = if word.starts_with('{') {
        word
    } else {
        stored = account
            .filter(word)
            .ok_or_else(|| UserError::InvalidParam("filter: unknown filter ID".into()))?;
        &stored
    };
    if json.len() > FILTER_BYTES_MAX {
        return Err(UserError::InvalidParam("filter: too large".into()));
    }
    SyncFilter::parse(json).map_err(|error| UserError::InvalidParam(format!("filter: {error}")))
}
