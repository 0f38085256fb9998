//! Pieces that are being fetched, each once, and those who wait for them.

use std::{collections::HashMap, fs::File, sync::Arc, time::Duration};

use bytes::Bytes;
use futures_util::{
    FutureExt as _, StreamExt as _,
    stream::{self, BoxStream},
};
use parking_lot::Mutex;
use playhouse_actors::{
    house::House,
    media::{MediaCommand, message::Uploaded},
};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::Instant,
};

use super::{
    Coming, Found, Head, Lost, Piece, kept,
    source::{self, Asking, Source},
};
use crate::{
    config::Config,
    federation::USER_AGENT,
    media::{
        Blobs, Shelf,
        blobs::{StoredBlob, shared_piece},
    },
    outbound::{AddressRules, Outbound, Ports, Rules, SystemLookup, Trust},
};

/// So many pieces are fetched at once.
const FETCHES_MAX: usize = 16;

/// A server has at least so long to begin to give what it has: it may have to fetch it from somewhere itself.
const WITHIN_MIN: Duration = Duration::from_secs(20);

/// And at most so long.
const WITHIN_MAX: Duration = Duration::from_secs(60);

/// When so much has come, it is given on, even if more comes right after it.
const SHOWN_BYTES: u64 = 256 * 1024;

/// All that is being fetched.
pub(crate) struct Fetches(Arc<Shared>);

struct Shared {
    house: Arc<House>,
    blobs: Blobs,
    outbound: Outbound,
    /// What was begun goes on when whoever wanted it first goes away.
    runtime: Handle,
    places: Arc<Semaphore>,
    running: Mutex<HashMap<String, watch::Sender<Stage>>>,
}

/// How far a fetch is.
#[derive(Clone)]
enum Stage {
    /// Nothing has come.
    Asked,
    /// Some of it is in a file.
    Coming(Growing),
    /// It is kept, or will never be.
    Ended(Result<Uploaded, Lost>),
}

#[derive(Clone)]
struct Growing {
    head: Arc<Head>,
    file: Arc<File>,
    /// So much of the file may be given out.
    bytes: u64,
}

impl Fetches {
    /// Nothing is being fetched. Must be called within the runtime.
    pub(crate) fn new(
        config: &Config,
        house: &Arc<House>,
        blobs: &Blobs,
        trust: &Arc<Trust>,
    ) -> Self {
        let settings = &config.outbound;
        let ports = settings.ports.iter();
        let rules = Rules {
            addresses: AddressRules::new(&settings.allow_networks, &settings.deny_networks),
            ports: ports.filter_map(|ports| Ports::parse(ports)).collect(),
            deny_urls: Vec::new(),
        };
        Self(Arc::new(Shared {
            house: house.clone(),
            blobs: blobs.clone(),
            outbound: Outbound::new(trust, rules, Arc::new(SystemLookup), USER_AGENT),
            runtime: Handle::current(),
            places: Arc::new(Semaphore::new(FETCHES_MAX)),
            running: Mutex::default(),
        }))
    }

    /// Has a piece fetched, unless it is being fetched already: then how long its server has to begin is decided.
    pub(super) fn join(&self, piece: Piece, timeout: Duration) -> Watching {
        let key = piece.key();
        let mut running = self.0.running.lock();
        if let Some(stages) = running.get(&key) {
            return Watching(stages.subscribe());
        }
        let (stages, watching) = watch::channel(Stage::Asked);
        running.insert(key.clone(), stages.clone());
        let fetch = Fetch {
            shared: self.0.clone(),
            piece,
            key,
            within: timeout.clamp(WITHIN_MIN, WITHIN_MAX),
            stages,
            is_listed: true,
        };
        // A runtime that ends drops it at once, and then it takes itself off the list.
        drop(running);
        self.0.runtime.spawn(fetch.run());
        Watching(watching)
    }
}

/// A fetch as those see it who want what it brings.
pub(super) struct Watching(watch::Receiver<Stage>);

impl Watching {
    /// Waits until all is kept.
    pub(super) async fn end(mut self) -> Result<Uploaded, Lost> {
        let ended = self.until(|stage| match stage {
            Stage::Asked | Stage::Coming(_) => None,
            Stage::Ended(ended) => Some(ended.clone()),
        });
        ended.await?
    }

    /// Waits until some of it can be given out.
    pub(super) async fn begin(mut self) -> Result<Found, Lost> {
        let begun = self.until(|stage| match stage {
            Stage::Asked => None,
            Stage::Coming(growing) => Some(Some(growing.clone())),
            Stage::Ended(_) => Some(None),
        });
        match begun.await? {
            Some(growing) => Ok(Found::Coming(Coming {
                head: growing.head,
                pieces: self.pieces(growing.file),
            })),
            None => self.end().await.map(Found::Kept),
        }
    }

    fn pieces(self, file: Arc<File>) -> BoxStream<'static, Result<Bytes, Lost>> {
        let reading = Reading {
            watching: self,
            file,
            from: 0,
        };
        stream::try_unfold(reading, Reading::next).boxed()
    }

    /// Waits until there is something to pick.
    async fn until<T>(&mut self, pick: impl Fn(&Stage) -> Option<T>) -> Result<T, Lost> {
        let mut picked = None;
        let waited = self.0.wait_for(|stage| {
            picked = pick(stage);
            picked.is_some()
        });
        // Nobody tells any more: then nothing is picked.
        let _ = waited.await.map(drop);
        picked.ok_or(Lost::Stopped)
    }
}

/// A file that is read while it grows.
struct Reading {
    watching: Watching,
    file: Arc<File>,
    from: u64,
}

impl Reading {
    async fn next(mut self) -> Result<Option<(Bytes, Self)>, Lost> {
        let from = self.from;
        let to = self.watching.until(|stage| match stage {
            Stage::Asked => None,
            Stage::Coming(growing) => (growing.bytes > from).then_some(Ok(growing.bytes)),
            Stage::Ended(Ok(uploaded)) => Some(Ok(uploaded.size_bytes)),
            Stage::Ended(Err(lost)) => Some(Err(lost.clone())),
        });
        let to = to.await??;
        if to <= from {
            return Ok(None);
        }
        let piece = shared_piece(self.file.clone(), from..to).await?;
        self.from += piece.len() as u64;
        Ok(Some((piece, self)))
    }
}

/// One fetch. Dropped before its end, nothing of it stays.
struct Fetch {
    shared: Arc<Shared>,
    piece: Piece,
    key: String,
    within: Duration,
    stages: watch::Sender<Stage>,
    is_listed: bool,
}

impl Fetch {
    async fn run(mut self) {
        let Some(_place) = self.place().await else {
            return;
        };
        let ended = self.fetch().await;
        match &ended {
            Err(error @ Lost::Inside(_)) => {
                tracing::error!(%error, "media of another server cannot be kept");
            }
            Err(error) => {
                let server_name = &self.piece.server_name;
                tracing::debug!(%server_name, %error, "media of another server does not come");
            }
            Ok(_) => {}
        }
        // Whoever wants it from now on finds it, or has it fetched anew.
        self.leave();
        self.stages.send_replace(Stage::Ended(ended));
    }

    /// Waits for its turn; nothing when nobody wants the piece any more before that. What has begun is brought to its end: somebody will ask again.
    async fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        loop {
            tokio::select! {
                place = self.shared.places.clone().acquire_owned() => return place.ok(),
                () = self.stages.closed() => {}
            }
            let mut running = self.shared.running.lock();
            // Somebody may have come in between.
            if self.stages.receiver_count() == 0 {
                running.remove(&self.key);
                self.is_listed = false;
                return None;
            }
        }
    }

    async fn fetch(&self) -> Result<Uploaded, Lost> {
        // Another fetch may have ended a moment ago.
        let house = &self.shared.house;
        if let Some((uploaded, _)) = kept(house, &self.key).await? {
            return Ok(uploaded);
        }
        let asking = Asking {
            env: house.env(),
            outbound: &self.shared.outbound,
            bytes_max: self.shared.blobs.size_bytes_max(),
            deadline: Instant::now() + self.within,
        };
        let Source { head, pieces } = source::open(&asking, &self.piece).await?;
        let head = Arc::new(head);
        let blob = self.take(&head, pieces).await?;
        // First the bytes, then the record that names them, as with uploads.
        let uploaded = Uploaded {
            // Nobody here: it counts against no quota.
            user_id: format!("@:{}", self.piece.server_name),
            sha256: blob.sha256.clone(),
            size_bytes: blob.size_bytes,
            content_type: head.content_type.clone(),
            file_name: head.file_name.clone(),
            at_ms: house.env().now_ms(),
        };
        let command = MediaCommand::Complete(uploaded.clone());
        house.media_command(&self.key, command).await?;
        Ok(uploaded)
    }

    async fn take(
        &self,
        head: &Arc<Head>,
        mut pieces: BoxStream<'static, Result<Bytes, Lost>>,
    ) -> Result<StoredBlob, Lost> {
        let length_max = self.shared.blobs.size_bytes_max();
        if head.length.is_some_and(|length| length > length_max) {
            return Err(Lost::TooLarge);
        }
        let mut upload = self.shared.blobs.begin(Shelf::Uploads);
        let mut shown = 0;
        loop {
            let ready = pieces.next().now_or_never();
            // What comes at once is kept at once: it is then given out with its length.
            if ready.is_none() || upload.size_bytes() >= shown + SHOWN_BYTES {
                let file = upload.so_far().await?;
                shown = upload.size_bytes();
                self.stages.send_replace(Stage::Coming(Growing {
                    head: head.clone(),
                    file,
                    // The last byte is given out when all is well: whoever has got as many as were told has got the whole.
                    bytes: shown.saturating_sub(1),
                }));
            }
            let next = match ready {
                Some(next) => next,
                None => pieces.next().await,
            };
            let Some(piece) = next else {
                break;
            };
            upload.write(piece?).await?;
            if head
                .length
                .is_some_and(|length| upload.size_bytes() > length)
            {
                return Err(Lost::Nonsense);
            }
        }
        if head
            .length
            .is_some_and(|length| upload.size_bytes() != length)
        {
            return Err(Lost::Nonsense);
        }
        Ok(upload.finish().await?)
    }

    fn leave(&mut self) {
        if self.is_listed {
            self.is_listed = false;
            self.shared.running.lock().remove(&self.key);
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.leave();
    }
}
