//! TURN servers for calls, and networks behind bridges.

use serde_json::json;

use super::stage::{on_each_engine, on_own_servers};

const TURN: &str = "/_matrix/client/v3/voip/turnServer";

#[tokio::test(flavor = "multi_thread")]
async fn turn_servers_are_told_with_credentials() {
    let settings = [
        (
            "PLAYHOUSE_VOIP_TURN_URIS",
            "turn:turn.example.org?transport=udp",
        ),
        ("PLAYHOUSE_VOIP_TURN_SHARED_SECRET", "secret"),
        ("PLAYHOUSE_VOIP_TURN_LIFETIME_MS", "60000"),
    ];
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let answer = anna.get(TURN).await.ok();
        assert_eq!(
            answer["uris"],
            json!(["turn:turn.example.org?transport=udp"])
        );
        assert_eq!(answer["ttl"], 60);
        let username = answer["username"].as_str().expect("a name");
        assert!(
            username.ends_with(&format!(":{}", anna.user_id)),
            "{username}"
        );
        assert!(answer["password"].is_string());
        anna.nobody()
            .get(TURN)
            .await
            .refused(401, "M_MISSING_TOKEN");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_carries_calls_of_many_is_told() {
    const TRANSPORTS: &str = "/_matrix/client/unstable/org.matrix.msc4143/rtc/transports";
    let settings = [
        ("PLAYHOUSE_SERVER_NAME", "localhost"),
        (
            "PLAYHOUSE_RTC_TRANSPORTS",
            "[{ type = \"livekit\", livekit_service_url = \"https://sfu.example.org\" }]",
        ),
    ];
    let wanted = json!([{"type": "livekit", "livekit_service_url": "https://sfu.example.org"}]);
    on_own_servers(&settings, async |server| {
        let anna = server.register("anna").await;
        let told = anna.get(TRANSPORTS).await.ok();
        assert_eq!(told, json!({ "rtc_transports": wanted }));
        let told = anna.get("/.well-known/matrix/client").await.ok();
        assert_eq!(told["org.matrix.msc4143.rtc_foci"], wanted);
        let versions = anna.get("/_matrix/client/versions").await.ok();
        assert_eq!(versions["unstable_features"]["org.matrix.msc4143"], true);
    })
    .await;
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let told = anna.get(TRANSPORTS).await.ok();
        assert_eq!(told, json!({ "rtc_transports": [] }));
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_relays_and_bridges_there_is_nothing() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        assert_eq!(anna.get(TURN).await.ok(), json!({}));
        let get = async |path: &str| {
            let path = format!("/_matrix/client/v3/thirdparty/{path}");
            anna.get(&path).await
        };
        assert_eq!(get("protocols").await.ok(), json!({}));
        assert_eq!(get("location?alias=%23a:example.org").await.ok(), json!([]));
        assert_eq!(get("user?userid=%40a:example.org").await.ok(), json!([]));
        for path in ["protocol/irc", "location/irc", "user/irc"] {
            get(path).await.refused(404, "M_NOT_FOUND");
        }
    })
    .await;
}
