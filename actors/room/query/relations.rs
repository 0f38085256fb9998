//! Events that relate to an event (client-server API, `GET /rooms/{roomId}/relations/{eventId}`).

use std::collections::{BTreeSet, VecDeque};

use playhouse_schema::{
    address::Sequence,
    models::relations::{Child, PARENTS_MAX, Wanted},
};

use super::{
    super::{
        error::RoomError,
        message::{MessagesPage, Place, Reader, RelationsQuery},
    },
    View,
    bundles::visible_child,
    event::find_visible,
    history::History,
    kin::Kin,
    visibility::Standing,
};

/// The most events of one page.
const LIMIT_MAX: usize = 100;

/// So many children are looked at for one page.
const EXAMINED_MAX: usize = 1_000;

/// So many children one question to the model brings.
const PAGE_CHILDREN: usize = 128;

/// So many steps from the event are looked at.
const DEPTH_MAX: usize = 3;

/// So many children at most are found in several steps.
const FAMILY_MAX: usize = 2_000;

/// Answers a page.
pub(super) async fn relations(
    view: &mut View,
    query: &RelationsQuery,
) -> Result<MessagesPage, RoomError> {
    let room = view.room().clone();
    let (mut sight, standing) = view.sight(&query.reader).await?;
    let everybody = Reader {
        ignored: Vec::new(),
        ..query.reader.clone()
    };
    let parent = find_visible(view, &mut sight, &everybody, &query.event_id).await?;
    let end = match &standing {
        Standing::Departed(departure) => departure.sequence,
        _ => view.history.last,
    };
    let history = &mut view.history;
    let from = match query.from {
        Some(point) => history.resolve(point).await?,
        None if query.backwards => end,
        None => 0,
    };
    let to = match query.to {
        Some(point) => Some(history.resolve(point).await?),
        None => None,
    };
    let between = if query.backwards {
        (to.unwrap_or(0) + 1, from.min(end))
    } else {
        (from + 1, to.unwrap_or(end).min(end))
    };
    let kin = if query.recurse {
        history.all_kin().await?
    } else {
        history.kin([&parent.event].into_iter()).await?
    };
    let mut source = Source::new(history, kin, query, between).await?;
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let step = u64::from(query.backwards);
    let (mut shown, mut examined, mut stopped_at) = (Vec::new(), 0, None);
    let mut last = from;
    while let Some(child) = source.next(history).await? {
        if examined >= EXAMINED_MAX {
            stopped_at = Some(last);
            break;
        }
        examined += 1;
        let visible = visible_child(history, &mut sight, &query.reader, &child).await?;
        if let Some(event) = visible {
            if shown.len() >= limit {
                stopped_at = Some(last);
                break;
            }
            shown.push(event);
        }
        last = child.sequence;
    }
    let form = view.form(&room, Some(&query.reader));
    Ok(MessagesPage {
        start: Place::Live(from),
        end: stopped_at.map(|sequence| Place::Live(sequence - step)),
        wants_past: false,
        chunk: view
            .history
            .write_bundled(&form, &mut sight, &shown)
            .await?,
        state: Vec::new(),
    })
}

/// Children in the order wanted.
struct Source<'a> {
    kin: Kin,
    query: &'a RelationsQuery,
    queue: VecDeque<Child>,
    /// What is left to be read of the model.
    left: (Sequence, Sequence),
    /// Fresh children, told after those of the model.
    later: VecDeque<Child>,
}

impl<'a> Source<'a> {
    async fn new(
        history: &mut History,
        kin: Kin,
        query: &'a RelationsQuery,
        between: (Sequence, Sequence),
    ) -> Result<Self, RoomError> {
        let mut source = Self {
            kin,
            query,
            queue: VecDeque::new(),
            left: between,
            later: VecDeque::new(),
        };
        let parent = query.event_id.as_str();
        let mut children: Vec<Child> = if query.recurse {
            source.left = (1, 0);
            family(history, &source.kin, parent).await?
        } else {
            let fresh = source.kin.fresh.iter();
            fresh
                .filter(|child| child.parent == parent)
                .cloned()
                .collect()
        };
        children.retain(|child| {
            let (low, high) = between;
            let fits = |wanted: &Option<String>, found: &String| {
                wanted.as_ref().is_none_or(|wanted| wanted == found)
            };
            (low..=high).contains(&child.sequence)
                && fits(&query.rel_type, &child.rel_type)
                && fits(&query.event_type, &child.event_type)
        });
        children.sort_by_key(|child| child.sequence);
        if query.backwards {
            children.reverse();
            source.queue = children.into();
        } else {
            source.later = children.into();
        }
        Ok(source)
    }

    async fn next(&mut self, history: &mut History) -> Result<Option<Child>, RoomError> {
        if let Some(child) = self.queue.pop_front() {
            return Ok(Some(child));
        }
        if self.left.0 <= self.left.1 {
            self.read(history).await?;
        }
        let next = self.queue.pop_front();
        Ok(next.or_else(|| self.later.pop_front()))
    }

    async fn read(&mut self, history: &mut History) -> Result<(), RoomError> {
        let backwards = self.query.backwards;
        let wanted = Wanted {
            rel_type: self.query.rel_type.as_deref().unwrap_or_default(),
            event_type: self.query.event_type.as_deref().unwrap_or_default(),
            between: self.left,
            backwards,
            limit: PAGE_CHILDREN,
        };
        let parent = self.query.event_id.as_str();
        let page = history
            .folded_children(&self.kin, &[parent], wanted)
            .await?;
        let numbers: Vec<_> = page.iter().map(|child| child.sequence).collect();
        history.load(&numbers).await?;
        match page.last().filter(|_| page.len() >= PAGE_CHILDREN) {
            Some(last) if backwards => self.left.1 = last.sequence - 1,
            Some(last) => self.left.0 = last.sequence + 1,
            None => self.left = (1, 0),
        }
        self.queue.extend(page);
        Ok(())
    }
}

/// What relates to an event in one step or several.
async fn family(history: &mut History, kin: &Kin, parent: &str) -> Result<Vec<Child>, RoomError> {
    let mut family: Vec<Child> = Vec::new();
    let mut known = BTreeSet::from([parent.to_owned()]);
    let mut parents = vec![parent.to_owned()];
    for _ in 0..DEPTH_MAX {
        let names: Vec<&str> = parents.iter().map(String::as_str).collect();
        let mut found = Vec::new();
        for some in names.chunks(PARENTS_MAX) {
            let room_left = FAMILY_MAX.saturating_sub(family.len() + found.len());
            let wanted = Wanted {
                rel_type: "",
                event_type: "",
                between: (1, Sequence::MAX),
                backwards: true,
                limit: room_left,
            };
            found.extend(history.folded_children(kin, some, wanted).await?);
        }
        let fresh = kin.fresh.iter();
        found.extend(
            fresh
                .filter(|child| names.contains(&child.parent.as_str()))
                .cloned(),
        );
        found.retain(|child| known.insert(child.event_id.clone()));
        parents = found.iter().map(|child| child.event_id.clone()).collect();
        family.extend(found);
        if parents.is_empty() || family.len() >= FAMILY_MAX {
            break;
        }
    }
    Ok(family)
}
