//! Servers that were away and come back.

use super::*;
use crate::user::message::Login;

/// So many attempts at the dead are made at once.
const DEAD_AT_ONCE: usize = 8;

#[tokio::test(flavor = "multi_thread")]
async fn changed_devices_are_caught_up_on_page_by_page() {
    let stage = Stage::new().await;
    let room_id = stage.room().await;
    // More users than shards, and pages of one while this is tested.
    let mut users = BTreeSet::new();
    for number in 0..20 {
        let user_id = stage.trial.user(&format!("user{number}")).await;
        stage.join(&room_id, &user_id).await;
        users.insert(user_id.to_string());
    }
    let (peer, bob) = user("peer.example");
    stage.join(&room_id, &bob).await;
    stage.wire.set(&peer, Mood::Gone);
    stage.say(&room_id, "one").await;
    let house = &stage.trial.house;
    until("it is tried", || house.outbox_counts().behind == 1).await;
    for user_id in &users {
        let user_id = UserId::parse(user_id).unwrap();
        let login = Login {
            device_id: Some("D".into()),
            display_name: None,
            refresh: false,
            access_lifetime_ms: 0,
        };
        house.login(&user_id, login).await.unwrap();
    }
    stage.wire.set(&peer, Mood::Well);
    house.peer_alive(&peer);
    let told = || {
        let edus = stage.wire.edus(&peer, "m.device_list_update");
        let told = edus.iter().filter_map(|edu| edu["user_id"].as_str());
        told.map(str::to_owned).collect::<BTreeSet<_>>()
    };
    until("all are told of", || told().is_superset(&users)).await;
    until("nothing is left", || house.outbox_counts().behind == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_gives_a_sign_of_life_does_not_queue_behind_the_dead() {
    let stage = Stage::new().await;
    let room_id = stage.room().await;
    let asked = |name: &OwnedServerName| stage.wire.with(name, |peer| peer.asked);
    // These fail, and are silent when they are tried again: all attempts that there may be at the dead are at them.
    let dead: Vec<_> = (0..DEAD_AT_ONCE)
        .map(|number| user(&format!("d{number}.dead.example")))
        .collect();
    for (name, user_id) in &dead {
        stage.wire.set(name, Mood::Gone);
        stage.join(&room_id, user_id).await;
    }
    stage.say(&room_id, "one").await;
    let all_failed = || stage.trial.house.outbox_counts().behind == DEAD_AT_ONCE;
    until("all fail", all_failed).await;
    let mut before = BTreeMap::new();
    for (name, _) in &dead {
        stage.wire.set(name, Mood::Dead);
        before.insert(name.clone(), asked(name));
    }
    until("all are tried again", || {
        dead.iter().all(|(name, _)| asked(name) > before[name])
    })
    .await;
    let (peer, bob) = user("peer.example");
    stage.wire.set(&peer, Mood::Gone);
    stage.join(&room_id, &bob).await;
    stage.say(&room_id, "two").await;
    let house = &stage.trial.house;
    until("it fails", || {
        house.outbox_counts().behind == DEAD_AT_ONCE + 1
    })
    .await;
    stage.wire.set(&peer, Mood::Well);
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while stage.wire.copies(&peer, "two") == 0 {
        assert!(tokio::time::Instant::now() < deadline, "it waits for ever");
        house.peer_alive(&peer);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
