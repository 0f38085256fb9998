//! What only files can promise.

use std::{
    fs,
    path::{Path, PathBuf},
};

use rusqlite::Connection;

use super::{Ground, append, appenders, batch, erasure, erasures, record, rooms, run};
use crate::{
    address::{Family, Layout},
    drivers::{DatabaseConfig, open, open_with_layout, texts::texts},
    port::StoreError,
    verify::{Damage, verify_shard},
};

fn data(ground: &Ground) -> PathBuf {
    ground.folder.path().join("data")
}

fn all_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(all_files(&path));
        } else {
            files.push(path);
        }
    }
    files
}

fn occurrences(folder: &Path, text: &str) -> usize {
    let count = |path: PathBuf| {
        let bytes = fs::read(path).unwrap();
        bytes
            .windows(text.len())
            .filter(|window| *window == text.as_bytes())
            .count()
    };
    all_files(folder).into_iter().map(count).sum()
}

#[test]
fn nothing_erased_is_left_in_any_file() {
    run(async {
        let ground = Ground::sqlite(1);
        let store = ground.open().await;
        let rooms = rooms(30);
        let mut writers = appenders(&store, Family::Rooms).await;
        // Sizes that share pages, fill pages and overflow them, in all shards at once.
        for round in 1..=40_u64 {
            let records = rooms.iter().enumerate().map(|(index, room)| {
                let size = [10, 50, 90, 120, 700][(index + round as usize) % 5];
                let marker = if index % 2 == 0 {
                    "PLAINTEXT"
                } else {
                    "preserved"
                };
                record(room, round, &marker.repeat(size))
            });
            let batch = batch(u128::from(round), records.collect());
            append(&store, &mut writers, &batch).await.unwrap();
        }
        assert!(occurrences(&data(&ground), "PLAINTEXT") > 0);
        for (index, room) in rooms.iter().enumerate().filter(|(index, _)| index % 2 == 0) {
            let all = (1..=40).map(|target| erasure(room, target, 40 + target, "pruned"));
            let batch = erasures(1_000 + index as u128, all.collect());
            append(&store, &mut writers, &batch).await.unwrap();
        }
        assert_eq!(occurrences(&data(&ground), "PLAINTEXT"), 0);
        for head in store.heads(Family::Rooms).await.unwrap() {
            verify_shard(&*store, head.shard).await.unwrap();
        }
    });
}

#[test]
fn the_index_of_keys_is_used() {
    run(async {
        let ground = Ground::sqlite(1);
        drop(ground.open().await);
        let connection = Connection::open(data(&ground).join("log/rooms-0.db")).unwrap();
        let explain = format!("EXPLAIN QUERY PLAN {}", texts(Family::Rooms).find);
        let plan: String = connection
            .query_row(&explain, ("$event", "$event"), |row| row.get(3))
            .unwrap();
        assert_eq!(plan, "SEARCH l USING INDEX log_rooms_key (<expr>=?)");
    });
}

#[test]
fn a_flipped_byte_is_found_where_it_is() {
    run(async {
        let ground = Ground::sqlite(1);
        let room = &rooms(1)[0];
        let shard = {
            let store = ground.open().await;
            let mut writers = appenders(&store, Family::Rooms).await;
            let records = (1..=5).map(|sequence| record(room, sequence, "text"));
            append(&store, &mut writers, &batch(1, records.collect()))
                .await
                .unwrap();
            store.layout().shard_of(room)
        };
        let file = data(&ground).join("log/rooms-0.db");
        Connection::open(file)
            .unwrap()
            .execute(
                "UPDATE log_rooms SET payload = x'74657875' WHERE sequence = 3",
                (),
            )
            .unwrap();
        let store = ground.open().await;
        let damage = verify_shard(&*store, shard).await.unwrap_err();
        assert!(
            matches!(damage, Damage::Record { position: 3, .. }),
            "{damage}"
        );
    });
}

#[test]
fn a_second_process_is_kept_out() {
    run(async {
        let ground = Ground::sqlite(1);
        let store = ground.open().await;
        let refused = open(ground.config.clone()).await;
        assert!(matches!(refused, Err(StoreError::Locked(_))));
        drop(store);
        ground.open().await;
    });
}

#[test]
fn layout_and_files_are_fixed_when_the_folder_is_made() {
    run(async {
        let ground = Ground::sqlite(3);
        drop(ground.open().await);
        let config = DatabaseConfig::Sqlite {
            folder: data(&ground),
            writers: 1,
        };
        let store = open_with_layout(config, Layout { shards: 64, era: 0 })
            .await
            .unwrap();
        assert_eq!(store.layout(), ground.layout);
        assert_eq!(store.appenders(Family::Rooms), 3);
    });
}

#[test]
fn a_newer_database_is_refused() {
    run(async {
        let ground = Ground::sqlite(1);
        drop(ground.open().await);
        let file = data(&ground).join("log/users-0.db");
        Connection::open(file)
            .unwrap()
            .execute(
                "UPDATE meta SET value = 9000 WHERE name IN ('version', 'oldest')",
                (),
            )
            .unwrap();
        let Err(StoreError::Incompatible(why)) = open(ground.config.clone()).await else {
            panic!("a newer database was opened");
        };
        assert!(why.contains("9000") && why.contains(&crate::ground::VERSION.to_string()));
    });
}

#[test]
fn a_foreign_file_is_refused() {
    run(async {
        let ground = Ground::sqlite(1);
        fs::create_dir_all(data(&ground).join("log")).unwrap();
        fs::write(
            data(&ground).join("log/rooms-0.db"),
            "not a database at all, but long enough to be looked at",
        )
        .unwrap();
        let refused = open(ground.config.clone()).await;
        assert!(matches!(refused, Err(StoreError::Incompatible(_))));
    });
}

#[test]
fn opening_does_not_depend_on_the_size() {
    run(async {
        let ground = Ground::sqlite(1);
        {
            let store = ground.open().await;
            let rooms = rooms(100);
            let mut writers = appenders(&store, Family::Rooms).await;
            for round in 1..=50 {
                let records = rooms
                    .iter()
                    .map(|room| record(room, round, &"x".repeat(800)));
                append(
                    &store,
                    &mut writers,
                    &batch(u128::from(round), records.collect()),
                )
                .await
                .unwrap();
            }
        }
        let mut soonest = std::time::Duration::MAX;
        // A few milliseconds on a quiet machine; this one may be busy.
        for _ in 0..20 {
            let started = std::time::Instant::now();
            let store = ground.open().await;
            for family in Family::ALL {
                appenders(&store, family).await;
            }
            soonest = soonest.min(started.elapsed());
            if soonest.as_millis() < 500 {
                return;
            }
        }
        panic!("{soonest:?}");
    });
}
