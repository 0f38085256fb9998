//! Members who wait for messages by long polls, and the book of what they are owed.

use std::{
    cell::{Cell, RefCell},
    time::{Duration, Instant},
};

use serde_json::json;
use tokio::sync::watch;

use super::super::{
    api::User,
    meter::{Meter, Part},
    target::Target,
    text::{Seen, field, marks},
    trouble::Outcome,
};

/// A long poll waits so long.
const POLL_MS: u64 = 20_000;

/// What is not delivered so long after the last message never will be.
const GRACE: Duration = Duration::from_secs(15);

/// How often it is looked whether all is delivered.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// After a failed poll.
const PAUSE: Duration = Duration::from_millis(200);

/// Listeners and messages of one run.
pub(super) struct Hall<'a> {
    target: &'a Target,
    /// Stands in every message.
    pub(super) tag: String,
    deliveries: Meter<'a>,
    /// When the sending of each message began.
    begun: RefCell<Vec<Instant>>,
    heard: Cell<usize>,
    cut: Cell<usize>,
    over: watch::Sender<bool>,
}

/// Somebody who listens from a point in time.
pub(super) struct Listener {
    user: User,
    filter: String,
    since: String,
}

impl Listener {
    /// Reads what there is so far in some rooms; everything after it will be heard.
    pub(super) async fn seat(target: &Target, user: &User, rooms: &[&str]) -> Outcome<Self> {
        let nothing = json!({"not_types": ["*"]});
        let filter = json!({
            "presence": nothing, "account_data": nothing,
            "room": {"rooms": rooms, "timeline": {"limit": 100}, "state": {"lazy_load_members": true}},
        })
        .to_string();
        let since = target.api.sync(user, None, 0, &filter).await?.next;
        Ok(Self {
            user: user.clone(),
            filter,
            since,
        })
    }
}

impl<'a> Hall<'a> {
    /// Nobody speaks yet.
    pub(super) fn open(target: &'a Target, name: &str) -> Self {
        Self {
            target,
            tag: target.fresh(),
            deliveries: Meter::begin(target, name),
            begun: RefCell::default(),
            heard: Cell::new(0),
            cut: Cell::new(0),
            over: watch::Sender::new(false),
        }
    }

    /// The number of a new message, which is sent now.
    pub(super) fn speak(&self) -> usize {
        let mut begun = self.begun.borrow_mut();
        begun.push(Instant::now());
        begun.len() - 1
    }

    /// Listens until the hall is closed; gives what was heard.
    pub(super) async fn listen(&self, listener: Listener) -> Seen {
        let mut over = self.over.subscribe();
        let mut seen = Seen::default();
        let polls = self.poll(listener, &mut seen);
        tokio::select! {
            () = polls => {}
            _ = over.wait_for(|is_over| *is_over) => {}
        }
        seen
    }

    async fn poll(&self, mut listener: Listener, seen: &mut Seen) {
        loop {
            let since = Some(listener.since.as_str());
            let api = &self.target.api;
            match api
                .sync(&listener.user, since, POLL_MS, &listener.filter)
                .await
            {
                Ok(answer) => {
                    self.hear(&answer.text, seen);
                    listener.since = answer.next;
                }
                Err(trouble) => {
                    self.deliveries.failed(&trouble);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    fn hear(&self, text: &str, seen: &mut Seen) {
        let now = Instant::now();
        let begun = self.begun.borrow();
        for number in marks(text, &self.tag) {
            if seen.take(number)
                && let Some(begun) = begun.get(number)
            {
                self.heard.set(self.heard.get() + 1);
                self.deliveries.took(now - *begun);
            }
        }
        // A client would fetch what was cut off; this one only says so.
        if text.contains("\"limited\":true") && field(text, "event_id").is_some() {
            self.cut.set(self.cut.get() + 1);
        }
    }

    /// Waits until so many deliveries have been made, or patience ends, and sends all listeners home.
    pub(super) async fn close(&self, owed: usize) {
        let last = Instant::now();
        while self.heard.get() < owed && last.elapsed() < GRACE {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.deliveries.stop_clock();
        self.over.send_replace(true);
    }

    /// The figures of the deliveries.
    pub(super) fn end(self, undelivered: usize) -> Part {
        let mut part = self.deliveries.end();
        part.undelivered = undelivered;
        part.note = (self.cut.get() > 0)
            .then(|| format!("{} answers with a timeline cut short", self.cut.get()));
        part
    }
}
