//! Backups that administrators have the running server make.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::stage::on_own_servers,
    harness::{Client, only_alone},
};

const BACKUPS: &str = "/_playhouse/admin/v1/backups";

async fn whole(boss: &Client, name: &Value) -> Value {
    for _ in 0..2_400 {
        let told = boss.get(BACKUPS).await.ok();
        let backups = told["backups"].as_array().expect("a list");
        let found = backups.iter().find(|one| one["name"] == *name);
        let found = found.expect("it is listed");
        if found["status"] != "active" {
            return found.clone();
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("it is not made");
}

/// Has one made, and a second one refused while it is made. One that was over before the second was asked for proves nothing: then once more.
async fn one_at_a_time(boss: &Client) -> Value {
    let deadline = Instant::now() + Duration::from_secs(120);
    loop {
        let begun = boss.post(BACKUPS, json!({})).await.ok();
        let second = boss.post(BACKUPS, json!({})).await;
        if second.status != 200 {
            second.refused(409, "M_INVALID_PARAM");
            return begun;
        }
        assert!(Instant::now() < deadline, "none is ever refused");
        for name in [&begun["name"], &second.body["name"]] {
            assert_eq!(whole(boss, name).await["status"], "complete");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_server_makes_backups() {
    if only_alone("each node tells of its own backups") {
        return;
    }
    let settings = [("PLAYHOUSE_SERVER_BACKUP_DIR", "backups")];
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let room_id = anna.create_room(json!({})).await;
        anna.say(&room_id, "to be kept").await;
        anna.post(BACKUPS, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        assert_eq!(boss.get(BACKUPS).await.ok(), json!({"backups": []}));
        let begun = one_at_a_time(&boss).await;
        let told = whole(&boss, &begun["name"]).await;
        assert_eq!(
            (&told["status"], &told["media"]),
            (&json!("complete"), &json!(true)),
            "{told}"
        );
        assert!(told["records"].as_u64() > Some(0) && told["until_ts"].is_u64());
        let folder = server.data().join("backups");
        let folder = folder.join(begun["name"].as_str().expect("a name"));
        for name in ["backup.json", "signing.key", "log/rooms-0.db"] {
            assert!(folder.join(name).exists(), "{name} is missing");
        }
        // Nobody takes it for a data folder.
        let folder = folder.to_str().expect("a path").to_owned();
        server.stop();
        server.use_database(None);
        let mut command = server.command(&["log", "verify"]);
        let output = command.env("PLAYHOUSE_DATA_DIR", &folder).output();
        let output = output.expect("the program runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && said.contains("is a backup"),
            "{said}"
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_folder_there_are_none() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        boss.post(BACKUPS, json!({}))
            .await
            .refused(400, "M_INVALID_PARAM");
        assert_eq!(boss.get(BACKUPS).await.ok(), json!({"backups": []}));
    })
    .await;
}
