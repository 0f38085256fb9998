//! One transaction of the SQLite driver, disk included.

use std::sync::Arc;

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput};
use playhouse_schema::{
    address::{Entity, Family},
    drivers::{self, DatabaseConfig},
    port::{Batch, NewRecord},
    record::room,
};

/// About what a message with its signature takes.
const PAYLOAD_BYTES: usize = 750;

/// Records of a batch come from so many rooms.
const ROOMS: u64 = 16;

pub(crate) fn append(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime can be made");
    let store = runtime
        .block_on(drivers::open(DatabaseConfig::Sqlite {
            folder: folder.path().to_owned(),
            writers: 1,
        }))
        .expect("a new folder can be opened");
    let mut appender = runtime
        .block_on(store.open_appender(Family::Rooms, 0))
        .expect("nobody else holds the folder");
    let mut next = 0;
    let mut group = criterion.benchmark_group("append-sqlite");
    for size in [1, 8, 64] {
        group.throughput(Throughput::Elements(size));
        group.bench_function(format!("batch-of-{size}"), |bencher| {
            bencher.iter_batched(
                || batch(&mut next, size),
                |batch| {
                    let landed = runtime.block_on(appender.append(&batch));
                    landed.expect("the disk takes it").len()
                },
                BatchSize::SmallInput,
            );
        });
    }
    group.finish();
}

/// Records that follow on those of all batches before.
fn batch(next: &mut u64, size: u64) -> Batch {
    let first = *next;
    *next += size;
    let records = (first..*next).map(|number| {
        let room = number % ROOMS;
        NewRecord {
            entity: Entity::room(&format!("!room{room}:bench.localhost")),
            sequence: number / ROOMS + 1,
            kind: room::kind::EVENT,
            key: Some(Arc::from(format!("$event{number}:bench.localhost"))),
            payload: Bytes::from(vec![b'x'; PAYLOAD_BYTES]),
        }
    });
    Batch {
        id: uuid::Uuid::now_v7(),
        at_ms: *next,
        records: records.collect(),
        erasures: Vec::new(),
    }
}
