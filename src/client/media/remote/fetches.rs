//! Pieces that are being fetched, each once, and those who wait for them.

use std::{
    collections::HashMap,
    fs::File,
    future::Future,
    pin::pin,
    sync::{Arc, Weak},
    time::Duration,
};

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
use ruma::{OwnedServerName, ServerName};
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, watch},
    time::{Instant, timeout},
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

/// So many of them from one server: a slow one leaves places to others.
const FETCHES_FROM_ONE_MAX: usize = 4;

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
    places: Places,
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
            places: Places::default(),
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
}

impl Fetch {
    async fn run(self) {
        let ended = self.fetch().await;
        match &ended {
            Err(Lost::Unwanted) => return,
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

    async fn fetch(&self) -> Result<Uploaded, Lost> {
        let places = self.shared.places.take(&self.piece.server_name);
        let places = self.while_wanted(timeout(self.within, places)).await?;
        let _places = places.map_err(|_| Lost::Crowded)??;
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
        let opened = self.while_wanted(source::open(&asking, &self.piece));
        let Source { head, pieces } = opened.await??;
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
        blob.confirm().await?;
        Ok(uploaded)
    }

    /// Waits for something unless nobody wants the piece any more.
    async fn while_wanted<T>(&self, something: impl Future<Output = T>) -> Result<T, Lost> {
        let mut something = pin!(something);
        loop {
            tokio::select! {
                done = &mut something => return Ok(done),
                () = self.stages.closed() => {}
            }
            let mut running = self.shared.running.lock();
            // Somebody may have come in between.
            if self.stages.receiver_count() == 0 {
                running.remove(&self.key);
                return Err(Lost::Unwanted);
            }
        }
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
                // What has begun to come is brought to its end: somebody will ask again.
                None if upload.size_bytes() > 0 => pieces.next().await,
                None => self.while_wanted(pieces.next()).await?,
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

    fn leave(&self) {
        let mut running = self.shared.running.lock();
        let listed = running.get(&self.key);
        // When nobody wanted this one, there may be another by now.
        if listed.is_some_and(|stages| stages.same_channel(&self.stages)) {
            running.remove(&self.key);
        }
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        self.leave();
    }
}

/// Places for fetches.
struct Places {
    all: Arc<Semaphore>,
    /// Those of servers from which something is being fetched.
    of_one: Mutex<HashMap<OwnedServerName, Weak<Semaphore>>>,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(FETCHES_MAX)),
            of_one: Mutex::default(),
        }
    }
}

impl Places {
    /// Waits for a place; it is free again when what is given is dropped.
    async fn take(&self, server_name: &ServerName) -> Result<[OwnedSemaphorePermit; 2], Lost> {
        let of_one = self.of(server_name).acquire_owned().await;
        let of_one = of_one.map_err(|_| Lost::Stopped)?;
        let of_all = self.all.clone().acquire_owned().await;
        Ok([of_one, of_all.map_err(|_| Lost::Stopped)?])
    }

    fn of(&self, server_name: &ServerName) -> Arc<Semaphore> {
        let mut of_one = self.of_one.lock();
        if let Some(places) = of_one.get(server_name).and_then(Weak::upgrade) {
            return places;
        }
        of_one.retain(|_, places| places.strong_count() > 0);
        let places = Arc::new(Semaphore::new(FETCHES_FROM_ONE_MAX));
        of_one.insert(server_name.to_owned(), Arc::downgrade(&places));
        places
    }
}

#[cfg(test)]
mod tests {
    use ruma::server_name;

    use super::*;

    fn place(places: &Places, server_name: &ServerName) -> Option<[OwnedSemaphorePermit; 2]> {
        places.take(server_name).now_or_never()?.ok()
    }

    #[test]
    fn no_server_takes_all_places() {
        let places = Places::default();
        let (slow, other) = (server_name!("slow.example"), server_name!("other.example"));
        let mut taken: Vec<_> = (0..10).filter_map(|_| place(&places, slow)).collect();
        assert_eq!(taken.len(), FETCHES_FROM_ONE_MAX);
        let kept = place(&places, other).expect("there are places for others");
        taken.pop();
        assert!(place(&places, slow).is_some(), "one is free again");
        drop((taken, kept));
        // Nothing is remembered of servers from which nothing comes.
        assert!(place(&places, other).is_some());
        assert_eq!(places.of_one.lock().len(), 1);
    }

    #[test]
    fn all_servers_together_have_so_many_places() {
        let places = Places::default();
        let mut taken = Vec::new();
        for number in 0..FETCHES_MAX {
            let name = format!("number{number}.example");
            let name = ServerName::parse(name).expect("a name");
            taken.push(place(&places, &name).expect("a place"));
        }
        let one_more = server_name!("one.example");
        assert!(place(&places, one_more).is_none());
        taken.pop();
        assert!(place(&places, one_more).is_some());
    }
}
