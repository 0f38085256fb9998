//! Routing and the failure table. What needs a whole server is tested from outside.

use actix_web::http::Method;
use playhouse_actors::{
    followers::models::Lagging, house::HouseError, kernel::Unavailable, purges::PurgeError,
    room::RoomError, user::UserError,
};
use playhouse_schema::port::StoreError;
use ruma::api::error::ErrorCode;

use super::{
    Failure, Routes,
    route::{Mounted, Table},
};
use crate::{admin, client, config::Resource, federation_api, operator};

fn mounted() -> Mounted {
    let mut routes = Routes::default();
    client::mount(&mut routes);
    admin::mount(&mut routes);
    federation_api::mount(&mut routes);
    operator::mount(&mut routes);
    routes.finish()
}

fn client_table() -> Table {
    mounted().table(&[Resource::Client]).unwrap()
}

fn refusal(method: &Method, path: &str) -> (u16, String) {
    let failure = client_table().find(method, path).err().unwrap();
    (failure.status(), failure.code().to_string())
}

#[test]
fn everything_can_be_mounted_together() {
    use Resource::{Admin, Client, Federation, Health, Media, Metrics};
    mounted()
        .table(&[Client, Federation, Admin, Media, Metrics, Health])
        .unwrap();
}

#[test]
fn unknown_paths_and_methods_are_unrecognised() {
    let unrecognised = "M_UNRECOGNIZED".to_owned();
    for path in [
        "/_matrix/client/v3/nothing",
        "/_matrix",
        "/_matrix/client/versions/",
        "//",
        "/%ff",
    ] {
        assert_eq!(refusal(&Method::GET, path), (404, unrecognised.clone()));
    }
    for method in [Method::POST, Method::DELETE, Method::TRACE] {
        let refused = refusal(&method, "/_matrix/client/versions");
        assert_eq!(refused, (405, unrecognised.clone()));
    }
}

#[test]
fn all_spellings_of_a_path_lead_to_the_endpoint() {
    let table = client_table();
    for path in [
        "/_matrix/client/v3/capabilities",
        "/_matrix/client/r0/capabilities",
    ] {
        let (endpoint, variables) = table.find(&Method::GET, path).ok().unwrap();
        assert_eq!(endpoint.name(), "/_matrix/client/v3/capabilities");
        assert!(variables.is_empty());
    }
    assert!(
        table
            .find(&Method::HEAD, "/_matrix/client/versions")
            .is_ok()
    );
}

#[test]
fn listeners_answer_their_resources_only() {
    let metrics = mounted().table(&[Resource::Metrics]).unwrap();
    assert!(metrics.find(&Method::GET, "/metrics").is_ok());
    assert!(
        metrics
            .find(&Method::GET, "/_matrix/client/versions")
            .is_err()
    );
    assert!(client_table().find(&Method::GET, "/metrics").is_err());
}

fn away() -> StoreError {
    StoreError::Database("away".to_owned())
}

fn damage() -> StoreError {
    StoreError::Damaged("record".to_owned())
}

#[test]
fn who_asks_a_database_that_is_away_is_told_when_to_ask_again() {
    let failure = Failure::from(HouseError::from(away()));
    assert!(failure.retry_after_seconds().is_some());
    assert_eq!(failure.inside(), Some("database: away"));
    assert!(!failure.body("").to_string().contains("database: away"));
}

#[test]
fn failures_have_their_codes_and_statuses() {
    let cases: Vec<(Failure, u16, &str)> = vec![
        (RoomError::UnknownRoom.into(), 404, "M_NOT_FOUND"),
        (RoomError::Forbidden("no".into()).into(), 403, "M_FORBIDDEN"),
        (
            RoomError::GuestForbidden.into(),
            403,
            "M_GUEST_ACCESS_FORBIDDEN",
        ),
        (RoomError::TooLarge.into(), 413, "M_TOO_LARGE"),
        (
            RoomError::UnsupportedVersion(ruma::RoomVersionId::V1).into(),
            400,
            "M_UNSUPPORTED_ROOM_VERSION",
        ),
        (UserError::UserInUse.into(), 400, "M_USER_IN_USE"),
        (UserError::Locked.into(), 401, "M_USER_LOCKED"),
        (
            UserError::UnknownToken { soft_logout: true }.into(),
            401,
            "M_UNKNOWN_TOKEN",
        ),
        (Unavailable::Overloaded.into(), 429, "M_LIMIT_EXCEEDED"),
        (Unavailable::Stopped.into(), 503, "M_UNKNOWN"),
        (Unavailable::Timeout.into(), 503, "M_UNKNOWN"),
        (RoomError::PartialState.into(), 503, "M_UNKNOWN"),
        (Unavailable::Damaged.into(), 500, "M_UNKNOWN"),
        (HouseError::from(Lagging).into(), 503, "M_UNKNOWN"),
        (RoomError::from(away()).into(), 503, "M_UNKNOWN"),
        (UserError::from(away()).into(), 503, "M_UNKNOWN"),
        (HouseError::from(away()).into(), 503, "M_UNKNOWN"),
        (away().into(), 503, "M_UNKNOWN"),
        (HouseError::from(damage()).into(), 500, "M_UNKNOWN"),
        (UserError::from(damage()).into(), 500, "M_UNKNOWN"),
        (damage().into(), 500, "M_UNKNOWN"),
        (PurgeError::Busy.into(), 400, "M_UNKNOWN"),
        (PurgeError::TooMany.into(), 429, "M_LIMIT_EXCEEDED"),
        (
            Failure::new(ErrorCode::MissingToken, ""),
            401,
            "M_MISSING_TOKEN",
        ),
    ];
    for (failure, status, code) in cases {
        assert_eq!((failure.status(), failure.code().as_str()), (status, code));
        assert_eq!(failure.body("")["errcode"], code);
        // Who is to ask again is told when.
        let is_told = failure.retry_after_seconds().is_some();
        assert_eq!(is_told, [429, 503].contains(&status), "{code}");
    }
}

#[test]
fn json_errors_are_told_apart() {
    #[derive(Debug, serde::Deserialize)]
    struct Wanted {
        #[expect(dead_code, reason = "only its absence matters")]
        needed: u64,
    }
    for (text, code) in [
        ("{", "M_NOT_JSON"),
        ("nonsense", "M_NOT_JSON"),
        ("{}", "M_MISSING_PARAM"),
        ("{\"needed\":\"text\"}", "M_BAD_JSON"),
        ("[]", "M_BAD_JSON"),
    ] {
        let error = serde_json::from_str::<Wanted>(text).unwrap_err();
        assert_eq!(Failure::from(error).code().as_str(), code, "{text}");
    }
}

#[test]
fn the_inside_stays_inside() {
    let failure = Failure::internal("table room_log is on fire");
    let body = failure.body("trace-1").to_string();
    assert_eq!(failure.status(), 500);
    assert!(body.contains("trace-1") && body.contains("M_UNKNOWN"));
    assert!(!body.contains("fire"));
    assert_eq!(failure.inside(), Some("table room_log is on fire"));
}

#[test]
fn limits_tell_when_to_come_back() {
    let failure = Failure::limit_exceeded(1_500);
    assert_eq!(failure.retry_after_seconds(), Some(2));
    assert_eq!(failure.body("")["retry_after_ms"], 1_500);
}

#[test]
fn the_list_of_routes_is_up_to_date() {
    let mut routes = Routes::default();
    client::mount(&mut routes);
    admin::mount(&mut routes);
    compare(&routes, "routes.txt");
}

#[test]
fn the_own_admin_api_is_described() {
    use admin::openapi::{all, described::BASE};
    let mut routes = Routes::default();
    admin::mount(&mut routes);
    let mounted = routes.endpoints.iter();
    let mounted = mounted.filter(|endpoint| endpoint.name().starts_with(BASE));
    let mut mounted: Vec<_> = mounted
        .map(|endpoint| {
            format!(
                "{} {} {:?}",
                endpoint.method,
                endpoint.name(),
                endpoint.role
            )
        })
        .collect();
    let mut described: Vec<_> = all()
        .map(|one| format!("{} {BASE}{} {:?}", one.method, one.path, one.role))
        .collect();
    mounted.sort();
    described.sort();
    assert_eq!(mounted, described);
}

#[test]
fn the_list_of_routes_for_servers_is_up_to_date() {
    let mut routes = Routes::default();
    federation_api::mount(&mut routes);
    compare(&routes, "peer_routes.txt");
}

fn compare(routes: &Routes, file: &str) {
    let mut lines: Vec<_> = routes
        .endpoints
        .iter()
        .map(|endpoint| format!("{} {}\n", endpoint.method, endpoint.name()))
        .collect();
    lines.sort();
    let path = format!("{}/tests/fault/{file}", env!("CARGO_MANIFEST_DIR"));
    let listed = std::fs::read_to_string(&path).unwrap_or_default();
    let mounted = lines.concat();
    if listed != mounted {
        std::fs::write(path, mounted).unwrap();
        panic!("tests/fault/{file} was out of date and has been written anew");
    }
}
