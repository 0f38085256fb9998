//! Invites that a moderator took out of the user's sight, and showing them again. The rooms keep the invites: what is shown again is what was hidden.

use std::collections::BTreeSet;

use imbl::OrdMap;
use playhouse_schema::{
    address::Sequence,
    record::user::{HiddenInvite, InvitesHidden, UserRecord},
};
use ruma::{OwnedRoomId, RoomId};
use serde::{Deserialize, Serialize};

use super::{
    error::UserError,
    message::{UserAnswer, UserReply},
    state::User,
};
use crate::kernel::Decision;

/// So many of a user's invites may be hidden: with those below they still fit into one answer to another node, whatever the rooms are called.
const HIDDEN_MAX: usize = 10_000;

/// So many invites that are shown again are remembered, so that clients that were told of their end are told of them again.
const SHOWN_MAX: usize = 10_000;

/// What was done about an invite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InviteTurn {
    /// The member event up to which it counts, by its number among the room's records: a later invite is another one.
    until: Sequence,
    /// By which run of a policy.
    run: Sequence,
    is_hidden: bool,
    /// By which of the user's records.
    pub(crate) sequence: Sequence,
}

impl InviteTurn {
    /// Whether the invite is hidden, for whom reads up to a record of the user: what is in flight has not happened.
    pub(crate) fn is_hidden_at(&self, durable: Sequence) -> bool {
        self.is_hidden == (self.sequence <= durable)
    }

    /// Whether it happened after one record and up to another.
    pub(crate) fn is_within(&self, after: Sequence, durable: Sequence) -> bool {
        self.sequence > after && self.sequence <= durable
    }
}

/// What is to become of invites.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum InviteWish {
    /// These are shown no more.
    Hide(InvitesHidden),
    /// Those that this run of a policy hides are shown again.
    Show(Sequence),
}

/// All of a user. Cheap to clone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct HiddenInvites {
    turns: OrdMap<OwnedRoomId, InviteTurn>,
    /// The newest record about them.
    newest: Sequence,
}

impl HiddenInvites {
    /// Whether an invite is hidden whose member event has this number.
    pub fn hides(&self, room_id: &RoomId, since: Sequence) -> bool {
        self.turn(room_id, since).is_some_and(|turn| turn.is_hidden)
    }

    /// Whether a run of a policy hides it.
    pub fn hides_by(&self, run: Sequence, (room_id, since): (&RoomId, Sequence)) -> bool {
        let turn = self.turn(room_id, since);
        turn.is_some_and(|turn| turn.is_hidden && turn.run == run)
    }

    /// So many more may be hidden.
    pub fn room_left(&self) -> usize {
        HIDDEN_MAX.saturating_sub(self.hidden().count())
    }

    /// What was done last about an invite whose member event has this number.
    pub(crate) fn turn(&self, room_id: &RoomId, since: Sequence) -> Option<InviteTurn> {
        let turn = self.turns.get(room_id)?;
        (since <= turn.until).then_some(*turn)
    }

    /// The rooms about whose invites something was done after a record. Costs nothing where nothing was.
    pub(crate) fn turned_after(&self, after: Sequence) -> BTreeSet<OwnedRoomId> {
        if self.newest <= after {
            return BTreeSet::new();
        }
        self.turns
            .iter()
            .filter(|(_, turn)| turn.sequence > after)
            .map(|(room_id, _)| room_id.clone())
            .collect()
    }

    /// Those that are hidden.
    fn hidden(&self) -> impl Iterator<Item = (&OwnedRoomId, &InviteTurn)> {
        self.turns.iter().filter(|(_, turn)| turn.is_hidden)
    }

    /// Those that a run hides.
    fn of_run(&self, run: Sequence) -> impl Iterator<Item = (&OwnedRoomId, &InviteTurn)> {
        self.hidden().filter(move |(_, turn)| turn.run == run)
    }

    pub(super) fn fold(&mut self, sequence: Sequence, record: &UserRecord) {
        match record {
            UserRecord::InvitesHidden(hidden) => {
                for invite in &hidden.invites {
                    self.hide(sequence, hidden.run, invite);
                }
            }
            UserRecord::InvitesShown(run) => self.show(sequence, *run),
            _ => return,
        }
        self.newest = sequence;
    }

    fn hide(&mut self, sequence: Sequence, run: Sequence, invite: &HiddenInvite) {
        let Ok(room_id) = RoomId::parse(&invite.room_id) else {
            return;
        };
        let turn = InviteTurn {
            until: invite.until,
            run,
            is_hidden: true,
            sequence,
        };
        self.turns.insert(room_id, turn);
    }

    fn show(&mut self, sequence: Sequence, run: Sequence) {
        let rooms = self.of_run(run);
        let rooms: Vec<_> = rooms
            .map(|(room_id, turn)| (room_id.clone(), *turn))
            .collect();
        for (room_id, mut turn) in rooms {
            (turn.is_hidden, turn.sequence) = (false, sequence);
            self.turns.insert(room_id, turn);
        }
        self.forget_shown(SHOWN_MAX);
    }

    /// Lets go of those that were shown again longest ago, until so many are left.
    fn forget_shown(&mut self, left: usize) {
        let shown = self.turns.iter().filter(|(_, turn)| !turn.is_hidden);
        let surplus = shown.clone().count().saturating_sub(left);
        if surplus == 0 {
            return;
        }
        let mut shown: Vec<_> = shown
            .map(|(room_id, turn)| (turn.sequence, room_id.clone()))
            .collect();
        shown.sort_unstable();
        for (_, room_id) in shown.drain(..surplus) {
            self.turns.remove(&room_id);
        }
    }

    /// A rough figure of the memory they take.
    pub(super) fn weight_bytes(&self) -> usize {
        self.turns.len() * 150
    }
}

/// Judges it.
pub(super) fn decide(user: &User, wish: InviteWish) -> Result<Decision<User>, UserError> {
    match wish {
        InviteWish::Hide(wanted) => hide(user, wanted),
        InviteWish::Show(run) => show(user, run),
    }
}

/// Hides invites. Answers how many of the user's invites the run hides then; one that is hidden already stays with its run.
fn hide(user: &User, wanted: InvitesHidden) -> Result<Decision<User>, UserError> {
    user.open()?;
    let known = &user.hidden_invites;
    let is_new = |invite: &HiddenInvite| {
        let room_id = RoomId::parse(&invite.room_id).ok()?;
        (!known.hides(&room_id, invite.until)).then_some(room_id)
    };
    let mut rooms = BTreeSet::new();
    let run = wanted.run;
    let mut invites = wanted.invites;
    invites.retain(|invite| is_new(invite).is_some_and(|room_id| rooms.insert(room_id)));
    let before = known.of_run(run).count() as u64;
    if invites.is_empty() {
        return Ok(Decision::unchanged(UserReply::Count(before)));
    }
    if invites.len() > known.room_left() {
        return Err(UserError::TooLarge("too many hidden invites".to_owned()));
    }
    // Of those that replace an older invite of the same room, the run may have hidden that too.
    let again = known.of_run(run);
    let again = again.filter(|(room_id, _)| rooms.contains(*room_id));
    let count = before + invites.len() as u64 - again.count() as u64;
    let records = vec![UserRecord::InvitesHidden(InvitesHidden { run, invites })];
    Ok(Decision::new(records, UserReply::Count(count)))
}

/// Shows again what a run hides. Answers how many that are.
fn show(user: &User, run: Sequence) -> Result<Decision<User>, UserError> {
    user.open()?;
    match user.hidden_invites.of_run(run).count() as u64 {
        0 => Ok(Decision::unchanged(UserReply::Count(0))),
        count => {
            let records = vec![UserRecord::InvitesShown(run)];
            Ok(Decision::new(records, UserReply::Count(count)))
        }
    }
}

/// Tells what is hidden. Whose account is closed has no invites any more.
pub(super) fn tell(user: &User) -> Result<UserAnswer, UserError> {
    user.open()?;
    Ok(UserAnswer::HiddenInvites(user.hidden_invites.clone()))
}
