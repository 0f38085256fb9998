//! A node's part in the cluster: its lease, and the shards that come to it and go.
//!
//! A beat renews the lease and reads the register. What the register wants here is claimed, or handed over by the node that had it, begun and only then put on
//! the map; what it wants elsewhere is taken off the map, ended and only then handed over, or given back. One node, the one that has lived longest, says where shards shall go; any other would say the same.
//! A node whose lease has run out ends everything at once and begins a new life.

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
    time::{Duration, Instant},
};

use futures_util::{StreamExt as _, stream};
use parking_lot::Mutex;
use playhouse_schema::{
    address::Shard,
    port::StoreError,
    register::{Claim, Incarnation, NodeName, Pulse, Register, RegisterView, ShardEntry, Standing},
};
use tokio::sync::{Semaphore, watch};
use uuid::Uuid;

use super::{
    bell::Bell,
    failing::Failing,
    lead::{Arrivals, Silence},
    map::Map,
    tenants::{Herald, Tenants},
};

/// So many shards leave a node at a time: each of them is served nowhere meanwhile.
const LEAVING_MAX: usize = 2;

/// So many shards end at a time where all of them do: one that takes long must not hold up the others.
const ENDING_MAX: usize = 16;

/// This much of the lease is not used: the answer to a beat may be under way while it runs out.
const MARGIN: Duration = Duration::from_millis(250);

/// What a node is and does.
#[derive(Clone, Debug)]
pub struct WardSettings {
    /// Its name.
    pub name: NodeName,
    /// Where other nodes reach it.
    pub address: String,
    /// What it does.
    pub roles: Vec<String>,
    /// How long a lease runs.
    pub lease: Duration,
    /// How often it is renewed.
    pub beat: Duration,
}

/// See the module's documentation.
pub struct Ward {
    pub(super) register: Arc<dyn Register>,
    pub(super) map: Arc<Map>,
    pub(super) tenants: Arc<dyn Tenants>,
    pub(super) herald: Arc<dyn Herald>,
    pub(super) settings: WardSettings,
    pub(super) life: Mutex<Life>,
    pub(super) view: watch::Sender<Arc<RegisterView>>,
    pub(super) leaving: Arc<Semaphore>,
    pub(super) bell: Arc<Bell>,
}

/// One life of the node.
pub(super) struct Life {
    pub(super) incarnation: Incarnation,
    standing: Standing,
    /// Shards on their way in or out, and since when, those of an earlier life among them: what still ends must not begin again meanwhile.
    pub(super) moving: BTreeMap<Shard, Instant>,
    /// Under which terms this life has begun to serve shards.
    pub(super) terms: BTreeMap<Shard, u64>,
    /// The newest terms of shards that it knows of, whoever holds them.
    pub(super) newest: BTreeMap<Shard, u64>,
    /// Shards that it could not take.
    pub(super) failing: Failing,
    /// When what was said last and has renewed the lease was said.
    pub(super) heard: Instant,
    /// Says nothing about places as long as it holds.
    pub(super) silence: Option<Silence>,
    /// When it looked last how much nodes hold.
    pub(super) levelled: Option<Instant>,
    /// Who has come to the cluster lately.
    pub(super) arrivals: Arrivals,
    /// It does not hear most of the others: who holds a shard must be heard.
    is_cut_off: bool,
    /// It does not hear some of the others just now.
    pub(super) is_hearing_less: bool,
    /// The roles that no living node has.
    pub(super) missing: Vec<&'static str>,
}

impl Life {
    pub(super) fn standing(&self) -> Standing {
        if self.is_cut_off {
            Standing::Draining
        } else {
            self.standing
        }
    }

    /// There is such a term of a shard.
    pub(super) fn hear_of(&mut self, shard: Shard, term: u64) {
        let newest = self.newest.entry(shard).or_default();
        *newest = term.max(*newest);
    }
}

impl Ward {
    /// Joins the cluster. Refused while a node of the same name lives.
    pub async fn join(
        register: Arc<dyn Register>,
        map: Arc<Map>,
        (tenants, herald, bell): (Arc<dyn Tenants>, Arc<dyn Herald>, Arc<Bell>),
        settings: WardSettings,
    ) -> Result<Arc<Self>, StoreError> {
        let ward = Arc::new(Self {
            register,
            map,
            tenants,
            herald,
            settings,
            life: Mutex::new(Life {
                incarnation: Uuid::now_v7(),
                standing: Standing::Serving,
                moving: BTreeMap::new(),
                terms: BTreeMap::new(),
                newest: BTreeMap::new(),
                failing: Failing::default(),
                heard: Instant::now(),
                silence: None,
                levelled: None,
                arrivals: Arrivals::default(),
                is_cut_off: false,
                is_hearing_less: false,
                missing: Vec::new(),
            }),
            view: watch::Sender::new(Arc::default()),
            leaving: Arc::new(Semaphore::new(LEAVING_MAX)),
            bell,
        });
        let sent = Instant::now();
        let view = ward.register.join(&ward.heartbeat()).await?;
        ward.renewed(sent, view);
        Ok(ward)
    }

    /// The register as it was read last, and whenever it is read again.
    pub fn view(&self) -> watch::Receiver<Arc<RegisterView>> {
        self.view.subscribe()
    }

    /// This life's name.
    pub fn incarnation(&self) -> Incarnation {
        self.life.lock().incarnation
    }

    /// What the operator calls this node.
    pub fn name(&self) -> &NodeName {
        &self.settings.name
    }

    /// The register of the cluster.
    pub fn register(&self) -> &Arc<dyn Register> {
        &self.register
    }

    /// Whether this node takes work, by its own word and that of the register.
    pub fn standing(&self) -> Standing {
        let own = {
            let life = self.life.lock();
            (life.standing(), life.incarnation)
        };
        let view = self.view.borrow().clone();
        let told = view.nodes.iter().find(|node| node.incarnation == own.1);
        match told {
            Some(told) if told.standing == Standing::Draining => Standing::Draining,
            _ => own.0,
        }
    }

    /// Whether this node hears most of the others. Who does not gives its shards to those who do, and takes none.
    pub fn cut_off(&self, is_cut_off: bool) {
        let was = std::mem::replace(&mut self.life.lock().is_cut_off, is_cut_off);
        if was != is_cut_off {
            tracing::warn!(
                is_cut_off,
                "most of the other nodes are out of reach, or within it again"
            );
            self.ring();
        }
    }

    /// Whether some that live are not heard just now. What they cannot tell stands in the register, which is read more often meanwhile.
    pub fn hearing_less(&self, is_hearing_less: bool) {
        let was = std::mem::replace(&mut self.life.lock().is_hearing_less, is_hearing_less);
        if is_hearing_less && !was {
            self.ring();
        }
    }

    /// Something has happened: the next beat is now.
    pub fn ring(&self) {
        self.bell.ring();
    }

    /// A node was found dead: its port refuses. Its lease ends, if this is the life that was meant.
    pub async fn bury(&self, incarnation: Incarnation) -> Result<(), StoreError> {
        let left = self.register.leave(incarnation);
        self.answered(left).await?;
        self.ring();
        Ok(())
    }

    /// Takes part until told to stop.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<bool>) {
        tokio::select! {
            () = self.go_on(stop) => {}
            () = self.receive_all() => {}
        }
    }

    async fn go_on(self: &Arc<Self>, mut stop: watch::Receiver<bool>) {
        let mut pause = self.settings.beat;
        loop {
            tokio::select! {
                _ = stop.wait_for(|told| *told) => return,
                () = self.bell.rung() => {}
                () = tokio::time::sleep(pause) => {}
            }
            pause = self.beat().await;
        }
    }

    /// Gives all shards away, and answers still. Whether there is none left.
    pub async fn drain(&self, within: Duration) -> bool {
        self.life.lock().standing = Standing::Draining;
        let deadline = Instant::now() + within;
        while !self.map.served().is_empty() {
            if self.is_last() || Instant::now() >= deadline {
                return false;
            }
            self.ring();
            tokio::time::sleep(self.settings.beat.min(Duration::from_millis(100))).await;
        }
        true
    }

    /// Gives all shards away and leaves the cluster. What is not given away when the time is up is left to who claims it.
    pub async fn leave(self: &Arc<Self>, within: Duration) -> Result<(), StoreError> {
        self.life.lock().standing = Standing::Draining;
        let deadline = Instant::now() + within;
        let is_held = || !self.map.served().is_empty() && !self.is_last();
        while Instant::now() < deadline && (is_held() || self.is_moving()) {
            self.beat().await;
            tokio::time::sleep(self.settings.beat.min(Duration::from_millis(100))).await;
        }
        let end = |shard| async move {
            self.map.part_with(shard);
            self.tenants.end(shard).await;
        };
        let served = stream::iter(self.map.served());
        served.for_each_concurrent(ENDING_MAX, end).await;
        let left = self.register.leave(self.incarnation());
        self.answered(left).await
    }

    /// Whether a shard has been taken off the map and not yet been given back: what lives in it is still ending.
    fn is_moving(&self) -> bool {
        !self.life.lock().moving.is_empty()
    }

    /// Whether nobody else could take the shards.
    fn is_last(&self) -> bool {
        let view = self.view.borrow().clone();
        let mut others = view.nodes.iter().filter(|node| {
            node.name != self.settings.name && node.is_alive() && node.standing == Standing::Serving
        });
        others.next().is_none()
    }

    /// Gives how long to wait for the next one if nothing happens.
    async fn beat(self: &Arc<Self>) -> Duration {
        let (sent, pulse) = self.pulse().await;
        match pulse {
            Ok(Pulse::Alive(view)) => {
                self.renewed(sent, view);
                return self.pause();
            }
            Ok(Pulse::Lapsed) => self.begin_anew().await,
            // The lease runs out by itself.
            Err(error) => tracing::warn!(%error, "cannot renew this node's lease"),
        }
        self.settings.beat
    }

    /// The lease runs again, and this is how things stand.
    fn renewed(self: &Arc<Self>, sent: Instant, view: RegisterView) {
        let lease = self.settings.lease.saturating_sub(MARGIN);
        {
            let mut life = self.life.lock();
            life.heard = sent;
            let entries = view.shards.iter();
            entries.for_each(|entry| life.hear_of(entry.shard, entry.term));
        }
        self.map.extend(sent, lease);
        self.map.learn(&view, self.incarnation());
        self.herald.living(&view.nodes);
        self.miss_roles(&view);
        let view = Arc::new(view);
        self.view.send_replace(view.clone());
        self.lose(&view);
        self.let_go(&view);
        self.claim(&view);
        if self.leads(&view) {
            self.place(view);
        }
    }

    /// The lease has run out: everything that was held may be somebody else's.
    async fn begin_anew(self: &Arc<Self>) {
        tracing::error!(node = %self.settings.name, "this node's lease has run out, it begins anew");
        metrics::counter!("playhouse_cluster_lapses_total").increment(1);
        {
            // First of all: what is just being taken is not served in the old life any more.
            let mut life = self.life.lock();
            life.incarnation = Uuid::now_v7();
            life.terms.clear();
            // They may have been brought back from an older backup.
            life.newest.clear();
        }
        stream::iter(self.map.lapse())
            .for_each_concurrent(ENDING_MAX, |shard| self.tenants.abandon(shard))
            .await;
        let sent = Instant::now();
        let beat = self.heartbeat();
        match self.answered(self.register.join(&beat)).await {
            Ok(view) => {
                self.be_silent(&view);
                self.renewed(sent, view);
            }
            Err(error) => tracing::error!(%error, "cannot join the cluster again"),
        }
    }

    /// What is wanted here and free is claimed.
    fn claim(self: &Arc<Self>, view: &RegisterView) {
        let own = self.incarnation();
        let is_free = |entry: &ShardEntry| {
            entry
                .holder
                .is_none_or(|holder| holder == own || view.node_of(holder).is_none())
        };
        let wanted = view.shards.iter().filter(|entry| {
            entry.wanted.as_ref() == Some(&self.settings.name)
                && is_free(entry)
                && !self.map.serves(entry.shard)
        });
        let wanted: Vec<_> = wanted
            .map(|entry| entry.shard)
            .filter(|shard| self.set_out(*shard))
            // It may have come meanwhile; from now on it does not.
            .filter(|shard| !self.map.serves(*shard) || self.stays(*shard))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let ward = self.clone();
        ractor::concurrency::spawn(async move {
            let has_all = ward.take(own, &wanted).await;
            wanted.iter().for_each(|shard| ward.arrived(*shard));
            // What could not be taken is tried again with the next beat, and not before.
            if has_all {
                ward.ring();
            }
        });
    }

    /// Takes what is wanted; whether nothing of it was refused.
    async fn take(&self, own: Incarnation, wanted: &[Shard]) -> bool {
        let claims = self.answered(self.register.claim(own, wanted)).await;
        let claims = match claims {
            Ok(claims) => claims,
            Err(error) => {
                tracing::warn!(%error, "cannot claim shards");
                return false;
            }
        };
        let are_all = claims.len() == wanted.len();
        {
            let mut life = self.life.lock();
            let claimed = claims.iter();
            claimed.for_each(|claim| life.hear_of(claim.shard, claim.term()));
        }
        self.hold(own, claims).await && are_all
    }

    /// Begins what lives in shards that were claimed in a life, and serves them; whether nothing of it was refused.
    pub(super) async fn hold(&self, own: Incarnation, claims: Vec<Claim>) -> bool {
        let began = Instant::now();
        let failed = self.tenants.begin(&claims).await;
        {
            let (mut life, now) = (self.life.lock(), Instant::now());
            failed
                .iter()
                .for_each(|shard| life.failing.failed(*shard, now));
        }
        let is_refused = |claim: &Claim| failed.contains(&claim.shard);
        let (refused, claims): (Vec<_>, Vec<_>) = claims.into_iter().partition(is_refused);
        // Meanwhile this life may have ended.
        if !self.serve_in(own, &claims) {
            for claim in claims {
                self.tenants.abandon(claim.shard).await;
            }
            return false;
        }
        if !claims.is_empty() {
            let terms = claims.iter().map(|claim| (claim.shard, claim.term()));
            self.herald.serving(&terms.collect::<Vec<_>>());
            let took_ms = began.elapsed().as_millis();
            tracing::info!(shards = %named(&claims), took_ms, "shards taken");
        }
        let are_all = refused.is_empty();
        for claim in refused {
            self.give_back(own, claim).await;
        }
        are_all
    }

    /// Serves shards that were claimed in a life, if that has not ended; whether it has not.
    fn serve_in(&self, own: Incarnation, claims: &[Claim]) -> bool {
        let mut life = self.life.lock();
        let goes_on = life.incarnation == own;
        if goes_on {
            let terms = claims.iter().map(|claim| (claim.shard, claim.term()));
            life.terms.extend(terms);
            let taken = claims.iter().map(|claim| claim.shard);
            taken.for_each(|shard| life.failing.taken(shard));
            let shards: Vec<_> = claims.iter().map(|claim| claim.shard).collect();
            self.map.serve(&shards);
        }
        goes_on
    }

    /// Notes that a shard is on its way; `false` when it is already.
    pub(super) fn set_out(&self, shard: Shard) -> bool {
        match self.life.lock().moving.entry(shard) {
            Entry::Vacant(entry) => {
                entry.insert(Instant::now());
                true
            }
            Entry::Occupied(_) => false,
        }
    }

    pub(super) fn arrived(&self, shard: Shard) {
        self.life.lock().moving.remove(&shard);
    }

    /// A shard that had set out goes nowhere after all. Says `false`.
    fn stays(&self, shard: Shard) -> bool {
        self.arrived(shard);
        false
    }
}

/// Shards as a log names them.
fn named(claims: &[Claim]) -> String {
    let names: Vec<_> = claims.iter().map(|claim| claim.shard.to_string()).collect();
    names.join(" ")
}
