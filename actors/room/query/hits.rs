//! Single events by their numbers, and what is around them.

use std::{collections::BTreeSet, sync::Arc};

use ruma::{OwnedMxcUri, OwnedUserId};
use serde::Deserialize;

use super::{
    super::{
        error::RoomError,
        event::RoomEvent,
        hits::{Around, Hit, HitsQuery, Surroundings},
        message::{MemberProfile, Reader},
    },
    View,
    filter::{EventFilter, is_ignored},
    history::is_in_timeline,
    scroll::Scroll,
    timeline::{Gather, Shown},
    visibility::{Sight, Standing, member_key},
};

/// So many events are told at once.
const HITS_MAX: usize = 500;

/// So many events are told before, and so many after each.
const AROUND_MAX: usize = 100;

/// Answers in the order asked.
pub(super) async fn hits(view: &mut View, query: &HitsQuery) -> Result<Vec<Hit>, RoomError> {
    let room = view.room().clone();
    let filter = EventFilter::parse(query.filter.as_deref(), &room.room_id)?;
    let (mut sight, standing) = view.sight(&query.reader).await?;
    let end = match &standing {
        Standing::Departed(departure) => departure.sequence,
        _ => view.history.last,
    };
    let sequences = &query.sequences[..query.sequences.len().min(HITS_MAX)];
    view.history.load(sequences).await?;
    let mut hits = Vec::with_capacity(sequences.len());
    for sequence in sequences {
        let Some(event) = view.history.event(*sequence).await? else {
            continue;
        };
        let is_wanted = is_in_timeline(&event)
            && (query.redacted || event.redacted_because().is_none())
            && !is_ignored(&event, &query.reader.ignored)
            && filter.passes(&event);
        if !is_wanted {
            continue;
        }
        let judgement = sight.judge(&mut view.history, &event).await?;
        if !judgement.visible {
            continue;
        }
        let shown = Shown {
            event: event.clone(),
            membership: judgement.membership,
        };
        let form = view.form(&room, Some(&query.reader));
        let history = &mut view.history;
        let written = history.write_bundled(&form, &mut sight, &[shown]).await?;
        let around = match query.around {
            Some(around) => {
                let span = (&query.reader, end);
                Some(surroundings(view, &mut sight, span, (&event, around)).await?)
            }
            None => None,
        };
        hits.extend(written.into_iter().next().map(|written| Hit {
            sequence: *sequence,
            event_id: event.pdu.event_id.clone(),
            event: written,
            sent_ms: u64::from(event.pdu.origin_server_ts.0),
            around,
        }));
    }
    Ok(hits)
}

async fn surroundings(
    view: &mut View,
    sight: &mut Sight,
    (reader, end): (&Reader, u64),
    (event, around): (&Arc<RoomEvent>, Around),
) -> Result<Surroundings, RoomError> {
    let room = view.room().clone();
    let at = event.sequence;
    let everything = EventFilter::default();
    let mut gather = Gather {
        sight: &mut *sight,
        filter: &everything,
        ignored: &reader.ignored,
    };
    let mut sides = Vec::with_capacity(2);
    for (scroll, limit) in [
        (Scroll::backwards(1, at - 1), around.before),
        (Scroll::forwards(at + 1, end), around.after),
    ] {
        let limit = limit.min(AROUND_MAX);
        let gathered = match limit {
            0 => Vec::new(),
            limit => {
                let history = &mut view.history;
                gather.pick(history, scroll, limit, false).await?.shown
            }
        };
        sides.push(gathered);
    }
    let after = sides.pop().unwrap_or_default();
    let before = sides.pop().unwrap_or_default();
    let told = before.iter().chain(&after).map(|shown| &shown.event);
    let senders = told.chain([event]).map(|event| event.pdu.sender.clone());
    let profiles = if around.profiles {
        profiles(view, event, senders.collect()).await?
    } else {
        Vec::new()
    };
    let form = view.form(&room, Some(reader));
    let history = &mut view.history;
    Ok(Surroundings {
        start: before.last().map_or(at, |shown| shown.event.sequence) - 1,
        end: after.last().map_or(at, |shown| shown.event.sequence),
        before: history.write_bundled(&form, sight, &before).await?,
        after: history.write_bundled(&form, sight, &after).await?,
        profiles,
    })
}

/// What senders were called when an event was sent.
async fn profiles(
    view: &mut View,
    event: &RoomEvent,
    senders: BTreeSet<OwnedUserId>,
) -> Result<Vec<(OwnedUserId, MemberProfile)>, RoomError> {
    #[derive(Default, Deserialize)]
    struct Content {
        displayname: Option<String>,
        avatar_url: Option<OwnedMxcUri>,
    }
    let moment = view.history.after_event(event);
    let mut profiles = Vec::with_capacity(senders.len());
    for user_id in senders {
        let member = view.history.value(moment, &member_key(&user_id)).await?;
        let content = member.and_then(|member| member.pdu.content_as::<Content>());
        let Content {
            displayname,
            avatar_url,
        } = content.unwrap_or_default();
        let profile = MemberProfile {
            displayname,
            avatar_url,
        };
        profiles.push((user_id, profile));
    }
    Ok(profiles)
}
