//! The meetings under way: small, few, and only in memory.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use actix_web::http::header::HttpDate;
use parking_lot::Mutex;
use playhouse_actors::env::Env;

/// What is kept of a meeting, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Meeting {
    /// What was said last.
    pub(super) data: String,
    /// What tells this from what was said before.
    pub(super) token: String,
    /// When it was said, milliseconds since the Unix epoch.
    pub(super) said_ms: u64,
    /// Until when the meeting lasts.
    pub(super) until_ms: u64,
}

/// Why something was not said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unsaid {
    /// There is no such meeting any more.
    Gone,
    /// Somebody else has said something in the meantime.
    Overtaken,
}

/// All meetings of this node.
pub(crate) struct Meetings {
    sessions_max: usize,
    lifetime_ms: u64,
    open: Mutex<BTreeMap<String, Meeting>>,
}

impl Meetings {
    /// No meeting, and room for so many, which last so long.
    pub(crate) fn new(sessions_max: u64, lifetime_ms: u64) -> Self {
        Self {
            sessions_max: usize::try_from(sessions_max).unwrap_or(usize::MAX),
            lifetime_ms,
            open: Mutex::default(),
        }
    }

    /// Begins a meeting; the oldest one ends when there are too many.
    pub(super) fn begin(&self, data: String, env: &Env) -> (String, Meeting) {
        let now_ms = env.now_ms();
        let meeting = Meeting {
            data,
            token: env.random_string(16),
            said_ms: now_ms,
            until_ms: now_ms.saturating_add(self.lifetime_ms),
        };
        let id = env.random_string(32);
        let mut open = self.open.lock();
        open.retain(|_, meeting| now_ms < meeting.until_ms);
        if open.len() >= self.sessions_max {
            let oldest = open.iter().min_by_key(|(_, meeting)| meeting.until_ms);
            if let Some(oldest) = oldest.map(|(id, _)| id.clone()) {
                open.remove(&oldest);
            }
        }
        open.insert(id.clone(), meeting.clone());
        (id, meeting)
    }

    /// What was said last.
    pub(super) fn get(&self, id: &str, now_ms: u64) -> Option<Meeting> {
        let open = self.open.lock();
        let meeting = open.get(id)?;
        (now_ms < meeting.until_ms).then(|| meeting.clone())
    }

    /// Says something, if nobody else has since `token`.
    pub(super) fn say(
        &self,
        id: &str,
        (token, data): (&str, String),
        env: &Env,
    ) -> Result<Meeting, Unsaid> {
        let now_ms = env.now_ms();
        let mut open = self.open.lock();
        let meeting = open.get_mut(id).ok_or(Unsaid::Gone)?;
        if meeting.until_ms <= now_ms {
            return Err(Unsaid::Gone);
        }
        if meeting.token != token {
            return Err(Unsaid::Overtaken);
        }
        meeting.data = data;
        meeting.token = env.random_string(16);
        meeting.said_ms = now_ms;
        Ok(meeting.clone())
    }

    /// Ends a meeting; `false` when there is none.
    pub(super) fn end(&self, id: &str) -> bool {
        self.open.lock().remove(id).is_some()
    }
}

/// A time as HTTP headers have it.
pub(super) fn http_date(ms: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(ms);
    HttpDate::from(time).to_string()
}
