//! Changes by administrators: noted before they are made, and again when it is known what became of them. Done here once for all endpoints that are for
//! administrators, so that none can forget it.

use std::{sync::Arc, time::Duration};

use actix_web::{
    HttpResponse,
    body::{BoxBody, MessageBody as _},
};
use bytes::Bytes;
use playhouse_actors::house::HouseError;
use playhouse_schema::{
    address::Sequence,
    record::admin::{ChangeBegun, ChangeEnded, ChangeTarget},
};
use serde_json::{Map, Value, json};

use super::{app::App, failure::Failure, incoming::Incoming, route::percent_decoded};

/// Takes back a change: it is about what that one was about.
const UNDO: &str = "/_playhouse/admin/v1/audit/{id}/undo";

/// Who calls it proves that a secret is known, and is noted when the proof was right.
const BY_SECRET: &str = "/_synapse/admin/v1/register";

/// As whom that is noted.
const SECRET_HOLDER: &str = "registration shared secret";

/// Nodes must be told what to do also while nobody holds the shard with the list of changes.
const CLUSTER: &str = "/_playhouse/admin/v1/cluster/";

/// So long is waited there.
const NOTED_WITHIN: Duration = Duration::from_secs(2);

/// Endpoints of which only the answer tells what the change was about: the kind of it, and the field.
const TOLD_LATER: [(&str, &str, &str); 4] = [
    (
        "/_synapse/admin/v1/registration_tokens/new",
        "registration_token",
        "token",
    ),
    ("/_playhouse/admin/v1/tokens", "admin_token", "id"),
    (
        "/_playhouse/admin/v1/policies/{policy}/apply",
        "policy_run",
        "run",
    ),
    (BY_SECRET, "user", "user_id"),
];

/// Fields whose content nobody needs to see again: what lets somebody in, and what people are told.
const SECRETS: [&str; 17] = [
    "access_token",
    "auth",
    "client_secret",
    "content",
    "key",
    "mac",
    "message",
    "new_password",
    "nonce",
    "password",
    "passphrase",
    "private_key",
    "pushkey",
    "refresh_token",
    "secret",
    "session",
    "token",
];

/// So many bytes of a body are noted.
const BODY_BYTES_MAX: usize = 8 * 1024;

/// So many bytes of a path variable or of the value of a parameter are noted.
const VALUE_BYTES_MAX: usize = 512;

/// So many parameters are noted.
const PARAMETERS_MAX: usize = 20;

/// A change that is being made.
pub(super) struct Change {
    app: Arc<App>,
    begun: ChangeBegun,
    path: String,
    /// Its number; `None` while it is not noted.
    id: Option<Sequence>,
}

impl Change {
    /// Notes that a change is about to be made. What was said: path variables and body. `None` where there is nothing to note.
    pub(super) async fn begin(
        incoming: &Incoming,
        by: Option<&str>,
        (variables, body): (&[String], &[u8]),
    ) -> Result<Option<Self>, Failure> {
        let endpoint = &incoming.endpoint;
        if !endpoint.is_audited() {
            return Ok(None);
        }
        let path = endpoint.name();
        let holder = (path == BY_SECRET).then_some(SECRET_HOLDER);
        let Some(by) = by.or(holder) else {
            return Ok(None);
        };
        let app = &incoming.app;
        let named = named(path, variables);
        let undoes = undone(path, &named);
        let target = match undoes {
            Some(id) => target_of_change(app, id).await?,
            None => target_of(app, &named),
        };
        let before = standing(app, path, target.as_ref()).await?;
        let mut change = Self {
            app: app.clone(),
            begun: ChangeBegun {
                by: by.to_owned(),
                at_ms: app.env().now_ms(),
                action: format!("{} {path}", endpoint.method),
                target,
                request: said(&named, incoming.query(), body),
                before,
                undoes,
            },
            path: path.to_owned(),
            id: None,
        };
        if holder.is_some() {
            return Ok(Some(change));
        }
        if !path.starts_with(CLUSTER) {
            change.note_begun().await?;
            return Ok(Some(change));
        }
        let noted = tokio::time::timeout(NOTED_WITHIN, change.note_begun()).await;
        let is_noted = matches!(noted, Ok(Ok(_)));
        if !is_noted {
            let action = &change.begun.action;
            tracing::error!(
                by,
                action,
                "cannot note a change of the cluster, which is made all the same"
            );
        }
        Ok(Some(change).filter(|_| is_noted))
    }

    async fn note_begun(&mut self) -> Result<Sequence, HouseError> {
        let id = self.app.house.begin_change(self.begun.clone()).await?;
        self.id = Some(id);
        Ok(id)
    }

    async fn note_ended(
        &mut self,
        status: u16,
        target: Option<ChangeTarget>,
    ) -> Result<(), HouseError> {
        let begun = match self.id {
            Some(id) => id,
            None => self.note_begun().await?,
        };
        let about = target.as_ref().or(self.begun.target.as_ref());
        // What became of the change is worth more than how its target stands.
        let after = standing(&self.app, &self.path, about).await;
        let after = after.unwrap_or_else(|error| {
            tracing::warn!(%error, action = self.begun.action, "cannot note how the target of a change stands");
            None
        });
        let ended = ChangeEnded {
            begun,
            at_ms: self.app.env().now_ms(),
            status,
            target,
            after,
            undoes: self.begun.undoes,
        };
        self.app.house.end_change(ended).await
    }

    /// What the answer tells of what the change was about.
    fn told(&self, body: &[u8]) -> Option<ChangeTarget> {
        let (_, kind, field) = TOLD_LATER.iter().find(|(path, ..)| *path == self.path)?;
        let answer: Value = serde_json::from_slice(body).ok()?;
        let name = match answer.get(field)? {
            Value::String(name) => name.clone(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        Some(ChangeTarget {
            kind: (*kind).to_owned(),
            name,
        })
    }
}

/// Notes what became of a change. Gives the answer back as it was.
pub(super) async fn end(
    change: Option<Change>,
    answer: Result<HttpResponse, Failure>,
) -> Result<HttpResponse, Failure> {
    let Some(mut change) = change else {
        return answer;
    };
    let (answer, status, target) = match answer {
        Err(failure) => {
            let status = failure.status();
            (Err(failure), status, None)
        }
        Ok(response) => {
            let status = response.status().as_u16();
            let (response, body) = looked_into(response);
            let target = body.and_then(|body| change.told(&body));
            (Ok(response), status, target)
        }
    };
    if change.id.is_none() && answer.is_err() {
        return answer;
    }
    if let Err(error) = change.note_ended(status, target).await {
        let action = &change.begun.action;
        tracing::error!(%error, action, status, "cannot note what became of a change by an administrator");
    }
    answer
}

/// The response, and its body if that is at hand.
fn looked_into(response: HttpResponse) -> (HttpResponse, Option<Bytes>) {
    let (head, body) = response.into_parts();
    match body.try_into_bytes() {
        Ok(bytes) => (head.set_body(BoxBody::new(bytes.clone())), Some(bytes)),
        Err(body) => (head.set_body(body), None),
    }
}

/// Path variables with their names.
fn named(path: &str, variables: &[String]) -> Vec<(String, String)> {
    let names = path.split('/').filter_map(|part| {
        let name = part.strip_prefix('{')?.strip_suffix('}')?;
        Some(name.trim_start_matches('*').to_owned())
    });
    let values = variables.iter().map(|value| cut(value));
    names.zip(values).collect()
}

fn cut(value: &str) -> String {
    let end = value.floor_char_boundary(VALUE_BYTES_MAX);
    value[..end].to_owned()
}

fn undone(path: &str, named: &[(String, String)]) -> Option<Sequence> {
    let (_, id) = named.first().filter(|_| path == UNDO)?;
    id.parse().ok()
}

async fn target_of_change(app: &App, id: Sequence) -> Result<Option<ChangeTarget>, Failure> {
    match app.house.noted_change(id).await {
        Ok(change) => {
            let later = change.ended.and_then(|ended| ended.target);
            Ok(later.or(change.begun.target))
        }
        // Whoever carries it out says so.
        Err(HouseError::Admin(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a change is about, as far as the path tells.
fn target_of(app: &App, named: &[(String, String)]) -> Option<ChangeTarget> {
    let of = |wanted: &str| {
        let found = named.iter().find(|(name, _)| name == wanted);
        found.map(|(_, value)| value.as_str())
    };
    let target = |kind: &str, name: String| {
        Some(ChangeTarget {
            kind: kind.to_owned(),
            name,
        })
    };
    if let Some(media_id) = of("media_id") {
        let own = app.env().server_name().as_str();
        let server_name = of("server_name").unwrap_or(own);
        return target("media", format!("{server_name}/{media_id}"));
    }
    for (name, kind) in [
        ("token", "registration_token"),
        ("user_id", "user"),
        ("room_id", "room"),
    ] {
        if let Some(value) = of(name) {
            return target(kind, value.to_owned());
        }
    }
    if let Some(room_id) = of("room_id_or_alias").filter(|name| name.starts_with('!')) {
        return target("room", room_id.to_owned());
    }
    let (name, value) = named.first()?;
    target(name, value.clone())
}

/// How the target of a change stands. What nodes are told changes nothing about a room, and must not wait for one.
async fn standing(
    app: &App,
    path: &str,
    target: Option<&ChangeTarget>,
) -> Result<Option<String>, HouseError> {
    let Some(target) = target.filter(|_| !path.starts_with(CLUSTER)) else {
        return Ok(None);
    };
    let fields = app.house.standing_of(target).await?;
    Ok(fields.map(|fields| Value::Object(fields).to_string()))
}

/// What was asked for, without secrets.
fn said(named: &[(String, String)], query: Option<&str>, body: &[u8]) -> String {
    let path: Map<_, _> = named
        .iter()
        .map(|(name, value)| (name.clone(), Value::String(value.clone())))
        .collect();
    let asked = query.unwrap_or_default().split('&');
    let asked = asked.filter(|pair| !pair.is_empty()).take(PARAMETERS_MAX);
    let asked: Map<_, _> = asked
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            // A secret is known by its name, however that is written.
            let [name, value] = [name, value].map(|text| percent_decoded(text).unwrap_or_default());
            (cut(&name), Value::String(cut(&value)))
        })
        .collect();
    let body = match body.len() {
        0 => Value::Null,
        length if length > BODY_BYTES_MAX => Value::String(format!("{length} bytes")),
        _ => serde_json::from_slice(body).unwrap_or_default(),
    };
    let mut said = json!({"path": path, "query": asked, "body": body});
    mask(&mut said);
    said.to_string()
}

/// Takes out what must not be seen. How deep a body is was looked at before.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match SECRETS.contains(&name.to_ascii_lowercase().as_str()) {
                    true if !value.is_null() => *value = Value::String("…".to_owned()),
                    _ => mask(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(mask),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_left_out() {
        let body =
            br#"{"password":"p4ss","list":[{"Token":"p4ss","a":1}],"admin":true,"key":null}"#;
        let variables = vec![("token".to_owned(), "p4ss".to_owned())];
        let query = "access_token=p4ss&before_ts=7&x&access%5Ftoken=p4ss&%54oken=p4ss";
        let said = said(&variables, Some(query), body);
        assert!(!said.contains("p4ss"), "{said}");
        let said: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(said["body"]["admin"], true);
        assert_eq!(said["body"]["key"], Value::Null);
        assert_eq!(said["body"]["list"][0]["a"], 1);
        assert_eq!(said["query"]["before_ts"], "7");
    }

    #[test]
    fn large_bodies_are_not_kept() {
        let body = format!("{{\"a\":\"{}\"}}", "x".repeat(BODY_BYTES_MAX));
        assert!(said(&[], None, body.as_bytes()).len() < 100);
    }

    #[test]
    fn variables_get_the_names_of_the_path() {
        let values = ["@a:b".to_owned(), "x".repeat(1_000)];
        let found = named("/a/{user_id}/b/{*rest}", &values);
        assert_eq!(found[0], ("user_id".to_owned(), "@a:b".to_owned()));
        assert_eq!(found[1].0, "rest");
        assert_eq!(found[1].1.len(), VALUE_BYTES_MAX);
    }
}
