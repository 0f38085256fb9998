//! Filters of room events (client-server API, "Filtering"), compiled once per request.

use std::collections::BTreeSet;

use playhouse_schema::models::relations::Group;
use ruma::{OwnedUserId, RoomId, events::TimelineEventType};
use serde::Deserialize;

use super::super::{
    error::RoomError,
    event::RoomEvent,
    window::{StateWish, Window},
};

/// A `RoomEventFilter` as clients write it.
#[derive(Clone, Debug, Default, Deserialize)]
pub(super) struct EventFilterText {
    limit: Option<u64>,
    types: Option<Vec<String>>,
    not_types: Option<Vec<String>>,
    senders: Option<Vec<String>>,
    not_senders: Option<Vec<String>>,
    rooms: Option<Vec<String>>,
    not_rooms: Option<Vec<String>>,
    contains_url: Option<bool>,
    related_by_senders: Option<Vec<String>>,
    related_by_rel_types: Option<Vec<String>>,
    lazy_load_members: Option<bool>,
    include_redundant_members: Option<bool>,
}

/// A `RoomFilter` as clients write it, without the parts that do not concern the room.
#[derive(Clone, Debug, Default, Deserialize)]
struct RoomFilterText {
    rooms: Option<Vec<String>>,
    not_rooms: Option<Vec<String>>,
    timeline: Option<EventFilterText>,
    state: Option<EventFilterText>,
    ephemeral: Option<EventFilterText>,
}

/// A pattern of event types.
#[derive(Clone, Debug)]
enum TypePattern {
    Exact(TimelineEventType),
    /// With `*` for any characters.
    Glob(String),
}

impl TypePattern {
    fn new(text: String) -> Self {
        if text.contains('*') {
            TypePattern::Glob(text)
        } else {
            TypePattern::Exact(text.into())
        }
    }

    fn matches(&self, event_type: &TimelineEventType) -> bool {
        match self {
            TypePattern::Exact(exact) => exact == event_type,
            TypePattern::Glob(glob) => matches_glob(glob, &event_type.to_string()),
        }
    }
}

/// Whether a text fits a pattern in which `*` stands for any characters.
fn matches_glob(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let Some(mut rest) = parts.next().and_then(|first| text.strip_prefix(first)) else {
        return false;
    };
    let mut parts = parts.peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            return rest.ends_with(part);
        }
        match rest.find(part) {
            Some(at) => rest = &rest[at + part.len()..],
            None => return false,
        }
    }
    rest.is_empty()
}

/// A compiled `RoomEventFilter`.
#[derive(Clone, Debug, Default)]
pub(super) struct EventFilter {
    /// At most so many events, if the filter says.
    pub(super) limit: Option<usize>,
    /// Only the member events that the other events need.
    pub(super) lazy_load_members: bool,
    /// Members that the client has already, too.
    pub(super) include_redundant_members: bool,
    types: Option<Vec<TypePattern>>,
    not_types: Vec<TypePattern>,
    senders: Option<BTreeSet<String>>,
    not_senders: BTreeSet<String>,
    contains_url: Option<bool>,
    related_by_senders: Option<BTreeSet<String>>,
    related_by_rel_types: Option<BTreeSet<String>>,
    /// For sliding sync: the state that is wanted.
    wish: Option<StateWish>,
    /// It excludes the room.
    closed: bool,
}

impl EventFilter {
    /// A filter from its JSON text; everything passes without one.
    pub(super) fn parse(text: Option<&str>, room_id: &RoomId) -> Result<Self, RoomError> {
        let text: Option<EventFilterText> = parse(text)?;
        Ok(Self::compile(text.unwrap_or_default(), room_id))
    }

    fn compile(text: EventFilterText, room_id: &RoomId) -> Self {
        let patterns = |types: Vec<String>| types.into_iter().map(TypePattern::new).collect();
        Self {
            limit: text
                .limit
                .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            lazy_load_members: text.lazy_load_members.unwrap_or_default(),
            include_redundant_members: text.include_redundant_members.unwrap_or_default(),
            types: text.types.map(patterns),
            not_types: text.not_types.map(patterns).unwrap_or_default(),
            senders: text.senders.map(BTreeSet::from_iter),
            not_senders: text
                .not_senders
                .map(BTreeSet::from_iter)
                .unwrap_or_default(),
            contains_url: text.contains_url,
            related_by_senders: text.related_by_senders.map(BTreeSet::from_iter),
            related_by_rel_types: text.related_by_rel_types.map(BTreeSet::from_iter),
            wish: None,
            closed: is_closed(text.rooms.as_deref(), text.not_rooms.as_deref(), room_id),
        }
    }

    /// Whether an event passes.
    pub(super) fn passes(&self, event: &RoomEvent) -> bool {
        self.passes_type(&event.pdu.event_type)
            && self.passes_wish(event)
            && self.passes_sender(event.pdu.sender.as_str())
            && self.contains_url.is_none_or(|wanted| {
                #[derive(Deserialize)]
                struct Content {
                    url: Option<serde::de::IgnoredAny>,
                }
                let content = event.pdu.content_as::<Content>();
                wanted == content.is_some_and(|content| content.url.is_some())
            })
    }

    /// Whether events of a type pass, whoever sends them.
    pub(super) fn passes_type(&self, event_type: &TimelineEventType) -> bool {
        let fits = |pattern: &TypePattern| pattern.matches(event_type);
        !self.closed
            && !self.not_types.iter().any(fits)
            && self
                .types
                .as_ref()
                .is_none_or(|types| types.iter().any(fits))
    }

    /// Whether it depends on what relates to an event.
    pub(super) fn asks_for_relations(&self) -> bool {
        self.related_by_senders.is_some() || self.related_by_rel_types.is_some()
    }

    /// Whether events to which such events relate pass.
    pub(super) fn passes_relation(&self, group: &Group) -> bool {
        let fits = |wanted: &Option<BTreeSet<String>>, found: &str| {
            wanted.as_ref().is_none_or(|wanted| wanted.contains(found))
        };
        fits(&self.related_by_senders, &group.sender)
            && fits(&self.related_by_rel_types, &group.rel_type)
    }

    /// Members that are loaded lazily pass: whoever takes them needs them.
    fn passes_wish(&self, event: &RoomEvent) -> bool {
        let event_type = &event.pdu.event_type;
        self.wish.as_ref().is_none_or(|wish| {
            let state_key = event.pdu.state_key.as_deref().unwrap_or_default();
            (wish.lazy && *event_type == TimelineEventType::RoomMember)
                || wish.wants(&event_type.to_string(), state_key)
        })
    }

    fn passes_sender(&self, sender: &str) -> bool {
        !self.not_senders.contains(sender)
            && self
                .senders
                .as_ref()
                .is_none_or(|senders| senders.contains(sender))
    }
}

/// A compiled `RoomFilter`.
#[derive(Clone, Debug, Default)]
pub(super) struct RoomFilter {
    /// For the timeline.
    pub(super) timeline: EventFilter,
    /// For the state.
    pub(super) state: EventFilter,
    /// For receipts and typing.
    pub(super) ephemeral: EventFilter,
}

impl RoomFilter {
    /// What a window of sliding sync lets through.
    pub(super) fn of_window(window: &Window) -> Self {
        let mut filter = Self::default();
        filter.timeline.limit = Some(window.timeline_limit);
        filter.state.lazy_load_members = window.required_state.lazy;
        filter.state.wish = Some(window.required_state.clone());
        filter
    }

    /// A filter from its JSON text; everything passes without one.
    pub(super) fn parse(text: Option<&str>, room_id: &RoomId) -> Result<Self, RoomError> {
        let Some(text) = parse::<RoomFilterText>(text)? else {
            return Ok(Self::default());
        };
        let closed = is_closed(text.rooms.as_deref(), text.not_rooms.as_deref(), room_id);
        let compile = |text: Option<EventFilterText>| {
            let mut filter = EventFilter::compile(text.unwrap_or_default(), room_id);
            filter.closed |= closed;
            filter
        };
        Ok(Self {
            timeline: compile(text.timeline),
            state: compile(text.state),
            ephemeral: compile(text.ephemeral),
        })
    }
}

fn parse<T: for<'a> Deserialize<'a>>(text: Option<&str>) -> Result<Option<T>, RoomError> {
    text.map(serde_json::from_str)
        .transpose()
        .map_err(|error| RoomError::InvalidParam(format!("filter: {error}")))
}

fn is_closed(rooms: Option<&[String]>, not_rooms: Option<&[String]>, room_id: &RoomId) -> bool {
    let names = |rooms: &[String]| rooms.iter().any(|room| room == room_id.as_str());
    not_rooms.is_some_and(names) || rooms.is_some_and(|rooms| !names(rooms))
}

/// Whether a timeline leaves an event out because its sender is ignored. State is never left out.
pub(super) fn is_ignored(event: &RoomEvent, ignored: &[OwnedUserId]) -> bool {
    !ignored.is_empty() && !event.pdu.is_state() && ignored.contains(&event.pdu.sender)
}

#[cfg(test)]
mod tests {
    use super::matches_glob;

    #[test]
    fn globs() {
        for (pattern, text, fits) in [
            ("m.room.*", "m.room.message", true),
            ("m.room.*", "m.roo", false),
            ("*", "", true),
            ("*", "anything", true),
            ("m.*.message", "m.room.message", true),
            ("m.*.message", "m.room.message.not", false),
            ("*.message", "m.room.message", true),
            ("a*b*c", "aXbYbZc", true),
            ("a*a", "a", false),
            ("a**b", "ab", true),
        ] {
            assert_eq!(matches_glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
