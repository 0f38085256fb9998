//! The gateway's own HTTP: errors, bounds, figures; and the gateway beside a homeserver.

use reqwest::Method;
use serde_json::{Value, json};

use super::{
    gateway::{NOTIFY, PATIENT, TestGateway, apns_app, message},
    provider::{Provider, Said},
};
use crate::harness::{Client, Options, TestServer, database::free_port};

#[tokio::test(flavor = "multi_thread")]
async fn errors_are_the_specifications() {
    let provider = Provider::start().await;
    let apps = [apns_app(&provider, "")];
    let more = "devices_max = 2\nbody_bytes_max = 4000";
    let gateway = TestGateway::start(&provider, &apps, more);
    let client = gateway.client();
    let unknown = client.post("/_matrix/push/v1/other", json!({})).await;
    unknown.refused(404, "M_UNRECOGNIZED");
    client.get(NOTIFY).await.refused(405, "M_UNRECOGNIZED");
    let garbled = client.raw(Method::POST, NOTIFY, b"{".to_vec()).await;
    garbled.expect("an answer").refused(400, "M_NOT_JSON");
    let empty = client.post(NOTIFY, json!({})).await;
    empty.refused(400, "M_MISSING_PARAM");
    let mut many = message("$one", "AAAA");
    many["devices"] = json!(vec![many["devices"][0].clone(); 3]);
    gateway.post(many).await.refused(400, "M_INVALID_PARAM");
    let mut large = message("$one", "AAAA");
    large["content"]["body"] = json!("x".repeat(5_000));
    gateway.post(large).await.refused(413, "M_TOO_LARGE");
    let long = message("$one", &"A".repeat(600));
    gateway.post(long).await.refused(400, "M_INVALID_PARAM");
    assert_eq!(client.get("/health").await.status, 200);
    assert!(provider.seen().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_apps_and_devices() {
    let provider = Provider::start().await;
    let exact = apns_app(&provider, ", push_type = 'background'");
    let patterns = ["org.example.*", "org.*.beta"].map(|id| {
        apns_app(&provider, "").replace("id = 'org.example.ios'", &format!("id = '{id}'"))
    });
    let [one, other] = patterns;
    let gateway = TestGateway::start(&provider, &[exact, one, other], "");
    let mut notification = message("$one", "AAAA");
    let device = |app_id: &str, pushkey: &str| json!({ "app_id": app_id, "pushkey": pushkey });
    notification["devices"] = json!([
        device("org.example.ios", "AAAA"),
        device("org.example.other", "BBBB"),
        device("org.example.beta", "CCCC"),
        device("com.example", "DDDD"),
    ]);
    // What fits two patterns, or none, belongs to no app.
    assert_eq!(gateway.notify(notification).await, ["CCCC", "DDDD"]);
    let seen = provider.wait_for(2).await;
    let mut types: Vec<(String, String)> = seen
        .iter()
        .map(|seen| (seen.path.clone(), seen.header("apns-push-type").to_owned()))
        .collect();
    types.sort();
    let wanted = [
        ("/3/device/000000".to_owned(), "background".to_owned()),
        ("/3/device/041041".to_owned(), "alert".to_owned()),
    ];
    assert_eq!(types, wanted);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_for_this_machine() {
    let provider = Provider::start().await;
    let gateway = TestGateway::start(&provider, &[apns_app(&provider, "")], PATIENT);
    provider.will_say(Said::new(410, json!({ "reason": "Unregistered" })));
    gateway.notify(message("$one", "AAAA")).await;
    gateway.notify(message("$one", "BBBB")).await;
    let client = gateway.client();
    let wanted = [
        "playhouse_push_attempts_total{provider=\"apns\",outcome=\"delivered\"} 1",
        "playhouse_push_rejected_total{provider=\"apns\",reason=\"Unregistered\"} 1",
        "playhouse_push_notifications_total 2",
        "playhouse_push_oldest_seconds 0",
        "playhouse_push_attempt_seconds_count{provider=\"apns\"} 2",
    ];
    let figures = TestGateway::tells(&client, &wanted).await;
    assert!(!figures.contains("AAAA"));
    let headers = [("x-forwarded-for", "192.0.2.1")];
    let strangers = client.with_headers(Method::GET, "/metrics", &headers, Vec::new());
    strangers.await.refused(403, "M_FORBIDDEN");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_homeserver_may_have_one_beside_it() {
    let provider = Provider::start().await;
    let port = free_port();
    let environment = [
        ("PUSH_GATEWAY_LISTEN", format!("127.0.0.1:{port}")),
        (
            "PUSH_GATEWAY_APPS",
            format!("[{}]", apns_app(&provider, "")),
        ),
        ("EXTRA_CA", provider.path("ca.pem").display().to_string()),
    ];
    let environment = environment.map(|(name, value)| (format!("PLAYHOUSE_{name}"), value));
    let options = Options {
        environment: environment.to_vec(),
        ..Options::default()
    };
    let mut server = TestServer::start_with(options).await;
    let body = |event_id: &str| json!({ "notification": message(event_id, "AAAA") });
    let gateway = Client::new(&format!("http://127.0.0.1:{port}"));
    let told = gateway.post(NOTIFY, body("$one")).await.ok();
    assert_eq!(told, json!({ "rejected": Value::Array(Vec::new()) }));
    provider.wait_for(1).await;
    // That it was taken is kept a moment later: before that nobody can tell.
    TestGateway::tells(&gateway, &["playhouse_push_waiting 0"]).await;
    server.kill();
    server.start_again();
    // What it knew of it outlived it, too.
    gateway.post(NOTIFY, body("$one")).await.ok();
    gateway.post(NOTIFY, body("$two")).await.ok();
    assert_eq!(provider.wait_for(2).await.len(), 2);
}
