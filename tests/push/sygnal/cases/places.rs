//! Whom notifications are for: apps, devices, and the places that browsers name.

use reqwest::Method;
use serde_json::{Value, json};

use super::{Cases, NOTIFY, Said, data, without};

pub(super) fn add(cases: &mut Cases<'_>) {
    apps(cases);
    pushkeys(cases);
    several(cases);
    subscriptions(cases);
    endpoints(cases);
    paths(cases);
}

fn apps(cases: &mut Cases<'_>) {
    for app_id in [
        "org.glob.app",
        "org.glob.",
        "org.glob",
        "ORG.GLOB.APP",
        "org.glob.beta.exact",
        "org.glob.beta.other",
        "org.question.a",
        "org.question.é",
        "org.question.ab",
        "org.question.",
        "com.example.unknown",
        "org.example.iosx",
        "org-example-ios",
    ] {
        let about = match app_id {
            "org.glob.beta.exact" => "background",
            _ => "plain",
        };
        cases.changed("a text", (about, app_id), |_| {});
    }
    cases.changed("an empty app ID", ("bounds", "org.example.ios"), |told| {
        told["devices"][0]["app_id"] = json!("");
    });
    cases.changed(
        "an app ID of 2,000 bytes",
        ("bounds", "org.example.ios"),
        |told| {
            told["devices"][0]["app_id"] = json!("x".repeat(2_000));
        },
    );
}

fn pushkeys(cases: &mut Cases<'_>) {
    let ios = ("pushkey", "org.example.ios");
    let mut edited = |name: &str, edit: fn(String) -> String| {
        cases.changed(name, ios, |told| {
            let pushkey = told["devices"][0]["pushkey"].as_str().unwrap_or("");
            told["devices"][0]["pushkey"] = json!(edit(pushkey.to_owned()));
        });
    };
    edited("a pushkey without padding", |key| {
        key.trim_end_matches('=').to_owned()
    });
    edited("a pushkey with a stroke in it", |key| format!("!{key}"));
    edited("a pushkey in the other alphabet", |key| {
        format!("-_-_{key}")
    });
    edited("a pushkey that is no base64", |_| "§".to_owned());
    let hex = ("pushkey", "org.example.ios.hex");
    let case = cases.changed("a pushkey that is not hexadecimal", hex, |told| {
        told["devices"][0]["pushkey"] = json!("ghij");
    });
    case.devices = vec![("ghij".to_owned(), Vec::new())];
    cases.each("a pushkey of 2,000 bytes", "bounds", |told| {
        let pushkey = told["devices"][0]["pushkey"]
            .as_str()
            .unwrap_or("")
            .to_owned();
        told["devices"][0]["pushkey"] = json!(format!("{pushkey}{}", "A".repeat(2_000)));
    });
    cases.changed(
        "an empty pushkey",
        ("bounds", "org.example.android"),
        |told| {
            told["devices"][0]["pushkey"] = json!("");
        },
    );
}

/// A message for several devices of apps; the name of each has its number at the end.
fn message_for(cases: &Cases<'_>, apps: &[&str]) -> (Value, Vec<String>) {
    let keys: Vec<String> = (0..apps.len())
        .map(|number| format!("{}d{number}", cases.key()))
        .collect();
    let devices = apps.iter().zip(&keys);
    let devices: Vec<Value> = devices
        .map(|(app_id, key)| cases.device(app_id, key))
        .collect();
    let mut told = cases.message("org.example.ios");
    told["devices"] = json!(devices);
    (told, keys)
}

fn several(cases: &mut Cases<'_>) {
    const IOS: &str = "org.example.ios";
    const ANDROID: &str = "org.example.android";
    const WEB: &str = "org.example.web";
    let gone = || Said::new(410, json!({ "reason": "Unregistered" }));
    let too_large = || Said::new(413, json!({ "reason": "PayloadTooLarge" }));
    let odd = || Said::new(403, json!({ "reason": "Forbidden" }));
    for (name, about, apps, said) in [
        (
            "a device of each kind",
            "plain",
            vec![IOS, ANDROID, WEB],
            None,
        ),
        ("three devices", "plain", vec![IOS, IOS, IOS], None),
        (
            "a device of no app",
            "plain",
            vec![IOS, "com.example", WEB],
            None,
        ),
        (
            "the first is gone",
            "plain",
            vec![IOS, ANDROID],
            Some(gone()),
        ),
        (
            "the first never gets it",
            "several",
            vec![IOS, ANDROID, WEB],
            Some(too_large()),
        ),
        (
            "the first gets it later",
            "several",
            vec![IOS, ANDROID],
            Some(odd()),
        ),
    ] {
        let (told, keys) = message_for(cases, &apps);
        let case = cases.notify(name, about, &told);
        case.devices = keys.into_iter().map(|key| (key, Vec::new())).collect();
        case.devices[0].1.extend(said);
    }
    let (mut told, _) = message_for(cases, &[IOS]);
    told["devices"] = json!(
        vec!["com.example"; 101]
            .iter()
            .map(|app| cases.device(app, "x"))
            .collect::<Vec<_>>()
    );
    cases.notify("101 devices of no app", "bounds", &told);
    cases.changed(
        "a device that stands there twice",
        ("repeat", IOS),
        |told| {
            told["devices"] = json!([told["devices"][0], told["devices"][0]]);
        },
    );
    for app_id in [IOS, ANDROID, WEB] {
        let case = cases.changed("the same again", ("repeat", app_id), |_| {});
        case.times = 2;
    }
}

fn subscriptions(cases: &mut Cases<'_>) {
    let web = |about| (about, "org.example.web");
    cases.changed("no endpoint", web("plain"), |told| {
        without(data(told), "endpoint");
    });
    cases.changed("no secret", web("plain"), |told| {
        without(data(told), "auth");
    });
    cases.changed("a secret that is a number", web("plain"), |told| {
        data(told)["auth"] = json!(3);
    });
    cases.changed("empty data", web("plain"), |told| *data(told) = json!({}));
    cases.changed("no data", web("plain"), |told| {
        without(&mut told["devices"][0], "data");
    });
    cases.changed("a short secret", web("subscription"), |told| {
        data(told)["auth"] = json!("xxxx");
    });
    for (name, key) in [
        ("nonsense", "nonsense"),
        ("a short key", "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV"),
    ] {
        cases.changed(name, web("subscription"), |told| {
            told["devices"][0]["pushkey"] = json!(key);
        });
    }
    for wish in ["events_only", "only_last_per_room"] {
        cases.changed(wish, web("plain"), |told| data(told)[wish] = json!(true));
        cases.changed(&format!("{wish} and no event"), web("wish"), |told| {
            without(told, "event_id");
            without(told, "type");
            data(told)[wish] = json!(true);
        });
        cases.changed(&format!("{wish} and low priority"), web("plain"), |told| {
            data(told)[wish] = json!(true);
            told["prio"] = json!("low");
        });
        cases.changed(&format!("{wish} that is no switch"), web("plain"), |told| {
            data(told)[wish] = json!("true");
        });
    }
}

fn endpoints(cases: &mut Cases<'_>) {
    for (about, app_id) in [
        ("plain", "org.example.web.few"),
        ("port", "org.example.web.bare"),
        ("plain", "org.example.web.elsewhere"),
        ("plain", "org.example.web.soon"),
    ] {
        cases.changed("a text", (about, app_id), |_| {});
    }
    for (name, endpoint) in [
        ("an endpoint that is no URL", "nowhere"),
        ("an endpoint of another protocol", "ftp://127.0.0.1/push"),
    ] {
        cases.changed(name, ("subscription", "org.example.web"), |told| {
            data(told)["endpoint"] = json!(endpoint);
        });
    }
    cases.changed(
        "a very long endpoint",
        ("subscription", "org.example.web"),
        |told| {
            let endpoint = data(told)["endpoint"].as_str().unwrap_or("").to_owned();
            data(told)["endpoint"] = json!(format!("{endpoint}?{}", "x".repeat(3_000)));
        },
    );
    cases.changed(
        "a push service that is down",
        ("unreachable", "org.example.web.soon"),
        |told| {
            data(told)["endpoint"] = json!("https://127.0.0.1:1/push");
        },
    );
    let inside = format!("{}/push/{}", cases.stage.inside.base(), cases.key());
    cases.changed("a place inside", ("inside", "org.example.web"), |told| {
        data(told)["endpoint"] = json!(inside);
    });
}

/// Paths and methods.
fn paths(cases: &mut Cases<'_>) {
    for (about, method, path) in [
        ("http", Method::GET, NOTIFY),
        ("http", Method::PUT, NOTIFY),
        ("http", Method::DELETE, NOTIFY),
        ("http", Method::POST, "/_matrix/push/v1/notify/"),
        ("http", Method::POST, "/_matrix/push/v2/notify"),
        ("http", Method::POST, "/"),
        ("http", Method::GET, "/health"),
        ("http", Method::HEAD, "/health"),
        ("http", Method::POST, "/health"),
        ("http", Method::GET, "/metrics"),
    ] {
        let name = format!("{method} {path}");
        let case = cases.changed("a text", (about, "org.example.ios"), |_| {});
        case.name = name;
        if method != Method::POST {
            case.body.clear();
        }
        (case.method, case.path) = (method, path);
    }
}
