//! Everything a room answers without changing.
//!
//! A query is tried at once on a view of the state that does not move; what needs the log goes on in a task of its own, so that the room need not wait.
//! Knows neither tokens nor sessions: the readers' side turns positions into tokens.

mod access;
mod bundles;
mod children;
pub(crate) mod client_form;
mod context;
mod event;
mod event_at;
mod filter;
pub(in crate::room) mod gate;
pub(in crate::room) mod history;
mod hits;
pub(in crate::room) mod introduction;
mod kin;
mod members;
mod messages;
pub(crate) mod outgoing;
pub(in crate::room) mod past;
mod peer;
mod push_names;
mod receipts;
mod related;
mod relations;
mod rulers;
mod scroll;
mod slice;
mod slice_state;
mod state;
mod stripped;
mod summary;
pub(in crate::room) mod template;
#[cfg(test)]
pub(in crate::room) mod tests;
mod thread_place;
mod threads;
mod timeline;
mod typing;
mod upgrade;
mod visibility;
mod window;

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use playhouse_schema::address::Sequence;
use ruma::{EventId, OwnedUserId, UserId, events::room::member::MembershipState};

use super::{
    error::RoomError,
    inspect, membership,
    message::{EventFormat, Reader, RoomAnswer, RoomQuery, RoomSignal},
    receipt, receive,
    state::Room,
};
use crate::kernel::{Port, Resident};
pub(crate) use children::children_elsewhere;
use client_form::Form;
use history::{Archive, History};
use visibility::{Sight, Standing};

/// A room as one query sees it.
struct View {
    history: History,
    now_ms: u64,
    /// Who types; only looked at for slices.
    typing: Vec<OwnedUserId>,
}

impl View {
    fn new(room: Arc<Room>, last: Sequence, archive: Archive, now_ms: u64) -> Self {
        let mut history = History::new(room, last, archive);
        history.now_ms = Some(now_ms);
        Self {
            history,
            now_ms,
            typing: Vec::new(),
        }
    }

    fn room(&self) -> &Arc<Room> {
        &self.history.room
    }

    /// How events look outside of `/sync`.
    fn form<'a>(&self, room: &'a Room, reader: Option<&'a Reader>) -> Form<'a> {
        Form {
            now_ms: self.now_ms,
            room_id: Some(&room.room_id),
            reader,
            format: EventFormat::Client,
        }
    }

    /// The reader's view, refused to those who have none.
    async fn sight(&mut self, reader: &Reader) -> Result<(Sight, Standing), RoomError> {
        let (sight, standing) = Sight::new(&mut self.history, reader).await?;
        let has_forgotten = matches!(&standing, Standing::Departed(departure)
            if reader.forgotten.is_some_and(|until| departure.sequence <= until));
        if has_forgotten || matches!(standing, Standing::Stranger) {
            return Err(RoomError::Forbidden(
                "you are not, and were not, in this room".to_owned(),
            ));
        }
        Ok((sight, standing))
    }
}

/// Answers a query: at once when memory suffices, otherwise from a task.
pub(crate) fn answer(
    resident: &mut Resident<Room>,
    query: RoomQuery,
    port: Port<RoomAnswer, RoomError>,
) {
    let query = match query {
        RoomQuery::Receive { version, wish } => {
            return receive::receive(resident, version, *wish, port);
        }
        RoomQuery::Template(wish) => {
            let env = &resident.context.env;
            let made = template::template(&resident.state, env, *wish);
            let _ = port.send(made.map(RoomAnswer::Event));
            return;
        }
        RoomQuery::Draft(change) => {
            let env = &resident.context.env;
            let made = membership::draft(&resident.state, env, *change);
            let _ = port.send(made.map(RoomAnswer::Draft));
            return;
        }
        RoomQuery::StateResets => {
            let resets = resident.state.resets.list();
            let _ = port.send(Ok(RoomAnswer::StateResets(resets)));
            return;
        }
        RoomQuery::HoldReceipt(wish) => {
            let is_held = receipt::hold(resident, *wish);
            let _ = port.send(Ok(RoomAnswer::Held(is_held)));
            return;
        }
        RoomQuery::View => {
            let view = RoomAnswer::View(resident.state.clone(), resident.sequence);
            let _ = port.send(Ok(view));
            return;
        }
        query => query,
    };
    let archive = Archive {
        store: resident.context.store.clone(),
        models: resident.context.models.clone(),
    };
    let mut view = View::new(
        resident.state.clone(),
        resident.sequence,
        archive,
        resident.context.env.now_ms(),
    );
    view.history.expired_before_ms = resident.context.expired_before_ms(&resident.state);
    if matches!(query, RoomQuery::Slice(_)) {
        view.typing = resident.live.typing.keys().cloned().collect();
    }
    let mut work = Box::pin(answer_from(view, query));
    match poll_once(work.as_mut()) {
        Poll::Ready(answer) => {
            let _ = port.send(answer);
        }
        Poll::Pending => {
            ractor::concurrency::spawn(async move {
                let _ = port.send(work.await);
            });
        }
    }
}

/// Takes in a signal.
pub(crate) fn signal(resident: &mut Resident<Room>, signal: RoomSignal) {
    match signal {
        RoomSignal::Typing {
            user_id,
            timeout_ms,
        } => typing::typed(resident, user_id, timeout_ms),
        RoomSignal::TypingExpired => typing::expired(resident),
    }
}

/// Tries whether some work ends without waiting. Work that does not is polled again by its task, which then hears of its progress.
fn poll_once<F: Future + ?Sized>(work: Pin<&mut F>) -> Poll<F::Output> {
    work.poll(&mut Context::from_waker(Waker::noop()))
}

fn marker(room: &Room, user_id: &UserId, event_id: &EventId) -> RoomAnswer {
    RoomAnswer::Marker {
        joined: room.membership(user_id) == Some(MembershipState::Join),
        at_hand: room.recent_event(event_id).map(|event| event.sequence),
    }
}

#[expect(
    clippy::too_many_lines,
    reason = "a table with a line or two for each query"
)]
async fn answer_from(mut view: View, query: RoomQuery) -> Result<RoomAnswer, RoomError> {
    use RoomAnswer as Answer;
    use RoomQuery as Query;
    match &query {
        Query::Told(user_id) => return Ok(Answer::Told(view.room().told.get(user_id).cloned())),
        Query::Stripped { user_id } => {
            if let Some(told) = view.room().told.get(user_id) {
                return Ok(Answer::Events(told.stripped()));
            }
        }
        Query::PushNames { user_id, members } => {
            if let Some(told) = view.room().told.get(user_id) {
                let names = push_names::push_names_told(told, members);
                return Ok(Answer::PushNames(Box::new(names)));
            }
        }
        _ => {}
    }
    if !view.room().exists() {
        return Err(RoomError::UnknownRoom);
    }
    if query.depends_on_members(view.room()) {
        return Err(RoomError::PartialState);
    }
    let view = &mut view;
    Ok(match query {
        Query::Access { user_id } => {
            Answer::Access(Box::new(access::access(view.room(), &user_id)?))
        }
        Query::Event { reader, event_id } => {
            Answer::Event(event::event(view, &reader, &event_id).await?)
        }
        Query::StateEvent {
            reader,
            event_type,
            state_key,
            content_only,
        } => {
            let key = (event_type.to_string().into(), state_key);
            Answer::Event(state::state_event(view, &reader, &key, content_only).await?)
        }
        Query::State { reader } => Answer::Events(state::state(view, &reader).await?),
        Query::Members {
            reader,
            at,
            membership,
            not_membership,
        } => {
            let wanted = members::Wanted {
                at,
                membership,
                not_membership,
            };
            Answer::Events(members::members(view, &reader, wanted).await?)
        }
        Query::JoinedMembers { reader } => {
            Answer::Joined(members::joined(view, reader.as_ref()).await?)
        }
        Query::Messages(query) => Answer::Page(Box::new(messages::messages(view, &query).await?)),
        Query::Context(query) => Answer::Context(Box::new(context::context(view, &query).await?)),
        Query::Hits(query) => Answer::Hits(hits::hits(view, &query).await?),
        Query::Relations(query) => {
            Answer::Page(Box::new(relations::relations(view, &query).await?))
        }
        Query::Threads(query) => Answer::Page(Box::new(threads::threads(view, &query).await?)),
        Query::Slice(query) => Answer::Slice(Box::new(slice::slice(view, &query).await?)),
        Query::Stripped { user_id } => Answer::Events(stripped::stripped(view.room(), &user_id)),
        Query::StateForUpgrade { user_id } => {
            Answer::Events(upgrade::state_for_upgrade(view, &user_id)?)
        }
        Query::Children { suggested_only } => {
            Answer::Children(children::children(view.room(), suggested_only))
        }
        Query::EventAt(query) => Answer::Found(event_at::event_at(view, &query).await?),
        Query::OwnReceipts { user_id } => {
            Answer::Receipts(receipts::own_receipts(view, &user_id).await?)
        }
        Query::Marker { user_id, event_id } => marker(view.room(), &user_id, &event_id),
        Query::PushFacts { user_id } => Answer::PushFacts(Box::new(super::push_facts::push_facts(
            view.room(),
            &user_id,
        ))),
        Query::PushNames { user_id, members } => Answer::PushNames(Box::new(
            push_names::push_names(view.room(), &user_id, &members),
        )),
        Query::Related { reader, event_ids } => {
            Answer::Live(related::related(view, &reader, &event_ids).await?)
        }
        Query::Glance { user_id } => {
            Answer::Glance(Box::new(window::glance(view, &user_id).await?))
        }
        Query::ThreadPlace {
            reader,
            root,
            cause,
        } => {
            let events = (&*root, cause.as_deref());
            Answer::ThreadPlace(thread_place::thread_place(view, &reader, events).await?)
        }
        Query::Gate { own, peer } => Answer::Gate(Box::new(gate::gate(view.room(), &own, &peer)?)),
        Query::Unknown { event_ids, limit } => {
            let mut unknown = Vec::new();
            for event_id in event_ids {
                if unknown.len() >= limit {
                    break;
                }
                if view.history.look_up(&event_id).await?.is_none() {
                    unknown.push(event_id);
                }
            }
            Answer::EventIds(unknown)
        }
        Query::ParkedPdus => Answer::ParkedPdus(view.room().parked.list()),
        Query::Inspect(asked) => Answer::Inspected(Box::new(inspect::inspect(view.room(), asked))),
        Query::MayVouch { user_id } => Answer::MayVouch(view.room().may_vouch(&user_id)?),
        Query::Introduction => {
            Answer::Introduction(Box::new(introduction::introduction(view.room())?))
        }
        Query::OldEnds => Answer::EventIds(messages::old_ends(view).await?),
        Query::Ends => {
            let ends = view.room().extremities.iter();
            Answer::Ends(ends.map(|end| (**end).clone()).collect())
        }
        Query::Rulers(server) => Answer::Users(rulers::rulers(view.room(), &server)?),
        // Answered before this, by the room itself.
        Query::Receive { .. }
        | Query::Template(_)
        | Query::HoldReceipt(_)
        | Query::StateResets
        | Query::View
        | Query::Draft(_)
        | Query::Told(_) => {
            return Err(RoomError::NotFound);
        }
        Query::Peer(query) => Answer::Peer(Box::new(peer::peer(view, &query).await?)),
        Query::Servers(after) => Answer::Servers(outgoing::servers(view, after).await?),
        Query::Sticky { origin, until } => Answer::Outgoing(outgoing::sticky(view, &origin, until)),
        Query::Outgoing(query) => Answer::Outgoing(outgoing::outgoing(view, &query).await?),
        Query::LiveAfter { sequence, limit } => {
            Answer::Live(timeline::live_after(view, sequence, limit).await?)
        }
    })
}
