//! The meetings under way: small, few, and only in memory. What is said in them is secret.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use actix_web::http::header::HttpDate;
use playhouse_actors::{
    desks::{Changed, DeskKind, Put, Terms},
    env::Env,
    house::{Desks, House, HouseError},
};
use serde::{Deserialize, Serialize};

/// A meeting as it is now.
#[derive(Clone, PartialEq, Eq)]
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

/// What lies on the desk.
#[derive(Serialize, Deserialize)]
struct Said {
    data: String,
    said_ms: u64,
}

/// Why something was not said.
#[derive(Debug)]
pub(super) enum Unsaid {
    /// There is no such meeting any more.
    Gone,
    /// Somebody else has said something in the meantime.
    Overtaken,
    /// It cannot be had now.
    Failed(Box<HouseError>),
}

impl From<HouseError> for Unsaid {
    fn from(error: HouseError) -> Self {
        Unsaid::Failed(Box::new(error))
    }
}

/// All meetings. They lie on a desk: the two devices may speak to different nodes.
pub(crate) struct Meetings {
    sessions_max: u64,
    lifetime_ms: u64,
    desks: Desks,
    env: Env,
}

impl Meetings {
    /// Room for so many, which last so long.
    pub(crate) fn new(sessions_max: u64, lifetime_ms: u64, house: &House) -> Self {
        Self {
            sessions_max,
            lifetime_ms,
            desks: house.desks().clone(),
            env: house.env().clone(),
        }
    }

    /// Begins a meeting; the oldest one ends when there are too many.
    pub(super) async fn begin(&self, data: String) -> Result<(String, Meeting), HouseError> {
        let said_ms = self.env.now_ms();
        let until_ms = said_ms.saturating_add(self.lifetime_ms);
        let said = Said { data, said_ms };
        let terms = Terms {
            things_max: Some(self.sessions_max),
            ..Terms::default()
        };
        let id = self.env.random_string(32);
        let place = (DeskKind::Meetings, id.as_str());
        let put = self.desks.put(place, (&said, until_ms), terms);
        match put.await? {
            (Put::Done, token) => Ok((id, said.met(token, until_ms))),
            _ => Err(HouseError::Busy),
        }
    }

    /// What was said last.
    pub(super) async fn get(&self, id: &str) -> Result<Option<Meeting>, HouseError> {
        let found = self.desks.get::<Said>(DeskKind::Meetings, id).await?;
        Ok(found.map(|found| found.value.met(found.token, found.until_ms)))
    }

    /// Says something, if nobody else has since `token`.
    pub(super) async fn say(
        &self,
        id: &str,
        (token, data): (&str, String),
    ) -> Result<Meeting, Unsaid> {
        let Some(Meeting { until_ms, .. }) = self.get(id).await? else {
            return Err(Unsaid::Gone);
        };
        let said_ms = self.env.now_ms();
        let said = Said { data, said_ms };
        let place = (DeskKind::Meetings, id);
        match self.desks.change(place, token, &said).await? {
            (Changed::Done, token) => Ok(said.met(token, until_ms)),
            (Changed::Gone, _) => Err(Unsaid::Gone),
            (Changed::Overtaken, _) => Err(Unsaid::Overtaken),
            (Changed::Full, _) => Err(HouseError::Busy.into()),
        }
    }

    /// Ends a meeting; `false` when there is none.
    pub(super) async fn end(&self, id: &str) -> Result<bool, HouseError> {
        let ended = self.desks.take::<Said>(DeskKind::Meetings, id).await?;
        Ok(ended.is_some())
    }
}

impl Said {
    fn met(self, token: String, until_ms: u64) -> Meeting {
        Meeting {
            data: self.data,
            token,
            said_ms: self.said_ms,
            until_ms,
        }
    }
}

/// A time as HTTP headers have it.
pub(super) fn http_date(ms: u64) -> String {
    let time: SystemTime = UNIX_EPOCH + Duration::from_millis(ms);
    HttpDate::from(time).to_string()
}
