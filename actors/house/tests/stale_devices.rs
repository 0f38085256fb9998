//! Devices that nobody uses go.

use std::{
    collections::BTreeSet,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use ruma::{OwnedDeviceId, UserId};

use super::{House, NewAccount, PATIENCE, config, env, store};
use crate::{
    env::Clock,
    house::StaleDeviceSettings,
    user::{
        UserAnswer, UserCommand, UserQuery,
        message::{DeviceSighting, Login},
    },
};

const HOUR_MS: u64 = 3_600_000;

struct SetClock(AtomicU64);

impl Clock for SetClock {
    fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

async fn open(folder: &Path, clock: &Arc<SetClock>, sweep_every_ms: u64) -> Arc<House> {
    let mut env = env();
    env.clock = clock.clone();
    let mut config = config(env);
    config.stale_devices = StaleDeviceSettings {
        after_ms: Some(HOUR_MS),
        sweep_every_ms,
    };
    House::open(store(folder).await, config).await.unwrap()
}

async fn devices(house: &House, user_id: &UserId) -> BTreeSet<OwnedDeviceId> {
    let query = UserQuery::Devices { device_id: None };
    match house.user_query(user_id, query).await.unwrap() {
        UserAnswer::Devices(devices) => {
            devices.into_iter().map(|device| device.device_id).collect()
        }
        other => panic!("{other:?}"),
    }
}

async fn until(house: &House, user_id: &UserId, wanted: &[&str]) {
    let wanted: BTreeSet<OwnedDeviceId> = wanted.iter().map(|name| (*name).into()).collect();
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let found = devices(house, user_id).await;
        if found == wanted {
            return;
        }
        assert!(tokio::time::Instant::now() < deadline, "{found:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

fn login(device_id: &str) -> Login {
    Login {
        device_id: Some(device_id.into()),
        display_name: None,
        refresh: false,
        access_lifetime_ms: 0,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_nobody_uses_go() {
    let folder = tempfile::tempdir().unwrap();
    let clock = Arc::new(SetClock(AtomicU64::new(1_700_000_000_000)));
    let house = open(folder.path(), &clock, 10).await;
    let new = NewAccount {
        username: Some("anna".to_owned()),
        login: Some(login("OLD")),
        ..NewAccount::default()
    };
    let anna = house.register(new).await.unwrap().user_id;
    clock.0.fetch_add(HOUR_MS - 1_000, Ordering::Relaxed);
    for device_id in ["PHONE", "TABLET"] {
        house.login(&anna, login(device_id)).await.unwrap();
    }
    clock.0.fetch_add(2_000, Ordering::Relaxed);
    until(&house, &anna, &["PHONE", "TABLET"]).await;
    let sighting = DeviceSighting {
        device_id: "PHONE".into(),
        at_ms: clock.now_ms(),
        address: String::new(),
        user_agent: String::new(),
    };
    let seen = UserCommand::NoteDevicesSeen(vec![sighting]);
    house.user_command(&anna, seen).await.unwrap();
    house.close(PATIENCE).await;
    drop(house);
    // What a sweep that never came would have found, the next one finds.
    clock.0.fetch_add(HOUR_MS - 1_000, Ordering::Relaxed);
    let house = open(folder.path(), &clock, 10).await;
    until(&house, &anna, &["PHONE"]).await;
    house.login(&anna, login("LAPTOP")).await.unwrap();
    clock.0.fetch_add(2_000, Ordering::Relaxed);
    until(&house, &anna, &["LAPTOP"]).await;
    house.close(PATIENCE).await;
}
