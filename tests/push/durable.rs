//! What was accepted is passed on, once, whatever dies meanwhile.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use super::{
    gateway::{TestGateway, apns_app, message},
    provider::{Provider, Said, Seen},
};
use crate::harness::Database;

/// Refused for now, to be tried again after some seconds.
fn busy(seconds: &str) -> Said {
    Said::new(503, json!({ "reason": "ServiceUnavailable" })).with("retry-after", seconds)
}

fn event(seen: &Seen) -> String {
    let json = seen.json();
    json["event_id"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_provider_is_left_alone_as_long_as_it_says() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, "")];
    let gateway = TestGateway::start(&provider, &apps, "answer_within_ms = 200");
    provider.will_say(busy("4"));
    assert!(gateway.notify(message("$one", "AAAA")).await.is_empty());
    // The second waits behind the first.
    assert!(gateway.notify(message("$two", "AAAA")).await.is_empty());
    let seen = provider.wait_for(3).await;
    assert!(seen[1].at.duration_since(seen[0].at) >= Duration::from_secs(4));
    assert_eq!(seen[0].header("apns-id"), seen[1].header("apns-id"));
    assert_eq!(seen[0].body, seen[1].body);
    let events: Vec<String> = seen.iter().map(event).collect();
    assert_eq!(events, ["$one", "$one", "$two"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_outlives_the_process_on_sqlite() {
    outlives(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_accepted_outlives_the_process_on_postgres() {
    outlives(Some(Database::create())).await;
}

async fn outlives(database: Option<String>) {
    const PHONES: usize = 40;
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, "")];
    let more = "answer_within_ms = 1";
    let mut gateway = TestGateway::start_on(database, &provider, &apps, more);
    // All are refused until the end, so that each attempt before it is known to have come to nothing.
    let is_back = Arc::<AtomicBool>::default();
    let takes = is_back.clone();
    provider.will_judge(move |_| match takes.load(Ordering::SeqCst) {
        true => Said::ok(),
        false => busy("1"),
    });
    let posts = (0..PHONES).map(|phone| {
        let notification = message(&format!("$e{phone}"), &format!("AAAA{phone:04}"));
        gateway.notify(notification)
    });
    for rejected in futures_util::future::join_all(posts).await {
        assert!(rejected.is_empty());
    }
    gateway.kill();
    gateway.start_again();
    is_back.store(true, Ordering::SeqCst);
    let asked = when_all_have_it(&provider, PHONES).await;
    // Nothing that was taken is on its way once more.
    gateway.is_idle().await;
    assert_eq!(asked.len(), PHONES, "none is lost");
    for attempts in asked.values() {
        let id = attempts[0].header("apns-id");
        assert!(attempts.iter().all(|seen| seen.header("apns-id") == id));
    }
    // A homeserver that did not hear the answer repeats itself.
    let before = provider.seen().len();
    for phone in 0..PHONES {
        let repeated = message(&format!("$e{phone}"), &format!("AAAA{phone:04}"));
        assert!(gateway.notify(repeated).await.is_empty());
    }
    gateway.notify(message("$last", "BBBB")).await;
    let seen = provider.wait_for(before + 1).await;
    let last = seen.iter().filter(|seen| event(seen) == "$last");
    assert_eq!(last.count(), 1);
    assert_eq!(seen.len(), before + 1, "nothing was sent twice");
}

/// Waits until the provider has taken the notifications of so many events, and gives all that it was asked, by event.
async fn when_all_have_it(provider: &Provider, number: usize) -> BTreeMap<String, Vec<Seen>> {
    for _ in 0..6_000 {
        let mut asked: BTreeMap<String, Vec<Seen>> = BTreeMap::new();
        for seen in provider.seen() {
            asked.entry(event(&seen)).or_default().push(seen);
        }
        let have_it = asked
            .values()
            .filter(|attempts| attempts.iter().any(|seen| seen.said == 200));
        if have_it.count() >= number {
            return asked;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("not all have arrived");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_dies_late_is_told_with_the_next_request() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, "")];
    let mut gateway = TestGateway::start(&provider, &apps, "answer_within_ms = 100");
    let dead = Said::new(410, json!({ "reason": "Unregistered" }));
    provider.will_say(dead.after(Duration::from_secs(4)));
    assert!(gateway.notify(message("$one", "AAAA")).await.is_empty());
    provider.wait_for(1).await;
    // In order: what is on its way ends first.
    gateway.stop();
    gateway.start_again();
    assert_eq!(gateway.notify(message("$two", "AAAA")).await, ["AAAA"]);
    assert_eq!(provider.seen().len(), 1, "nobody asks for a dead one");
    // Told once; a pushkey that comes again may be alive again.
    assert!(gateway.notify(message("$three", "AAAA")).await.is_empty());
    let seen = provider.wait_for(2).await;
    assert_eq!(event(&seen[1]), "$three");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_on_its_way_ends_before_the_process() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, "")];
    let mut gateway = TestGateway::start(&provider, &apps, "answer_within_ms = 1");
    provider.will_say(Said::ok().after(Duration::from_millis(1_500)));
    assert!(gateway.notify(message("$one", "AAAA")).await.is_empty());
    provider.wait_for(1).await;
    let begun = Instant::now();
    gateway.stop();
    assert!(begun.elapsed() < Duration::from_secs(120));
    gateway.start_again();
    gateway.notify(message("$two", "AAAA")).await;
    let seen = provider.wait_for(2).await;
    let events: Vec<String> = seen.iter().map(event).collect();
    assert_eq!(events, ["$one", "$two"], "its end was recorded");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_late_is_not_sent() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, ", ttl_s = 2")];
    let gateway = TestGateway::start(&provider, &apps, "answer_within_ms = 200");
    provider.will_say(busy("1"));
    provider.will_say(busy("30"));
    assert!(gateway.notify(message("$one", "AAAA")).await.is_empty());
    assert!(gateway.notify(message("$two", "AAAA")).await.is_empty());
    // The first ends without a second attempt if its time is over before that; the second one is never sent after its own.
    gateway.is_idle().await;
    let seen = provider.seen();
    assert!(seen.len() <= 2, "{seen:?}");
}
