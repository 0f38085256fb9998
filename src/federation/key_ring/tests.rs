//! When whom is asked, and what is believed.

use std::sync::atomic::{AtomicU64, Ordering};

use playhouse_actors::env::{Clock, Identity, RetiredKey, Signer};
use ruma::{CanonicalJsonValue, signatures::sign_json};

use super::*;
use crate::federation::own_keys::{own_keys_json, sign_as_notary};

const NOW: u64 = 1_700_000_000_000;

/// A clock that is moved by hand.
struct Hand(AtomicU64);

impl Clock for Hand {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A world of servers: what they answer, and what they were asked.
#[derive(Default)]
struct World {
    direct: Mutex<BTreeMap<String, CanonicalJsonObject>>,
    notary: Mutex<Vec<CanonicalJsonObject>>,
    asked: Mutex<Vec<String>>,
    shelf: Mutex<BTreeMap<OwnedServerName, KnownKeys>>,
}

impl Asking for World {
    fn ask<'a>(
        &'a self,
        server_name: &'a ServerName,
        _path: &'static str,
        body: Option<String>,
    ) -> BoxFuture<'a, Result<Bytes, PeerError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let way = if body.is_some() { "notary" } else { "direct" };
            self.asked.lock().push(format!("{way} {server_name}"));
            let text = match body {
                Some(_) => Some(json!({ "server_keys": *self.notary.lock() }).to_string()),
                None => self
                    .direct
                    .lock()
                    .get(server_name.as_str())
                    .map(|object| CanonicalJsonValue::Object(object.clone()).to_string()),
            };
            text.map(Bytes::from)
                .ok_or_else(|| PeerError::Unreachable("dead".to_owned()))
        })
    }
}

impl Shelf for World {
    fn known<'a>(&'a self, server_name: &'a ServerName) -> BoxFuture<'a, Option<KnownKeys>> {
        let known = self.shelf.lock().get(server_name).cloned();
        Box::pin(async move { Some(known.unwrap_or_default()) })
    }

    fn keep<'a>(&'a self, server_name: &'a ServerName, heard: HeardKeys) -> BoxFuture<'a, ()> {
        let mut shelf = self.shelf.lock();
        let known = shelf.entry(server_name.to_owned()).or_default();
        known.learn(&heard, NOW);
        Box::pin(async {})
    }
}

struct Trial {
    world: Arc<World>,
    clock: Arc<Hand>,
    ring: KeyRing,
}

fn server(name: &str, seed: u8, clock: &Arc<Hand>) -> Env {
    let retired = RetiredKey {
        key_id: "ed25519:old".to_owned(),
        public_key: vec![7; 32],
        expired_ts: NOW - 1_000,
    };
    let signer = Signer::from_seed("a", &[seed; 32]).unwrap();
    let mut env = Env::system(Identity {
        server_name: ServerName::parse(name).unwrap(),
        signer: signer.with_others(Vec::new(), vec![retired]),
    });
    env.clock = clock.clone();
    env
}

impl Trial {
    fn new() -> Self {
        Self::over(Arc::default())
    }

    fn over(world: Arc<World>) -> Self {
        let clock = Arc::new(Hand(NOW.into()));
        let notaries = vec![ServerName::parse("notary.example").unwrap()];
        let ports = (world.clone() as _, world.clone() as _);
        let ring = KeyRing::new(server("us.example", 1, &clock), ports, notaries);
        Self { world, clock, ring }
    }

    fn publishes(&self, name: &str, seed: u8) -> CanonicalJsonObject {
        own_keys_json(&server(name, seed, &self.clock))
    }

    fn lives(&self, name: &str, seed: u8) {
        let published = self.publishes(name, seed);
        self.world.direct.lock().insert(name.to_owned(), published);
    }

    /// How many of these keys of a server are found.
    async fn find(&self, name: &str, ids: &[(&str, u64)]) -> usize {
        let ids = ids.iter().map(|(key_id, at)| ((*key_id).to_owned(), *at));
        let wanted = KeysWanted::from([(ServerName::parse(name).unwrap(), ids.collect())]);
        let found = self.ring.keys(&wanted).await;
        found.get(name).map_or(0, BTreeMap::len)
    }

    fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.world.asked.lock())
    }
}

#[tokio::test]
async fn a_server_is_asked_once() {
    let trial = Trial::new();
    trial.lives("a.example", 3);
    let ids = [("ed25519:a", NOW)];
    let (one, two) = tokio::join!(trial.find("a.example", &ids), trial.find("a.example", &ids));
    assert_eq!((one, two), (1, 1));
    assert_eq!(trial.asked(), ["direct a.example"]);
    assert_eq!(
        trial.find("a.example", &[]).await,
        1,
        "whatever is valid now"
    );
    assert_eq!(
        trial
            .find("a.example", &[("ed25519:old", NOW - 1_000)])
            .await,
        1
    );
    assert_eq!(trial.find("a.example", &[("ed25519:old", 0)]).await, 1);
    assert_eq!(trial.asked(), Vec::<String>::new());
    // A key that is not there is not asked for again and again, only its notary is asked once.
    assert_eq!(trial.find("a.example", &[("ed25519:b", NOW)]).await, 0);
    assert_eq!(trial.asked(), ["direct notary.example"]);
    assert_eq!(trial.find("a.example", &[("ed25519:b", NOW)]).await, 0);
    assert_eq!(trial.asked(), Vec::<String>::new());
    // Two days later the key must be confirmed.
    trial
        .clock
        .0
        .fetch_add(2 * 24 * 3_600_000, Ordering::Relaxed);
    trial.lives("a.example", 3);
    let later = trial.clock.now_ms();
    assert_eq!(trial.find("a.example", &[("ed25519:a", later)]).await, 1);
    assert_eq!(trial.asked(), ["direct a.example"]);
}

#[tokio::test]
async fn keys_of_dead_servers_outlive_a_restart() {
    let trial = Trial::new();
    trial.lives("a.example", 3);
    assert_eq!(trial.find("a.example", &[("ed25519:a", NOW)]).await, 1);
    trial.world.direct.lock().clear();
    let next = Trial::over(trial.world.clone());
    next.asked();
    assert_eq!(next.find("a.example", &[("ed25519:a", NOW)]).await, 1);
    assert_eq!(next.asked(), Vec::<String>::new());
}

#[tokio::test]
async fn notaries_help_with_dead_servers() {
    let trial = Trial::new();
    trial.lives("notary.example", 9);
    let mut vouched = trial.publishes("dead.example", 4);
    sign_as_notary(&server("notary.example", 9, &trial.clock), &mut vouched);
    // Nobody vouches for this one, and this one is not what it says.
    let unvouched = trial.publishes("other.example", 5);
    let mut forged = trial.publishes("forged.example", 6);
    forged.insert("valid_until_ts".to_owned(), ruma::int!(1).into());
    sign_as_notary(&server("notary.example", 9, &trial.clock), &mut forged);
    *trial.world.notary.lock() = vec![vouched, unvouched, forged];
    let ids = [("ed25519:a", NOW)];
    assert_eq!(trial.find("dead.example", &ids).await, 1);
    let asked = [
        "direct dead.example",
        "direct notary.example",
        "notary notary.example",
    ];
    assert_eq!(trial.asked(), asked);
    assert_eq!(trial.find("other.example", &ids).await, 0);
    assert_eq!(trial.find("forged.example", &ids).await, 0);
    trial.asked();
    assert_eq!(trial.find("forged.example", &ids).await, 0);
    assert_eq!(
        trial.asked(),
        Vec::<String>::new(),
        "left alone for a while"
    );
    trial.clock.0.fetch_add(60_000, Ordering::Relaxed);
    assert_eq!(trial.find("forged.example", &ids).await, 0);
    assert_eq!(
        trial.asked(),
        ["direct forged.example", "notary notary.example"]
    );
    // Many at once are asked of the notary first.
    let many = (0..20).map(|index| {
        let name = ServerName::parse(format!("h{index}.example")).unwrap();
        (name, Ids::new())
    });
    trial.ring.keys(&many.collect()).await;
    assert_eq!(trial.asked()[0], "notary notary.example");
}

#[tokio::test]
async fn own_keys_are_known() {
    let trial = Trial::new();
    assert_eq!(trial.find("us.example", &[("ed25519:a", NOW)]).await, 1);
    assert_eq!(trial.find("us.example", &[("ed25519:old", NOW)]).await, 0);
    assert_eq!(trial.find("us.example", &[("ed25519:old", 5)]).await, 1);
    assert_eq!(trial.find("us.example", &[]).await, 1);
    assert_eq!(trial.asked(), Vec::<String>::new());
}

#[test]
fn only_what_is_signed_by_itself_is_believed() {
    let clock = Arc::new(Hand(NOW.into()));
    let them = server("a.example", 3, &clock);
    let good = own_keys_json(&them);
    let read = |object: &CanonicalJsonObject| {
        published::read(
            object.clone(),
            ServerName::parse("a.example").unwrap().as_ref(),
            true,
        )
    };
    let heard = read(&good).unwrap();
    assert_eq!((heard.in_use.len(), heard.retired.len()), (1, 1));
    let without = |name: &str| {
        let mut object = good.clone();
        object.remove(name);
        object
    };
    for name in ["server_name", "signatures", "verify_keys", "valid_until_ts"] {
        assert!(read(&without(name)).is_err(), "without {name}");
    }
    // Signed by a key that is not its own.
    let mut foreign = without("signatures");
    let stranger = server("a.example", 4, &clock);
    sign_json("a.example", &stranger.identity.signer, &mut foreign).unwrap();
    assert!(read(&foreign).is_err());
    assert!(read(&own_keys_json(&server("b.example", 3, &clock))).is_err());
    // Old keys may be missing.
    let mut plain = without("old_verify_keys");
    plain.remove("signatures");
    sign_json("a.example", &them.identity.signer, &mut plain).unwrap();
    assert!(read(&plain).is_ok());
}
