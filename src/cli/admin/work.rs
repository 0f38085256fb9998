//! Doing what a command is for, and telling how far it has come.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::time::sleep;

use super::{
    call::{Call, Doing},
    server::Server,
    table::{Table, entries, fields, harmless_whole, lines, one_line},
};
use crate::cli::{
    output::{Problem, say, warn},
    progress::{Bar, thousands},
};

/// How often is looked how far something has come.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// A node has so long to give its shards away.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// A page of a list has so many entries.
const PAGE: u64 = 200;

/// Something that takes long.
pub(super) struct Work {
    /// Where its beginning tells its ID.
    pub(super) id: &'static str,
    /// Where to ask how it stands.
    pub(super) status: &'static str,
    /// What is counted.
    pub(super) label: &'static str,
    /// Where the list is whose entries are counted; empty for seconds.
    pub(super) count: &'static str,
    /// Where that is listed at the end which could not be done, and what that is.
    pub(super) undone: Option<(&'static str, &'static str)>,
}

impl Work {
    /// Why what has ended is no success; `None` when it is one.
    fn trouble(&self, told: &Value) -> Option<String> {
        if told["status"] == "failed" {
            let error = harmless_whole(told["error"].as_str().unwrap_or("no reason given"));
            return Some(format!("it failed: {error}"));
        }
        let (place, what) = self.undone?;
        let undone = match told.pointer(place)? {
            Value::Array(entries) => entries.len(),
            Value::Object(entries) => entries.len(),
            _ => 0,
        };
        (undone > 0).then(|| format!("{what}: {}", thousands(undone as u64)))
    }
}

/// Does it.
pub(super) async fn perform(server: &Server, doing: Doing, as_json: bool) -> Result<(), Problem> {
    match doing {
        Doing::List(call, table, limit) => list(server, &call, (table, limit), as_json).await,
        Doing::Show(call) => {
            show(&server.ask(&call).await?, as_json);
            Ok(())
        }
        Doing::Do(call, sentence) => {
            let answer = server.ask(&call).await?;
            match as_json {
                true => show(&answer, true),
                false => say(format_args!("{sentence}")),
            }
            Ok(())
        }
        Doing::SetPassword(call, sentence, password) => {
            set_password(server, (&call, sentence.as_str(), password), as_json).await
        }
        Doing::Make(call, sentence, password) => {
            // The request would change an account that is there: its password, and who is an administrator.
            if server.ask_for(&call.looking()).await?.is_some() {
                return Err(Problem::new(
                    "this account is there already (`reset-password` sets a password)",
                ));
            }
            set_password(server, (&call, sentence.as_str(), password), as_json).await
        }
        Doing::Reopen(call, sentence, password) => {
            let answer = server.ask(&call).await?;
            if answer["reopened"] == false {
                return Err(Problem::new(
                    "this account is not closed: nothing has changed, not even its password",
                ));
            }
            tell_set(answer, (sentence.as_str(), password), as_json);
            Ok(())
        }
        Doing::Await(call, work) => wait(server, (&call, work), as_json).await,
        Doing::Drain(node) => drain(server, &node, as_json).await,
        Doing::DeleteMediaOfRoom(room_id) => delete_media(server, &room_id, as_json).await,
    }
}

async fn set_password(
    server: &Server,
    (call, sentence, password): (&Call, &str, Option<String>),
    as_json: bool,
) -> Result<(), Problem> {
    let answer = server.ask(call).await?;
    tell_set(answer, (sentence, password), as_json);
    Ok(())
}

/// Tells what was done, and the password if it was made up.
fn tell_set(mut answer: Value, (sentence, password): (&str, Option<String>), as_json: bool) {
    if !as_json {
        say(format_args!("{sentence}"));
    }
    match (password, as_json) {
        (Some(password), false) => say(format_args!("Password: {password}")),
        (None, false) => {}
        (password, true) => {
            // One that was made up is told nowhere else.
            if let (Some(fields), Some(password)) = (answer.as_object_mut(), password) {
                fields.insert("password".to_owned(), Value::String(password));
            }
            show(&answer, true);
        }
    }
}

fn show(answer: &Value, as_json: bool) {
    if as_json {
        say(format_args!("{}", one_line(answer)));
        return;
    }
    for line in fields(answer) {
        say(format_args!("{line}"));
    }
}

async fn list(
    server: &Server,
    call: &Call,
    (table, limit): (&Table, u64),
    as_json: bool,
) -> Result<(), Problem> {
    let limit = if limit == 0 { u64::MAX } else { limit };
    let mut bar = Bar::new();
    let mut found: Vec<Value> = Vec::new();
    let mut from: Option<String> = None;
    let (mut total, mut has_more);
    loop {
        let left = limit.saturating_sub(found.len() as u64);
        let page = match table.next {
            Some(_) => call.clone().ask("limit", left.min(PAGE)),
            None => call.clone(),
        };
        let answer = server.ask(&page.ask_if("from", from.take())).await?;
        let page = entries(&answer, table.rows);
        let is_empty = page.is_empty();
        found.extend(page);
        total = answer.pointer(table.total).and_then(Value::as_u64);
        has_more = answer["limited"] == true;
        from = table.next.and_then(|next| text(&answer[next]));
        if from.is_none() || is_empty || found.len() as u64 >= limit {
            break;
        }
        bar.tell("entries", found.len() as u64, total.unwrap_or(0));
    }
    bar.end();
    let is_cut = from.is_some() || found.len() as u64 > limit;
    found.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    if has_more {
        warn(format_args!(
            "There are more than the server tells at once."
        ));
    }
    if as_json {
        say(format_args!("{}", one_line(&Value::from(found))));
        return Ok(());
    }
    for line in lines(table.columns, &found) {
        say(format_args!("{line}"));
    }
    if is_cut {
        let of = total.map_or_else(String::new, |total| format!(" of {}", thousands(total)));
        warn(format_args!(
            "{}{of} shown: --limit 0 shows all",
            thousands(found.len() as u64)
        ));
    }
    Ok(())
}

/// What names the next page: a text or a number.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

async fn wait(server: &Server, (call, work): (&Call, &Work), as_json: bool) -> Result<(), Problem> {
    let begun = server.ask(call).await?;
    let id = begun.pointer(work.id).and_then(text);
    let id = id.ok_or_else(|| Problem::new("the server did not say how to ask for its end"))?;
    let status = Call::get(work.status).of(id);
    let began = Instant::now();
    let mut bar = Bar::new();
    loop {
        let told = server.ask(&status).await?;
        let done = match told.pointer(work.count) {
            Some(Value::Array(entries)) => entries.len() as u64,
            _ => began.elapsed().as_secs(),
        };
        bar.tell(work.label, done, 0);
        match told["status"].as_str() {
            Some("complete" | "failed") => {
                bar.end();
                show(&told, as_json);
                return work
                    .trouble(&told)
                    .map_or(Ok(()), |why| Err(Problem::new(why)));
            }
            _ => sleep(LOOK_EVERY).await,
        }
    }
}

async fn drain(server: &Server, node: &str, as_json: bool) -> Result<(), Problem> {
    let order = Call::post("/_playhouse/admin/v1/cluster/nodes/{}/drain").of(node);
    server.ask(&order).await?;
    let began = Instant::now();
    let mut bar = Bar::new();
    let mut all = None;
    loop {
        let status = server
            .ask(&Call::get("/_playhouse/admin/v1/cluster"))
            .await?;
        let nodes = entries(&status, "/nodes");
        let found = nodes.iter().find(|one| one["name"] == node);
        let left = found.and_then(|one| one["shards"].as_u64()).unwrap_or(0);
        let all = *all.get_or_insert(left);
        bar.tell("shards given away", all.saturating_sub(left), all);
        if left == 0 {
            bar.end();
            match as_json {
                true => show(&json!({"node": node, "shards": 0}), true),
                false => say(format_args!("{node} holds no shards.")),
            }
            return Ok(());
        }
        if began.elapsed() >= DRAINED_WITHIN {
            return Err(Problem::new(format!(
                "{node} still holds {left} shards: is there another node with its roles?"
            )));
        }
        sleep(LOOK_EVERY).await;
    }
}

async fn delete_media(server: &Server, room_id: &str, as_json: bool) -> Result<(), Problem> {
    let known = Call::get("/_synapse/admin/v1/room/{}/media").of(room_id);
    let known = entries(&server.ask(&known).await?, "/local");
    let all = known.len() as u64;
    let mut bar = Bar::new();
    let (mut deleted, mut failed) = (0, 0);
    for (done, uri) in known.iter().enumerate() {
        bar.tell("pieces of media", done as u64, all);
        let named = uri.as_str().and_then(|uri| uri.strip_prefix("mxc://"));
        let Some((server_name, media_id)) = named.and_then(|named| named.split_once('/')) else {
            continue;
        };
        let delete = Call::delete("/_synapse/admin/v1/media/{}/{}");
        match server.ask_for(&delete.of(server_name).of(media_id)).await {
            Ok(Some(told)) => deleted += told["total"].as_u64().unwrap_or(0),
            // Events go on to show what was deleted before.
            Ok(None) => {}
            Err(problem) => {
                failed += 1;
                let piece = harmless_whole(media_id);
                warn(format_args!("{piece}: {problem}"));
            }
        }
    }
    bar.tell("pieces of media", all, all);
    bar.end();
    match as_json {
        true => show(&json!({"deleted": deleted, "total": all}), true),
        false => say(format_args!(
            "Deleted: {} of {}",
            thousands(deleted),
            thousands(all)
        )),
    }
    match failed {
        0 => Ok(()),
        failed => Err(Problem::new(format!(
            "{} could not be deleted",
            thousands(failed)
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Work = Work {
        id: "/id",
        status: "/status/{}",
        label: "seconds",
        count: "",
        undone: Some(("/done/failed", "not done")),
    };

    #[test]
    fn what_is_done_in_part_is_no_success() {
        let trouble = |told: Value| WORK.trouble(&told);
        assert_eq!(trouble(json!({"status": "complete"})), None);
        let all = json!({"status": "complete", "done": {"failed": []}});
        assert_eq!(trouble(all), None);
        let some = json!({"status": "complete", "done": {"failed": ["@anna:test", "@bert:test"]}});
        assert_eq!(trouble(some).as_deref(), Some("not done: 2"));
        let some = json!({"status": "complete", "done": {"failed": {"$event": "why"}}});
        assert_eq!(trouble(some).as_deref(), Some("not done: 1"));
        let failed = json!({"status": "failed", "error": "no disk"});
        assert_eq!(trouble(failed).as_deref(), Some("it failed: no disk"));
    }
}
