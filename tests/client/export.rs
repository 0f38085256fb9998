//! What the server keeps of a user, given out by the command line.

use serde_json::{Value, json};

use super::{props::user_path, stage::on_own_servers};
use crate::harness::client::encode;

#[tokio::test(flavor = "multi_thread")]
async fn a_user_gets_everything_that_is_the_users() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let bert = server.register("bert").await;
        let name = format!(
            "/_matrix/client/v3/profile/{}/displayname",
            encode(&anna.user_id)
        );
        anna.put(&name, json!({"displayname": "Anna"})).await.ok();
        for (event_type, content) in [("org.kept", json!({"a": 1})), ("org.gone", json!({"b": 1}))]
        {
            let path = user_path(&anna.user_id, &format!("account_data/{event_type}"));
            anna.put(&path, content).await.ok();
        }
        let gone = user_path(&anna.user_id, "account_data/org.gone");
        let gone = gone.replace("/v3/", "/unstable/org.matrix.msc3391/");
        anna.delete(&gone).await.ok();
        let room_id = anna.create_room(json!({})).await;
        for index in 0..20 {
            anna.say(&room_id, &format!("line {index}")).await;
        }
        let other = bert.create_room(json!({})).await;
        bert.say(&other, "not for anna").await;
        server.stop();
        // What it gives out is what it prints; what it complains about goes elsewhere.
        let export = server.command(&["user", "export", "anna"]).output();
        let export = export.expect("the program runs");
        assert!(export.status.success(), "{export:?}");
        let text = String::from_utf8_lossy(&export.stdout);
        assert!(!text.contains("not for anna"));
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).expect("a JSON object a line"))
            .collect();
        let of = |kind: &str| {
            let lines = lines.iter().filter(|line| line["kind"] == kind);
            lines.cloned().collect::<Vec<_>>()
        };
        assert_eq!(of("account")[0]["user_id"], *anna.user_id);
        let name = json!({"kind": "profile", "field": "displayname", "value": "Anna"});
        assert_eq!(of("profile"), [name]);
        assert_eq!(of("device")[0]["device_id"], *anna.device_id);
        let data = of("account_data");
        assert!(
            data.iter()
                .any(|piece| piece["type"] == "org.kept" && piece["content"]["a"] == 1)
        );
        assert!(!data.iter().any(|piece| piece["type"] == "org.gone"));
        let room = json!({"kind": "room", "room_id": room_id, "membership": "join"});
        assert_eq!(of("room"), [room]);
        let said = of("event");
        let said = said
            .iter()
            .filter_map(|line| line["event"]["content"]["body"].as_str());
        let wanted: Vec<_> = (0..20).map(|index| format!("line {index}")).collect();
        assert_eq!(said.collect::<Vec<_>>(), wanted);
        let (done, _) = server.command_line(&["user", "export", "nobody"]);
        assert!(!done);
    })
    .await;
}
