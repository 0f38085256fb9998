//! `[push_gateway]`: passing on notifications to Apple, Google and browsers.

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// A push gateway for your own apps: homeservers post notifications to it, and it passes them on to Apple (APNs), Google (FCM) and browsers (Web Push). `playhouse push-gateway` runs it alone, with `[server] data_dir`, `[database]`, `[outbound]`, `[federation] extra_ca` and `[log]` of the same file; `playhouse push-gateway --import sygnal.yaml` writes this section.
    "push_gateway" PushGateway {
        /// `host:port` where homeservers reach it, at `/_matrix/push/v1/notify`. Without it there is no gateway. Port 0 takes any free port.
        listen: Option<String> = None, sample "127.0.0.1:5000";
        /// A PEM file with the certificate chain: turns on TLS. Read again on SIGHUP.
        listen_tls_cert: Option<String> = None, sample "/etc/playhouse/push.crt";
        /// A PEM file with the private key to it.
        listen_tls_key: Option<String> = None, sample "/etc/playhouse/push.key";
        /// `host:port` for `/metrics` of the gateway. Without it `/metrics` on its listener answers callers on this machine only.
        metrics: Option<String> = None, sample "127.0.0.1:9110";
        /// The apps, read again on SIGHUP. Each has `id` (an app ID, with `*` for anything), `kind` (`apns`, `fcm` or `webpush`) and, if it likes, `requests_max` (512: attempts at once), `ttl_s`, `event_id_only` (nothing but the IDs of event and room and the counts leaves this server), `badge_counts` (`false`: no counts are sent), `collapse` (`room`: of a room only the newest is kept for a device that is off).
        /// `apns`: `topic`; `certificate` (a PEM file with certificate and key), or `key_file`, `key_id` and `team_id`; `platform` (`production` or `sandbox`), `push_type` (`alert`, `background`, `voip`, …; without it what fits), `hex_tokens` (`true`: pushkeys are in hexadecimal, not base64), `mutable_content`.
        /// `fcm`: `project_id`, `service_account_file`, `options` (a table that every message begins with).
        /// `webpush`: `vapid_private_key` (a PEM file), `vapid_contact` (an e-mail address), `allowed_endpoints` (hosts, with `*` for anything; empty: all).
        /// `url` replaces the address of Apple or Google, for a relay or for tests.
        apps: Vec<PushApp> = Vec::new();
        /// An HTTP proxy (with CONNECT) for requests to Apple, Google and browsers' services; it may hold `user:password@`. Without it HTTPS_PROXY counts, but not for Web Push.
        proxy: Option<String> = None, sample "http://proxy.example.org:8080";
        /// Notifications are tried for so many seconds unless their app says otherwise (Web Push: 900, VoIP: 30). A call's notification never outlives the call.
        ttl_s: u64 = 86_400;
        /// The same for those of low priority.
        ttl_low_s: u64 = 21_600;
        /// A homeserver's request is answered after so many milliseconds at the latest. Pushkeys that are found to be dead later are told with the next one.
        answer_within_ms: u64 = 5_000;
        /// So many requests of homeservers are answered at once.
        requests_max: u64 = 1_024;
        /// So many notifications may wait.
        waiting_max: u64 = 100_000;
        /// A homeserver's request has at most so many bytes.
        body_bytes_max: u64 = 262_144;
        /// A homeserver's request is for at most so many devices.
        devices_max: u64 = 100;
    }
}

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PushKind {
    /// Apple Push Notification service.
    Apns,
    /// Firebase Cloud Messaging, HTTP v1.
    Fcm,
    /// Web Push (RFC 8030).
    Webpush,
}

/// An app whose notifications are passed on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PushApp {
    /// Its app ID, with `*` for anything and `?` for any character.
    pub id: String,
    /// How its notifications travel.
    pub kind: PushKind,
    /// So many attempts at once.
    #[serde(default = "requests_max")]
    pub requests_max: u64,
    /// Its notifications are tried for so many seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ttl_s: Option<u64>,
    /// Nothing but the IDs of event and room and the counts is passed on.
    #[serde(default, skip_serializing_if = "is_false")]
    pub event_id_only: bool,
    /// Counts are passed on.
    #[serde(default = "yes", skip_serializing_if = "is_true")]
    pub badge_counts: bool,
    /// `room`: of a room only the newest is kept for a device that is off.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub collapse: Option<String>,
    /// The address instead of Apple's or Google's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// APNs: the topic, usually the bundle ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub topic: Option<String>,
    /// APNs: a PEM file with the certificate and its private key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<String>,
    /// APNs: a file with the key by which tokens are signed (`.p8`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_file: Option<String>,
    /// APNs: the key's ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_id: Option<String>,
    /// APNs: the team's ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub team_id: Option<String>,
    /// APNs: `production` or `sandbox`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    /// APNs: the `apns-push-type`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub push_type: Option<String>,
    /// APNs: pushkeys are in hexadecimal.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hex_tokens: bool,
    /// APNs: an extension of the app changes notifications before they are shown.
    #[serde(default, skip_serializing_if = "is_false")]
    pub mutable_content: bool,
    /// FCM: the project's ID.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project_id: Option<String>,
    /// FCM: a JSON file with the service account.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_account_file: Option<String>,
    /// FCM: what every message begins with.
    #[serde(default, skip_serializing_if = "toml::Table::is_empty")]
    pub options: toml::Table,
    /// Web Push: a PEM file with the private key of which browsers know the public half.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vapid_private_key: Option<String>,
    /// Web Push: an e-mail address for those who run the push services.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vapid_contact: Option<String>,
    /// Web Push: hosts that are asked, with `*` for anything. Empty: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allowed_endpoints: Vec<String>,
}

impl PushApp {
    /// An app of which nothing but ID and kind is said.
    pub(crate) fn new(id: &str, kind: PushKind) -> Self {
        Self {
            id: id.to_owned(),
            kind,
            requests_max: requests_max(),
            ttl_s: None,
            event_id_only: false,
            badge_counts: true,
            collapse: None,
            url: None,
            topic: None,
            certificate: None,
            key_file: None,
            key_id: None,
            team_id: None,
            platform: None,
            push_type: None,
            hex_tokens: false,
            mutable_content: false,
            project_id: None,
            service_account_file: None,
            options: toml::Table::new(),
            vapid_private_key: None,
            vapid_contact: None,
            allowed_endpoints: Vec::new(),
        }
    }
}

fn requests_max() -> u64 {
    512
}

fn yes() -> bool {
    true
}

fn is_true(value: &bool) -> bool {
    *value
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl Setting for Vec<PushApp> {
    const FORM: Form = Form::Tables;
}
