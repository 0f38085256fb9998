//! What providers say.

use std::time::Duration;

use serde_json::json;

use super::{Cases, Said};

const IOS: &str = "org.example.ios";
const ANDROID: &str = "org.example.android";
const WEB: &str = "org.example.web";

pub(super) fn add(cases: &mut Cases<'_>) {
    apple(cases);
    google(cases);
    browsers(cases);
    late(cases);
}

fn apple(cases: &mut Cases<'_>) {
    for (about, status, reason) in [
        ("plain", 400, "BadDeviceToken"),
        ("plain", 400, "DeviceTokenNotForTopic"),
        ("plain", 410, "Unregistered"),
        ("dead", 410, "ExpiredToken"),
        ("ours to mend", 400, "TopicDisallowed"),
        ("ours to mend", 400, "BadTopic"),
        ("ours to mend", 400, "MissingTopic"),
        ("ours to mend", 400, "BadCertificateEnvironment"),
        ("ours to mend", 403, "BadCertificate"),
        ("ours to mend", 403, "ExpiredProviderToken"),
        ("ours to mend", 403, "Forbidden"),
        ("ours to mend", 403, "InvalidProviderToken"),
        ("ours to mend", 403, "MissingProviderToken"),
        ("never", 400, "BadCollapseId"),
        ("never", 400, "BadExpirationDate"),
        ("never", 400, "BadMessageId"),
        ("never", 400, "BadPriority"),
        ("never", 400, "DuplicateHeaders"),
        ("never", 400, "InvalidPushType"),
        ("never", 400, "MissingDeviceToken"),
        ("never", 400, "PayloadEmpty"),
        ("never", 404, "BadPath"),
        ("never", 405, "MethodNotAllowed"),
        ("never", 413, "PayloadTooLarge"),
        ("again", 400, "IdleTimeout"),
        ("again", 429, "TooManyProviderTokenUpdates"),
        ("again", 429, "TooManyRequests"),
        ("again", 500, "InternalServerError"),
        ("again", 503, "ServiceUnavailable"),
        ("again", 503, "Shutdown"),
    ] {
        let said = Said::new(status, json!({ "reason": reason }));
        cases.answered(&format!("{status} {reason}"), (about, IOS), vec![said]);
    }
    let busy = Said::new(503, json!({ "reason": "ServiceUnavailable" }));
    cases.answered("503 three times", ("again", IOS), vec![busy; 3]);
    let case = cases.answered(
        "500 without a reason",
        ("again", IOS),
        vec![Said::new(500, json!({}))],
    );
    case.alone = true;
}

fn error(status: u16, code: &str) -> Said {
    let details = json!([{ "@type": "type.googleapis.com/google.firebase.fcm.v1.FcmError", "errorCode": code }]);
    Said::new(
        status,
        json!({ "error": { "code": status, "status": code, "message": "no", "details": details } }),
    )
}

fn google(cases: &mut Cases<'_>) {
    for (about, status, code) in [
        ("plain", 404, "UNREGISTERED"),
        ("dead", 403, "SENDER_ID_MISMATCH"),
        ("ours to mend", 401, "UNAUTHENTICATED"),
        ("ours to mend", 401, "THIRD_PARTY_AUTH_ERROR"),
        ("ours to mend", 403, "PERMISSION_DENIED"),
        ("ours to mend", 404, "NOT_FOUND"),
        ("never", 400, "INVALID_ARGUMENT"),
        ("again", 429, "QUOTA_EXCEEDED"),
        ("again", 500, "INTERNAL"),
        ("again", 503, "UNAVAILABLE"),
    ] {
        let said = error(status, code);
        cases.answered(&format!("{status} {code}"), (about, ANDROID), vec![said]);
    }
    let violation =
        json!({ "fieldViolations": [{ "field": "message.token", "description": "no" }] });
    let about_token = Said::new(
        400,
        json!({ "error": { "status": "INVALID_ARGUMENT", "details": [violation] } }),
    );
    cases.answered("400 about the token", ("dead", ANDROID), vec![about_token]);
    let words = json!({ "status": "INVALID_ARGUMENT", "message": "The registration token is not a valid FCM registration token" });
    let in_words = Said::new(400, json!({ "error": words }));
    cases.answered(
        "400 about the token, in words",
        ("dead", ANDROID),
        vec![in_words],
    );
    let soon = |status| error(status, "UNAVAILABLE").with("retry-after", "1");
    cases.answered("429 for a second", ("plain", ANDROID), vec![soon(429)]);
    cases.answered("503 for a second", ("plain", ANDROID), vec![soon(503)]);
    cases.answered(
        "503 for a second, three times",
        ("again", ANDROID),
        vec![soon(503); 3],
    );
    let date = error(503, "UNAVAILABLE").with("retry-after", "Sun, 06 Nov 1994 08:49:37 GMT");
    cases.answered("503 until a date", ("again", ANDROID), vec![date]);
    let elsewhere = Said::new(302, json!({})).with("location", "https://192.0.2.1/");
    cases.answered("302", ("never", ANDROID), vec![elsewhere]);
    cases.answered(
        "200 with a list",
        ("plain", ANDROID),
        vec![Said::new(200, json!([]))],
    );
}

fn browsers(cases: &mut Cases<'_>) {
    for (about, status) in [
        ("plain", 200),
        ("plain", 201),
        ("plain", 202),
        ("plain", 302),
        ("plain", 400),
        ("plain", 413),
        ("plain", 404),
        ("plain", 410),
        ("ours to mend", 401),
        ("ours to mend", 403),
        ("again", 406),
        ("again", 408),
        ("again", 425),
        ("again", 429),
        ("again", 500),
        ("again", 502),
        ("again", 503),
    ] {
        let said = Said::new(status, json!({})).with("retry-after", "1");
        cases.answered(&format!("{status}"), (about, WEB), vec![said]);
    }
}

/// Answers that take their time: longer than we let a homeserver wait, not so long that Sygnal's connection to Apple ends.
fn late(cases: &mut Cases<'_>) {
    const SLOW: Duration = Duration::from_secs(9);
    let dead = Said::new(410, json!({ "reason": "Unregistered" })).after(SLOW);
    cases.answered("410 after a while", ("late", IOS), vec![dead]);
    cases.answered(
        "200 after a while",
        ("late", IOS),
        vec![Said::ok().after(SLOW)],
    );
    let dead = error(404, "UNREGISTERED").after(SLOW);
    cases.answered("404 after a while", ("late", ANDROID), vec![dead]);
    let dead = Said::new(410, json!({})).after(SLOW);
    cases.answered("410 after a while", ("late", WEB), vec![dead]);
}
