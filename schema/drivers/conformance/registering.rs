//! What the register of a cluster promises. Only PostgreSQL keeps one.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use futures_util::future::join_all;
use uuid::Uuid;

use super::{
    Ground, batch, migrating::migrate, postgres_only::beside, record, rooms, run, unlocked,
};
use crate::{
    address::{Entity, Family, Layout, Shard},
    port::{LogAppender, LogStore, Statement, StoreError},
    register::{Beat, Claim, NodeName, Pulse, Register, RegisterView, Standing},
};

/// Long enough for any test.
pub(super) const LONG_MS: u64 = 600_000;

pub(super) fn name(text: &str) -> NodeName {
    NodeName::parse(text).unwrap()
}

pub(super) fn beat(node: &str, life: u128, lease_ms: u64) -> Beat {
    Beat {
        name: name(node),
        incarnation: Uuid::from_u128(life),
        address: format!("{node}.example:1"),
        roles: vec!["rooms".into(), "users".into()],
        standing: Standing::Serving,
        facts: "{}".into(),
        lease_ms,
    }
}

pub(super) fn shards(layout: Layout, family: Family) -> Vec<Shard> {
    let all = 0..layout.shards;
    all.map(|number| Shard { family, number }).collect()
}

pub(super) fn held_by(view: &RegisterView, life: u128) -> BTreeSet<Shard> {
    let life = Some(Uuid::from_u128(life));
    let held = view.shards.iter().filter(|entry| entry.holder == life);
    held.map(|entry| entry.shard).collect()
}

/// Waits until a lease that was given so short has run out.
async fn run_out(register: &Arc<dyn Register>, life: u128) {
    for _ in 0..24_000 {
        let view = register.view().await.unwrap();
        if view.node_of(Uuid::from_u128(life)).is_none() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the lease does not end");
}

pub(super) async fn opened(ground: &Ground) -> (Arc<dyn LogStore>, Arc<dyn Register>) {
    let store = ground.open().await;
    let register = store.register().unwrap();
    (store, register)
}

#[test]
fn a_file_has_no_register() {
    let ground = Ground::sqlite(1);
    run(async {
        assert!(ground.open().await.register().is_none());
    });
}

#[test]
fn a_name_has_one_life_at_a_time() {
    let ground = Ground::postgres(1);
    run(async {
        let (_store, register) = opened(&ground).await;
        let view = register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        assert_eq!(view.nodes.len(), 1);
        assert!(view.nodes[0].is_alive() && view.nodes[0].left_ms <= LONG_MS);
        assert_eq!(view.nodes[0].roles, ["rooms", "users"]);
        let second = register.join(&beat("a", 2, LONG_MS)).await;
        assert!(matches!(second, Err(StoreError::Locked(_))), "{second:?}");
        // What is said twice is said once.
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.leave(Uuid::from_u128(1)).await.unwrap();
        let view = register.join(&beat("a", 2, LONG_MS)).await.unwrap();
        assert_eq!(view.nodes[0].incarnation, Uuid::from_u128(2));
        assert_eq!(
            register.beat(&beat("a", 1, LONG_MS)).await.unwrap(),
            Pulse::Lapsed
        );
        assert!(!register.forget(&name("a")).await.unwrap());
        register.leave(Uuid::from_u128(2)).await.unwrap();
        assert!(register.forget(&name("a")).await.unwrap());
        assert!(register.view().await.unwrap().nodes.is_empty());
    });
}

#[test]
fn a_lease_that_has_run_out_is_not_extended() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Rooms);
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        let held = register.claim(Uuid::from_u128(1), &all).await.unwrap();
        assert_eq!(held.len(), all.len());
        // Short only now: what comes before may take its time.
        register.beat(&beat("a", 1, 300)).await.unwrap();
        run_out(&register, 1).await;
        assert!(register.view().await.unwrap().nodes[0].silent_ms > 0);
        let late = register.beat(&beat("a", 1, LONG_MS)).await.unwrap();
        assert_eq!(late, Pulse::Lapsed);
        let none = register.claim(Uuid::from_u128(1), &all).await.unwrap();
        assert_eq!(none, []);
        register.join(&beat("b", 2, LONG_MS)).await.unwrap();
        let taken = register.claim(Uuid::from_u128(2), &all).await.unwrap();
        assert!(taken.iter().all(|claim| claim.epoch > held[0].epoch));
        assert_eq!(taken.len(), all.len());
    });
}

#[test]
fn what_a_living_node_holds_nobody_else_claims() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Users);
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.join(&beat("b", 2, LONG_MS)).await.unwrap();
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (first, second) = tokio::join!(register.claim(one, &all), register.claim(two, &all));
        let (first, second) = (first.unwrap(), second.unwrap());
        assert_eq!(first.len() + second.len(), all.len());
        let view = register.view().await.unwrap();
        let (a, b) = (held_by(&view, 1), held_by(&view, 2));
        assert!(a.is_disjoint(&b));
        // Only the holder gives back.
        register.release(two, &first).await.unwrap();
        assert_eq!(held_by(&register.view().await.unwrap(), 1), a);
        register.release(one, &first).await.unwrap();
        assert_eq!(register.claim(two, &all).await.unwrap().len(), all.len());
    });
}

#[test]
fn what_was_claimed_again_is_not_given_back() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Users);
        let one = Uuid::from_u128(1);
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        let before = register.claim(one, &all).await.unwrap();
        let since = register.claim(one, &all[..1]).await.unwrap();
        // Said before, and done only now.
        register.release(one, &before).await.unwrap();
        let held = held_by(&register.view().await.unwrap(), 1);
        assert_eq!(held, BTreeSet::from([all[0]]));
        register.release(one, &since).await.unwrap();
        assert!(held_by(&register.view().await.unwrap(), 1).is_empty());
    });
}

#[test]
fn who_has_left_says_nothing_more() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Users);
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.claim(Uuid::from_u128(1), &all).await.unwrap();
        register.leave(Uuid::from_u128(1)).await.unwrap();
        let view = register.view().await.unwrap();
        assert!(held_by(&view, 1).is_empty());
        let node = &view.nodes[0];
        assert!(!node.is_alive() && node.silent_ms == 0 && node.facts.is_empty());
    });
}

#[test]
fn a_beat_that_is_under_way_keeps_what_is_held() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Rooms);
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.join(&beat("b", 2, LONG_MS)).await.unwrap();
        register.claim(Uuid::from_u128(1), &all).await.unwrap();
        register.beat(&beat("a", 1, 1)).await.unwrap();
        run_out(&register, 1).await;
        let (is_said, said) = tokio::sync::oneshot::channel();
        // What a beat does that was in time, and has been slow to be committed.
        let beating = beside(&ground, |client| {
            let mut transaction = client.transaction().unwrap();
            let late = "UPDATE node SET lease_ms = lease_ms + 600000 WHERE name = 'a'";
            transaction.execute(late, &[]).unwrap();
            is_said.send(()).unwrap();
            wait_for_a_lock(&mut transaction);
            transaction.commit().unwrap();
        });
        said.await.unwrap();
        let none = register.claim(Uuid::from_u128(2), &all).await.unwrap();
        assert_eq!(none, []);
        beating.join().unwrap();
    });
}

/// Waits until somebody waits for what this transaction has locked.
fn wait_for_a_lock(transaction: &mut postgres::Transaction<'_>) {
    let waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid))";
    for _ in 0..400 {
        let waiting: i64 = transaction.query_one(waiting, &[]).unwrap().get(0);
        if waiting > 0 {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn wishes_and_pins_are_kept() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Servers);
        let wishes = [(all[0], Some(name("a"))), (all[1], Some(name("b")))];
        register.want(&wishes).await.unwrap();
        register.want(&[(all[1], None)]).await.unwrap();
        register.pin(all[2], Some(name("c")), false).await.unwrap();
        register.pin(all[3], Some(name("d")), true).await.unwrap();
        let view = register.view().await.unwrap();
        let entry = |shard| {
            let mut entries = view.shards.iter();
            entries.find(|entry| entry.shard == shard).unwrap()
        };
        assert_eq!(entry(all[0]).wanted, Some(name("a")));
        assert_eq!(entry(all[1]).wanted, None);
        assert_eq!(entry(all[2]).pinned, Some(name("c")));
        assert!(!entry(all[2]).alone && entry(all[3]).alone);
        assert_eq!(entry(all[3]).pinned, Some(name("d")));
        register.pin(all[3], None, false).await.unwrap();
        let view = register.view().await.unwrap();
        let unpinned = view.shards.iter().find(|entry| entry.shard == all[3]);
        assert!(unpinned.is_some_and(|entry| entry.pinned.is_none() && !entry.alone));
        assert_eq!(view.shards.len(), all.len() * Family::ALL.len());
    });
}

#[test]
fn who_is_told_to_rest_rests() {
    let ground = Ground::postgres(1);
    run(async {
        let (_store, register) = opened(&ground).await;
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.rest(&name("a"), true).await.unwrap();
        register.rest(&name("a"), true).await.unwrap();
        let Pulse::Alive(view) = register.beat(&beat("a", 1, LONG_MS)).await.unwrap() else {
            panic!("it has lapsed");
        };
        assert_eq!(view.nodes[0].standing, Standing::Draining);
        // The next life rests too.
        register.leave(Uuid::from_u128(1)).await.unwrap();
        let view = register.join(&beat("a", 2, LONG_MS)).await.unwrap();
        assert_eq!(view.nodes[0].standing, Standing::Draining);
        register.rest(&name("a"), false).await.unwrap();
        register.beat(&beat("a", 2, LONG_MS)).await.unwrap();
        let view = register.view().await.unwrap();
        assert_eq!(view.nodes[0].standing, Standing::Serving);
        // Who is forgotten does not rest when it comes back.
        register.rest(&name("a"), true).await.unwrap();
        register.leave(Uuid::from_u128(2)).await.unwrap();
        assert!(register.forget(&name("a")).await.unwrap());
        let view = register.join(&beat("a", 3, LONG_MS)).await.unwrap();
        assert_eq!(view.nodes[0].standing, Standing::Serving);
    });
}

#[test]
fn a_beat_waits_for_no_other_question() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        let models = store.models();
        let slow = Statement {
            sql: "SELECT 1::bigint FROM pg_sleep(20)",
            values: Vec::new(),
        };
        // More of them than there are connections.
        let slow = (0..50).map(|_| models.query(slow.clone()));
        let sent = beat("a", 1, LONG_MS);
        tokio::select! {
            biased;
            told = join_all(slow) => panic!("the beat has waited: {told:?}"),
            pulse = register.beat(&sent) => {
                assert!(matches!(pulse, Ok(Pulse::Alive(_))), "{pulse:?}");
            }
        }
    });
}

#[test]
fn what_is_shared_is_what_was_proposed_first() {
    let ground = Ground::postgres(1);
    run(async {
        let (_store, register) = opened(&ground).await;
        assert_eq!(register.secret("a", None).await.unwrap(), None);
        let (one, two) = tokio::join!(
            register.secret("a", Some(b"one")),
            register.secret("a", Some(b"two"))
        );
        let (one, two) = (one.unwrap().unwrap(), two.unwrap().unwrap());
        assert_eq!(one, two);
        assert_eq!(register.secret("b", None).await.unwrap(), None);
        register.replace_secret("a", b"three").await.unwrap();
        let now = register.secret("a", Some(b"four")).await.unwrap();
        assert_eq!(now.unwrap(), "three");
    });
}

/// An appender that has taken nothing, of those that a shard belongs to.
async fn idle(store: &Arc<dyn LogStore>, shard: Shard) -> Box<dyn LogAppender> {
    let index = usize::from(shard.number) % store.appenders(shard.family);
    let appender = unlocked(|| store.open_appender(shard.family, index)).await;
    appender.unwrap()
}

async fn nothing_lands_under_an_older_claim(store: &Arc<dyn LogStore>, room: &Entity) {
    let register = store.register().unwrap();
    let shard = store.layout().shard_of(room);
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let join = |life: Uuid| {
        let name = format!("node-{}", life.simple());
        beat(&name, life.as_u128(), LONG_MS)
    };
    register.join(&join(one)).await.unwrap();
    register.join(&join(two)).await.unwrap();
    let early = register.claim(one, &[shard]).await.unwrap();
    // Its answer comes late: meanwhile the shard has gone to another node.
    register.leave(one).await.unwrap();
    let late = register.claim(two, &[shard]).await.unwrap();
    let (mut old, mut new) = (idle(store, shard).await, idle(store, shard).await);
    new.take_under(&late).await.unwrap();
    new.take_under(&late).await.unwrap();
    let refused = old.take_under(&early).await;
    assert!(matches!(refused, Err(StoreError::Fenced(lost)) if lost == shard));
    assert!(old.heads().is_empty());
    let written = new.append(&batch(1, vec![record(room, 1, "a")])).await;
    assert_eq!(written.unwrap().len(), 1);
    new.append(&batch(2, vec![record(room, 2, "b")]))
        .await
        .unwrap();
    let third = register.claim(two, &[shard]).await.unwrap();
    // What the owner before writes until the claim has come to the log is seen by the next one.
    let before = new.append(&batch(3, vec![record(room, 3, "c")])).await;
    assert_eq!(before.unwrap()[0].position, new.heads()[0].position);
    old.take_under(&third).await.unwrap();
    assert_eq!(old.heads()[0].position, new.heads()[0].position);
    let fenced = new.append(&batch(4, vec![record(room, 4, "d")])).await;
    assert!(matches!(fenced, Err(StoreError::Fenced(_))), "{fenced:?}");
    // Nor does it come back by the claim that it had.
    let refused = new.take_under(&late).await;
    assert!(matches!(refused, Err(StoreError::Fenced(_))), "{refused:?}");
    old.append(&batch(5, vec![record(room, 4, "e")]))
        .await
        .unwrap();
}

#[test]
fn the_log_takes_nothing_under_an_older_claim() {
    for ground in [Ground::postgres(1), Ground::several(2, 1)] {
        run(async {
            let store = ground.open().await;
            // With several databases, one room lies beside the register and one does not.
            for side in [0, 1] {
                let mut all = rooms(50).into_iter();
                let room = all.find(|room| store.layout().shard_of(room).number % 2 == side);
                nothing_lands_under_an_older_claim(&store, &room.unwrap()).await;
            }
        });
    }
}

#[test]
fn claims_follow_a_log_that_one_node_has_written() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let room = &rooms(1)[0];
        let shard = store.layout().shard_of(room);
        let mut alone = super::appender(&store, Family::Rooms, 0).await;
        alone
            .append(&batch(1, vec![record(room, 1, "a")]))
            .await
            .unwrap();
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        let claims = register.claim(Uuid::from_u128(1), &[shard]).await.unwrap();
        assert_eq!(claims, [Claim::new(shard, 1)]);
        let mut one = idle(&store, shard).await;
        one.take_under(&claims).await.unwrap();
        one.append(&batch(2, vec![record(room, 2, "b")]))
            .await
            .unwrap();
        let fenced = alone.append(&batch(3, vec![record(room, 2, "c")])).await;
        assert!(matches!(fenced, Err(StoreError::Fenced(_))), "{fenced:?}");
    });
}

#[test]
fn claims_follow_a_log_that_another_cluster_has_written() {
    let (from, to) = (Ground::postgres(1), Ground::postgres(1));
    run(async {
        let room = &rooms(1)[0];
        let shard = {
            let (store, _) = opened(&from).await;
            let shard = store.layout().shard_of(room);
            let mut one = idle(&store, shard).await;
            one.take_under(&[Claim::new(shard, 30)]).await.unwrap();
            one.append(&batch(1, vec![record(room, 1, "a")]))
                .await
                .unwrap();
            shard
        };
        migrate(&from, &to).await;
        let (store, register) = opened(&to).await;
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        let claims = register.claim(Uuid::from_u128(1), &[shard]).await.unwrap();
        let mut two = idle(&store, shard).await;
        two.take_under(&claims).await.unwrap();
        two.append(&batch(2, vec![record(room, 2, "b")]))
            .await
            .unwrap();
    });
}

#[test]
fn nobody_joins_beside_one_that_is_alone() {
    let ground = Ground::postgres(1);
    run(async {
        let (_store, register) = opened(&ground).await;
        let living = register.stand_alone("host, 7", LONG_MS).await.unwrap();
        assert_eq!(living, []);
        // It is none of the nodes.
        assert!(register.view().await.unwrap().nodes.is_empty());
        let refused = register.join(&beat("a", 1, LONG_MS)).await;
        let Err(StoreError::Locked(why)) = &refused else {
            panic!("{refused:?}");
        };
        assert!(why.contains("host, 7"), "{why}");
        assert!(register.view().await.unwrap().nodes.is_empty());
        register.stand_alone("host, 7", 0).await.unwrap();
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        let living = register.stand_alone("host, 7", LONG_MS).await.unwrap();
        assert_eq!(living, [name("a")]);
        // Who is there stays there.
        let pulse = register.beat(&beat("a", 1, LONG_MS)).await.unwrap();
        assert!(matches!(pulse, Pulse::Alive(_)));
    });
}

#[test]
fn connections_that_are_closed_are_made_again() {
    let ground = Ground::postgres(1);
    run(async {
        let (_store, register) = opened(&ground).await;
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.reconnect();
        let pulse = register.beat(&beat("a", 1, LONG_MS)).await.unwrap();
        assert!(matches!(pulse, Pulse::Alive(_)));
    });
}
