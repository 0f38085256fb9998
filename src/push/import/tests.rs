//! What becomes of configurations of Sygnal.

use super::*;
use crate::config::Config;

const DOUBTFUL: &str = r#"
http: { port: "5001", x: 1 }
apps:
  both: { type: apns, certfile: c.pem, keyfile: k.p8, key_id: K, team_id: T, topic: org.example }
  open: { type: webpush, vapid_private_key: k, vapid_contact_email: a@b.c, allowed_endpoints: "*.mozilla.com" }
  odd: { type: gcm, api_version: v1, project_id: p, service_account_file: s, fcm_options: [1] }
"#;

#[test]
fn what_is_doubtful_opens_nothing_and_is_named() {
    let imported = import(DOUBTFUL).unwrap();
    let none = Vec::<(String, String)>::new();
    let config = Config::parse(&imported.text, none).unwrap();
    let apps = &config.push_gateway.apps;
    let ids: Vec<&str> = apps.iter().map(|app| app.id.as_str()).collect();
    assert_eq!(ids, ["both", "odd"], "nobody asks more places than before");
    let both = &apps[0];
    assert_eq!(both.certificate.as_deref(), Some("c.pem"));
    assert_eq!((&both.key_file, &both.topic), (&None, &None));
    for word in [
        "port",
        "http: x",
        "keyfile",
        "topic `org.example`",
        "allowed_endpoints",
        "fcm_options",
    ] {
        let mut notes = imported.notes.iter();
        assert!(notes.any(|note| note.contains(word)), "{word}");
    }
    assert_eq!(imported.notes.len(), 6, "{:?}", imported.notes);
}

const WHOLE: &str = r#"
log:
  setup: { version: 1 }
  access: { x_forwarded_for: true }
http:
  bind_addresses: ['::1', '127.0.0.1']
  port: 5001
proxy: 'http://user:secret@prox:8080'
metrics:
  prometheus: { enabled: true, address: '127.0.0.1', port: 8001 }
  opentracing: { enabled: false, implementation: jaeger }
  sentry: { enabled: true, dsn: 'https://k@sentry.example/1' }
apps:
  com.example.ios:
    type: apns
    keyfile: my_key.p8
    key_id: MY_KEY_ID
    team_id: MY_TEAM_ID
    topic: com.example
    platform: sandbox
    push_type: alert
    convert_device_token_to_hex: false
    inflight_request_limit: 7
    send_badge_counts: false
  com.example.ios.prod:
    type: apns
    certfile: cert.pem
    platform: prod
  im.example.*:
    type: gcm
    api_version: v1
    project_id: project
    service_account_file: account.json
    max_connections: 20
    fcm_options:
      apns: { payload: { aps: { content-available: 1, mutable-content: 1, alert: "" } } }
      nothing: null
  im.old:
    type: gcm
    api_key: key
  web:
    type: webpush
    vapid_private_key: private_key.pem
    vapid_contact_email: a@example.org
    allowed_endpoints: ["updates.push.services.mozilla.com", "*.notify.windows.com"]
    ttl: 60
    colour: red
  own:
    type: com.example.OwnPushkin
"#;

#[test]
fn all_of_it_is_ours_or_named() {
    let imported = import(WHOLE).unwrap();
    let none = Vec::<(String, String)>::new();
    let config = Config::parse(&imported.text, none).unwrap();
    let gateway = &config.push_gateway;
    assert_eq!(gateway.listen.as_deref(), Some("[::1]:5001"));
    assert_eq!(gateway.metrics.as_deref(), Some("127.0.0.1:8001"));
    assert_eq!(
        gateway.proxy.as_deref(),
        Some("http://user:secret@prox:8080")
    );
    let app = |id: &str| gateway.apps.iter().find(|app| app.id == id).unwrap();
    assert_eq!(gateway.apps.len(), 4);
    let ios = app("com.example.ios");
    assert_eq!(
        (ios.requests_max, ios.hex_tokens, ios.badge_counts),
        (7, true, false)
    );
    assert_eq!(ios.platform.as_deref(), Some("sandbox"));
    let prod = app("com.example.ios.prod");
    assert_eq!((prod.platform.as_deref(), prod.badge_counts), (None, true));
    let android = app("im.example.*");
    assert_eq!(android.project_id.as_deref(), Some("project"));
    let aps = &android.options["apns"]["payload"]["aps"];
    assert_eq!(aps["mutable-content"].as_integer(), Some(1));
    assert!(!android.options.contains_key("nothing"));
    let web = app("web");
    assert_eq!((web.ttl_s, web.allowed_endpoints.len()), (Some(60), 2));
    for word in [
        "log: setup",
        "x_forwarded_for",
        "127.0.0.1 is left out",
        "prometheus",
        "sentry",
        "max_connections",
        "im.old",
        "colour",
        "OwnPushkin",
    ] {
        let mut notes = imported.notes.iter();
        assert!(
            notes.any(|note| note.contains(word)),
            "{word}: {:?}",
            imported.notes
        );
    }
    assert_eq!(imported.notes.len(), 9, "{:?}", imported.notes);
}

#[test]
fn nonsense_is_refused() {
    for yaml in ["[1]", "a: [", "", "{1: 2}"] {
        let outcome = import(yaml);
        let is_empty = |imported: &Imported| !imported.notes.is_empty();
        assert!(
            outcome.is_err() || outcome.as_ref().is_ok_and(is_empty),
            "{yaml}"
        );
    }
    assert!(import(&"x".repeat(2 << 20)).is_err());
    let imported = import("apps: {}").unwrap();
    assert!(imported.text.contains("127.0.0.1:5000"));
}
