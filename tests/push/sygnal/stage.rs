//! What both gateways stand on: the same providers, the same keys, the same configuration, once as Sygnal reads it and once imported.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex},
};

use serde_json::{Value, json};

use super::super::{
    browser::Browser,
    gateway::{TestGateway, program, write_ec_key},
    provider::{Provider, Said, Seen},
};
use super::outcome::key_of;
use crate::harness::web::{Body, Reply, Web};

/// What a provider says of a device, in order; 200 when there is nothing left.
type Answers = Arc<Mutex<BTreeMap<String, VecDeque<Said>>>>;

/// Providers and their keys.
pub(super) struct Stage {
    /// Apple, Google, and a push service of browsers.
    pub(super) provider: Provider,
    /// Apple's sandbox, which lets only those in who have a certificate.
    pub(super) sandbox: Provider,
    /// A place that is nobody's business.
    pub(super) inside: Web,
    /// Whoever reads what push services get.
    pub(super) browser: Browser,
    answers: Answers,
}

impl Stage {
    pub(super) async fn set() -> Self {
        let answers = Answers::default();
        let provider = Provider::start().await;
        let sandbox = Provider::start_for_certified().await;
        for one in [&provider, &sandbox] {
            let answers = answers.clone();
            one.will_judge(move |seen| answer(&answers, seen));
        }
        provider.vouch_for(&sandbox);
        write_ec_key(&provider.path("key.p8"));
        write_ec_key(&provider.path("vapid.pem"));
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).expect("a key");
        let account = json!({
            "type": "service_account", "client_email": "push@example.org", "private_key_id": "k1",
            "private_key": key.serialize_pem(), "token_uri": format!("{}/token", provider.url()),
        });
        let path = provider.path("account.json");
        std::fs::write(path, account.to_string()).expect("a file");
        let inside = Web::start("127.0.0.2", |_| {
            Reply::new("application/json", Body::Bytes(b"{}".to_vec()))
        });
        Self {
            provider,
            sandbox,
            inside: inside.await,
            browser: Browser::new(),
            answers,
        }
    }

    /// From now on these are said of devices.
    pub(super) fn will_say(&self, said: impl Iterator<Item = (String, Vec<Said>)>) {
        let said = said.map(|(key, answers)| (key, VecDeque::from(answers)));
        *self.answers.lock().expect("nobody panicked") = said.collect();
    }

    /// All apps, as Sygnal's configuration has them.
    pub(super) fn apps(&self) -> Value {
        let path = |name: &str| self.provider.path(name).display().to_string();
        let apns = |more: Value| {
            let usual = json!({
                "type": "apns", "keyfile": path("key.p8"), "key_id": "KEY", "team_id": "TEAM", "topic": "org.example.app",
            });
            merged(usual, &more)
        };
        let fcm = |more: Value| {
            let usual = json!({
                "type": "gcm", "api_version": "v1", "project_id": "project", "service_account_file": path("account.json"),
            });
            merged(usual, &more)
        };
        let web = |more: Value| {
            let usual = json!({
                "type": "webpush", "vapid_private_key": path("vapid.pem"), "vapid_contact_email": "admin@example.org",
            });
            merged(usual, &more)
        };
        let certificate = self.sandbox.path("client.pem").display().to_string();
        json!({
            "org.example.ios": apns(json!({})),
            "org.example.ios.alert": apns(json!({ "push_type": "alert" })),
            "org.example.ios.hex": apns(json!({ "push_type": "alert", "convert_device_token_to_hex": false })),
            "org.example.ios.voip": apns(json!({ "push_type": "voip" })),
            "org.example.ios.background": apns(json!({ "push_type": "background", "send_badge_counts": false })),
            "org.example.ios.certified": { "type": "apns", "certfile": certificate, "platform": "sandbox", "push_type": "alert" },
            "org.example.android": fcm(json!({})),
            "org.example.android.options": fcm(json!({
                "fcm_options": { "android": { "direct_boot_ok": true }, "apns": { "payload": { "aps": { "mutable-content": 1 } } } },
            })),
            "org.example.android.quiet": fcm(json!({ "send_badge_counts": false })),
            "org.example.web": web(json!({})),
            "org.example.web.few": web(json!({ "allowed_endpoints": ["127.0.0.*"] })),
            "org.example.web.bare": web(json!({ "allowed_endpoints": ["127.0.0.1"] })),
            "org.example.web.elsewhere": web(json!({ "allowed_endpoints": ["push.example.org"] })),
            "org.example.web.soon": web(json!({ "ttl": 5 })),
            "org.glob.*": apns(json!({ "push_type": "alert" })),
            "org.glob.beta.*": apns(json!({ "push_type": "alert" })),
            "org.glob.beta.exact": apns(json!({ "push_type": "background" })),
            "org.question.?": apns(json!({ "push_type": "alert" })),
        })
    }

    /// Our gateway with the same apps, imported from Sygnal's configuration. Addresses are all that is added.
    pub(super) fn gateway(&self, more: &str) -> TestGateway {
        let folder = tempfile::tempdir().expect("a folder");
        let sygnal = json!({ "apps": self.apps() });
        std::fs::write(folder.path().join("sygnal.yaml"), sygnal.to_string()).expect("a file");
        let import = program(folder.path())
            .args(["push-gateway", "--import", "sygnal.yaml"])
            .output();
        let import = import.expect("the program runs");
        assert!(import.status.success(), "{import:?}");
        let text = String::from_utf8(import.stdout).expect("text");
        let whole: toml::Table = toml::from_str(&text).expect("a configuration");
        let apps = whole["push_gateway"]["apps"].as_array();
        let apps = apps.expect("apps").iter().map(|app| {
            let mut app = app.as_table().expect("an app").clone();
            let is_sandbox = app.get("platform").and_then(toml::Value::as_str) == Some("sandbox");
            let at = if is_sandbox {
                &self.sandbox
            } else {
                &self.provider
            };
            if app["kind"].as_str() != Some("webpush") {
                app.insert("url".to_owned(), at.url().into());
            }
            toml::Value::Table(app).to_string()
        });
        let apps: Vec<String> = apps.collect();
        TestGateway::start(&self.provider, &apps, more)
    }
}

fn merged(mut usual: Value, more: &Value) -> Value {
    for (key, value) in more.as_object().into_iter().flatten() {
        usual[key] = value.clone();
    }
    usual
}

fn answer(answers: &Answers, seen: &Seen) -> Said {
    if seen.path == "/token" {
        let token = json!({ "access_token": "t1", "expires_in": 3_600, "token_type": "Bearer" });
        return Said::new(200, token);
    }
    let mut answers = answers.lock().expect("nobody panicked");
    let said = answers.get_mut(&key_of(seen));
    said.and_then(VecDeque::pop_front).unwrap_or_else(Said::ok)
}
