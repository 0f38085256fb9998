//! What every endpoint for servers answers to those who are none.

use reqwest::Method;
use serde_json::json;

use crate::client::stage::on_each_engine;

/// All that is served: the list is kept by a test of the edge.
const ROUTES: &str = include_str!("../fault/peer_routes.txt");

/// Served without a signature.
const OPEN: &[&str] = &[
    "GET /.well-known/matrix/server",
    "GET /_matrix/federation/v1/openid/userinfo",
    "GET /_matrix/federation/v1/version",
    "GET /_matrix/key/v2/query/{server_name}/{key_id}",
    "GET /_matrix/key/v2/server/{key_id}",
    "POST /_matrix/federation/v1/3pid/onbind",
    "POST /_matrix/key/v2/query",
    "PUT /_matrix/federation/v1/3pid/onbind",
];

fn routes() -> impl Iterator<Item = (Method, String, &'static str)> {
    let routes = ROUTES.lines().filter(|route| !OPEN.contains(route));
    routes.map(|route| {
        let (method, pattern) = route.split_once(' ').expect("method and path");
        let path = pattern.replace(['{', '}'], "");
        (method.parse().expect("a method"), path, route)
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_is_asked_for() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let user = stage.user("anna").await;
        assert!(routes().count() > 20);
        for (method, path, route) in routes() {
            let answers = [
                client.request(method.clone(), &path, None).await,
                user.request(method.clone(), &path, Some(json!({}))).await,
            ];
            for answer in answers {
                let told = (answer.status, answer.body["errcode"].as_str());
                assert_eq!(
                    told,
                    (401, Some("M_UNAUTHORIZED")),
                    "{route}: {}",
                    answer.body
                );
            }
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signature_must_be_right() {
    on_each_engine(async |stage| {
        let client = stage.client();
        let path = "/_matrix/federation/v1/publicRooms";
        let sig = "AAAA".repeat(21) + "AA";
        for header in [
            "X-Matrix".to_owned(),
            "X-Matrix nonsense".to_owned(),
            format!("X-Matrix origin=\"far.invalid\",sig=\"{sig}\""),
            format!("X-Matrix origin=\"far.invalid\",key=\"ed25519:1\",sig=\"{sig}\",destination=\"else.where\""),
            format!("X-Matrix origin=\"playhouse.test\",key=\"ed25519:1\",sig=\"{sig}\",destination=\"playhouse.test\""),
            format!("X-Matrix origin=\"far.invalid\",key=\"ed25519:1\",sig=\"{sig}\",destination=\"playhouse.test\""),
        ] {
            let headers = [("authorization", header.as_str())];
            let answer = client.with_headers(Method::GET, path, &headers, Vec::new()).await;
            let told = (answer.status, answer.body["errcode"].as_str());
            assert_eq!(told, (401, Some("M_UNAUTHORIZED")), "{header}: {}", answer.body);
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_unrecognised() {
    on_each_engine(async |stage| {
        let client = stage.client();
        for (method, path, status) in [
            (Method::GET, "/_matrix/federation/v1/nothing", 404),
            (Method::GET, "/_matrix/federation/v3/version", 404),
            (Method::POST, "/_matrix/federation/v1/version", 405),
            (Method::PUT, "/_matrix/federation/v1/publicRooms", 405),
            (Method::DELETE, "/_matrix/key/v2/server", 405),
        ] {
            let answer = client.request(method, path, None).await;
            answer.refused(status, "M_UNRECOGNIZED");
        }
    })
    .await;
}
