//! What each record, and each volatile word, means for other servers.

use std::{borrow::Cow, collections::BTreeSet, time::Duration};

use playhouse_schema::{
    address::{Family, Sequence, Shard},
    models::{
        Model as _, device_lists,
        memberships::Memberships,
        partial_rooms::{self, PartialRooms},
        server_rooms::{self, ServerRooms},
        to_device_out,
    },
    port::{StoreError, StoredRecord},
    record::{
        codec::Record as _,
        room::{Placement, ReceiptMoved, RoomRecord, kind, may_hold},
    },
};
use ruma::{
    OwnedRoomId, OwnedServerName, OwnedUserId, RoomId, ServerName, UserId,
    events::room::member::MembershipState,
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Follower, volatile::Volatile};
use crate::{
    followers::task::{Stop, Stopped},
    room::wire::is_handed_in,
    server::board::{Direct, Place},
};

/// A room that cannot be asked is asked again so much later.
pub(super) const AGAIN: Duration = Duration::from_millis(100);

/// So many rooms are asked for one presence; further ones count once something happened in them.
const ASKED_MAX: usize = 20;

/// As much of a PDU as tells to whom it goes.
#[derive(Deserialize)]
struct Pdu<'a> {
    #[serde(rename = "type", borrow)]
    event_type: Cow<'a, str>,
    #[serde(borrow)]
    state_key: Option<Cow<'a, str>>,
    #[serde(borrow)]
    sender: Cow<'a, str>,
    #[serde(borrow)]
    content: &'a RawValue,
    /// Of another server's user, but for this server to pass on.
    #[serde(skip)]
    is_handed_in: bool,
    /// The event that it replaced in the state.
    #[serde(skip)]
    replaces: Option<Sequence>,
}

#[derive(Deserialize)]
struct MemberContent {
    membership: MembershipState,
}

/// A member event's user and what it becomes.
type Change = (OwnedUserId, MembershipState);

impl Pdu<'_> {
    fn change(&self) -> Option<Change> {
        if self.event_type != "m.room.member" {
            return None;
        }
        let user_id = UserId::parse(self.state_key.as_deref()?).ok()?;
        let content: MemberContent = serde_json::from_str(self.content.get()).ok()?;
        Some((user_id, content.membership))
    }
}

pub(super) fn place(record: &StoredRecord) -> Place {
    Place {
        shard: record.shard,
        position: record.position,
        sequence: record.sequence,
    }
}

/// Reads the room ID of a room's record.
fn room_of(record: &StoredRecord) -> Option<OwnedRoomId> {
    let name = (record.entity.prefix() == "room").then(|| record.entity.name())?;
    RoomId::parse(name).ok()
}

impl Follower {
    /// Takes in a record of the rooms family.
    pub(super) async fn read_room(
        &mut self,
        record: &StoredRecord,
        stop: &mut Stop,
    ) -> Result<Result<(), StoreError>, Stopped> {
        if !matches!(
            record.kind,
            kind::EVENT | kind::STATE_SET | kind::STATE_COMPLETED | kind::RECEIPT_MOVED
        ) {
            return Ok(Ok(()));
        }
        let Some(room_id) = room_of(record) else {
            return Ok(Ok(()));
        };
        if self.concerns_nobody(record, &room_id) {
            return Ok(Ok(()));
        }
        match RoomRecord::decode(record) {
            Ok(Some(RoomRecord::Event(event))) => {
                // A redaction that this server holds may be one of which others know the target.
                if !event.verdict.has_passed() || event.placement != Placement::Live {
                    return Ok(Ok(()));
                }
                match serde_json::from_slice::<Pdu<'_>>(&event.pdu) {
                    Ok(mut pdu) => {
                        pdu.is_handed_in = pdu.event_type == "m.room.member"
                            && is_handed_in(self.parts.env.server_name(), &event.pdu);
                        pdu.replaces = event.replaces;
                        self.read_event(record, &room_id, &pdu, stop).await?;
                    }
                    Err(error) => return Ok(Err(StoreError::Damaged(error.to_string()))),
                }
            }
            Ok(Some(RoomRecord::StateSet(set))) if set.current => self.audience.forget(&room_id),
            Ok(Some(RoomRecord::StateCompleted(_))) => self.audience.forget(&room_id),
            Ok(Some(RoomRecord::ReceiptMoved(moved))) => {
                self.read_receipt(record, room_id, moved, stop).await?;
            }
            Ok(_) => {}
            Err(error) => return Ok(Err(error)),
        }
        Ok(Ok(()))
    }

    /// Whether a record is an event or a receipt in a room without other servers, and brings none in: it need not be decoded. Most records on most servers are.
    fn concerns_nobody(&self, record: &StoredRecord, room_id: &RoomId) -> bool {
        !matches!(record.kind, kind::STATE_SET | kind::STATE_COMPLETED)
            && self.audience.is_empty(room_id)
            && !may_hold(&record.payload, "m.room.member")
    }

    async fn read_event(
        &mut self,
        record: &StoredRecord,
        room_id: &OwnedRoomId,
        pdu: &Pdu<'_>,
        stop: &mut Stop,
    ) -> Result<(), Stopped> {
        let change = pdu.change();
        let is_ours = self.is_own_user(&pdu.sender);
        let is_to_go = is_ours || pdu.is_handed_in;
        if is_to_go {
            self.learn(room_id, record.sequence.saturating_sub(1), stop)
                .await?;
        }
        let mut to: BTreeSet<OwnedServerName> = if is_to_go {
            self.audience.of(room_id).cloned().collect()
        } else {
            BTreeSet::new()
        };
        if let Some((user_id, _)) = &change
            && pdu.is_handed_in
        {
            // Who handed it over has it.
            to.remove(user_id.server_name());
        }
        let mut newcomer = Vec::new();
        if let Some((user_id, MembershipState::Join)) = &change {
            newcomer = self.sticky_for((record, room_id), user_id, stop).await?;
        }
        if let Some((user_id, membership)) = &change {
            self.audience.changed(room_id, user_id, membership);
            if is_ours && self.audience.is_other(user_id.server_name()) {
                to.insert(user_id.server_name().to_owned());
            }
        }
        self.post_event((room_id, &place(record)), &to);
        if let Some((user_id, _)) = &change {
            let to = BTreeSet::from([user_id.server_name().to_owned()]);
            for place in &newcomer {
                self.post_event((room_id, place), &to);
            }
        }
        if let Some((user_id, MembershipState::Join)) = change
            && is_ours
            && !to.is_empty()
            && !self.was_joined(record, pdu.replaces, stop).await?
        {
            self.post_direct(record, &Direct::Arrival(user_id), to);
        }
        Ok(())
    }

    /// Whether the member event that a record's event replaces was a join already: then the user's devices are no news.
    async fn was_joined(
        &self,
        record: &StoredRecord,
        replaces: Option<Sequence>,
        stop: &mut Stop,
    ) -> Result<bool, Stopped> {
        let Some(sequence) = replaces else {
            return Ok(false);
        };
        loop {
            match self.store.read_some(&record.entity, &[sequence]).await {
                Ok(found) => {
                    let event = found
                        .first()
                        .and_then(|record| RoomRecord::decode(record).ok());
                    let Some(Some(RoomRecord::Event(event))) = event else {
                        return Ok(false);
                    };
                    let pdu = serde_json::from_slice::<Pdu<'_>>(&event.pdu).ok();
                    let change = pdu.and_then(|pdu| pdu.change());
                    return Ok(matches!(change, Some((_, MembershipState::Join))));
                }
                Err(error) => tracing::warn!(%error, "cannot read what an event replaces"),
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
    }

    async fn read_receipt(
        &mut self,
        record: &StoredRecord,
        room_id: OwnedRoomId,
        moved: ReceiptMoved,
        stop: &mut Stop,
    ) -> Result<(), Stopped> {
        let Ok(user_id) = UserId::parse(&moved.user_id) else {
            return Ok(());
        };
        // Private receipts, and what a fully read marker moves, are nobody else's business.
        if moved.receipt_type != "m.read" || self.audience.is_other(user_id.server_name()) {
            return Ok(());
        }
        self.learn(&room_id, record.sequence, stop).await?;
        let to: BTreeSet<_> = self.audience.of(&room_id).cloned().collect();
        if self.is_again() {
            return self
                .owe_receipt((&room_id, &user_id), &moved, (&to, stop))
                .await;
        }
        let receipt = ((room_id, user_id, moved.thread_id.clone()), moved);
        let place = place(record);
        let board = self.parts.board.clone();
        self.nudge_all(board.post_to(&to, |name| board.post_receipt(name, &receipt, &place)));
        Ok(())
    }

    fn is_own_user(&self, user_id: &str) -> bool {
        user_id
            .split_once(':')
            .is_some_and(|(_, server)| server == self.parts.env.server_name())
    }

    /// Learns who is in a room; insists.
    pub(super) async fn learn(
        &mut self,
        room_id: &OwnedRoomId,
        after: u64,
        stop: &mut Stop,
    ) -> Result<(), Stopped> {
        while let Err(error) = self.audience.learn(&self.parts.rooms, room_id, after).await {
            tracing::warn!(%room_id, %error, "cannot learn which servers are in a room");
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        }
        Ok(())
    }

    /// Takes in a record of the users family.
    pub(super) async fn read_user(
        &mut self,
        record: &StoredRecord,
        stop: &mut Stop,
    ) -> Result<Result<(), StoreError>, Stopped> {
        if record.entity.prefix() != "user" {
            return Ok(Ok(()));
        }
        let Ok(user_id) = UserId::parse(record.entity.name()) else {
            return Ok(Ok(()));
        };
        let sent = to_device_out::servers_of(record);
        let changed = device_lists::changed_by(record);
        let (sent, changed) = match (sent, changed) {
            (Ok(sent), Ok(changed)) => (sent, changed),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        self.post_direct(record, &Direct::ToDevice(user_id.clone()), names(sent));
        if changed {
            let neighbours = self.neighbours(&user_id, stop).await?;
            self.post_direct(record, &Direct::Devices(user_id), neighbours);
        }
        Ok(Ok(()))
    }

    fn post_event(
        &mut self,
        (room_id, place): (&OwnedRoomId, &Place),
        to: &BTreeSet<OwnedServerName>,
    ) {
        if self.is_again() {
            return self.owe_event((room_id, place.sequence), to);
        }
        let board = &self.parts.board;
        self.nudge_all(board.post_to(to, |name| board.post_event(name, room_id, place)));
    }

    fn post_direct(
        &mut self,
        record: &StoredRecord,
        direct: &Direct,
        mut to: BTreeSet<OwnedServerName>,
    ) {
        to.remove(self.parts.env.server_name());
        if self.is_again() {
            return self.owe_direct((direct, record.sequence), &to);
        }
        let place = place(record);
        let board = &self.parts.board;
        self.nudge_all(board.post_to(&to, |name| board.post_direct(name, direct, &place)));
    }

    /// The servers that share a room with a user.
    async fn neighbours(
        &mut self,
        user_id: &UserId,
        stop: &mut Stop,
    ) -> Result<BTreeSet<OwnedServerName>, Stopped> {
        self.await_models(stop).await?;
        let models = self.store.models();
        let (mut found, partial) = loop {
            let found = server_rooms::neighbours(&*models, user_id.as_str()).await;
            let partial = partial_rooms::of_user(&*models, user_id.as_str()).await;
            match (found, partial) {
                (Ok(found), Ok(partial)) => break (names(found), partial),
                (Err(error), _) | (_, Err(error)) => {
                    tracing::warn!(%user_id, %error, "cannot read neighbours");
                }
            }
            if !stop.pause(AGAIN).await {
                return Err(Stopped);
            }
        };
        // Of these it is told which servers are in them before it is who is.
        for room_id in partial {
            if let Ok(room_id) = RoomId::parse(&room_id) {
                found.extend(self.present(&room_id).await);
            }
        }
        Ok(found)
    }

    /// Waits until the models tell who is in which room. Who has heard of a common room must hear of a change: hence the rooms as of now, or later.
    async fn await_models(&self, stop: &mut Stop) -> Result<(), Stopped> {
        let family = Family::Rooms;
        for (number, position) in self.parts.board.positions().rooms {
            let shard = Shard { family, number };
            for name in [ServerRooms::NAME, Memberships::NAME, PartialRooms::NAME] {
                let mut looks = 0_u32;
                while self.parts.models.folded(name, shard) < position {
                    if looks.is_multiple_of(10) {
                        self.parts.models.urge(name, family);
                    }
                    looks += 1;
                    if !stop.pause(AGAIN / 10).await {
                        return Err(Stopped);
                    }
                }
            }
        }
        Ok(())
    }

    /// Takes in something volatile. What cannot be passed on is lost.
    pub(super) async fn pass_on(&mut self, volatile: Volatile) {
        match volatile {
            Volatile::Typing(room_id, users) => self.pass_on_typing(room_id, users).await,
            Volatile::Presence {
                user_id,
                presence,
                rooms,
                servers: mut to,
            } => {
                let mut asked = 0;
                for room_id in &rooms {
                    asked += usize::from(!self.audience.knows(room_id));
                    if asked <= ASKED_MAX {
                        to.extend(self.present(room_id).await);
                    }
                }
                let board = &self.parts.board;
                let post = |name: &ServerName| board.post_presence(name, &user_id, &presence);
                self.nudge_all(board.post_to(&to, post));
            }
        }
    }

    async fn pass_on_typing(&mut self, room_id: OwnedRoomId, users: Vec<OwnedUserId>) {
        let to = self.present(&room_id).await;
        let before = self.typing.remove(&room_id).unwrap_or_default();
        let stopped = before.iter().filter(|user_id| !users.contains(user_id));
        let words: Vec<_> = users
            .iter()
            .map(|user_id| (user_id, true))
            .chain(stopped.map(|user_id| (user_id, false)))
            .collect();
        let board = &self.parts.board;
        for (user_id, typing) in words {
            let key = (room_id.clone(), user_id.clone());
            let post = |name: &ServerName| board.post_typing(name, &key, typing);
            self.nudge_all(board.post_to(&to, post));
        }
        if !users.is_empty() && !to.is_empty() {
            self.typing.insert(room_id, users);
        }
    }

    /// The other servers in a room now. A room of which no record came yet is not kept in mind: what it says now may be ahead of what is read.
    async fn present(&mut self, room_id: &OwnedRoomId) -> BTreeSet<OwnedServerName> {
        let is_known = self.audience.knows(room_id);
        let now = u64::MAX >> 1;
        let learnt = self.audience.learn(&self.parts.rooms, room_id, now).await;
        if let Err(error) = learnt {
            tracing::debug!(%room_id, %error, "cannot learn which servers are in a room");
        }
        let present = self.audience.of(room_id).cloned().collect();
        if !is_known {
            self.audience.forget(room_id);
        }
        present
    }
}

fn names(servers: impl IntoIterator<Item = String>) -> BTreeSet<OwnedServerName> {
    let servers = servers.into_iter();
    servers
        .filter_map(|name| OwnedServerName::try_from(name).ok())
        .collect()
}
