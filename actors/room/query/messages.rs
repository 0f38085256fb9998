//! A page of history (client-server API, `GET /rooms/{roomId}/messages`).

use std::collections::BTreeSet;

use bytes::Bytes;
use ruma::OwnedUserId;

use super::{
    super::{
        error::RoomError,
        message::{MessagesPage, MessagesQuery},
    },
    View,
    filter::EventFilter,
    history::Scroll,
    past::Moment,
    timeline::{Gather, Shown},
    visibility::{Standing, member_key},
};

/// The most events of one page.
const LIMIT_MAX: usize = 1_000;

/// Answers a page.
pub(super) async fn messages(
    view: &mut View,
    query: &MessagesQuery,
) -> Result<MessagesPage, RoomError> {
    let room = view.room().clone();
    let filter = EventFilter::parse(query.filter.as_deref(), &room.room_id)?;
    let (mut sight, standing) = view.sight(&query.reader).await?;
    let end = match &standing {
        Standing::Departed(departure) => departure.sequence,
        _ => view.history.last,
    };
    let from = match query.from {
        Some(point) => view.history.resolve(point).await?,
        None if query.backwards => end,
        None => 0,
    };
    let to = match query.to {
        Some(point) => Some(view.history.resolve(point).await?),
        None => None,
    };
    let scroll = if query.backwards {
        Scroll::backwards(to.unwrap_or(0) + 1, from.min(end))
    } else {
        Scroll::forwards(from + 1, to.unwrap_or(end).min(end))
    };
    let limit = query
        .limit
        .min(filter.limit.unwrap_or(LIMIT_MAX))
        .clamp(1, LIMIT_MAX);
    let mut gather = Gather {
        sight: &mut sight,
        filter: &filter,
        ignored: &query.reader.ignored,
    };
    let gathered = gather.pick(&mut view.history, scroll, limit, false).await?;
    // A token stands just after a record, so going back continues before the last one seen, and going on after it.
    let step = u64::from(query.backwards);
    let next = gathered.stopped_at.map(|sequence| sequence - step);
    let state = if filter.lazy_load_members {
        senders(view, &gathered.shown).await?
    } else {
        Vec::new()
    };
    let form = view.form(&room, Some(&query.reader));
    Ok(MessagesPage {
        start: from,
        end: next.filter(|next| *next > 0),
        chunk: view
            .history
            .write_bundled(&form, &mut sight, &gathered.shown)
            .await?,
        state,
    })
}

/// The member events of the senders of some events, as of the newest of them.
async fn senders(view: &mut View, shown: &[Shown]) -> Result<Vec<Bytes>, RoomError> {
    let newest = shown.iter().max_by_key(|shown| shown.event.sequence);
    let Some(newest) = newest else {
        return Ok(Vec::new());
    };
    let moment = view.history.after_event(&newest.event);
    let senders = shown.iter().map(|shown| shown.event.pdu.sender.clone());
    members_at(view, moment, senders.collect()).await
}

/// The member events of some users at a moment.
pub(super) async fn members_at(
    view: &mut View,
    moment: Moment,
    users: BTreeSet<OwnedUserId>,
) -> Result<Vec<Bytes>, RoomError> {
    let room = view.room().clone();
    let mut members = Vec::with_capacity(users.len());
    for user_id in users {
        let member = view.history.value(moment, &member_key(&user_id)).await?;
        members.extend(member.map(|event| view.form(&room, None).state(&event)));
    }
    Ok(members)
}
