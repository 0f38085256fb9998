//! Notifications from many homeservers at once, and what they cost.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use clap::ValueEnum;
use futures_util::{StreamExt as _, stream};
use serde_json::{Value, json};

use super::{
    gateway::{Keys, Running},
    process,
    provider::Provider,
    trouble::{Outcome, Trouble},
};

/// All notifications of a load arrive within this time after the last was sent.
const ARRIVE_WITHIN: Duration = Duration::from_secs(60);

/// What is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Kind {
    Apns,
    Fcm,
    Webpush,
    /// One after the other.
    Mixed,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [Self::Apns, Self::Fcm, Self::Webpush, Self::Mixed];

    fn of(self, number: usize) -> Self {
        match self {
            Self::Mixed => Self::ALL[number % 3],
            kind => kind,
        }
    }
}

/// The figures of one load.
#[derive(Clone, Debug, Default)]
pub(crate) struct Part {
    pub(crate) notifications: usize,
    /// Until the last has arrived.
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// User and system time of the gateway.
    pub(crate) cpu_ms: u64,
    pub(crate) resident_mib: f64,
    pub(crate) own_mib: f64,
    /// Answers that were no 2xx.
    pub(crate) errors: usize,
    /// Providers have not got so many.
    pub(crate) lost: usize,
}

/// Whatever sends notifications.
pub(crate) struct Load<'a> {
    provider: &'a Provider,
    /// Notifications that it has got.
    arrived: &'a AtomicUsize,
    keys: &'a Keys,
    clients: usize,
    http: reqwest::Client,
}

impl<'a> Load<'a> {
    pub(crate) fn new(
        (provider, arrived): (&'a Provider, &'a AtomicUsize),
        keys: &'a Keys,
        clients: usize,
    ) -> Outcome<Self> {
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(60))
            .build();
        Ok(Self {
            provider,
            arrived,
            keys,
            clients: clients.max(1),
            http: http.map_err(|error| Trouble::Setup(error.to_string()))?,
        })
    }

    /// Sends so many, and waits until they have arrived; then so many seconds more.
    pub(crate) async fn put(
        &self,
        gateway: &Running,
        (kind, number): (Kind, usize),
        settle: u64,
    ) -> Outcome<Part> {
        drop(self.provider.taken());
        self.arrived.store(0, Ordering::Relaxed);
        let run = uuid::Uuid::now_v7().simple().to_string();
        let bodies: Vec<String> = (0..number)
            .map(|number| self.body(kind.of(number), &run, number))
            .collect();
        let before = process::look(&[gateway.pid()]);
        let begun = Instant::now();
        let posts = bodies.into_iter().map(|body| self.post(gateway, body));
        let answers: Vec<Option<Duration>> = stream::iter(posts)
            .buffer_unordered(self.clients)
            .collect()
            .await;
        let arrived = self.arrived(number).await;
        let seconds = begun.elapsed().as_secs_f64();
        tokio::time::sleep(Duration::from_secs(settle)).await;
        let after = process::look(&[gateway.pid()]);
        let mut took: Vec<Duration> = answers.iter().flatten().copied().collect();
        took.sort_unstable();
        Ok(Part {
            notifications: number,
            seconds,
            p50_ms: quantile_ms(&took, 0.50),
            p99_ms: quantile_ms(&took, 0.99),
            cpu_ms: after.cpu_ms.saturating_sub(before.cpu_ms),
            resident_mib: after.resident_kib as f64 / 1024.0,
            own_mib: own_kib(gateway.pid()) as f64 / 1024.0,
            errors: answers.iter().filter(|answer| answer.is_none()).count(),
            lost: number.saturating_sub(arrived),
        })
    }

    /// A message as a homeserver tells of it.
    fn body(&self, kind: Kind, run: &str, number: usize) -> String {
        let key = format!("{run}{number:08}");
        let (app_id, pushkey, data) = match kind {
            // Base64 is made of such letters, too.
            Kind::Apns => ("bench.apns", key.clone(), json!({})),
            Kind::Fcm => ("bench.fcm", key.clone(), json!({})),
            Kind::Webpush | Kind::Mixed => {
                let endpoint = format!("{}/push/{key}", self.provider.url());
                let data = json!({ "endpoint": endpoint, "auth": "AAAAAAAAAAAAAAAAAAAAAA" });
                ("bench.webpush", self.keys.browser.clone(), data)
            }
        };
        let device = json!({ "app_id": app_id, "pushkey": pushkey, "pushkey_ts": 1_700_000_000, "data": data });
        let notification: Value = json!({
            "event_id": format!("${key}"), "room_id": "!slw48wfj34rtnrf:example.com", "type": "m.room.message",
            "sender": "@exampleuser:matrix.org", "sender_display_name": "Major Tom",
            "room_name": "Mission Control", "prio": "high",
            "content": { "msgtype": "m.text", "body": "I'm floating in a most peculiar way." },
            "counts": { "unread": 2 }, "devices": [device],
        });
        json!({ "notification": notification }).to_string()
    }

    /// How long the answer took; `None` when it is none, or an error.
    async fn post(&self, gateway: &Running, body: String) -> Option<Duration> {
        let begun = Instant::now();
        let request = self
            .http
            .post(format!("{}/_matrix/push/v1/notify", gateway.base))
            .header("content-type", "application/json")
            .body(body);
        let answer = request.send().await.ok()?;
        let is_good = answer.status().is_success();
        answer.bytes().await.ok()?;
        is_good.then(|| begun.elapsed())
    }

    /// Waits until providers have got so many, and tells how many they have.
    async fn arrived(&self, number: usize) -> usize {
        let end = Instant::now() + ARRIVE_WITHIN;
        loop {
            let arrived = self.arrived.load(Ordering::Relaxed);
            if arrived >= number || Instant::now() > end {
                return arrived;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

fn quantile_ms(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share).ceil() as usize;
    let took = sorted.get(place.saturating_sub(1));
    took.map_or(0.0, |took| took.as_secs_f64() * 1_000.0)
}

/// A process' proportional share of memory: what it shares with others counts in parts.
fn own_kib(pid: u32) -> u64 {
    let told = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = told.lines().find_map(|line| line.strip_prefix("Pss:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}
