//! What the read models' database promises.

use bytes::Bytes;

use super::Ground;
use crate::{
    address::{Family, Shard},
    port::{CursorAdvance, ModelStore, Statement, StoreError, Value},
};

const TABLE: &str = "test_1";
const CREATE: &str =
    "CREATE TABLE IF NOT EXISTS test_1 (name {{text}} PRIMARY KEY, number BIGINT, bytes {{bytes}})";
const INSERT: &str = "INSERT INTO test_1 (name, number, bytes) VALUES ($1, $2, $3)";
const SELECT: &str =
    "SELECT name, number, bytes FROM test_1 WHERE name >= $1 ORDER BY name LIMIT $2";

fn insert(name: &str, number: Value, bytes: Value) -> Statement {
    Statement {
        sql: INSERT,
        values: vec![Value::Text(name.into()), number, bytes],
    }
}

fn select() -> Statement {
    Statement {
        sql: SELECT,
        values: vec![Value::Text(String::new()), Value::Integer(100)],
    }
}

fn cursor(position: u64) -> CursorAdvance {
    CursorAdvance {
        name: TABLE,
        shard: Shard {
            family: Family::Rooms,
            number: 2,
        },
        from: None,
        position,
    }
}

async fn reached(models: &dyn ModelStore) -> Vec<(u16, u64)> {
    models.cursors(TABLE, Family::Rooms).await.unwrap()
}

pub(super) async fn statements_and_cursors_land_together(ground: Ground) {
    let store = ground.open().await;
    let models = store.models();
    models.create(&[CREATE]).await.unwrap();
    models.create(&[CREATE]).await.unwrap();
    assert_eq!(reached(&*models).await, []);
    let first = insert("a", Value::Integer(1), Value::Null);
    models
        .apply(vec![first.clone()], vec![cursor(7)])
        .await
        .unwrap();
    assert_eq!(reached(&*models).await, [(2, 7)]);
    let second = insert("b", Value::Integer(2), Value::Null);
    let refused = models.apply(vec![second, first], vec![cursor(9)]).await;
    assert!(
        matches!(refused, Err(StoreError::Database(_))),
        "{refused:?}"
    );
    assert_eq!(reached(&*models).await, [(2, 7)]);
    assert_eq!(models.query(select()).await.unwrap().len(), 1);
    models.apply(Vec::new(), vec![cursor(9)]).await.unwrap();
    assert_eq!(reached(&*models).await, [(2, 9)]);
    assert_eq!(models.cursors(TABLE, Family::Users).await.unwrap(), []);
}

pub(super) async fn values_come_back_as_they_went(ground: Ground) {
    let store = ground.open().await;
    let models = store.models();
    models.create(&[CREATE]).await.unwrap();
    let bytes = Value::Bytes(Bytes::from_static(&[0, 255, 7]));
    let statements = vec![
        insert("b", Value::Integer(i64::MAX), bytes.clone()),
        insert("é", Value::Null, Value::Null),
        insert("B", Value::Integer(-1), Value::Bytes(Bytes::new())),
    ];
    models.apply(statements, Vec::new()).await.unwrap();
    let rows = models.query(select()).await.unwrap();
    let text = |text: &str| Value::Text(text.into());
    assert_eq!(
        rows,
        [
            vec![text("B"), Value::Integer(-1), Value::Bytes(Bytes::new())],
            vec![text("b"), Value::Integer(i64::MAX), bytes],
            vec![text("é"), Value::Null, Value::Null],
        ]
    );
}

pub(super) async fn models_can_be_dropped(ground: Ground) {
    let store = ground.open().await;
    let models = store.models();
    models.create(&[CREATE]).await.unwrap();
    models
        .apply(vec![insert("a", Value::Null, Value::Null)], vec![cursor(3)])
        .await
        .unwrap();
    models.drop_model(TABLE, &[]).await.unwrap();
    assert_eq!(reached(&*models).await, []);
    models.create(&[CREATE]).await.unwrap();
    assert_eq!(models.query(select()).await.unwrap().len(), 0);
}

/// Two readers of one name: each step of a cursor is made once.
pub(super) async fn a_cursor_moves_from_where_it_stands(ground: Ground) {
    let store = ground.open().await;
    let models = store.models();
    models.create(&[CREATE]).await.unwrap();
    let step = |from, to| {
        vec![CursorAdvance {
            from: Some(from),
            ..cursor(to)
        }]
    };
    let note = |name: &str| vec![insert(name, Value::Null, Value::Null)];
    let overtaken = |told: Result<(), StoreError>| {
        assert!(
            matches!(told, Err(StoreError::Overtaken(TABLE))),
            "{told:?}"
        );
    };
    overtaken(models.apply(note("z"), step(3, 4)).await);
    models.apply(note("a"), step(0, 4)).await.unwrap();
    overtaken(models.apply(note("z"), step(0, 4)).await);
    models.apply(note("b"), step(4, 9)).await.unwrap();
    // Also where the statements would have failed.
    overtaken(models.apply(note("b"), step(4, 9)).await);
    assert_eq!(reached(&*models).await, [(2, 9)]);
    assert_eq!(models.query(select()).await.unwrap().len(), 2);
    // At the same time.
    let (one, other) = tokio::join!(
        models.apply(note("c"), step(9, 10)),
        models.apply(note("d"), step(9, 11))
    );
    assert!(one.is_ok() != other.is_ok(), "{one:?} {other:?}");
    assert_eq!(models.query(select()).await.unwrap().len(), 3);
    models.apply(Vec::new(), vec![cursor(0)]).await.unwrap();
    models.apply(note("e"), step(0, 1)).await.unwrap();
    assert_eq!(reached(&*models).await, [(2, 1)]);
}
