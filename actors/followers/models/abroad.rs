//! Models that are folded on other nodes: how this one hears how far they are, and how it urges them.
//!
//! Nothing rests on what is said: the database has the same a little later.

use std::{
    collections::BTreeMap,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use playhouse_schema::{
    address::{Family, Position},
    port::LogStore,
    register::NodeName,
};
use tokio::sync::Notify;

use super::{Models, Reached};
use crate::{
    cluster::{Courier, Hears},
    followers::{bookmark::by_number, task::Running},
    kernel::{Routes, parcel},
};

/// How far models are.
const FOLDED: &str = "folded";

/// Somebody waits for a model.
const URGE: &str = "urge";

/// What is folded is told so often at most.
const TELL_EVERY: Duration = Duration::from_millis(10);

/// Who waits looks into the database after this time, and again after twice as long each time, and at last so often.
const LOOKS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(160));

/// A model is urged for so long by one word, milliseconds. Who waits longer says it again.
pub(super) const URGED_MS: u64 = 500;

/// Where other nodes are.
#[derive(Clone)]
pub struct Abroad {
    /// Which node folds what.
    pub routes: Arc<dyn Routes>,
    /// The way to the others.
    pub courier: Arc<Courier>,
}

/// Folds that have come further since that was told last.
#[derive(Default)]
pub(super) struct News {
    folds: Mutex<BTreeMap<(&'static str, Family), Vec<Position>>>,
    bell: Notify,
}

impl News {
    /// A fold has come so far.
    pub(super) fn note(&self, fold: (&'static str, Family), positions: Vec<Position>) {
        self.folds.lock().insert(fold, positions);
        self.bell.notify_one();
    }
}

impl Abroad {
    /// Somebody here waits for a fold.
    pub(super) fn urge(&self, fold: (&'static str, Family)) {
        self.courier.say(URGE, &fold);
    }

    /// Tells other nodes how far the folds of this one are.
    pub(super) fn tell(&self, news: Arc<News>) -> Running {
        let courier = self.courier.clone();
        Running::start(|mut stop| {
            Box::pin(async move {
                loop {
                    tokio::select! {
                        biased;
                        () = stop.told() => return,
                        () = news.bell.notified() => {}
                    }
                    let folds = std::mem::take(&mut *news.folds.lock());
                    let folds = folds.into_iter();
                    let folds: Vec<_> = folds
                        .map(|((model, family), positions)| (model, family, positions))
                        .collect();
                    if !folds.is_empty() {
                        courier.say(FOLDED, &folds);
                    }
                    stop.pause(TELL_EVERY).await;
                }
            })
        })
    }
}

impl Models {
    /// What listens to other nodes.
    pub fn ears(self: &Arc<Self>) -> [(&'static str, Arc<dyn Hears>); 2] {
        [(FOLDED, self.clone()), (URGE, self.clone())]
    }

    /// Urges a fold, wherever it is done, and reads from the database how far it is: for ever.
    pub(super) async fn look_abroad(
        &self,
        abroad: &Abroad,
        (model, family): (&'static str, Family),
        reached: &Reached,
    ) {
        let (mut pause, longest) = LOOKS;
        let table = self.table_of(model);
        loop {
            abroad.urge((model, family));
            for _ in 0..3 {
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(longest);
                look(&*self.log, (table, family), reached).await;
            }
        }
    }

    /// Reads from the database now and then how far a fold is that somebody urges: of the node that folds it nothing may be heard for long.
    pub(super) fn look_now_and_then(
        &self,
        (model, family): (&'static str, Family),
        reached: &Arc<Reached>,
    ) {
        let every_ms = u64::try_from(LOOKS.1.as_millis()).unwrap_or(u64::MAX);
        if reached.urge.is_here.load(Ordering::Acquire) || !reached.is_look_due(every_ms) {
            return;
        }
        let (table, log, reached) = (self.table_of(model), self.log.clone(), reached.clone());
        ractor::concurrency::spawn(async move { look(&*log, (table, family), &reached).await });
    }

    fn table_of(&self, model: &'static str) -> &'static str {
        self.tables.get(model).copied().unwrap_or(model)
    }

    fn named(
        &self,
        model: &str,
        family: Family,
    ) -> Option<(&(&'static str, Family), &Arc<Reached>)> {
        let mut folds = self.folds.iter();
        folds.find(|((name, of), _)| *name == model && *of == family)
    }
}

/// Reads from the database how far a fold is, unless somebody does so already.
async fn look(log: &dyn LogStore, (table, family): (&'static str, Family), reached: &Reached) {
    let Ok(_looking) = reached.looking.try_lock() else {
        return;
    };
    match log.models().cursors(table, family).await {
        Ok(found) => reached.come_to(&by_number(log, &found)),
        Err(error) => tracing::warn!(table, %error, "cannot read positions"),
    }
}

impl Hears for Models {
    fn hear(&self, from: &NodeName, topic: &str, body: &[u8]) {
        let heard = if topic == URGE {
            self.hear_urge(body)
        } else {
            self.hear_folded(body)
        };
        if let Err(error) = heard {
            tracing::error!(%from, topic, %error, "what another node says cannot be read");
        }
    }
}

impl Models {
    fn hear_urge(&self, body: &[u8]) -> Result<(), parcel::ParcelError> {
        let (model, family): (String, Family) = parcel::unpack(body)?;
        let Some((fold, reached)) = self.named(&model, family) else {
            return Ok(());
        };
        reached.urge.feel_for(URGED_MS);
        // What it waits for may have been folded and told before it listened.
        if let Some(news) = &self.news
            && reached.urge.is_here.load(Ordering::Acquire)
        {
            let positions = reached.told.borrow().clone();
            news.note(*fold, positions);
        }
        Ok(())
    }

    fn hear_folded(&self, body: &[u8]) -> Result<(), parcel::ParcelError> {
        let folds: Vec<(String, Family, Vec<Position>)> = parcel::unpack(body)?;
        for (model, family, positions) in folds {
            if let Some((_, reached)) = self.named(&model, family) {
                reached.come_to(&positions);
            }
        }
        Ok(())
    }
}
