//! What media there is, and deleting it.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use reqwest::Method;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{Client, TestServer, Town, client::encode},
};

const ADMIN: &str = "/_synapse/admin/v1";

/// Whatever is waited for happens within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// Uploads and gives server name and media ID with a slash in between.
async fn upload(client: &Client, name: &str, bytes: &[u8]) -> String {
    let path = format!("/_matrix/media/v3/upload?filename={name}");
    let headers = [("content-type", "text/plain")];
    let answer = client
        .with_headers(Method::POST, &path, &headers, bytes.to_vec())
        .await
        .ok();
    text(&answer["content_uri"])
        .trim_start_matches("mxc://")
        .to_owned()
}

async fn status(client: &Client, id: &str) -> u16 {
    let path = format!("/_matrix/client/v1/media/download/{id}");
    client.get(&path).await.status
}

/// How many files lie below a folder.
fn files(folder: &Path) -> usize {
    let Ok(inside) = std::fs::read_dir(folder) else {
        return 0;
    };
    inside
        .flatten()
        .map(|file| match file.path() {
            path if path.is_dir() => files(&path),
            _ => 1,
        })
        .sum()
}

fn blobs(server: &TestServer) -> usize {
    files(&server.data().join("media/blobs"))
}

/// Waits until so many blobs are left: a file goes a moment after its media.
async fn blobs_are(server: &TestServer, wanted: usize) {
    let deadline = Instant::now() + PATIENCE;
    while blobs(server) != wanted {
        assert!(Instant::now() < deadline, "{} are left", blobs(server));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Fetches a copy and tells what is known of it. Where the machine was busy for longer than its lifetime it has gone in between: it is fetched again then.
async fn fetched(client: &Client, id: &str, (boss, about): (&Client, &str)) -> Value {
    let deadline = Instant::now() + PATIENCE;
    loop {
        assert_eq!(status(client, id).await, 200);
        let told = boss.get(about).await;
        if told.status == 200 {
            return told.body;
        }
        told.refused(404, "M_NOT_FOUND");
        assert!(Instant::now() < deadline, "a copy is never known");
    }
}

fn short(id: &str) -> &str {
    id.split_once('/').expect("a server and an ID").1
}

async fn list(boss: &Client, user_id: &str, query: &str) -> (Vec<String>, Value) {
    let path = format!("{ADMIN}/users/{}/media{query}", encode(user_id));
    let answer = boss.get(&path).await.ok();
    let media = answer["media"].as_array().expect("a list");
    let names = media.iter().map(|media| text(&media["upload_name"]));
    (names.collect(), answer)
}

#[tokio::test(flavor = "multi_thread")]
async fn media_is_listed_and_deleted() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let mut ids = Vec::new();
        for (name, content) in [("b", "22"), ("c", "333"), ("a", "1")] {
            ids.push(upload(&anna, name, content.as_bytes()).await);
        }
        listed(&boss, &anna, &ids).await;
        let facts = boss.get(&format!("{ADMIN}/media/{}", ids[1])).await.ok();
        let info = &facts["media_info"];
        assert_eq!(info["user_id"], anna.user_id);
        assert_eq!(
            (&info["media_length"], &info["upload_name"]),
            (&json!(3), &json!("c"))
        );
        assert_eq!(
            (&info["quarantined_by"], &info["safe_from_quarantine"]),
            (&Value::Null, &json!(false))
        );
        // Content that somebody else has too stays.
        let twin = upload(&boss, "twin", b"333").await;
        let path = format!("{ADMIN}/media/{}", ids[1]);
        let before = blobs(server);
        anna.delete(&path).await.refused(403, "M_FORBIDDEN");
        let gone = boss.delete(&path).await.ok();
        assert_eq!(gone, json!({"deleted_media": [short(&ids[1])], "total": 1}));
        assert_eq!(
            (status(&anna, &ids[1]).await, status(&anna, &twin).await),
            (404, 200)
        );
        assert_eq!(blobs(server), before);
        boss.delete(&path).await.refused(404, "M_NOT_FOUND");
        boss.get(&path).await.refused(404, "M_NOT_FOUND");
        boss.delete(&format!("{ADMIN}/media/{twin}")).await.ok();
        assert_eq!(
            blobs(server),
            before - 1,
            "the last one takes the bytes with it"
        );
        let path = format!(
            "{ADMIN}/users/{}/media?limit=1&order_by=media_length",
            encode(&anna.user_id)
        );
        let gone = boss.delete(&path).await.ok();
        assert_eq!(gone, json!({"deleted_media": [short(&ids[2])], "total": 1}));
        server.restart();
        let (anna, boss) = (anna.at(server.base()), boss.at(server.base()));
        for (id, wanted) in ids.iter().zip([200, 404, 404]) {
            assert_eq!(status(&anna, id).await, wanted, "{id}");
        }
        assert_eq!(list(&boss, &anna.user_id, "").await.0, ["b"]);
    })
    .await;
}

async fn listed(boss: &Client, anna: &Client, ids: &[String]) {
    let (names, answer) = list(boss, &anna.user_id, "").await;
    assert_eq!(names, ["a", "c", "b"], "the newest first");
    assert_eq!(
        (&answer["total"], answer.get("next_token")),
        (&json!(3), None)
    );
    let first = &answer["media"][0];
    assert_eq!(first["media_id"], short(&ids[2]));
    assert_eq!(
        (&first["media_type"], &first["media_length"]),
        (&json!("text/plain"), &json!(1))
    );
    for (query, wanted) in [
        ("?order_by=upload_name", ["a", "b", "c"]),
        ("?order_by=media_length&dir=b", ["c", "b", "a"]),
        ("?order_by=created_ts", ["b", "c", "a"]),
    ] {
        assert_eq!(list(boss, &anna.user_id, query).await.0, wanted, "{query}");
    }
    let (names, answer) = list(boss, &anna.user_id, "?limit=2&order_by=upload_name").await;
    assert_eq!(
        (names, &answer["next_token"]),
        (vec!["a".to_owned(), "b".to_owned()], &json!(2))
    );
    let (names, answer) = list(boss, &anna.user_id, "?limit=2&from=2&order_by=upload_name").await;
    assert_eq!(
        (names, answer.get("next_token")),
        (vec!["c".to_owned()], None)
    );
    let path =
        |user_id: &str, query: &str| format!("{ADMIN}/users/{}/media{query}", encode(user_id));
    for query in ["?order_by=colour", "?dir=x", "?from=-1"] {
        let answer = boss.get(&path(&anna.user_id, query)).await;
        answer.refused(400, "M_INVALID_PARAM");
    }
    let answer = boss.get(&path("@nobody:playhouse.test", "")).await;
    answer.refused(404, "M_NOT_FOUND");
    let answer = boss.get(&path("@anna:elsewhere.example", "")).await;
    answer.refused(400, "M_INVALID_PARAM");
    anna.get(&path(&anna.user_id, ""))
        .await
        .refused(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn unused_media_is_deleted_but_faces_stay() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let face = upload(&anna, "face", b"a face").await;
        let path = format!(
            "/_matrix/client/v3/profile/{}/avatar_url",
            encode(&anna.user_id)
        );
        anna.put(&path, json!({"avatar_url": format!("mxc://{face}")}))
            .await
            .ok();
        let room_id = anna.create_room(json!({})).await;
        let sign = upload(&anna, "sign", b"a sign").await;
        let url = json!({"url": format!("mxc://{sign}")});
        anna.set_state(&room_id, "m.room.avatar", "", url)
            .await
            .ok();
        let [small, large, safe] = [
            upload(&anna, "small", b"123").await,
            upload(&anna, "large", b"1234567890").await,
            upload(&anna, "safe", b"1234567890!").await,
        ];
        let protect = format!("{ADMIN}/media/protect/{}", short(&safe));
        boss.post(&protect, json!({})).await.ok();
        let room = format!("{ADMIN}/room/{}/media", encode(&room_id));
        let told = boss.get(&room).await.ok();
        assert_eq!(
            told,
            json!({"local": [format!("mxc://{sign}")], "remote": []})
        );
        let delete = format!("{ADMIN}/media/delete");
        for query in ["", "?before_ts=x", "?before_ts=1600000000"] {
            let answer = boss.post(&format!("{delete}{query}"), json!({})).await;
            assert_eq!(answer.status, 400, "{query}");
        }
        let nothing = boss
            .post(&format!("{delete}?before_ts=30000000000"), json!({}))
            .await
            .ok();
        assert_eq!(nothing, json!({"deleted_media": [], "total": 0}));
        let all = "before_ts=99999999999999";
        let gone = boss
            .post(&format!("{delete}?{all}&size_gt=3"), json!({}))
            .await
            .ok();
        assert_eq!(gone, json!({"deleted_media": [short(&large)], "total": 1}));
        let old = format!("{ADMIN}/media/playhouse.test/delete?{all}&keep_profiles=true");
        let gone = boss.post(&old, json!({})).await.ok();
        assert_eq!(gone, json!({"deleted_media": [short(&small)], "total": 1}));
        assert_eq!(
            (status(&anna, &face).await, status(&anna, &sign).await),
            (200, 200)
        );
        let gone = boss
            .post(&format!("{delete}?{all}&keep_profiles=false"), json!({}))
            .await
            .ok();
        assert_eq!(gone["total"], 2);
        assert_eq!(
            (status(&anna, &face).await, status(&anna, &safe).await),
            (404, 200)
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_go_when_nobody_uses_them_and_come_again() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let settings = [
        ("PLAYHOUSE_MEDIA_REMOTE_LIFETIME_MS", "5000"),
        ("PLAYHOUSE_MEDIA_SWEEP_EVERY_MS", "300"),
    ];
    let two = town.open("two.town", &settings).await;
    let boss = administrator(&two.client(), "boss").await;
    let anna = one.register("anna").await;
    let bert = two.register("bert").await;
    let id = upload(&anna, "letter", b"dear Bert").await;
    let own = upload(&bert, "own", b"my own").await;
    let about = format!("{ADMIN}/media/{id}");
    boss.get(&about).await.refused(404, "M_NOT_FOUND");
    for _ in 0..2 {
        let info = fetched(&bert, &id, (&boss, &about)).await;
        assert_eq!(info["media_info"]["media_origin"], "one.town");
        let mut there = true;
        for _ in 0..2_400 {
            there = boss.get(&about).await.status == 200;
            if !there {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert!(!there, "it stays");
        // Only what is of this server.
        blobs_are(&two, 1).await;
        assert_eq!(status(&bert, &own).await, 200);
    }
    fetched(&bert, &id, (&boss, &about)).await;
    let purge = format!("{ADMIN}/purge_media_cache?before_ts=99999999999999");
    bert.post(&purge, json!({}))
        .await
        .refused(403, "M_FORBIDDEN");
    let gone = boss.post(&purge, json!({})).await.ok();
    assert!(gone["deleted"].is_u64(), "{gone}");
    boss.get(&about).await.refused(404, "M_NOT_FOUND");
    assert_eq!(
        (status(&bert, &id).await, status(&bert, &own).await),
        (200, 200)
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn own_media_goes_when_the_operator_wants_it_and_uses_are_noted() {
    let settings = [
        ("PLAYHOUSE_MEDIA_LOCAL_LIFETIME_MS", "5000"),
        ("PLAYHOUSE_MEDIA_SWEEP_EVERY_MS", "300"),
    ];
    on_own_servers(&settings, async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let deadline = Instant::now() + PATIENCE;
        let mut id = upload(&anna, "used", b"used").await;
        while !is_use_noted(&anna, &id, &boss).await {
            assert!(Instant::now() < deadline, "no use was noted");
            id = upload(&anna, "used", b"used").await;
        }
        let about = format!("{ADMIN}/media/{id}");
        let mut seen = 200;
        for _ in 0..1_200 {
            seen = boss.get(&about).await.status;
            if seen == 404 {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!((seen, status(&anna, &id).await), (404, 404));
    })
    .await;
}

/// Uses media until that is noted, once in a quarter of its lifetime; `false` if it went before, because the machine was busy for longer than it lives.
async fn is_use_noted(client: &Client, id: &str, boss: &Client) -> bool {
    let about = format!("{ADMIN}/media/{id}");
    let deadline = Instant::now() + PATIENCE;
    let mut first = None;
    loop {
        let told = boss.get(&about).await;
        if told.status == 404 {
            return false;
        }
        let used = told.ok()["media_info"]["last_access_ts"].as_u64();
        if used > *first.get_or_insert(used) {
            return true;
        }
        assert!(
            Instant::now() < deadline,
            "it neither goes nor is a use noted"
        );
        status(client, id).await;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// The only file below a folder.
fn only_file(folder: &Path) -> PathBuf {
    let mut inside = std::fs::read_dir(folder).expect("a folder").flatten();
    match inside.next().expect("something in it").path() {
        path if path.is_dir() => only_file(&path),
        path => path,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_removal_that_died_left_aside_is_judged() {
    let mut server = TestServer::start().await;
    let anna = server.register("anna").await;
    let id = upload(&anna, "a", b"somebody's").await;
    server.stop();
    let media = server.data().join("media");
    let aside = media.join("aside");
    let content = only_file(&media.join("blobs"));
    let hash = content.file_name().expect("a name").to_string_lossy();
    std::fs::create_dir_all(&aside).expect("a folder");
    let theirs = aside.join(format!("700.0.incoming.b3-{hash}"));
    std::fs::rename(&content, theirs).expect("it is moved");
    let nobodys = aside.join(format!("700.1.incoming.b3-{}", "a".repeat(64)));
    std::fs::write(nobodys, b"nobody's").expect("it is written");
    server.start_again();
    let anna = anna.at(server.base());
    let deadline = Instant::now() + Duration::from_secs(120);
    while files(&aside) > 0 || status(&anna, &id).await != 200 {
        assert!(Instant::now() < deadline, "{} are left", files(&aside));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(blobs(&server), 1);
}
