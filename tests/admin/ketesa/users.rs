//! The list of users, and the page of one.

use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};

use super::{PATIENCE, REFERENCE, V1, V2, ends, has, names};
use crate::{
    admin::{administrator, awaited},
    client::{
        props::{list, text},
        stage::on_own_servers,
    },
    harness::{Client, client::encode},
};

/// As a row of the user list is read.
const LISTED: [&str; 11] = [
    "name",
    "displayname",
    "avatar_url",
    "is_guest",
    "admin",
    "deactivated",
    "erased",
    "locked",
    "shadow_banned",
    "creation_ts",
    "user_type",
];

/// As the page of a user reads it.
const SHOWN: [&str; 16] = [
    "name",
    "displayname",
    "avatar_url",
    "threepids",
    "external_ids",
    "is_guest",
    "admin",
    "deactivated",
    "erased",
    "locked",
    "suspended",
    "shadow_banned",
    "creation_ts",
    "consent_version",
    "appservice_id",
    "user_type",
];

#[tokio::test(flavor = "multi_thread")]
async fn the_pages_of_users_work() {
    on_own_servers(&[], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        let anna = server.register("anna").await;
        user_list(&boss).await;
        user_is_made_and_saved(&boss).await;
        user_tabs(&boss, &anna).await;
        user_buttons(&boss, &anna).await;
    })
    .await;
}

async fn user_list(boss: &Client) {
    let path = "/_synapse/admin/v3/users?from=0&limit=50&order_by=name&dir=f";
    let all = boss.get(path).await.ok();
    assert_eq!(all["total"], 2);
    for user in list(&all["users"]) {
        has(user, &LISTED);
    }
    let found = |query: &str| format!("/_synapse/admin/v3/users?{query}");
    for (query, count) in [
        ("from=0&limit=50&name=ann&order_by=name&dir=f", 1),
        (
            "from=0&limit=50&guests=false&deactivated=false&locked=true&order_by=creation_ts&dir=b",
            2,
        ),
        (
            "from=0&limit=50&deactivated=true&order_by=avatar_url&dir=f",
            0,
        ),
        (
            "from=0&limit=50&admins=true&order_by=shadow_banned&dir=f",
            1,
        ),
        // Filters that Synapse does not know are sent all the same.
        (
            "from=0&limit=50&suspended=true&shadow_banned=true&order_by=is_guest&dir=f",
            2,
        ),
    ] {
        let told = boss.get(&found(query)).await.ok();
        assert_eq!(told["total"], count, "{query}");
    }
    let second = boss
        .get(&found("from=1&limit=1&order_by=name&dir=f"))
        .await
        .ok();
    assert_eq!(names(&second["users"], "name"), ["@boss:playhouse.test"]);
}

/// A user is saved with all that the page knows: also what cannot be changed, and what is Ketesa's own. What is null is left out, except for the type.
async fn user_is_made_and_saved(boss: &Client) {
    let free = format!("{V1}/username_available?username=made");
    assert_eq!(boss.get(&free).await.ok()["available"], true);
    let path = format!("{V2}/users/{}", encode("@made:playhouse.test"));
    let wish = json!({
        "id": "@made:playhouse.test", "displayname": "Made", "password": "correct horse", "admin": false,
        "threepids": [{"medium": "email", "address": "made@example.org"}], "user_type": null
    });
    let made = boss.put(&path, wish).await;
    assert_eq!(made.status, 201);
    let mut form = made.ok();
    has(&form, &SHOWN);
    let taken = boss.get(&free).await;
    assert!(taken.body["error"].is_string() && taken.body["errcode"].is_string());
    let more = json!({
        "id": "@made:playhouse.test", "avatar_src": "mxc://playhouse.test/x", "creation_ts_ms": 1, "displayname": "Made anew",
        "avatar_url": "", "external_ids": [{"auth_provider": "oidc", "external_id": "made"}]
    });
    let fields = form.as_object_mut().expect("an object");
    fields.extend(more.as_object().expect("an object").clone());
    fields.retain(|name, value| !value.is_null() || name == "user_type");
    let saved = boss.put(&path, form).await.ok();
    assert_eq!(saved["displayname"], "Made anew");
    assert_eq!(saved["avatar_url"], Value::Null);
    assert_eq!(saved["threepids"][0]["address"], "made@example.org");
    has(&saved["threepids"][0], &["added_at", "validated_at"]);
    for find in [
        "threepid/email/users/made%40example.org",
        "auth_providers/oidc/users/made",
    ] {
        let told = boss.get(&format!("{V1}/{find}")).await.ok();
        assert_eq!(told["user_id"], "@made:playhouse.test");
    }
}

async fn user_tabs(boss: &Client, anna: &Client) {
    let room_id = anna.create_room(json!({"name": "Attic"})).await;
    let headers = [("content-type", "text/plain")];
    let upload = "/_matrix/media/v3/upload?filename=a.txt";
    anna.with_headers(Method::POST, upload, &headers, b"a".to_vec())
        .await
        .ok();
    let id = encode(&anna.user_id);
    let of_user = |rest: &str| format!("{V1}/users/{id}/{rest}");
    let devices = format!("{V2}/users/{id}/devices?{REFERENCE}");
    let told = boss.get(&devices).await.ok();
    assert_eq!(told["total"], 1);
    let shown = [
        "device_id",
        "display_name",
        "last_seen_ip",
        "last_seen_user_agent",
        "last_seen_ts",
        "user_id",
    ];
    has(&told["devices"][0], &shown);
    connections(boss, &id).await;
    let media = of_user("media?from=0&limit=10&order_by=created_ts&dir=b");
    let told = boss.get(&media).await.ok();
    assert_eq!(told["total"], 1);
    let shown = [
        "media_id",
        "created_ts",
        "last_access_ts",
        "media_length",
        "media_type",
        "upload_name",
        "quarantined_by",
        "safe_from_quarantine",
    ];
    has(&told["media"][0], &shown);
    let joined = of_user(&format!("joined_rooms?{REFERENCE}"));
    let told = awaited(boss, &joined, |told| {
        told["joined_rooms"] == json!([room_id])
    })
    .await;
    assert_eq!(told["total"], 1);
    let told = boss
        .get(&of_user(&format!("memberships?{REFERENCE}")))
        .await
        .ok();
    assert_eq!(told["memberships"], json!({&room_id: "join"}));
    let told = boss
        .get(&of_user(&format!("pushers?{REFERENCE}")))
        .await
        .ok();
    assert_eq!((&told["pushers"], &told["total"]), (&json!([]), &json!(0)));
    let told = boss.get(&of_user("sent_invite_count?from_ts=0")).await.ok();
    assert_eq!(told["invite_count"], 0);
    let told = boss
        .get(&of_user("cumulative_joined_room_count?from_ts=0"))
        .await
        .ok();
    assert_eq!(told["cumulative_joined_room_count"], 1);
    let told = boss.get(&of_user("accountdata")).await.ok();
    has(&told["account_data"], &["global", "rooms"]);
    let told = boss
        .get(&format!("{V1}/experimental_features/{id}"))
        .await
        .ok();
    assert!(told["features"].is_object());
}

/// It reads `devices[].sessions[0].connections`, which means a device without a name.
async fn connections(boss: &Client, id: &str) {
    let end = Instant::now() + PATIENCE;
    loop {
        let told = boss.get(&format!("{V1}/whois/{id}")).await.ok();
        let connection = &told["devices"][""]["sessions"][0]["connections"][0];
        if connection.is_object() {
            has(connection, &["ip", "last_seen", "user_agent"]);
            return;
        }
        assert!(Instant::now() < end, "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn user_buttons(boss: &Client, anna: &Client) {
    let id = encode(&anna.user_id);
    let limit = format!("{V1}/users/{id}/override_ratelimit");
    assert_eq!(boss.get(&limit).await.ok(), json!({}));
    let rates = json!({"messages_per_second": 5, "burst_count": 7});
    assert_eq!(boss.post(&limit, rates.clone()).await.ok(), rates);
    boss.delete(&limit).await.ok();
    let suspend = format!("{V1}/suspend/{id}");
    for suspended in [true, false] {
        boss.put(&suspend, json!({"suspend": suspended})).await.ok();
    }
    let ban = format!("{V1}/users/{id}/shadow_ban");
    // Without a body, as a button is pressed.
    boss.request(Method::POST, &ban, None).await.ok();
    boss.delete(&ban).await.ok();
    let reset = json!({"new_password": "another horse", "logout_devices": false});
    boss.post(&format!("{V1}/reset_password/{id}"), reset)
        .await
        .ok();
    let login = boss
        .post(&format!("{V1}/users/{id}/login"), json!({}))
        .await
        .ok();
    assert!(login["access_token"].is_string());
    let allow = format!("{V1}/users/{id}/_allow_cross_signing_replacement_without_uia");
    let told = boss.post(&allow, json!({})).await;
    assert!(told.body["error"].is_string() && told.body["errcode"].is_string());
    let quarantine = format!("{V1}/user/{id}/media/quarantine");
    assert_eq!(
        boss.post(&quarantine, json!({})).await.ok()["num_quarantined"],
        1
    );
    let begun = boss
        .post(&format!("{V1}/user/{id}/redact"), json!({"rooms": []}))
        .await
        .ok();
    let status = format!("{V1}/user/redact_status/{}", text(&begun["redact_id"]));
    ends(boss, &status).await;
    let gone = boss.delete(&format!("{V1}/users/{id}/media")).await.ok();
    assert_eq!(gone["total"], 1);
    let devices = json!({"devices": [anna.device_id]});
    boss.post(&format!("{V2}/users/{id}/delete_devices"), devices)
        .await
        .ok();
    let erased = boss
        .post(&format!("{V1}/deactivate/{id}"), json!({"erase": true}))
        .await;
    erased.ok();
    let shown = boss.get(&format!("{V2}/users/{id}")).await.ok();
    assert_eq!(
        (&shown["deactivated"], &shown["erased"]),
        (&json!(true), &json!(true))
    );
}
