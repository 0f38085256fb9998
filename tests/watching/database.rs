//! Alerts that a database causes which refuses, dawdles, or holds what nobody can take in.

use serde_json::json;

use crate::{
    client::stage::fresh,
    harness::{Client, Database, Options, TestServer, client::encode, prometheus::Prometheus},
};

/// A server over a database of its own, one of its users and a room.
struct Stage {
    server: TestServer,
    anna: Client,
    room_id: String,
    database: String,
}

impl Stage {
    async fn open() -> Self {
        let database = Database::create();
        let server = TestServer::start_exactly(Options {
            database: Some(database.clone()),
            ..Options::default()
        });
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({"preset": "public_chat"})).await;
        Self {
            server,
            anna,
            room_id,
            database,
        }
    }

    /// From now on the database does this whenever something is put into a table.
    async fn whenever(&self, table: &str, deed: &str) {
        let statement = format!(
            "CREATE FUNCTION trouble() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {deed}; RETURN NULL; END $$; \
             CREATE TRIGGER trouble BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION trouble();"
        );
        let database = self.database.clone();
        let done = tokio::task::spawn_blocking(move || {
            let client = postgres::Client::connect(&database, postgres::NoTls);
            let mut client = client.expect("PostgreSQL answers");
            let made = client.batch_execute(&statement);
            made.expect("there can be trouble");
        });
        done.await.expect("it is done");
    }

    /// Says something, whether that is refused or not.
    async fn say(&self) {
        let path = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/{}",
            encode(&self.room_id),
            fresh("said")
        );
        let body = json!({"msgtype": "m.text", "body": "hello"});
        self.anna.put(&path, body).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_cannot_be_written() {
    let stage = Stage::open().await;
    let prometheus = Prometheus::watching(&[stage.server.base()]).await;
    prometheus.is_quiet().await;
    let deed = "RAISE EXCEPTION 'the disk is broken'";
    stage.whenever("log_rooms", deed).await;
    let again = async || stage.say().await;
    prometheus.only_fires("PlayhouseAppendFails", again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_is_written_slowly() {
    let stage = Stage::open().await;
    let prometheus = Prometheus::watching(&[stage.server.base()]).await;
    prometheus.is_quiet().await;
    stage.whenever("log_rooms", "PERFORM pg_sleep(1.1)").await;
    let again = async || stage.say().await;
    prometheus.only_fires("PlayhouseCommitSlow", again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_that_a_read_model_cannot_take_in() {
    let stage = Stage::open().await;
    let prometheus = Prometheus::watching(&[stage.server.base()]).await;
    prometheus.is_quiet().await;
    let deed = "RAISE EXCEPTION 'this row is cursed'";
    stage.whenever("reports_2", deed).await;
    let event_id = stage.anna.say(&stage.room_id, "something bad").await;
    let path = format!(
        "/_matrix/client/v3/rooms/{}/report/{}",
        encode(&stage.room_id),
        encode(&event_id)
    );
    stage.anna.post(&path, json!({"reason": "bad"})).await.ok();
    let name = "PlayhouseParked";
    prometheus.only_fires(name, async || {}).await;
}
