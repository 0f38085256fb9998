//! The desk: one question after the other, answers remembered, workers counted.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use indexmap::IndexMap;
use ruma::OwnedUserId;
use tokio::{
    sync::{mpsc, oneshot},
    task::{Id, JoinError, JoinSet},
};
use url::Url;

use super::{PreviewError, work::Worker};

/// That there is no preview is remembered for so long.
const FAILURE_KEPT_MS: u64 = 60_000;

/// So many wait for the same preview.
const WAITING_MAX: usize = 200;

/// Old pictures are looked for so often.
const TIDIED_EVERY: Duration = Duration::from_secs(60 * 60);

type Answer = Result<Bytes, PreviewError>;

/// A question.
pub(super) struct Ask {
    pub(super) user_id: OwnedUserId,
    pub(super) url: Url,
    pub(super) port: oneshot::Sender<Answer>,
}

struct Kept {
    answer: Answer,
    until_ms: u64,
}

struct Task {
    url: String,
    user_id: OwnedUserId,
}

/// The desk's own state: nobody else touches it.
pub(super) struct Desk {
    worker: Arc<Worker>,
    running: JoinSet<Answer>,
    tasks: HashMap<Id, Task>,
    waiting: BTreeMap<String, Vec<oneshot::Sender<Answer>>>,
    per_user: BTreeMap<OwnedUserId, u64>,
    /// By URL, oldest first.
    kept: IndexMap<String, Kept>,
}

impl Desk {
    pub(super) fn new(worker: Worker) -> Self {
        Self {
            worker: Arc::new(worker),
            running: JoinSet::new(),
            tasks: HashMap::new(),
            waiting: BTreeMap::new(),
            per_user: BTreeMap::new(),
            kept: IndexMap::new(),
        }
    }

    /// Serves until nobody can ask any more.
    pub(super) async fn run(mut self, mut questions: mpsc::Receiver<Ask>) {
        let mut hours = tokio::time::interval(TIDIED_EVERY);
        let mut tidying = JoinSet::new();
        loop {
            tokio::select! {
                _ = hours.tick() => {
                    let worker = self.worker.clone();
                    if tidying.try_join_next().is_some() || tidying.is_empty() {
                        tidying.spawn(async move { worker.tidy_up().await });
                    }
                }
                ask = questions.recv() => match ask {
                    Some(ask) => self.take(ask),
                    None => return,
                },
                Some(ended) = self.running.join_next_with_id() => self.settle(ended),
            }
        }
    }

    fn take(&mut self, ask: Ask) {
        let url = ask.url.to_string();
        let now_ms = self.worker.house.env().now_ms();
        if let Some(kept) = self.kept.get(&url).filter(|kept| kept.until_ms > now_ms) {
            let _ = ask.port.send(kept.answer.clone());
            return;
        }
        if let Some(waiting) = self.waiting.get_mut(&url) {
            if waiting.len() < WAITING_MAX {
                waiting.push(ask.port);
            } else {
                let _ = ask.port.send(Err(PreviewError::Busy));
            }
            return;
        }
        let settings = &self.worker.settings;
        let of_user = self.per_user.get(&ask.user_id).copied().unwrap_or_default();
        if self.running.len() as u64 >= settings.concurrent_max
            || of_user >= settings.concurrent_per_user_max
        {
            let _ = ask.port.send(Err(PreviewError::Busy));
            return;
        }
        *self.per_user.entry(ask.user_id.clone()).or_default() += 1;
        self.waiting.insert(url.clone(), vec![ask.port]);
        let worker = self.worker.clone();
        let within = Duration::from_millis(settings.timeout_ms);
        let user_id = ask.user_id.clone();
        let task = self.running.spawn(async move {
            // Every step has this deadline already; this one is for what is not a step of the network.
            tokio::time::timeout(within * 2, worker.preview(ask.url, &user_id))
                .await
                .unwrap_or(Err(PreviewError::Broken))
        });
        let user_id = ask.user_id;
        self.tasks.insert(task.id(), Task { url, user_id });
    }

    fn settle(&mut self, ended: Result<(Id, Answer), JoinError>) {
        let (id, answer) = match ended {
            Ok(ended) => ended,
            Err(error) => {
                tracing::error!(%error, "a preview failed");
                (error.id(), Err(PreviewError::Broken))
            }
        };
        let Some(task) = self.tasks.remove(&id) else {
            return;
        };
        if let Some(running) = self.per_user.get_mut(&task.user_id) {
            *running -= 1;
            if *running == 0 {
                self.per_user.remove(&task.user_id);
            }
        }
        for port in self.waiting.remove(&task.url).unwrap_or_default() {
            let _ = port.send(answer.clone());
        }
        self.keep(task.url, answer);
    }

    fn keep(&mut self, url: String, answer: Answer) {
        let settings = &self.worker.settings;
        let now_ms = self.worker.house.env().now_ms();
        let for_ms = match answer {
            Ok(_) => settings.cache_ms,
            Err(_) => settings.cache_ms.min(FAILURE_KEPT_MS),
        };
        self.kept.shift_remove(&url);
        while self.kept.len() as u64 >= settings.cache_entries_max {
            self.kept.shift_remove_index(0);
        }
        let until_ms = now_ms + for_ms;
        self.kept.insert(url, Kept { answer, until_ms });
    }
}
