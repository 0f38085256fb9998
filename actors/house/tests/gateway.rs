//! Notifications on their way through the outboxes of a push gateway, without any provider.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use playhouse_schema::port::EntityRange;

use super::{super::LoneGateway, PATIENCE, env, store};
use crate::gateway::{
    Carrier, GatewayReply, GatewaySettings, NewPush, Push, Verdict, device_digest, digest_of,
    outbox_of,
};

/// Says what a test wants, and remembers what it carried.
struct Script {
    verdicts: Mutex<VecDeque<Verdict>>,
    carried: Mutex<Vec<(String, String)>>,
    is_open: AtomicBool,
}

impl Script {
    fn new(verdicts: impl IntoIterator<Item = Verdict>) -> Arc<Self> {
        Arc::new(Self {
            verdicts: Mutex::new(verdicts.into_iter().collect()),
            carried: Mutex::default(),
            is_open: AtomicBool::new(true),
        })
    }

    /// Waits until so many were carried: what they said, and their names.
    async fn wait_for(&self, number: usize) -> Vec<(String, String)> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let carried = self.carried.lock().clone();
            if carried.len() >= number {
                return carried;
            }
            assert!(tokio::time::Instant::now() < deadline, "{carried:?}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Carrier for Script {
    fn carry(&self, push: Arc<Push>) -> BoxFuture<'static, Verdict> {
        let accepted = &push.accepted;
        let carried = (accepted.notification.clone(), accepted.push_id.clone());
        self.carried.lock().push(carried);
        let verdict = self.verdicts.lock().pop_front();
        Box::pin(async move { verdict.unwrap_or(Verdict::Delivered) })
    }

    fn is_open(&self) -> bool {
        self.is_open.load(Ordering::SeqCst)
    }
}

fn new(words: &str) -> NewPush {
    let device = device_digest("app", "key");
    NewPush {
        digest: Some(digest_of(&[&device, words])),
        device,
        app_id: "app".to_owned(),
        pushkey: "key".to_owned(),
        pushkey_ts_ms: 0,
        data: "{}".to_owned(),
        notification: words.to_owned(),
        ttl_ms: 600_000,
        counts: None,
        trace: String::new(),
    }
}

async fn open(folder: &std::path::Path) -> LoneGateway {
    let opened = LoneGateway::open(store(folder).await, env(), GatewaySettings::default());
    opened.await.unwrap()
}

async fn accept(gateway: &LoneGateway, words: &str) -> String {
    match gateway.office().accept(new(words)).await {
        Ok(GatewayReply::Accepted(push_id)) => push_id,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_is_carried_in_order_after_a_restart_too() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = open(folder.path()).await;
    // Nobody carries yet.
    let one = accept(&gateway, "one").await;
    let two = accept(&gateway, "two").await;
    assert_eq!(accept(&gateway, "one").await, one, "a repetition is known");
    gateway.close(PATIENCE).await;
    drop(gateway);
    let gateway = open(folder.path()).await;
    let script = Script::new([Verdict::Later {
        after_ms: Some(0),
        reason: "503".to_owned(),
    }]);
    gateway.office().begin(script.clone());
    let carried = script.wait_for(3).await;
    let wanted = [("one", &one), ("one", &one), ("two", &two)];
    let wanted = wanted.map(|(words, name)| (words.to_owned(), name.clone()));
    assert_eq!(carried, wanted);
    assert_eq!(accept(&gateway, "two").await, two);
    script.is_open.store(false, Ordering::SeqCst);
    gateway.office().drained(PATIENCE).await;
    gateway.close(PATIENCE).await;
    assert_eq!(script.carried.lock().len(), 3, "nothing goes twice");
}

#[tokio::test(flavor = "multi_thread")]
async fn dead_pushkeys_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let gateway = open(folder.path()).await;
    let dead = || Verdict::Rejected("Gone".to_owned());
    let script = Script::new([dead(), dead()]);
    let office = gateway.office();
    let first = accept(&gateway, "one").await;
    let device = device_digest("app", "key");
    let short = Duration::from_millis(20);
    let unknown = office.is_rejected(&device, first.clone(), short).await;
    assert_eq!(unknown, None, "nobody has carried it");
    office.begin(script.clone());
    let told = office.is_rejected(&device, first, PATIENCE).await;
    assert_eq!(told, Some(true));
    // Who has heard of it does not hear it again; the provider is asked.
    let second = accept(&gateway, "two").await;
    script.wait_for(2).await;
    script.is_open.store(false, Ordering::SeqCst);
    office.drained(PATIENCE).await;
    let told = office.is_rejected(&device, second, PATIENCE).await;
    assert_eq!(told, Some(true));
    // That answer came after the end: it has made the outbox forget.
    assert!(matches!(
        office.accept(new("three")).await,
        Ok(GatewayReply::Accepted(_))
    ));
    gateway.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_leave_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let log = store(folder.path()).await;
    let gateway = LoneGateway::open(log.clone(), env(), GatewaySettings::default());
    let gateway = gateway.await.unwrap();
    gateway.office().begin(Script::new([]));
    accept(&gateway, "plain words").await;
    let entity = outbox_of(&device_digest("app", "key"));
    let all = EntityRange {
        from: 1,
        to: 100,
        backwards: false,
        limit: 100,
    };
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let records = log.read_entity(&entity, all).await.unwrap();
        let holds = |word: &[u8]| {
            let mut payloads = records.iter().map(|record| &record.payload);
            payloads.any(|payload| payload.windows(word.len()).any(|part| part == word))
        };
        if records.len() > 2 && !holds(b"plain words") {
            break;
        }
        assert!(tokio::time::Instant::now() < deadline, "they stay");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    gateway.close(PATIENCE).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn contents_are_in_no_snapshot_and_come_back_from_the_log() {
    const NUMBER: usize = 60;
    let folder = tempfile::tempdir().unwrap();
    let log = store(folder.path()).await;
    let gateway = LoneGateway::open(log.clone(), env(), GatewaySettings::default());
    let gateway = gateway.await.unwrap();
    // Nobody carries: going to sleep writes a snapshot of what waits.
    for number in 0..NUMBER {
        accept(&gateway, &format!("plain words {number}")).await;
    }
    gateway.close(PATIENCE).await;
    drop(gateway);
    let entity = outbox_of(&device_digest("app", "key"));
    let snapshot = log.load_snapshot(&entity).await.unwrap();
    let payload = snapshot.expect("there was enough to write one").payload;
    let word = b"plain words";
    assert!(!payload.windows(word.len()).any(|part| part == word));
    drop(log);
    let gateway = open(folder.path()).await;
    let script = Script::new([]);
    gateway.office().begin(script.clone());
    let carried = script.wait_for(NUMBER).await;
    let words: Vec<String> = carried.into_iter().map(|(words, _)| words).collect();
    let wanted: Vec<String> = (0..NUMBER)
        .map(|one| format!("plain words {one}"))
        .collect();
    assert_eq!(words, wanted);
    gateway.close(PATIENCE).await;
}
