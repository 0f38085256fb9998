//! Media that administrators put away.

use reqwest::Method;
use serde_json::{Value, json};

use super::administrator;
use crate::{
    client::{props::text, stage::on_own_servers},
    harness::{Client, Town, client::encode},
};

const MEDIA: &str = "/_synapse/admin/v1/media";

/// Uploads a picture of one colour and gives server name and media ID with a slash in between.
async fn upload(client: &Client, colour: u8) -> String {
    let picture = image::RgbImage::from_pixel(64, 64, image::Rgb([colour, 0, 0]));
    let mut bytes = std::io::Cursor::new(Vec::new());
    picture
        .write_to(&mut bytes, image::ImageFormat::Png)
        .expect("a PNG can be written");
    let headers = [("content-type", "image/png")];
    let answer = client
        .with_headers(
            Method::POST,
            "/_matrix/media/v3/upload",
            &headers,
            bytes.into_inner(),
        )
        .await
        .ok();
    text(&answer["content_uri"])
        .trim_start_matches("mxc://")
        .to_owned()
}

/// What each way to the content answers.
async fn ways(client: &Client, id: &str) -> Vec<u16> {
    let small = "?width=32&height=32&method=crop";
    let mut seen = Vec::new();
    for path in [
        format!("/_matrix/client/v1/media/download/{id}"),
        format!("/_matrix/client/v1/media/download/{id}/name.png"),
        format!("/_matrix/client/v1/media/thumbnail/{id}{small}"),
        format!("/_matrix/media/v3/download/{id}"),
        format!("/_matrix/media/r0/thumbnail/{id}{small}"),
    ] {
        let answer = client.get(&path).await;
        seen.push(answer.status);
        if answer.status != 200 {
            answer.refused(404, "M_NOT_FOUND");
        }
    }
    seen
}

async fn is_given(client: &Client, id: &str) -> bool {
    let seen = ways(client, id).await;
    assert!(seen.iter().all(|status| *status == seen[0]), "{seen:?}");
    seen[0] == 200
}

async fn told(boss: &Client, what: &str, id: &str) {
    let path = format!("{MEDIA}/{what}/{id}");
    assert_eq!(boss.post(&path, json!({})).await.ok(), json!({}));
}

async fn changes(boss: &Client, from: &Value) -> (Value, Vec<(String, bool)>) {
    let answer = boss
        .get(&format!("{MEDIA}/quarantine_changes?from={from}"))
        .await
        .ok();
    let changes = answer["changes"].as_array().expect("a list");
    let changes = changes.iter().map(|change| {
        let id = format!("{}/{}", text(&change["origin"]), text(&change["media_id"]));
        (id, change["quarantined"] == true)
    });
    (answer["next_batch"].clone(), changes.collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_away_is_given_to_nobody() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        let id = upload(&anna, 1).await;
        let twin = upload(&boss, 1).await;
        let other = upload(&anna, 2).await;
        assert!(is_given(&anna, &id).await);
        let local = id.trim_start_matches("playhouse.test/");
        for path in [
            format!("{MEDIA}/quarantine/{id}"),
            format!("{MEDIA}/protect/{local}"),
        ] {
            anna.post(&path, json!({}))
                .await
                .refused(403, "M_FORBIDDEN");
        }
        told(&boss, "quarantine", &id).await;
        for id in [&id, &twin] {
            assert!(!is_given(&anna, id).await, "the same content goes with it");
        }
        assert!(is_given(&anna, &other).await);
        server.restart();
        let (anna, boss) = (anna.at(server.base()), boss.at(server.base()));
        assert!(!is_given(&anna, &id).await, "a restart brings nothing back");
        told(&boss, "unquarantine", &id).await;
        assert!(is_given(&anna, &id).await);
        // What is protected stays.
        told(&boss, "protect", local).await;
        told(&boss, "quarantine", &id).await;
        assert!(is_given(&anna, &id).await);
        told(&boss, "unprotect", local).await;
        told(&boss, "quarantine", &id).await;
        assert!(!is_given(&anna, &id).await);
        for path in [
            format!("{MEDIA}/quarantine/playhouse.test/unknown"),
            format!("{MEDIA}/unquarantine/playhouse.test/unknown"),
            format!("{MEDIA}/protect/unknown"),
        ] {
            boss.post(&path, json!({}))
                .await
                .refused(404, "M_NOT_FOUND");
        }
        let (next, first) = changes(&boss, &json!(0)).await;
        let wanted = [
            (id.clone(), true),
            (twin, true),
            (id.clone(), false),
            (id, true),
        ];
        assert_eq!(first, wanted);
        assert_eq!(changes(&boss, &next).await, (next.clone(), Vec::new()));
        let beyond = format!("{MEDIA}/quarantine_changes?from=100");
        boss.get(&beyond).await.refused(400, "M_INVALID_PARAM");
        let nonsense = format!("{MEDIA}/quarantine_changes?from=x");
        boss.get(&nonsense).await.refused(400, "M_INVALID_PARAM");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn media_of_a_user_and_of_a_room_is_put_away() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let [anna, bert] = [server.register("anna").await, server.register("bert").await];
        let mut ids = Vec::new();
        for colour in 0..3 {
            ids.push(upload(&anna, colour).await);
        }
        told(
            &boss,
            "protect",
            ids[2].trim_start_matches("playhouse.test/"),
        )
        .await;
        let path = format!(
            "/_synapse/admin/v1/user/{}/media/quarantine",
            encode(&anna.user_id)
        );
        let answer = boss.post(&path, json!({})).await.ok();
        assert_eq!(answer, json!({"num_quarantined": 2}));
        assert_eq!(
            boss.post(&path, json!({})).await.ok(),
            json!({"num_quarantined": 0})
        );
        for (id, given) in ids.iter().zip([false, false, true]) {
            assert_eq!(is_given(&bert, id).await, given, "{id}");
        }
        let room_id = bert.create_room(json!({})).await;
        let (shown, small) = (upload(&bert, 10).await, upload(&bert, 11).await);
        let kept = upload(&bert, 12).await;
        let content = json!({
            "msgtype": "m.image", "body": "x", "url": format!("mxc://{shown}"),
            "info": {"thumbnail_url": format!("mxc://{small}")}
        });
        let send = format!(
            "/_matrix/client/v3/rooms/{}/send/m.room.message/t",
            encode(&room_id)
        );
        bert.put(&send, content).await.ok();
        let room = encode(&room_id);
        let path = format!("/_synapse/admin/v1/room/{room}/media/quarantine");
        bert.post(&path, json!({}))
            .await
            .refused(403, "M_FORBIDDEN");
        assert_eq!(
            boss.post(&path, json!({})).await.ok(),
            json!({"num_quarantined": 2})
        );
        let old = format!("/_synapse/admin/v1/quarantine_media/{room}");
        assert_eq!(
            boss.post(&old, json!({})).await.ok(),
            json!({"num_quarantined": 0})
        );
        for (id, given) in [(&shown, false), (&small, false), (&kept, true)] {
            assert_eq!(is_given(&bert, id).await, given, "{id}");
        }
        let unknown = format!(
            "/_synapse/admin/v1/room/{}/media/quarantine",
            encode("!no:a.b")
        );
        boss.post(&unknown, json!({}))
            .await
            .refused(404, "M_NOT_FOUND");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_are_put_away_and_neighbours_are_given_nothing() {
    let town = Town::new(&["one.town", "two.town"]);
    let one = town.open("one.town", &[]).await;
    let two = town.open("two.town", &[]).await;
    let boss_of_one = administrator(&one.client(), "boss").await;
    let boss_of_two = administrator(&two.client(), "boss").await;
    let anna = one.register("anna").await;
    let bert = two.register("bert").await;
    let [fetched, fresh, withdrawn] = [
        upload(&anna, 1).await,
        upload(&anna, 2).await,
        upload(&anna, 3).await,
    ];
    assert!(is_given(&bert, &fetched).await);
    for id in [&fetched, &fresh] {
        told(&boss_of_two, "quarantine", id).await;
        assert!(!is_given(&bert, id).await, "{id}");
        assert!(
            is_given(&anna, id).await,
            "it is put away at one server only"
        );
        told(&boss_of_two, "unquarantine", id).await;
        assert!(is_given(&bert, id).await, "{id}");
    }
    told(&boss_of_one, "quarantine", &withdrawn).await;
    assert!(!is_given(&bert, &withdrawn).await);
}
