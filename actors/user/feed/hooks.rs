//! Where the actor's hooks reach the feed.

use std::sync::Arc;

use futures_util::{FutureExt as _, future::BoxFuture};
use playhouse_schema::record::user::SlidingSyncKept;
use ruma::{OwnedDeviceId, RoomId};

use super::{
    Early, Feed, Phase,
    account::Account,
    home::{Home, Owner},
    surroundings::Ear,
};
use crate::{
    kernel::{Committed, Myself, Port, Resident},
    user::{
        User, UserAnswer, UserCommand, UserError, UserQuery, UserSignal, answer::FeedPlace,
        message::ToDeviceIndex,
    },
};

/// The feed's own actor.
struct Actor(Myself<User>);

impl Ear for Actor {
    fn hear(&self, signal: UserSignal) -> bool {
        self.0.try_signal(signal)
    }
}

impl Owner for Actor {
    fn acknowledge(&self, device_id: OwnedDeviceId, until: ToDeviceIndex) {
        self.0
            .command(UserCommand::AcknowledgeToDevice { device_id, until });
    }

    fn keep(&self, kept: SlidingSyncKept) -> BoxFuture<'static, Result<(), UserError>> {
        let committed = self
            .0
            .carry_out(UserCommand::KeepConnection(Box::new(kept)));
        async move { committed.await.map(|_| ()) }.boxed()
    }

    fn drop_one_time_keys(&self, device_id: OwnedDeviceId) {
        self.0.command(UserCommand::DropOneTimeKeys(device_id));
    }
}

fn account(resident: &Resident<User>) -> Arc<dyn Account> {
    resident.state.clone()
}

/// The user woke up.
pub(in crate::user) fn woken(resident: &mut Resident<User>) {
    let home = Home {
        user_id: resident.state.user_id.clone(),
        env: resident.context.env.clone(),
        board: resident.context.board.clone(),
        sources: resident.context.sources.clone(),
        owner: Arc::new(Actor(resident.myself.clone())),
        silent_rooms: resident.context.limits.silent_rooms.clone(),
    };
    let durable = resident.sequence;
    resident.live.wake(home, &*resident.state, durable);
}

/// Own records became durable.
pub(in crate::user) fn committed(resident: &mut Resident<User>, committed: &[Committed]) {
    if let Some(last) = committed.last() {
        let account = account(resident);
        resident.live.committed(&account, last.sequence);
    }
}

/// Something was heard.
pub(in crate::user) fn signal(resident: &mut Resident<User>, signal: UserSignal) {
    let account = account(resident);
    resident.live.hear(&account, signal);
}

/// How far somebody who syncs has heard of a room.
fn place(feed: &Feed, room_id: &RoomId) -> Option<FeedPlace> {
    if !matches!(feed.phase, Phase::Live { .. }) {
        return None;
    }
    let Some(entry) = feed.rooms.get(room_id) else {
        return Some(FeedPlace {
            known: 0,
            newest: 0,
        });
    };
    let known = feed.rooms.known().get(&entry.shard);
    Some(FeedPlace {
        known: known.copied().unwrap_or(0),
        newest: entry.newest,
    })
}

/// A query about rooms, presence or news.
pub(in crate::user) fn answer(
    resident: &mut Resident<User>,
    query: UserQuery,
    port: Port<UserAnswer, UserError>,
) {
    if let Err(error) = resident.state.existing() {
        let _ = port.send(Err(error));
        return;
    }
    let account = account(resident);
    let feed = &mut resident.live;
    match query {
        UserQuery::Sync(query) => feed.ask(&account, Early::Sync(*query, port)),
        UserQuery::SlidingSync(query) => feed.ask(&account, Early::Slide(query, port)),
        UserQuery::Rooms => feed.ask(&account, Early::Rooms(port)),
        UserQuery::KeyChanges { from, to } => {
            feed.ask(&account, Early::KeyChanges(from, to, port));
        }
        UserQuery::FeedPlace(room_id) => {
            let _ = port.send(Ok(UserAnswer::FeedPlace(place(feed, &room_id))));
        }
        UserQuery::Presence => {
            let answer = feed.own_presence().map(UserAnswer::Presence);
            let _ = port.send(answer.ok_or(UserError::NotFound));
        }
        _ => {
            let _ = port.send(Err(UserError::NotFound));
        }
    }
}
