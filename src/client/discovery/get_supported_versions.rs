//! `GET /_matrix/client/versions`

use std::sync::Arc;

use ruma::api::client::discovery::get_supported_versions::{Request, Response};

use crate::edge::{App, Failure, Session};

/// All versions whose requests are understood. The oldest are kept for clients that look for nothing newer.
const VERSIONS: &[&str] = &[
    "r0.0.1", "r0.1.0", "r0.2.0", "r0.3.0", "r0.4.0", "r0.5.0", "r0.6.0", "r0.6.1", "v1.1", "v1.2",
    "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8", "v1.9", "v1.10", "v1.11", "v1.12", "v1.13",
    "v1.14", "v1.15", "v1.16", "v1.17", "v1.18", "v1.19",
];

/// Features by which clients of older versions find out what works. Only what is served stands here.
pub(crate) const FEATURES: &[&str] = &[
    "org.matrix.msc3391",
    "org.matrix.msc3814",
    "org.matrix.msc3881",
    "org.matrix.msc3983",
    "org.matrix.msc3882",
    "org.matrix.msc4155",
    "org.matrix.msc4222",
    "org.matrix.msc4306",
    "org.matrix.msc4308",
    "org.matrix.msc4354",
    "org.matrix.msc4380",
    "org.matrix.simplified_msc3575",
];

/// Served unless the operator allows no delay.
const DELAYED_EVENTS: &str = "org.matrix.msc4140";

/// Served always, of use when the operator has set what carries calls.
const CALLS: &str = "org.matrix.msc4143";

/// Served where devices may meet.
const MEETINGS: [&str; 2] = ["org.matrix.msc4108", "io.element.msc4388"];

/// Tells versions and features.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Option<Session>,
    _request: Request,
) -> Result<Response, Failure> {
    let mut response = Response::new(VERSIONS.iter().map(|text| (*text).to_owned()).collect());
    response.unstable_features = FEATURES
        .iter()
        .map(|feature| ((*feature).to_owned(), true))
        .collect();
    if app.config.delayed_events.delay_max_ms > 0 {
        let features = &mut response.unstable_features;
        features.insert(DELAYED_EVENTS.to_owned(), true);
    }
    if !app.config.rtc.transports.is_empty() {
        let features = &mut response.unstable_features;
        features.insert(CALLS.to_owned(), true);
    }
    if app.config.rendezvous.mode != "off" {
        let meetings = MEETINGS.map(|feature| (feature.to_owned(), true));
        response.unstable_features.extend(meetings);
    }
    Ok(response)
}
