//! What every endpoint answers to a missing or wrong token and to a body that is no JSON.

use reqwest::Method;
use serde_json::json;

use super::{
    props::text,
    stage::{Stage, fresh, on_each_engine},
};
use crate::harness::{Client, client::encode};

/// All that is served: the list is kept by a test of the edge.
const ROUTES: &str = include_str!("../fault/routes.txt");

/// Served without a token, or what is missing besides the token is told first.
const OPEN: &[&str] = &[
    "GET /.well-known/matrix/client",
    "GET /.well-known/matrix/policy_server",
    "GET /_matrix/client/unstable/account_validity/renew",
    "POST /_matrix/client/unstable/account_validity/renew",
    "GET /_matrix/client/unstable/add_threepid/email/submit_token",
    "GET /_matrix/client/unstable/registration/email/submit_token",
    "GET /_matrix/client/v1/register/m.login.registration_token/validity",
    "GET /_matrix/client/v1/room_summary/{room_id_or_alias}",
    "GET /_matrix/client/v3/auth/{auth_type}/fallback/web",
    "GET /_matrix/client/v3/directory/list/room/{room_id}",
    "GET /_matrix/client/v3/directory/room/{room_alias}",
    "GET /_matrix/client/v3/login",
    "GET /_matrix/client/v3/password_policy",
    "GET /_matrix/client/v3/profile/{user_id}",
    "GET /_matrix/client/v3/profile/{user_id}/{field}",
    "GET /_matrix/client/v3/register/available",
    "GET /_matrix/client/versions",
    "GET /_matrix/consent",
    "GET /_matrix/media/v3/download/{server_name}/{media_id}",
    "GET /_matrix/media/v3/download/{server_name}/{media_id}/{filename}",
    "GET /_matrix/media/v3/thumbnail/{server_name}/{media_id}",
    "GET /_matrix/static/client/login/",
    "GET /_playhouse/admin",
    "GET /_playhouse/admin/",
    "GET /_playhouse/admin/dashboard/{name}",
    "GET /_synapse/admin/v1/register",
    "GET /_synapse/admin/v1/server_version",
    "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}",
    "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}/{action}",
    "GET /_synapse/client/password_reset/email/submit_token",
    "POST /_matrix/client/unstable/add_threepid/email/submit_token",
    "POST /_matrix/client/unstable/add_threepid/msisdn/submit_token",
    "POST /_matrix/client/unstable/registration/email/submit_token",
    "POST /_matrix/client/v3/account/3pid/email/requestToken",
    "POST /_matrix/client/v3/account/3pid/msisdn/requestToken",
    "POST /_matrix/client/v3/account/deactivate",
    "POST /_matrix/client/v3/account/password",
    "POST /_matrix/client/v3/account/password/email/requestToken",
    "POST /_matrix/client/v3/account/password/msisdn/requestToken",
    "POST /_matrix/client/v3/auth/{auth_type}/fallback/web",
    "POST /_matrix/client/v3/login",
    "POST /_matrix/client/v3/refresh",
    "POST /_matrix/client/v3/register",
    "POST /_matrix/client/v3/tokenrefresh",
    "POST /_matrix/client/v3/register/email/requestToken",
    "POST /_matrix/client/v3/register/msisdn/requestToken",
    "POST /_synapse/admin/v1/register",
    "POST /_synapse/client/password_reset/email/submit_token",
];

/// Areas of endpoints that are open, and take what is no JSON: where devices meet, and what tells of the authorization server.
const OPEN_AREAS: [&str; 6] = [
    "/rendezvous",
    "/oauth-authorization-server",
    "/auth_issuer",
    "/login/sso/",
    "/login/cas/",
    "/_synapse/client/",
];

/// Takes any bytes, or no body at all: what is sent as one is not looked at.
const BODILESS: &[&str] = &[
    // Whose token is no application service's is told that first.
    "POST /_matrix/client/v1/appservice/{appservice_id}/ping",
    "POST /_matrix/client/unstable/account_validity/renew",
    "POST /_matrix/client/unstable/account_validity/send_mail",
    "POST /_matrix/client/unstable/org.matrix.msc4140/delayed_events/{delay_id}/{action}",
    "POST /_matrix/client/v3/rooms/{room_id}/forget",
    "POST /_synapse/admin/v1/users/{user_id}/shadow_ban",
    "POST /_matrix/media/v1/create",
    "POST /_matrix/client/v3/logout",
    "POST /_matrix/client/v3/tokenrefresh",
    "POST /_matrix/client/v3/user/{user_id}/openid/request_token",
    "POST /_matrix/client/v3/logout/all",
    "POST /_matrix/media/v3/upload",
    "PUT /_matrix/media/v3/upload/{server_name}/{media_id}",
    "POST /_matrix/client/v3/auth/{auth_type}/fallback/web",
    "POST /_matrix/client/unstable/registration/email/submit_token",
    "POST /_matrix/client/unstable/add_threepid/email/submit_token",
    "POST /_synapse/client/password_reset/email/submit_token",
    "POST /_synapse/admin/v1/media/delete",
    "POST /_synapse/admin/v1/media/protect/{media_id}",
    "POST /_synapse/admin/v1/media/quarantine/{server_name}/{media_id}",
    "POST /_synapse/admin/v1/media/unprotect/{media_id}",
    "POST /_synapse/admin/v1/media/unquarantine/{server_name}/{media_id}",
    "POST /_synapse/admin/v1/media/{server_name}/delete",
    "POST /_synapse/admin/v1/purge_media_cache",
    "POST /_synapse/admin/v1/quarantine_media/{room_id}",
    "POST /_synapse/admin/v1/room/{room_id}/media/quarantine",
    "POST /_synapse/admin/v1/user/{user_id}/media/quarantine",
    "POST /_playhouse/admin/v1/audit/{id}/undo",
    "POST /_synapse/admin/v1/users/{user_id}/_allow_cross_signing_replacement_without_uia",
    "POST /_synapse/admin/v1/federation/destinations/{destination}/reset_connection",
    "POST /_playhouse/admin/v1/cluster/nodes/{node}/drain",
    "POST /_playhouse/admin/v1/cluster/nodes/{node}/join",
    "POST /_playhouse/admin/v1/cluster/nodes/{node}/leave",
    "POST /_playhouse/admin/v1/rooms/{room_id}/parked/retry",
    "POST /_playhouse/admin/v1/rooms/{room_id}/refold",
];

/// Somebody with a room and an event.
struct Caller {
    client: Client,
    room_id: String,
    event_id: String,
}

impl Caller {
    async fn on(stage: &Stage) -> Self {
        let client = stage.user("anna").await;
        let room_id = client.create_room(json!({})).await;
        let event_id = client.say(&room_id, "hello").await;
        Self {
            client,
            room_id,
            event_id,
        }
    }

    /// A path in which the variables stand for something that is there.
    fn path(&self, pattern: &str) -> String {
        let values = [
            ("room_id", self.room_id.clone()),
            ("room_id_or_alias", self.room_id.clone()),
            ("event_id", self.event_id.clone()),
            ("user_id", self.client.user_id.clone()),
            ("device_id", self.client.device_id.clone()),
            ("room_alias", format!("#{}:playhouse.test", fresh("alias"))),
            ("event_type", "org.example.thing".to_owned()),
            ("receipt_type", "m.read".to_owned()),
            ("field", "displayname".to_owned()),
            ("kind", "override".to_owned()),
            ("rule_id", ".m.rule.master".to_owned()),
            ("tag", "u.work".to_owned()),
            ("txn_id", fresh("t")),
            ("server_name", "playhouse.test".to_owned()),
            ("thread_root", self.event_id.clone()),
        ];
        let mut path = pattern.to_owned();
        for (name, value) in values {
            path = path.replace(&format!("{{{name}}}"), &encode(&value));
        }
        path.replace(['{', '}'], "")
    }
}

/// Routes of the Matrix API proper: pages and OAuth answer in other words.
fn routes() -> impl Iterator<Item = (Method, &'static str, &'static str)> {
    let routes = ROUTES.lines().map(|route| {
        let (method, pattern) = route.split_once(' ').expect("method and path");
        (method.parse().expect("a method"), pattern, route)
    });
    routes.filter(|(_, pattern, _)| {
        !pattern.starts_with("/oauth2/") && !OPEN_AREAS.iter().any(|area| pattern.contains(area))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_is_asked_for() {
    on_each_engine(async |stage| {
        let caller = Caller::on(stage).await;
        let nobody = stage.client();
        let mut wrong = stage.client();
        wrong.token = Some("nonsense".to_owned());
        let mut given = Vec::new();
        for (method, pattern, route) in routes().filter(|(_, _, route)| !OPEN.contains(route)) {
            let path = caller.path(pattern);
            for (client, errcode) in [(&nobody, "M_MISSING_TOKEN"), (&wrong, "M_UNKNOWN_TOKEN")] {
                let answer = client.request(method.clone(), &path, None).await;
                if (answer.status, answer.body["errcode"].as_str()) != (401, Some(errcode)) {
                    given.push(format!("{route}: {} {}", answer.status, answer.body));
                }
            }
        }
        assert!(given.is_empty(), "{given:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_json_is_named_so() {
    on_each_engine(async |stage| {
        let caller = Caller::on(stage).await;
        let mut wrong = Vec::new();
        for (method, pattern, route) in routes() {
            if !["POST", "PUT"].contains(&method.as_str()) || BODILESS.contains(&route) {
                continue;
            }
            let path = caller.path(pattern);
            let answer = caller
                .client
                .raw(method, &path, b"{nonsense".to_vec())
                .await;
            let answer = answer.expect("an answer");
            if (answer.status, answer.body["errcode"].as_str()) != (400, Some("M_NOT_JSON")) {
                wrong.push(format!("{route}: {} {}", answer.status, answer.body));
            }
        }
        assert!(wrong.is_empty(), "{wrong:#?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_says_what_and_why() {
    on_each_engine(async |stage| {
        let caller = Caller::on(stage).await;
        let answer = caller
            .client
            .get("/_matrix/client/v3/rooms/nonsense/state")
            .await;
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
        let body = answer.refused(400, "M_INVALID_PARAM");
        assert!(!text(&body["error"]).is_empty());
    })
    .await;
}
