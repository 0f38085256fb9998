//! What makes sense of the push gateway.

use std::net::ToSocketAddrs as _;

use super::{
    Config, ConfigError,
    check::{require, require_pair_of},
    push_gateway::{PushApp, PushGateway, PushKind},
};

/// Push types that Apple knows.
const PUSH_TYPES: [&str; 10] = [
    "alert",
    "background",
    "voip",
    "complication",
    "fileprovider",
    "mdm",
    "location",
    "liveactivity",
    "pushtotalk",
    "widgets",
];

/// Providers keep nothing longer than four weeks.
const TTL_S_MAX: u64 = 28 * 24 * 60 * 60;

impl Config {
    pub(super) fn check_push_gateway(&self) -> Result<(), ConfigError> {
        let gateway = &self.push_gateway;
        for (key, address) in [("listen", &gateway.listen), ("metrics", &gateway.metrics)] {
            let Some(address) = address else { continue };
            let mut found = address.to_socket_addrs().into_iter().flatten();
            require(found.next().is_some(), || {
                format!("[push_gateway] {key}: `{address}` is no address to listen on (host:port)")
            })?;
        }
        require_pair_of(
            "[push_gateway] listen",
            &gateway.listen_tls_cert,
            &gateway.listen_tls_key,
        )?;
        let bounds = [
            ("ttl_s", gateway.ttl_s, TTL_S_MAX),
            ("ttl_low_s", gateway.ttl_low_s, TTL_S_MAX),
            ("answer_within_ms", gateway.answer_within_ms, 60_000),
            ("requests_max", gateway.requests_max, 1 << 16),
            ("waiting_max", gateway.waiting_max, 1 << 24),
            ("body_bytes_max", gateway.body_bytes_max, 1 << 22),
            ("devices_max", gateway.devices_max, 1_000),
        ];
        for (key, value, most) in bounds {
            require((1..=most).contains(&value), || {
                format!("[push_gateway] {key}: {value} is not from 1 to {most}")
            })?;
        }
        if let Some(proxy) = &gateway.proxy {
            require(reqwest::Url::parse(proxy).is_ok(), || {
                "[push_gateway] proxy is no URL".to_owned()
            })?;
        }
        for (place, app) in gateway.apps.iter().enumerate() {
            let id = &app.id;
            let twice = gateway.apps[..place].iter().any(|other| other.id == *id);
            require(!twice, || {
                format!("[push_gateway] apps: two are called `{id}`")
            })?;
            if let Some(problem) = problem(gateway, app) {
                return Err(ConfigError::Invalid(format!(
                    "[push_gateway] apps: {id}: {problem}"
                )));
            }
        }
        Ok(())
    }
}

/// What is wrong with an app.
fn problem(gateway: &PushGateway, app: &PushApp) -> Option<String> {
    if app.id.is_empty() || app.id.len() > 64 {
        return Some("id is not 1 to 64 bytes".to_owned());
    }
    if app.requests_max == 0 || app.requests_max > 1 << 16 {
        return Some("requests_max is not from 1 to 65536".to_owned());
    }
    if app.ttl_s.is_some_and(|ttl_s| ttl_s > TTL_S_MAX) {
        return Some(format!("ttl_s is above {TTL_S_MAX}"));
    }
    let collapse = app.collapse.as_deref();
    if collapse.is_some_and(|collapse| collapse != "room") {
        return Some("collapse is not `room`".to_owned());
    }
    if let Some(url) = &app.url
        && reqwest::Url::parse(url).is_err()
    {
        return Some(format!("url: `{url}` is no URL"));
    }
    match app.kind {
        PushKind::Apns => problem_of_apns(app),
        PushKind::Fcm => match (&app.project_id, &app.service_account_file) {
            (Some(_), Some(_)) => None,
            _ => Some("project_id and service_account_file are needed".to_owned()),
        },
        PushKind::Webpush if app.vapid_private_key.is_none() || app.vapid_contact.is_none() => {
            Some("vapid_private_key and vapid_contact are needed".to_owned())
        }
        PushKind::Webpush if gateway.proxy.is_some() && app.allowed_endpoints.is_empty() => Some(
            "allowed_endpoints are needed behind a proxy: it would lead strangers to your own machines"
                .to_owned(),
        ),
        PushKind::Webpush => None,
    }
}

fn problem_of_apns(app: &PushApp) -> Option<String> {
    let has_key = app.key_file.is_some();
    if has_key == app.certificate.is_some() {
        return Some("either certificate or key_file is needed".to_owned());
    }
    let is_whole = app.key_id.is_some() && app.team_id.is_some() && app.topic.is_some();
    if has_key && !is_whole {
        return Some("key_file needs key_id, team_id and topic".to_owned());
    }
    let platform = app.platform.as_deref().unwrap_or("production");
    if !matches!(platform, "production" | "sandbox") {
        return Some("platform is neither production nor sandbox".to_owned());
    }
    let push_type = app.push_type.as_deref().unwrap_or("alert");
    let is_known = PUSH_TYPES.contains(&push_type);
    (!is_known).then(|| format!("push_type: Apple knows no `{push_type}`"))
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    const APNS: &str = "id = 'a', kind = 'apns'";
    const KEY: &str = "key_file = 'k', key_id = 'i', team_id = 't', topic = 'org.example'";

    fn with(app: &str) -> Result<super::Config, String> {
        parse(&format!("[push_gateway]\napps = [{{ {app} }}]\n"), &[])
    }

    #[test]
    fn apps_that_make_sense() {
        for app in [
            format!("{APNS}, {KEY}"),
            format!("{APNS}, certificate = 'c'"),
            format!("{APNS}, {KEY}, push_type = 'voip', platform = 'sandbox'"),
            "id = 'a.*', kind = 'fcm', project_id = 'p', service_account_file = 's'".to_owned(),
            "id = 'a', kind = 'webpush', vapid_private_key = 'k', vapid_contact = 'a@b.c'"
                .to_owned(),
        ] {
            let config = with(&app).unwrap();
            assert_eq!(config.push_gateway.apps.len(), 1);
            assert_eq!(config.push_gateway.apps[0].requests_max, 512);
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        for (app, word) in [
            (APNS.to_owned(), "certificate or key_file"),
            (
                format!("{APNS}, {KEY}, certificate = 'c'"),
                "certificate or key_file",
            ),
            (format!("{APNS}, key_file = 'k'"), "needs key_id"),
            (format!("{APNS}, {KEY}, platform = 'x'"), "platform"),
            (format!("{APNS}, {KEY}, push_type = 'x'"), "`x`"),
            (format!("{APNS}, {KEY}, collapse = 'x'"), "collapse"),
            (format!("{APNS}, {KEY}, toipc = 'x'"), "toipc"),
            ("id = 'a', kind = 'fcm'".to_owned(), "project_id"),
            ("id = 'a', kind = 'webpush'".to_owned(), "vapid_private_key"),
            ("id = 'a', kind = 'pigeon'".to_owned(), "pigeon"),
            ("id = '', kind = 'fcm'".to_owned(), "id is not"),
        ] {
            let error = with(&app).unwrap_err();
            assert!(error.contains(word), "{app}: {error}");
        }
        let error = parse("[push_gateway]\nlisten = 'here'", &[]).unwrap_err();
        assert!(error.contains("[push_gateway] listen"), "{error}");
        let error = parse("[push_gateway]\ndevices_max = 0", &[]).unwrap_err();
        assert!(error.contains("devices_max"), "{error}");
    }
}
