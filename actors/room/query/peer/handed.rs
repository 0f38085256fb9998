//! What a server is told that has handed over a member event of its user (server-server API, `send_join`, `send_knock`, `send_leave`).

use std::{collections::BTreeSet, sync::Arc};

use playhouse_schema::record::room::{Placement, Verdict};
use ruma::{EventId, OwnedEventId, ServerName, events::TimelineEventType};
use serde::Deserialize;

use super::{
    super::{
        super::{
            error::RoomError,
            event::RoomEvent,
            peer::{Handed, Handshake},
            state::StateMap,
            wire::wire_form,
        },
        View,
        outgoing::joined_by_server,
        stripped::recognising,
        summary::heroes_of,
        visibility::member_key,
    },
    state::{before, chain_of},
};

/// Answers. However often it is asked, the answer to a join is of the moment before it.
pub(super) async fn handed(
    view: &mut View,
    server: &ServerName,
    (event_id, handshake): (&EventId, Handshake),
) -> Result<Handed, RoomError> {
    let event = view.history.find(event_id).await?;
    let event = event
        .filter(|event| event.pdu.sender.server_name() == server)
        .filter(|event| event.placement != Placement::Outlier)
        .ok_or(RoomError::NotFound)?;
    if let Verdict::Rejected(reason) | Verdict::SoftFailed(reason) = &event.verdict {
        return Err(RoomError::Forbidden(reason.clone()));
    }
    match handshake {
        Handshake::Join { omit_members } => joined(view, &event, omit_members).await,
        Handshake::Knock => Ok(Handed {
            event: wire_form(&event.pdu),
            state: wire_forms(recognising(view.room())),
            ..Handed::default()
        }),
        Handshake::Leave => Ok(Handed {
            event: wire_form(&event.pdu),
            ..Handed::default()
        }),
    }
}

async fn joined(
    view: &mut View,
    event: &Arc<RoomEvent>,
    omit_members: bool,
) -> Result<Handed, RoomError> {
    let room = view.room().clone();
    let state = before(&mut view.history, event).await?;
    let told: Vec<&Arc<RoomEvent>> = if omit_members {
        without_members(&state, event)
    } else {
        state.values().collect()
    };
    let roots = told.iter().copied().chain([event]);
    let mut chain = chain_of(&mut view.history, &room, roots).await?;
    if omit_members {
        let told: BTreeSet<&OwnedEventId> = told.iter().map(|event| &event.pdu.event_id).collect();
        chain.retain(|event| !told.contains(&event.pdu.event_id));
    }
    Ok(Handed {
        event: wire_form(&event.pdu),
        state: wire_forms(told),
        auth_chain: wire_forms(&chain),
        members_omitted: omit_members,
        servers: joined_by_server(&state).into_keys().collect(),
    })
}

/// The state but for member events; those that name a room which nothing else names stay.
fn without_members<'a>(state: &'a StateMap, event: &RoomEvent) -> Vec<&'a Arc<RoomEvent>> {
    let heroes = if is_named(state) {
        Vec::new()
    } else {
        heroes_of(state, &event.pdu.sender)
    };
    let heroes = heroes.iter().map(|user_id| member_key(user_id));
    let others = state
        .values()
        .filter(|event| event.pdu.event_type != TimelineEventType::RoomMember);
    others
        .chain(heroes.filter_map(|key| state.get(&key)))
        .collect()
}

fn is_named(state: &StateMap) -> bool {
    #[derive(Deserialize)]
    struct Content {
        name: Option<String>,
        alias: Option<String>,
    }
    let types = [
        TimelineEventType::RoomName,
        TimelineEventType::RoomCanonicalAlias,
    ];
    types.into_iter().any(|event_type| {
        let event = state.get(&(event_type, String::new()));
        let content: Option<Content> = event.and_then(|event| event.pdu.content_as());
        content.is_some_and(|content| {
            content
                .name
                .or(content.alias)
                .is_some_and(|name| !name.is_empty())
        })
    })
}

fn wire_forms<'a>(events: impl IntoIterator<Item = &'a Arc<RoomEvent>>) -> Vec<bytes::Bytes> {
    let events = events.into_iter();
    events.map(|event| wire_form(&event.pdu)).collect()
}
