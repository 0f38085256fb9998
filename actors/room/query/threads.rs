//! The threads of a room (client-server API, `GET /rooms/{roomId}/threads`).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use playhouse_schema::{address::Sequence, models::relations};
use ruma::EventId;

use super::{
    super::{
        error::RoomError,
        message::{MessagesPage, Place, Reader, ThreadsQuery},
        redact,
    },
    View,
    bundles::THREAD,
    event::find_visible,
    history::History,
    timeline::Shown,
    visibility::{Sight, Standing},
};

/// The most threads of one page.
const LIMIT_MAX: usize = 100;

/// So many threads are looked at for one page.
const EXAMINED_MAX: usize = 500;

/// So many threads one question to the model brings.
const PAGE_THREADS: usize = 64;

/// Answers a page.
pub(super) async fn threads(
    view: &mut View,
    query: &ThreadsQuery,
) -> Result<MessagesPage, RoomError> {
    let room = view.room().clone();
    let (mut sight, standing) = view.sight(&query.reader).await?;
    let end = match &standing {
        Standing::Departed(departure) => departure.sequence,
        _ => view.history.last,
    };
    let newest = query.from.unwrap_or(end).min(end);
    let mut source = Source::new(&mut view.history, newest).await?;
    let limit = query.limit.clamp(1, LIMIT_MAX);
    let form = view.form(&room, Some(&query.reader));
    let (mut chunk, mut examined, mut next) = (Vec::new(), 0, None);
    while let Some((root, latest)) = source.next(&mut view.history).await? {
        if chunk.len() >= limit || examined >= EXAMINED_MAX {
            next = Some(latest);
            break;
        }
        examined += 1;
        let Some(shown) = find_root(view, &mut sight, &query.reader, &root).await? else {
            continue;
        };
        let shown = [shown];
        let history = &mut view.history;
        let bundles = history.bundles(&form, &mut sight, &shown).await?;
        let participated = bundles.values().find_map(|bundle| bundle.thread);
        if participated.is_none_or(|participated| query.participated && !participated) {
            continue;
        }
        let [mut root] = shown;
        if query.reader.ignored.contains(&root.event.pdu.sender) {
            let Some(pruned) = redact::as_if_redacted(&room, &root.event) else {
                continue;
            };
            root.event = Arc::new(pruned);
        }
        chunk.extend(history.write_with(&form, &[root], &bundles).await?);
    }
    Ok(MessagesPage {
        start: Place::Live(newest),
        end: next.map(Place::Live),
        wants_past: false,
        chunk,
        state: Vec::new(),
    })
}

async fn find_root(
    view: &mut View,
    sight: &mut Sight,
    reader: &Reader,
    root: &str,
) -> Result<Option<Shown>, RoomError> {
    let everybody = Reader {
        ignored: Vec::new(),
        ..reader.clone()
    };
    let Ok(root) = EventId::parse(root) else {
        return Ok(None);
    };
    match find_visible(view, sight, &everybody, &root).await {
        Ok(shown) => Ok(Some(shown)),
        Err(RoomError::NotFound) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Threads by their newest event, newest first.
struct Source {
    /// Threads with an event that the model does not have yet: their order is known from here only.
    fresh: BTreeMap<String, Sequence>,
    /// The fresh ones that are wanted.
    first: VecDeque<(String, Sequence)>,
    queue: VecDeque<(String, Sequence)>,
    until: Sequence,
    /// The model is to be asked for threads not newer than this; 0 when it has told all.
    newest: Sequence,
}

impl Source {
    async fn new(history: &mut History, newest: Sequence) -> Result<Self, RoomError> {
        let kin = history.all_kin().await?;
        let mut fresh = BTreeMap::new();
        let written = kin.fresh.iter().filter(|child| child.rel_type == THREAD);
        // Oldest first: the newest stays.
        for child in written {
            fresh.insert(child.parent.clone(), child.sequence);
        }
        let mut first: Vec<_> = fresh
            .iter()
            .filter(|(_, latest)| **latest <= newest)
            .map(|(root, latest)| (root.clone(), *latest))
            .collect();
        first.sort_by_key(|(_, latest)| std::cmp::Reverse(*latest));
        Ok(Self {
            fresh,
            first: first.into(),
            queue: VecDeque::new(),
            until: kin.until,
            newest: newest.min(kin.until),
        })
    }

    async fn next(
        &mut self,
        history: &mut History,
    ) -> Result<Option<(String, Sequence)>, RoomError> {
        if let Some(thread) = self.first.pop_front() {
            return Ok(Some(thread));
        }
        loop {
            if let Some(thread) = self.queue.pop_front() {
                if !self.fresh.contains_key(&thread.0) {
                    return Ok(Some(thread));
                }
                continue;
            }
            if self.newest == 0 {
                return Ok(None);
            }
            let models = history.models();
            let room_id = history.room.room_id.as_str();
            let bounds = (self.until, self.newest);
            let page = relations::threads(&*models, room_id, bounds, PAGE_THREADS).await?;
            let last = page.last().filter(|_| page.len() >= PAGE_THREADS);
            self.newest = last.map_or(0, |(_, latest)| latest - 1);
            self.queue = page.into();
        }
    }
}
