//! A push gateway double: takes what it is sent, or does not, and remembers it.

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::web::{Body, Reply, Web};

/// So long a test waits for a push.
const WAIT_MAX: Duration = Duration::from_secs(120);

/// How a gateway answers.
#[derive(Clone, Debug)]
pub(crate) enum Manner {
    /// It takes everything.
    Takes,
    /// It takes the push and rejects these keys.
    Rejects(Vec<String>),
    /// This status.
    Refuses(u16),
    /// 503, and it wants to be left alone for so many seconds.
    Busy(u64),
    /// It leads elsewhere.
    Redirects(String),
    /// It breaks the connection.
    IsDown,
    /// It never answers.
    Stalls,
}

/// A push as it came.
#[derive(Clone, Debug)]
pub(crate) struct Arrived {
    /// `notification` of the body.
    pub(crate) notification: Value,
    /// It was taken.
    pub(crate) taken: bool,
    /// When.
    pub(crate) at: Instant,
}

impl Arrived {
    /// The key of the one device.
    pub(crate) fn pushkey(&self) -> &str {
        self.notification["devices"][0]["pushkey"]
            .as_str()
            .unwrap_or_default()
    }

    /// The event, if it is about one.
    pub(crate) fn event_id(&self) -> Option<&str> {
        self.notification["event_id"].as_str()
    }

    /// The count of unread things.
    pub(crate) fn unread(&self) -> Option<u64> {
        self.notification["counts"]["unread"].as_u64()
    }
}

/// A running gateway. Ends with the runtime of its test.
pub(crate) struct PushGateway {
    web: Web,
    manner: Arc<Mutex<Manner>>,
    arrived: Arc<Mutex<Vec<Arrived>>>,
}

impl PushGateway {
    /// Starts one that takes everything.
    pub(crate) async fn start() -> Self {
        let manner = Arc::new(Mutex::new(Manner::Takes));
        let arrived: Arc<Mutex<Vec<Arrived>>> = Arc::default();
        let (told, log) = (manner.clone(), arrived.clone());
        let web = Web::start("127.0.0.1", move |seen| {
            let manner = told.lock().expect("nobody panicked").clone();
            let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
            log.lock().expect("nobody panicked").push(Arrived {
                notification: body["notification"].clone(),
                taken: matches!(manner, Manner::Takes | Manner::Rejects(_)),
                at: Instant::now(),
            });
            answer(&manner)
        })
        .await;
        Self {
            web,
            manner,
            arrived,
        }
    }

    /// What a server needs to know to ask gateways of tests, and to try again soon.
    pub(crate) const ENVIRONMENT: [(&'static str, &'static str); 4] = [
        ("PLAYHOUSE_PUSH_PLAIN_GATEWAYS", "true"),
        ("PLAYHOUSE_PUSH_ALLOW_NETWORKS", "127.0.0.0/8"),
        ("PLAYHOUSE_PUSH_RETRY_WAIT_MS", "100"),
        ("PLAYHOUSE_PUSH_RETRY_WAIT_MAX_MS", "400"),
    ];

    /// The URL for pushers.
    pub(crate) fn url(&self) -> String {
        format!("{}/_matrix/push/v1/notify", self.web.base())
    }

    /// The port.
    pub(crate) fn port(&self) -> u16 {
        self.web.port()
    }

    /// Answers otherwise from now on.
    pub(crate) fn set(&self, manner: Manner) {
        *self.manner.lock().expect("nobody panicked") = manner;
    }

    /// All that came for a key, taken or not.
    pub(crate) fn attempts(&self, pushkey: &str) -> Vec<Arrived> {
        let arrived = self.arrived.lock().expect("nobody panicked");
        let of_key = arrived.iter().filter(|one| one.pushkey() == pushkey);
        of_key.cloned().collect()
    }

    /// All that was taken for a key.
    pub(crate) fn taken(&self, pushkey: &str) -> Vec<Arrived> {
        let mut arrived = self.attempts(pushkey);
        arrived.retain(|one| one.taken);
        arrived
    }

    /// Waits until what came for a key, taken or not, is as wanted.
    pub(crate) async fn until(
        &self,
        pushkey: &str,
        is_wanted: impl Fn(&[Arrived]) -> bool,
    ) -> Vec<Arrived> {
        let deadline = Instant::now() + WAIT_MAX;
        loop {
            let arrived = self.attempts(pushkey);
            if is_wanted(&arrived) {
                return arrived;
            }
            assert!(Instant::now() < deadline, "what came: {arrived:#?}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until a push of an event was taken.
    pub(crate) async fn pushed(&self, pushkey: &str, event_id: &str) -> Value {
        let is_it = |one: &Arrived| one.taken && one.event_id() == Some(event_id);
        let arrived = self.until(pushkey, |all| all.iter().any(is_it)).await;
        let found = arrived.into_iter().find(is_it);
        found.expect("it was waited for").notification
    }

    /// Waits until the count that was told last is this one.
    pub(crate) async fn counts(&self, pushkey: &str, unread: u64) -> Vec<Arrived> {
        let last = |all: &[Arrived]| {
            let told = all.iter().rev().find(|one| one.taken);
            told.and_then(Arrived::unread) == Some(unread)
        };
        self.until(pushkey, last).await
    }
}

fn answer(manner: &Manner) -> Reply {
    let json = |body: Value| {
        let body = body.to_string().into_bytes();
        Reply::new("application/json", Body::Bytes(body))
    };
    match manner {
        Manner::Takes => json(json!({"rejected": []})),
        Manner::Rejects(keys) => json(json!({"rejected": keys})),
        Manner::Refuses(status) => json(json!({})).status(*status),
        Manner::Busy(seconds) => json(json!({}))
            .status(503)
            .header("retry-after", &seconds.to_string()),
        Manner::Redirects(to) => Reply::redirect(to.clone()).status(307),
        Manner::Stalls => Reply::new("text/plain", Body::Silence),
        Manner::IsDown => Reply::new("text/plain", Body::Raw(Vec::new())),
    }
}
