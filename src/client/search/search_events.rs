//! `POST /_matrix/client/*/search`

use std::{collections::BTreeSet, fmt::Write as _, sync::Arc};

use bytes::Bytes;
use playhouse_actors::{
    house::{SearchPage, SearchWish},
    room::hits::{Around, Hit, Surroundings},
};
use playhouse_schema::models::message_search::{self, After, FoundEvent, Order};
use ruma::api::error::ErrorCode;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::{
    client::{page::Object, point, query::parameter},
    edge::{App, Arguments, Failure, RawJson, Session},
};

/// The most results of a page, and how many there are when the client does not say.
const LIMITS: (u64, u64) = (100, 10);

/// The most events before and after a result, and how many there are when the client does not say.
const AROUND: (u64, u64) = (20, 5);

/// So many rooms or senders a filter may name.
const NAMES_MAX: usize = 1_000;

#[derive(Deserialize)]
struct Body {
    search_categories: Categories,
}

#[derive(Deserialize)]
struct Categories {
    room_events: Option<Criteria>,
}

#[derive(Deserialize)]
struct Criteria {
    search_term: String,
    keys: Option<Vec<String>>,
    filter: Option<Map<String, Value>>,
    order_by: Option<String>,
    event_context: Option<EventContext>,
    #[serde(default)]
    include_state: bool,
    #[serde(default)]
    groupings: Groupings,
}

#[derive(Deserialize)]
struct EventContext {
    before_limit: Option<u64>,
    after_limit: Option<u64>,
    #[serde(default)]
    include_profile: bool,
}

#[derive(Default, Deserialize)]
struct Groupings {
    #[serde(default)]
    group_by: Vec<Grouping>,
}

#[derive(Deserialize)]
struct Grouping {
    key: Option<String>,
}

/// A page's place among the results, all of them or those of one group.
#[derive(Debug, PartialEq, Eq)]
struct Token {
    order: Order,
    after: After,
    /// `room_id` or `sender`, and which.
    group: Option<(String, String)>,
}

impl Token {
    fn write(order: Order, after: After, group: Option<(&str, &str)>) -> String {
        let order = match order {
            Order::Rank => "rank",
            Order::Recent => "recent",
        };
        let mut token = format!("{order}-{}-{}-{}", after.words, after.at_ms, after.id);
        if let Some((key, name)) = group {
            let _ = write!(token, "-{key}-{name}");
        }
        token
    }

    fn read(token: &str) -> Option<Self> {
        let mut parts = token.splitn(6, '-');
        let order = match parts.next()? {
            "rank" => Order::Rank,
            "recent" => Order::Recent,
            _ => return None,
        };
        let mut number = || parts.next()?.parse().ok();
        let after = After {
            words: number()?,
            at_ms: number()?,
            id: number()?,
        };
        let group = match (parts.next(), parts.next()) {
            (None, None) => None,
            (Some(key @ ("room_id" | "sender")), Some(name)) => Some((key.into(), name.into())),
            _ => return None,
        };
        Some(Self {
            order,
            after,
            group,
        })
    }
}

/// Searches the messages of the caller's rooms.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    arguments: Arguments,
) -> Result<RawJson, Failure> {
    let body: Body = serde_json::from_slice(&arguments.body)?;
    if !app.config.search.enabled {
        return Err(Failure::new(
            ErrorCode::Unknown,
            "searching is switched off on this server",
        ));
    }
    let Some(criteria) = body.search_categories.room_events else {
        let nothing = Bytes::from_static(b"{\"search_categories\":{}}");
        return Ok(RawJson(nothing));
    };
    let token = parameter(arguments.query.as_deref(), "next_batch");
    let token = token.filter(|token| !token.is_empty());
    let token = token
        .map(|token| {
            Token::read(&token)
                .ok_or_else(|| Failure::invalid_param("next_batch is not one of this list"))
        })
        .transpose()?;
    let order = order(&criteria)?;
    let wish = wish(&caller, &criteria, (order, token))?;
    let page = app.house.search(wish).await?;
    Ok(answer(&criteria, order, &page))
}

fn order(criteria: &Criteria) -> Result<Order, Failure> {
    match criteria.order_by.as_deref() {
        None | Some("rank") => Ok(Order::Rank),
        Some("recent") => Ok(Order::Recent),
        Some(_) => Err(Failure::invalid_param(
            "order_by is neither rank nor recent",
        )),
    }
}

fn wish(
    caller: &Session,
    criteria: &Criteria,
    (order, token): (Order, Option<Token>),
) -> Result<SearchWish, Failure> {
    let mut filter = criteria.filter.clone().unwrap_or_default();
    let mut rooms = names(&mut filter, "rooms")?;
    let not_rooms = names(&mut filter, "not_rooms")?.unwrap_or_default();
    let mut senders = names(&mut filter.clone(), "senders")?;
    let limit = match filter.remove("limit") {
        None | Some(Value::Null) => LIMITS.1,
        Some(limit) => limit
            .as_u64()
            .filter(|limit| *limit > 0)
            .ok_or_else(|| Failure::invalid_param("limit must be greater than zero"))?,
    };
    let mut after = After::BEGINNING;
    if let Some(token) = token {
        if token.order != order {
            return Err(Failure::invalid_param("next_batch is one of another order"));
        }
        after = token.after;
        if let Some((key, name)) = token.group {
            let names = if key == "sender" {
                &mut senders
            } else {
                &mut rooms
            };
            let is_wanted = names.as_ref().is_none_or(|names| names.contains(&name));
            *names = Some(BTreeSet::from_iter(is_wanted.then_some(name)));
        }
    }
    Ok(SearchWish {
        user_id: caller.user_id.clone(),
        device_id: caller.device_id.as_ref().map(ToString::to_string),
        term: criteria.search_term.clone(),
        fields: fields(criteria)?,
        rooms,
        not_rooms,
        senders,
        filter: Some(Value::Object(filter).to_string()),
        order,
        after,
        limit: limit.min(LIMITS.0) as usize,
        around: criteria.event_context.as_ref().map(around),
        state: criteria.include_state,
    })
}

/// A list of names out of a filter.
fn names(filter: &mut Map<String, Value>, key: &str) -> Result<Option<BTreeSet<String>>, Failure> {
    let names: Option<BTreeSet<String>> = match filter.remove(key) {
        Some(names) => serde_json::from_value(names)?,
        None => None,
    };
    if names.as_ref().is_some_and(|names| names.len() > NAMES_MAX) {
        return Err(Failure::invalid_param(format!("{key}: too many names")));
    }
    Ok(names)
}

fn fields(criteria: &Criteria) -> Result<Vec<&'static str>, Failure> {
    let keys = criteria.keys.iter().flatten();
    keys.map(|key| match key.as_str() {
        "content.body" => Ok(message_search::BODY),
        "content.name" => Ok(message_search::NAME),
        "content.topic" => Ok(message_search::TOPIC),
        _ => Err(Failure::invalid_param(
            "keys: only content.body, content.name and content.topic are searched",
        )),
    })
    .collect::<Result<BTreeSet<_>, _>>()
    .map(|fields| fields.into_iter().collect())
}

fn around(wanted: &EventContext) -> Around {
    let limit = |limit: Option<u64>| limit.unwrap_or(AROUND.1).min(AROUND.0) as usize;
    Around {
        before: limit(wanted.before_limit),
        after: limit(wanted.after_limit),
        profiles: wanted.include_profile,
    }
}

fn answer(criteria: &Criteria, order: Order, page: &SearchPage) -> RawJson {
    let mut results = Vec::with_capacity(page.found.len());
    for (found, hit) in &page.found {
        results.push(result(order, found, hit).finish().0);
    }
    let highlights = message_search::highlights(&criteria.search_term);
    let mut events = Object::new()
        .raw("count", page.count.to_string().as_bytes())
        .raw("highlights", json!(highlights).to_string().as_bytes())
        .array("results", &results);
    if criteria.include_state {
        let mut state = Object::new();
        for (room_id, events) in &page.state {
            state = state.array(room_id.as_str(), events);
        }
        events = events.raw("state", &state.finish().0);
    }
    if !criteria.groupings.group_by.is_empty() {
        let groups = groups(criteria, order, page).to_string();
        events = events.raw("groups", groups.as_bytes());
    }
    let next = page.next.map(|after| Token::write(order, after, None));
    let events = events.maybe_text("next_batch", next.as_deref()).finish();
    let categories = Object::new().raw("room_events", &events.0).finish();
    Object::new()
        .raw("search_categories", &categories.0)
        .finish()
}

fn result(order: Order, found: &FoundEvent, hit: &Hit) -> Object {
    // The fewer other words there are, the nearer an event is to what was looked for.
    let rank = match order {
        Order::Rank => 1.0 / found.words.max(1) as f64,
        Order::Recent => 1.0,
    };
    let result = Object::new()
        .raw("rank", json!(rank).to_string().as_bytes())
        .raw("result", &hit.event);
    match &hit.around {
        Some(around) => result.raw("context", &context(around).0),
        None => result,
    }
}

fn context(around: &Surroundings) -> RawJson {
    let context = Object::new()
        .array("events_before", &around.before)
        .array("events_after", &around.after)
        .text("start", &point::token(around.start))
        .text("end", &point::token(around.end));
    if around.profiles.is_empty() {
        return context.finish();
    }
    let profiles = around.profiles.iter().map(|(user_id, profile)| {
        let told = json!({
            "displayname": profile.displayname,
            "avatar_url": profile.avatar_url,
        });
        (user_id.to_string(), told)
    });
    let profiles = Value::Object(profiles.collect()).to_string();
    context.raw("profile_info", profiles.as_bytes()).finish()
}

/// The results of a page by room or sender; a group's own `next_batch` leads to more of it.
fn groups(criteria: &Criteria, order: Order, page: &SearchPage) -> Value {
    let keys = criteria.groupings.group_by.iter();
    let mut groups = Map::new();
    for key in keys.filter_map(|grouping| grouping.key.as_deref()) {
        let name_of = |found: &FoundEvent| match key {
            "room_id" => Some(found.room_id.clone()),
            "sender" => Some(found.sender.clone()),
            _ => None,
        };
        let mut of_key = Map::new();
        for (place, (found, hit)) in page.found.iter().enumerate() {
            let Some(name) = name_of(found) else {
                continue;
            };
            let group = of_key.entry(name.clone()).or_insert_with(|| {
                let mut group = json!({"results": [], "order": place});
                if let Some(after) = page.next {
                    group["next_batch"] = Token::write(order, after, Some((key, &name))).into();
                }
                group
            });
            if let Some(results) = group["results"].as_array_mut() {
                results.push(hit.event_id.as_str().into());
            }
        }
        if matches!(key, "room_id" | "sender") {
            groups.insert(key.to_owned(), Value::Object(of_key));
        }
    }
    Value::Object(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_read_as_written() {
        let after = After {
            words: 3,
            at_ms: 5,
            id: 7,
        };
        for (order, group) in [
            (Order::Rank, None),
            (Order::Recent, Some(("room_id", "!a-b:c-d"))),
            (Order::Recent, Some(("sender", "@a-b:c"))),
        ] {
            let read = Token::read(&Token::write(order, after, group)).expect("a token");
            assert_eq!((read.order, read.after), (order, after));
            let read = read.group.as_ref();
            assert_eq!(read.map(|(key, name)| (&**key, &**name)), group);
        }
        for odd in [
            "",
            "rank",
            "rank-1-2",
            "best-1-2-3",
            "rank-1-2-3-room_id",
            "rank-1-2-3-x-y",
        ] {
            assert_eq!(Token::read(odd), None, "{odd}");
        }
    }
}
