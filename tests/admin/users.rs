//! Accounts and their devices.

use serde_json::{Value, json};

use super::{administrator, awaited};
use crate::{
    client::stage::{fresh, on_each_engine, on_own_servers},
    harness::{Client, client::encode},
};

fn v1(user_id: &str, what: &str) -> String {
    format!("/_synapse/admin/v1/users/{}/{what}", encode(user_id))
}

fn v2(user_id: &str) -> String {
    format!("/_synapse/admin/v2/users/{}", encode(user_id))
}

async fn names(boss: &Client, path: &str) -> Vec<String> {
    let answer = boss.get(path).await.ok();
    let users = answer["users"].as_array().expect("a list").clone();
    let names = users
        .iter()
        .map(|user| user["name"].as_str().expect("a name"));
    names
        .map(|name| name.trim_end_matches(":playhouse.test").to_owned())
        .collect()
}

async fn login(anybody: &Client, user_id: &str, password: &str) -> u16 {
    let body = json!({
        "type": "m.login.password", "identifier": {"type": "m.id.user", "user": user_id}, "password": password
    });
    let answer = anybody.post("/_matrix/client/v3/login", body).await;
    answer.status
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_made_and_changed() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let name = fresh("made");
        let user_id = format!("@{name}:playhouse.test");
        let mail = format!("{name}@example.org");
        boss.get(&v2(&user_id)).await.refused(404, "M_NOT_FOUND");
        let wish = json!({
            "password": "first", "displayname": "Made", "avatar_url": "mxc://playhouse.test/a", "user_type": "bot",
            "threepids": [{"medium": "email", "address": mail}],
            "external_ids": [{"auth_provider": "oidc", "external_id": name}], "unknown": true
        });
        let answer = boss.put(&v2(&user_id), wish).await;
        assert_eq!(answer.status, 201, "{}", answer.body);
        let told = answer.body;
        for (field, value) in [
            ("name", json!(user_id)),
            ("displayname", json!("Made")),
            ("avatar_url", json!("mxc://playhouse.test/a")),
            ("user_type", json!("bot")),
            ("admin", json!(false)),
            ("deactivated", json!(false)),
            ("locked", json!(false)),
            ("is_guest", json!(false)),
            ("shadow_banned", json!(false)),
            ("consent_version", Value::Null),
        ] {
            assert_eq!(told[field], value, "{field}");
        }
        assert_eq!(told["threepids"][0]["address"], *mail);
        assert_eq!(told["external_ids"][0]["external_id"], *name);
        assert_eq!(boss.get(&v2(&user_id)).await.ok(), told);
        assert_eq!(login(&boss, &user_id, "first").await, 200);
        let change = json!({"password": "second", "displayname": null, "user_type": null, "threepids": []});
        let changed = boss.put(&v2(&user_id), change).await.ok();
        assert_eq!(changed["displayname"], Value::Null);
        assert_eq!(changed["avatar_url"], "mxc://playhouse.test/a");
        assert_eq!(changed["user_type"], Value::Null);
        assert_eq!(changed["threepids"], json!([]));
        assert_eq!(changed["external_ids"], told["external_ids"]);
        assert_eq!(login(&boss, &user_id, "first").await, 403);
        assert_eq!(login(&boss, &user_id, "second").await, 200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let user_id = stage.user("anna").await.user_id;
        for wrong in [
            json!({"user_type": "king"}),
            json!({"deactivated": true, "locked": true}),
            json!({"threepids": [{"medium": "email", "address": "nonsense"}]}),
        ] {
            boss.put(&v2(&user_id), wrong)
                .await
                .refused(400, "M_INVALID_PARAM");
        }
        boss.put(&v2(&user_id), json!({"admin": "yes"}))
            .await
            .refused(400, "M_BAD_JSON");
        boss.put(&v2("@Capital:playhouse.test"), json!({}))
            .await
            .refused(400, "M_INVALID_USERNAME");
        boss.put(&v2("@anna:elsewhere.test"), json!({}))
            .await
            .refused(400, "M_INVALID_PARAM");
        // Administrators are made and unmade, but nobody unmakes oneself.
        boss.put(&v1(&user_id, "admin"), json!({"admin": true}))
            .await
            .ok();
        assert_eq!(
            boss.get(&v1(&user_id, "admin")).await.ok(),
            json!({"admin": true})
        );
        boss.put(&v2(&user_id), json!({"admin": false})).await.ok();
        for path in [v1(&boss.user_id, "admin"), v2(&boss.user_id)] {
            boss.put(&path, json!({"admin": false}))
                .await
                .refused(400, "M_INVALID_PARAM");
        }
        let closed = boss
            .put(&v2(&user_id), json!({"deactivated": true}))
            .await
            .ok();
        assert_eq!(closed["deactivated"], true);
        boss.put(&v2(&user_id), json!({"displayname": "Anna"}))
            .await
            .refused(400, "M_INVALID_PARAM");
        boss.put(&v2(&user_id), json!({"deactivated": true}))
            .await
            .ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_listed() {
    on_own_servers(&[("PLAYHOUSE_REGISTRATION_GUESTS", "true")], async |server| {
        let boss = administrator(&server.client(), "boss").await;
        for name in ["anna", "bert", "carl", "dora"] {
            let user_id = format!("@{name}:playhouse.test");
            let wish = json!({"displayname": name.to_uppercase(), "user_type": (name == "carl").then_some("bot")});
            boss.put(&v2(&user_id), wish).await;
        }
        let list = "/_synapse/admin/v2/users";
        assert_eq!(names(&boss, list).await, ["@anna", "@bert", "@boss", "@carl", "@dora"]);
        let page = boss.get(&format!("{list}?limit=2&from=1&dir=b")).await.ok();
        assert_eq!((&page["total"], &page["next_token"]), (&json!(5), &json!("3")));
        assert_eq!(page["users"][0]["name"], "@carl:playhouse.test");
        let last = boss.get(&format!("{list}?from=3")).await.ok();
        assert_eq!(last["next_token"], Value::Null);
        assert_eq!(names(&boss, &format!("{list}?name=ER")).await, ["@bert"]);
        assert_eq!(names(&boss, &format!("{list}?user_id=dor")).await, ["@dora"]);
        assert_eq!(names(&boss, &format!("{list}?admins=true")).await, ["@boss"]);
        let typed = format!("{list}?not_user_type=&not_user_type=support");
        assert_eq!(names(&boss, &typed).await, ["@carl"]);
        let sorted = format!("{list}?order_by=user_type&dir=b&limit=1");
        assert_eq!(names(&boss, &sorted).await, ["@carl"]);
        boss.put(&v2("@anna:playhouse.test"), json!({"locked": true})).await.ok();
        boss.put(&v2("@bert:playhouse.test"), json!({"deactivated": true})).await.ok();
        assert_eq!(names(&boss, list).await, ["@boss", "@carl", "@dora"]);
        let locked = format!("{list}?locked=true");
        assert_eq!(names(&boss, &locked).await, ["@anna", "@boss", "@carl", "@dora"]);
        let closed = format!("{list}?deactivated=true");
        assert_eq!(names(&boss, &closed).await, ["@bert", "@boss", "@carl", "@dora"]);
        let newer = "/_synapse/admin/v3/users";
        assert_eq!(names(&boss, newer).await.len(), 4);
        assert_eq!(names(&boss, &format!("{newer}?deactivated=true")).await, ["@bert"]);
        assert_eq!(names(&boss, &format!("{newer}?deactivated=false")).await.len(), 3);
        for wrong in ["order_by=size", "dir=up", "limit=-1", "guests=perhaps"] {
            boss.get(&format!("{list}?{wrong}")).await.refused(400, "M_INVALID_PARAM");
        }
        let guest = boss.nobody().post("/_matrix/client/v3/register?kind=guest", json!({})).await.ok();
        assert_eq!(names(&boss, list).await.len(), 4, "{guest}");
        assert_eq!(names(&boss, &format!("{list}?guests=false")).await.len(), 3);
        server.restart();
        assert_eq!(names(&boss.at(server.base()), list).await.len(), 4);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_judged() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let room_id = anna.create_room(json!({})).await;
        let whoami = "/_matrix/client/v3/account/whoami";
        let joined = json!({"joined_rooms": [room_id], "total": 1});
        let path = v1(&anna.user_id, "joined_rooms");
        awaited(&boss, &path, |told| *told == joined).await;
        let whois = format!("/_synapse/admin/v1/whois/{}", encode(&anna.user_id));
        for client in [&boss, &anna] {
            let told = client.get(&whois).await.ok();
            assert!(told["devices"][""]["sessions"][0].is_object(), "{told}");
        }
        let suspend = format!("/_synapse/admin/v1/suspend/{}", encode(&anna.user_id));
        let key = format!("user_{}_suspended", anna.user_id);
        for suspended in [true, false] {
            let told = boss.put(&suspend, json!({"suspend": suspended})).await.ok();
            assert_eq!(told, json!({&key: suspended}));
            let told = boss.get(&v2(&anna.user_id)).await.ok();
            assert_eq!(told["suspended"], suspended);
        }
        let reset = format!(
            "/_synapse/admin/v1/reset_password/{}",
            encode(&anna.user_id)
        );
        let body = json!({"new_password": "another horse", "logout_devices": false});
        boss.post(&reset, body).await.ok();
        anna.get(whoami).await.ok();
        boss.post(&reset, json!({"new_password": "correct horse"}))
            .await
            .ok();
        anna.get(whoami).await.refused(401, "M_UNKNOWN_TOKEN");
        boss.post(&reset, json!({}))
            .await
            .refused(400, "M_MISSING_PARAM");
        assert_eq!(login(&boss, &anna.user_id, "another horse").await, 403);
        assert_eq!(login(&boss, &anna.user_id, "correct horse").await, 200);
        let close = format!("/_synapse/admin/v1/deactivate/{}", encode(&anna.user_id));
        let told = boss.post(&close, json!({"erase": true})).await.ok();
        assert_eq!(told, json!({"id_server_unbind_result": "success"}));
        let told = boss.get(&v2(&anna.user_id)).await.ok();
        assert_eq!(
            (&told["deactivated"], &told["erased"]),
            (&json!(true), &json!(true))
        );
        let unknown = anna.user_id.replace("@anna", "@nobody");
        for path in [
            v2(&unknown),
            v1(&unknown, "joined_rooms"),
            v1(&unknown, "admin"),
        ] {
            boss.get(&path).await.refused(404, "M_NOT_FOUND");
        }
        let bert = stage.user("bert").await;
        for path in [v2(&bert.user_id), v1(&bert.user_id, "admin"), whois] {
            bert.get(&path).await.refused(403, "M_FORBIDDEN");
        }
        bert.get("/_synapse/admin/v2/users")
            .await
            .refused(403, "M_FORBIDDEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_are_seen_and_removed() {
    on_each_engine(async |stage| {
        let boss = administrator(&stage.client(), &fresh("boss")).await;
        let anna = stage.user("anna").await;
        let [phone, tablet] = [anna.login_again().await, anna.login_again().await];
        let devices = format!("{}/devices", v2(&anna.user_id));
        let all = boss.get(&devices).await.ok();
        assert_eq!(
            (&all["total"], all["devices"].as_array().map(Vec::len)),
            (&json!(3), Some(3))
        );
        let one = format!("{devices}/{}", phone.device_id);
        boss.put(&one, json!({"display_name": "Phone"})).await.ok();
        let told = boss.get(&one).await.ok();
        assert_eq!(
            (&told["display_name"], &told["user_id"]),
            (&json!("Phone"), &json!(anna.user_id))
        );
        assert_eq!(told["dehydrated"], false);
        boss.delete(&one).await.ok();
        boss.delete(&one).await.ok();
        boss.get(&one).await.refused(404, "M_NOT_FOUND");
        let whoami = "/_matrix/client/v3/account/whoami";
        phone.get(whoami).await.refused(401, "M_UNKNOWN_TOKEN");
        let body = json!({"devices": [tablet.device_id, "NONE"]});
        boss.post(&format!("{}/delete_devices", v2(&anna.user_id)), body)
            .await
            .ok();
        tablet.get(whoami).await.refused(401, "M_UNKNOWN_TOKEN");
        anna.get(whoami).await.ok();
        anna.get(&devices).await.refused(403, "M_FORBIDDEN");
    })
    .await;
}
