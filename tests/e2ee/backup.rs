//! Server-side key backups.

use serde_json::{Map, Value, json};

use crate::harness::{Client, TestServer, client::encode};

const VERSION: &str = "/_matrix/client/v3/room_keys/version";
const KEYS: &str = "/_matrix/client/v3/room_keys/keys";
const ROOM: &str = "!a room/with:playhouse.test";

fn session(first_message_index: u64, forwarded_count: u64, is_verified: bool) -> Value {
    json!({
        "first_message_index": first_message_index, "forwarded_count": forwarded_count, "is_verified": is_verified,
        "session_data": { "ciphertext": format!("{first_message_index}/{forwarded_count}") },
    })
}

async fn begin(client: &Client) -> String {
    let body = json!({ "algorithm": "m.megolm_backup.v1.curve25519-aes-sha2", "auth_data": { "public_key": "abc" } });
    let answer = client.post(VERSION, body).await.ok();
    answer["version"].as_str().expect("a version").to_owned()
}

fn path(version: &str, room_id: Option<&str>, session_id: Option<&str>) -> String {
    let part = |part: Option<&str>| part.map(|part| format!("/{}", encode(part)));
    let (room, session) = (part(room_id), part(session_id));
    let rest = room.unwrap_or_default() + &session.unwrap_or_default();
    format!("{KEYS}{rest}?version={version}")
}

async fn delete(client: &Client, path: &str) -> crate::harness::client::Answer {
    client.request(reqwest::Method::DELETE, path, None).await
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_are_made_changed_and_deleted() {
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    alice.get(VERSION).await.refused(404, "M_NOT_FOUND");
    alice
        .post(VERSION, json!({ "algorithm": "x" }))
        .await
        .refused(400, "M_MISSING_PARAM");
    assert_eq!(begin(&alice).await, "1");
    assert_eq!(begin(&alice).await, "2");
    let first = alice.get(&format!("{VERSION}/1")).await.ok();
    assert_eq!(
        (&first["version"], &first["count"]),
        (&json!("1"), &json!(0))
    );
    assert_eq!(first["auth_data"], json!({ "public_key": "abc" }));
    let algorithm = first["algorithm"].clone();
    let change =
        json!({ "algorithm": algorithm, "auth_data": { "signatures": {} }, "version": "1" });
    let place = |version: &str| format!("{VERSION}/{version}");
    alice.put(&place("1"), change.clone()).await.ok();
    alice
        .put(&place("2"), change.clone())
        .await
        .refused(400, "M_INVALID_PARAM");
    alice
        .put(&place("3"), json!({ "algorithm": "x", "auth_data": {} }))
        .await
        .refused(404, "M_NOT_FOUND");
    let other = json!({ "algorithm": "other", "auth_data": {} });
    alice
        .put(&place("1"), other)
        .await
        .refused(400, "M_INVALID_PARAM");
    server.restart();
    let alice = alice.at(server.base());
    let first = alice.get(&place("1")).await.ok();
    assert_eq!(first["auth_data"], json!({ "signatures": {} }));
    let stale = json!({ "rooms": {} });
    let refused = alice.put(&path("1", None, None), stale.clone()).await;
    let body = refused.refused(403, "M_WRONG_ROOM_KEYS_VERSION");
    assert_eq!(body["current_version"], "2");
    alice
        .put(&path("7", None, None), stale)
        .await
        .refused(404, "M_NOT_FOUND");
    delete(&alice, &place("2")).await.ok();
    delete(&alice, &place("2"))
        .await
        .refused(404, "M_NOT_FOUND");
    assert_eq!(alice.get(VERSION).await.ok()["version"], "1");
    delete(&alice, &place("1")).await.ok();
    alice.get(VERSION).await.refused(404, "M_NOT_FOUND");
    assert_eq!(begin(&alice).await, "3");
    let bob = server.register("bob").await;
    bob.get(&place("3")).await.refused(404, "M_NOT_FOUND");
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_kept_in_their_best_copy() {
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = begin(&alice).await;
    alice
        .put(KEYS, json!({ "rooms": {} }))
        .await
        .refused(400, "M_MISSING_PARAM");
    alice
        .put(
            &path(&version, Some(ROOM), Some("s")),
            json!({ "is_verified": true }),
        )
        .await
        .refused(400, "M_MISSING_PARAM");
    let all = json!({ "rooms": {
        ROOM: { "sessions": { "s": session(5, 1, false), "t/t": session(0, 0, true) } },
        "!b:playhouse.test": { "sessions": { "s": session(9, 0, true) } },
    } });
    let first = alice.put(&path(&version, None, None), all).await.ok();
    assert_eq!(first["count"], 3);
    let worse = json!({ "sessions": { "s": session(6, 0, false), "t/t": session(0, 1, true) } });
    let same = alice
        .put(&path(&version, Some(ROOM), None), worse)
        .await
        .ok();
    assert_eq!(same, first, "nothing was better");
    let better = session(50, 9, true);
    let after = alice
        .put(&path(&version, Some(ROOM), Some("s")), better.clone())
        .await
        .ok();
    assert_eq!(after["count"], 3);
    assert_ne!(after["etag"], first["etag"]);
    for _ in 0..2 {
        let alice = alice.at(server.base());
        let one = alice.get(&path(&version, Some(ROOM), Some("s"))).await.ok();
        assert_eq!(one, better);
        let room = alice.get(&path(&version, Some(ROOM), None)).await.ok();
        let expected = json!({ "sessions": { "s": better, "t/t": session(0, 0, true) } });
        assert_eq!(room, expected);
        let rooms = alice.get(&path(&version, None, None)).await.ok();
        assert_eq!(rooms["rooms"][ROOM], expected);
        assert_eq!(
            rooms["rooms"]["!b:playhouse.test"]["sessions"]["s"],
            session(9, 0, true)
        );
        let described = alice.get(VERSION).await.ok();
        assert_eq!(
            (&described["count"], &described["etag"]),
            (&after["count"], &after["etag"])
        );
        server.kill();
        server.start_again();
    }
    delete_step_by_step(&alice.at(server.base()), &version, &after).await;
}

/// Takes away a session, the rest of its room, and all.
async fn delete_step_by_step(alice: &Client, version: &str, after: &Value) {
    alice
        .get(&path(version, Some(ROOM), Some("none")))
        .await
        .refused(404, "M_NOT_FOUND");
    alice
        .get(&path("9", None, None))
        .await
        .refused(404, "M_NOT_FOUND");
    let empty = alice.get(&path(version, Some("!none:x"), None)).await.ok();
    assert_eq!(empty, json!({ "sessions": {} }));
    let less = delete(alice, &path(version, Some(ROOM), Some("s")))
        .await
        .ok();
    assert_eq!(less["count"], 2);
    assert_ne!(less["etag"], after["etag"]);
    assert_eq!(
        delete(alice, &path(version, Some(ROOM), None)).await.ok()["count"],
        1
    );
    assert_eq!(
        delete(alice, &path(version, None, None)).await.ok()["count"],
        0
    );
    let nothing = alice.get(&path(version, None, None)).await.ok();
    assert_eq!(nothing, json!({ "rooms": {} }));
}

/// Many more sessions than are read at once; and what was replaced or deleted is gone from the disk.
#[tokio::test(flavor = "multi_thread")]
async fn large_backups_are_read_in_pieces_and_deleted_for_good() {
    const ROOMS: usize = 30;
    const SESSIONS: usize = 60;
    let mut server = TestServer::start().await;
    let alice = server.register("alice").await;
    let version = begin(&alice).await;
    let marked = |text: &str| {
        let mut session = session(3, 0, false);
        session["session_data"]["ciphertext"] = text.into();
        session
    };
    for round in ["WORSE", "BETTER"] {
        let mut rooms = Map::new();
        for room in 0..ROOMS {
            let sessions: Map<_, _> = (0..SESSIONS)
                .map(|index| {
                    let mut session = marked(&format!("{round}-COPY-{room}-{index}"));
                    session["is_verified"] = (round == "BETTER").into();
                    (format!("session{index}"), session)
                })
                .collect();
            rooms.insert(
                format!("!r{room:02}:playhouse.test"),
                json!({ "sessions": sessions }),
            );
        }
        let answer = alice
            .put(&path(&version, None, None), json!({ "rooms": rooms }))
            .await
            .ok();
        assert_eq!(answer["count"], ROOMS * SESSIONS);
    }
    let read = alice.get(&path(&version, None, None)).await.ok();
    let rooms = read["rooms"].as_object().expect("rooms");
    assert_eq!(rooms.len(), ROOMS);
    for (room_id, room) in rooms {
        let sessions = room["sessions"].as_object().expect("sessions");
        assert_eq!(sessions.len(), SESSIONS, "{room_id}");
        assert!(
            sessions
                .values()
                .all(|session| session["is_verified"] == true)
        );
    }
    delete(&alice, &path(&version, Some("!r00:playhouse.test"), None))
        .await
        .ok();
    let many = (0..2_001).map(|index| (index.to_string(), session(0, 0, true)));
    let too_many = json!({ "sessions": many.collect::<Map<_, _>>() });
    alice
        .put(&path(&version, Some(ROOM), None), too_many)
        .await
        .refused(413, "M_TOO_LARGE");
    if server.database().is_none() {
        let deadline = tokio::time::Instant::now() + std::time::Duration::from_secs(120);
        loop {
            server.stop();
            if !holds(&server, "WORSE-COPY") && !holds(&server, "BETTER-COPY-0-") {
                break;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "old copies are still on disk"
            );
            server.start_again();
            alice.at(server.base()).get(VERSION).await.ok();
        }
        assert!(holds(&server, "BETTER-COPY-1-"));
    }
}

/// Whether the database holds a text.
fn holds(server: &TestServer, text: &str) -> bool {
    let mut folders = vec![server.data()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).expect("the folder can be read") {
            let path = entry.expect("the entry can be read").path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let bytes = std::fs::read(&path).expect("the file can be read");
            if bytes
                .windows(text.len())
                .any(|window| window == text.as_bytes())
            {
                return true;
            }
        }
    }
    false
}
