//! Conditions of push rules on the event that an event relates to (MSC3664).
//!
//! ruma keeps such conditions without knowing what they mean. The related events are not among the news: the room is asked for them, once for a page of
//! events, and only by users whose rules look at relations of that kind. What the room does not tell meets no condition.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use futures_util::FutureExt as _;
use ruma::{
    EventId, OwnedEventId,
    push::{
        AnyPushRuleRef, ConditionalPushRule, EventMatchConditionData, FlattenedJson, PushCondition,
        PushConditionRoomCtx, Ruleset,
    },
    serde::Raw,
};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Judge;
use crate::{
    room::{RoomQuery, event::RoomEvent, message::Reader},
    user::news::flatten,
};

const KIND: &str = "im.nheko.msc3664.related_event_match";

/// The kind of relation that a reply counts as.
const REPLY: &str = "m.in_reply_to";

/// The one field in which patterns match words.
const BODY: &str = "content.body";

/// A condition on a related event.
#[derive(Deserialize)]
struct Condition {
    rel_type: String,
    /// Any related event will do when there is none.
    key: Option<String>,
    pattern: Option<String>,
    /// Replies in threads count that only clients without threads show as replies.
    include_fallbacks: Option<bool>,
}

/// A relation, as the event says.
struct Link {
    rel_type: String,
    event_id: OwnedEventId,
    is_fallback: bool,
}

/// A related event.
pub(super) struct Kin<'a> {
    link: Link,
    flat: &'a FlattenedJson,
}

/// Related events that the room has told, as push rules read them.
#[derive(Debug, Default)]
pub(crate) struct Related(BTreeMap<OwnedEventId, FlattenedJson>);

impl Related {
    /// What the room has told.
    pub(crate) fn new(events: &[Arc<RoomEvent>]) -> Self {
        let flat = |event: &Arc<RoomEvent>| (event.pdu.event_id.clone(), flatten(event));
        Self(events.iter().map(flat).collect())
    }

    /// Those to which an event relates.
    pub(super) fn of(&self, event: &RoomEvent) -> Vec<Kin<'_>> {
        if self.0.is_empty() {
            return Vec::new();
        }
        let known = links(event).into_iter().filter_map(|link| {
            let flat = self.0.get(&link.event_id)?;
            Some(Kin { link, flat })
        });
        known.collect()
    }
}

impl Condition {
    /// `None` for a condition of another kind, and for one that says nothing sensible.
    fn read(condition: &PushCondition) -> Option<Self> {
        if condition.kind() != KIND {
            return None;
        }
        let data = condition.data().into_owned();
        serde_json::from_value(Value::Object(data)).ok()
    }

    fn is_met(&self, kin: &Kin<'_>, context: &PushConditionRoomCtx) -> bool {
        let is_counted = !kin.link.is_fallback || self.include_fallbacks == Some(true);
        if kin.link.rel_type != self.rel_type || !is_counted {
            return false;
        }
        match (&self.key, &self.pattern) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(key), Some(pattern)) => matches(kin.flat, (key, pattern), context),
        }
    }
}

/// What the room must be asked before these events are judged; `None` when the user's rules look at nothing to which they relate. Answers `Live`.
pub(crate) fn question<'a>(
    judge: &Judge,
    events: impl Iterator<Item = &'a Arc<RoomEvent>>,
) -> Option<RoomQuery> {
    question_of(judge, &kinds(&judge.rules), events)
}

/// As [`question`], for rules that are known to look at these kinds of relations.
pub(super) fn question_of<'a>(
    judge: &Judge,
    kinds: &BTreeSet<String>,
    events: impl Iterator<Item = &'a Arc<RoomEvent>>,
) -> Option<RoomQuery> {
    if kinds.is_empty() {
        return None;
    }
    let event_ids: BTreeSet<_> = events
        .filter(|event| {
            let sender = &event.pdu.sender;
            *sender != judge.user_id && !judge.ignored.contains(sender)
        })
        .flat_map(|event| links(event))
        .filter(|link| kinds.contains(&link.rel_type))
        .map(|link| link.event_id)
        .collect();
    (!event_ids.is_empty()).then(|| RoomQuery::Related {
        reader: Reader {
            user_id: judge.user_id.clone(),
            device_id: None,
            ignored: Vec::new(),
            forgotten: None,
            sees_all: false,
        },
        event_ids: event_ids.into_iter().collect(),
    })
}

/// Whether a rule fits an event with these related ones. Rules are pure, though ruma's way of asking them is asynchronous.
pub(super) fn applies(
    rule: AnyPushRuleRef<'_>,
    (flat, kin): (&FlattenedJson, &[Kin<'_>]),
    context: &PushConditionRoomCtx,
) -> bool {
    // Without related events ruma's word is right: it takes these conditions for unmet.
    let own = conditional(rule).filter(|rule| !kin.is_empty() && looks_at_related(rule));
    let Some(rule) = own else {
        return rule.applies(flat, context).now_or_never().unwrap_or(false);
    };
    let is_met = |condition: &PushCondition| match Condition::read(condition) {
        Some(condition) => kin.iter().any(|kin| condition.is_met(kin, context)),
        None => condition
            .applies(flat, context)
            .now_or_never()
            .unwrap_or(false),
    };
    rule.enabled && rule.conditions.iter().all(is_met)
}

/// The kinds of relations at which rules look.
pub(super) fn kinds(rules: &Ruleset) -> BTreeSet<String> {
    let rules = rules.iter().filter_map(conditional);
    rules
        .filter(|rule| rule.enabled)
        .flat_map(|rule| rule.conditions.iter().filter_map(Condition::read))
        .map(|condition| condition.rel_type)
        .collect()
}

fn conditional(rule: AnyPushRuleRef<'_>) -> Option<&ConditionalPushRule> {
    match rule {
        AnyPushRuleRef::Override(rule) | AnyPushRuleRef::Underride(rule) => Some(rule),
        _ => None,
    }
}

fn looks_at_related(rule: &ConditionalPushRule) -> bool {
    let mut conditions = rule.conditions.iter();
    conditions.any(|condition| condition.kind() == KIND)
}

/// To what an event relates: a relation proper, a reply, or both.
fn links(event: &RoomEvent) -> Vec<Link> {
    #[derive(Deserialize)]
    struct Content {
        #[serde(rename = "m.relates_to")]
        relates_to: Value,
    }
    if !event.pdu.content_json().contains("m.relates_to") {
        return Vec::new();
    }
    let Some(Content { relates_to }) = event.pdu.content_as::<Content>() else {
        return Vec::new();
    };
    let rel_type = relates_to.get("rel_type").and_then(Value::as_str);
    let relation = rel_type
        .zip(target(&relates_to))
        .map(|(rel_type, event_id)| Link {
            rel_type: rel_type.to_owned(),
            event_id,
            is_fallback: false,
        });
    let falls_back = relates_to.get("is_falling_back").and_then(Value::as_bool);
    let reply = relates_to.get(REPLY).and_then(target).map(|event_id| Link {
        rel_type: REPLY.to_owned(),
        event_id,
        is_fallback: rel_type == Some("m.thread") && falls_back == Some(true),
    });
    relation.into_iter().chain(reply).collect()
}

fn target(relation: &Value) -> Option<OwnedEventId> {
    EventId::parse(relation.get("event_id")?.as_str()?).ok()
}

/// Whether a field of a related event matches, as `event_match` does.
fn matches(
    related: &FlattenedJson,
    (key, pattern): (&str, &str),
    context: &PushConditionRoomCtx,
) -> bool {
    let value = match key {
        "room_id" => Some(context.room_id.as_str()),
        key => related.get_str(key),
    };
    let Some(value) = value else {
        return false;
    };
    // ruma lets nothing match in events of the user's own, and these are what most such rules are about: it sees the value without a sender.
    let (key, alone) = if key == BODY {
        (BODY, json!({ "content": { "body": value } }))
    } else {
        ("value", json!({ "value": value }))
    };
    let Ok(alone) = Raw::new(&alone) else {
        return false;
    };
    let data = EventMatchConditionData::new(key.to_owned(), pattern.to_owned());
    PushCondition::EventMatch(data)
        .applies(&FlattenedJson::from_raw(&alone), context)
        .now_or_never()
        .unwrap_or(false)
}
