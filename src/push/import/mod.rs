//! Sygnal's configuration as ours, and what has no counterpart.
//!
//! Facts: `sygnal.yaml.sample` and the README of Sygnal 0.17.

#[cfg(test)]
mod tests;

use serde_json::{Map, Value};
use toml::Table;

use crate::config::{PushApp, PushKind};

/// A configuration has at most so many bytes.
const BYTES_MAX: usize = 1 << 20;

/// What an import comes to.
#[derive(Debug)]
pub(crate) struct Imported {
    /// The text of a configuration file.
    pub(crate) text: String,
    /// What the operator must know: of these settings nothing is in it.
    pub(crate) notes: Vec<String>,
}

/// Reads Sygnal's YAML.
pub(crate) fn import(yaml: &str) -> Result<Imported, String> {
    if yaml.len() > BYTES_MAX {
        return Err("it is too large for a configuration".to_owned());
    }
    let whole: Value = serde_norway::from_str(yaml).map_err(|error| error.to_string())?;
    let Value::Object(whole) = whole else {
        return Err("it is no configuration of Sygnal".to_owned());
    };
    let mut import = Import::default();
    import.whole(whole);
    import.finish()
}

#[derive(Default)]
struct Import {
    section: Table,
    apps: Vec<PushApp>,
    notes: Vec<String>,
}

/// The settings of one app that are not read yet.
struct Left {
    id: String,
    fields: Map<String, Value>,
}

impl Left {
    fn text(&mut self, field: &str) -> Option<String> {
        match self.fields.remove(field)? {
            Value::String(text) => Some(text),
            Value::Number(number) => Some(number.to_string()),
            other => {
                // Told among what is left.
                self.fields.insert(field.to_owned(), other);
                None
            }
        }
    }

    fn number(&mut self, field: &str) -> Option<u64> {
        let number = self.fields.get(field)?.as_u64()?;
        self.fields.remove(field);
        Some(number)
    }

    fn switch(&mut self, field: &str) -> Option<bool> {
        let switch = self.fields.get(field)?.as_bool()?;
        self.fields.remove(field);
        Some(switch)
    }
}

impl Import {
    fn note(&mut self, words: impl Into<String>) {
        self.notes.push(words.into());
    }

    fn whole(&mut self, whole: Map<String, Value>) {
        for (key, value) in whole {
            match (key.as_str(), value) {
                ("http", Value::Object(http)) => self.http(&http),
                ("proxy", Value::String(proxy)) => {
                    self.section.insert("proxy".to_owned(), proxy.into());
                }
                ("metrics", Value::Object(metrics)) => self.metrics(&metrics),
                ("log", Value::Object(log)) => self.log(&log),
                ("apps", Value::Object(apps)) => {
                    for (id, fields) in apps {
                        self.app(id, fields);
                    }
                }
                ("db" | "database", _) => {
                    self.note(format!("{key}: Sygnal itself does not read it any more"));
                }
                (_, Value::Null) => {}
                _ => self.note(format!("{key}: not known")),
            }
        }
    }

    fn http(&mut self, http: &Map<String, Value>) {
        let port = http.get("port").and_then(Value::as_u64).unwrap_or(5_000);
        let addresses = http.get("bind_addresses").and_then(Value::as_array);
        let is_read = |key: &str, value: &Value| match key {
            "port" => value
                .as_u64()
                .is_some_and(|port| port <= u64::from(u16::MAX)),
            "bind_addresses" => addresses.is_some_and(|all| all.iter().all(Value::is_string)),
            _ => false,
        };
        for (key, value) in http {
            if !value.is_null() && !is_read(key, value) {
                self.note(format!("http: {key} is not understood"));
            }
        }
        let addresses = addresses.into_iter().flatten().filter_map(Value::as_str);
        let addresses: Vec<&str> = addresses.collect();
        let first = addresses.first().copied().unwrap_or("127.0.0.1");
        self.section
            .insert("listen".to_owned(), joined(first, port).into());
        for other in addresses.iter().skip(1) {
            self.note(format!(
                "http: bind_addresses: {other} is left out: the gateway has one listener (`[::]` takes IPv4 too)"
            ));
        }
    }

    fn metrics(&mut self, metrics: &Map<String, Value>) {
        for (kind, settings) in metrics {
            let is_on = settings.get("enabled") == Some(&Value::Bool(true));
            match kind.as_str() {
                _ if !is_on => {}
                "prometheus" => {
                    let address = settings.get("address").and_then(Value::as_str);
                    let port = settings.get("port").and_then(Value::as_u64);
                    let address = joined(address.unwrap_or("127.0.0.1"), port.unwrap_or(8_000));
                    self.section.insert("metrics".to_owned(), address.into());
                    self.note(
                        "metrics: prometheus: the figures have other names: see ops/docs/push.md",
                    );
                }
                _ => self.note(format!("metrics: {kind} has no counterpart")),
            }
        }
    }

    fn log(&mut self, log: &Map<String, Value>) {
        if log
            .get("setup")
            .and_then(Value::as_object)
            .is_some_and(|setup| !setup.is_empty())
        {
            self.note("log: setup has no counterpart: see [log] level and format");
        }
        let access = log.get("access");
        let believes = access.and_then(|access| access.get("x_forwarded_for"));
        if believes == Some(&Value::Bool(true)) {
            self.note("log: access: x_forwarded_for has no counterpart: addresses of homeservers are not logged");
        }
    }

    fn app(&mut self, id: String, fields: Value) {
        let Value::Object(fields) = fields else {
            self.note(format!("apps: {id} is empty"));
            return;
        };
        let mut left = Left { id, fields };
        let kind = left.text("type").unwrap_or_default();
        let app = match kind.as_str() {
            "apns" => Some(self.apns(&mut left)),
            "gcm" => self.gcm(&mut left),
            "webpush" => self.webpush(&mut left),
            _ => {
                let id = &left.id;
                self.note(format!(
                    "apps: {id}: type `{kind}` has no counterpart, the app is left out"
                ));
                None
            }
        };
        let Some(mut app) = app else {
            return;
        };
        if let Some(most) = left.number("inflight_request_limit") {
            app.requests_max = most;
        }
        if let Some(badge_counts) = left.switch("send_badge_counts") {
            app.badge_counts = badge_counts;
        }
        if left.fields.remove("max_connections").is_some() {
            let id = &left.id;
            self.note(format!(
                "apps: {id}: max_connections has no counterpart: one connection carries many requests, see requests_max"
            ));
        }
        for (field, value) in &left.fields {
            if !value.is_null() {
                self.notes
                    .push(format!("apps: {}: {field}: not known", left.id));
            }
        }
        self.apps.push(app);
    }

    fn gcm(&mut self, left: &mut Left) -> Option<PushApp> {
        let version = left.text("api_version").unwrap_or_default();
        let id = left.id.clone();
        if version != "v1" {
            self.note(format!(
                "apps: {id}: Google has shut down the legacy API, the app is left out: it needs api_version v1, project_id and service_account_file"
            ));
            return None;
        }
        if left.fields.remove("api_key").is_some() {
            self.note(format!("apps: {id}: api_key belongs to the legacy API"));
        }
        let options = left.fields.remove("fcm_options").unwrap_or_default();
        let options = match to_toml(&options) {
            Some(toml::Value::Table(options)) => options,
            None => Table::new(),
            Some(_) => {
                self.note(format!("apps: {id}: fcm_options is no table and left out"));
                Table::new()
            }
        };
        Some(PushApp {
            project_id: left.text("project_id"),
            service_account_file: left.text("service_account_file"),
            options,
            ..PushApp::new(&id, PushKind::Fcm)
        })
    }

    fn apns(&mut self, left: &mut Left) -> PushApp {
        let mut app = apns(left);
        let id = &left.id;
        if app.certificate.is_some() && app.key_file.is_some() {
            self.note(format!(
                "apps: {id}: keyfile is left out: Sygnal takes the certificate where there are both"
            ));
            (app.key_file, app.key_id, app.team_id) = (None, None, None);
        }
        // Were another app's topic believed now, all pushkeys would be dead to Apple.
        if app.certificate.is_some()
            && let Some(topic) = app.topic.take()
        {
            self.note(format!(
                "apps: {id}: topic `{topic}` is left out: with a certificate Sygnal asks for the one that the certificate names, and so does this gateway"
            ));
        }
        app
    }

    /// `None` where an app would ask more places than Sygnal asked for it.
    fn webpush(&mut self, left: &mut Left) -> Option<PushApp> {
        let endpoints = left.fields.remove("allowed_endpoints").unwrap_or_default();
        let hosts: Option<Vec<String>> = match &endpoints {
            Value::Null => Some(Vec::new()),
            Value::Array(hosts) => {
                let hosts = hosts.iter().map(|host| host.as_str().map(str::to_owned));
                hosts.collect()
            }
            _ => None,
        };
        let Some(hosts) = hosts else {
            let id = &left.id;
            self.note(format!(
                "apps: {id}: allowed_endpoints is no list of hosts, the app is left out"
            ));
            return None;
        };
        Some(PushApp {
            allowed_endpoints: hosts,
            ..webpush(left)
        })
    }

    fn note_open_endpoints(&mut self) {
        if !self.section.contains_key("proxy") {
            return;
        }
        for app in &self.apps {
            if app.kind == PushKind::Webpush && app.allowed_endpoints.is_empty() {
                let id = &app.id;
                self.notes.push(format!(
                    "apps: {id}: allowed_endpoints are needed behind a proxy"
                ));
            }
        }
    }

    fn finish(mut self) -> Result<Imported, String> {
        self.note_open_endpoints();
        self.apps.sort_by(|one, other| one.id.cmp(&other.id));
        let apps = self.apps.iter().map(toml::Value::try_from);
        let apps = apps.collect::<Result<Vec<_>, _>>();
        let apps = apps.map_err(|error| error.to_string())?;
        if apps.is_empty() {
            self.note("there is no app in it");
        }
        self.section
            .entry("listen")
            .or_insert_with(|| "127.0.0.1:5000".into());
        self.section.insert("apps".to_owned(), apps.into());
        let mut whole = Table::new();
        whole.insert("push_gateway".to_owned(), self.section.into());
        let text = toml::to_string_pretty(&whole).map_err(|error| error.to_string())?;
        Ok(Imported {
            text: format!(
                "# Made of Sygnal's configuration. Relative paths start where the gateway is started, as Sygnal's did.\n\n{text}"
            ),
            notes: self.notes,
        })
    }
}

fn apns(left: &mut Left) -> PushApp {
    let platform = left.text("platform");
    let platform = platform.filter(|platform| platform != "prod" && platform != "production");
    PushApp {
        certificate: left.text("certfile"),
        key_file: left.text("keyfile"),
        key_id: left.text("key_id"),
        team_id: left.text("team_id"),
        topic: left.text("topic"),
        platform,
        push_type: left.text("push_type"),
        hex_tokens: left.switch("convert_device_token_to_hex") == Some(false),
        ..PushApp::new(&left.id, PushKind::Apns)
    }
}

fn webpush(left: &mut Left) -> PushApp {
    PushApp {
        vapid_private_key: left.text("vapid_private_key"),
        vapid_contact: left.text("vapid_contact_email"),
        ttl_s: left.number("ttl"),
        ..PushApp::new(&left.id, PushKind::Webpush)
    }
}

fn joined(address: &str, port: u64) -> String {
    if address.contains(':') && !address.starts_with('[') {
        format!("[{address}]:{port}")
    } else {
        format!("{address}:{port}")
    }
}

/// TOML has no null: what is null is left out.
fn to_toml(value: &Value) -> Option<toml::Value> {
    match value {
        Value::Null => None,
        Value::Bool(switch) => Some((*switch).into()),
        Value::Number(number) => match number.as_i64() {
            Some(number) => Some(number.into()),
            None => number.as_f64().map(Into::into),
        },
        Value::String(text) => Some(text.clone().into()),
        Value::Array(items) => {
            let items: Vec<toml::Value> = items.iter().filter_map(to_toml).collect();
            Some(items.into())
        }
        Value::Object(fields) => {
            let fields = fields.iter();
            let fields: Table = fields
                .filter_map(|(key, value)| Some((key.clone(), to_toml(value)?)))
                .collect();
            Some(fields.into())
        }
    }
}
