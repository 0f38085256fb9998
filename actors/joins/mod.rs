//! Users of this server who are on the way into rooms through other servers: what was sent to whom, and how far each has come. What is not at its end is gone on
//! with after a restart.
//!
//! Owns which joins are under way, at most one for each user and room, and that nothing more is sent for one that is to be abandoned. Must not know how a room
//! is joined.

#[cfg(test)]
mod tests;

use std::sync::Arc;

use imbl::OrdMap;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::{
        codec::Record as _,
        join::{JoinAbandoned, JoinBegun, JoinEnded, JoinProgress, JoinRecord, JoinSent},
    },
};
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use tokio::sync::Notify;

use crate::kernel::{Committed, Decision, Domain, Port, Resident, Unavailable};

/// So many may be under way at a time.
const JOINS_MAX: usize = 500;

/// And so many of them of one user, so that nobody takes the places of all others.
const OF_A_USER_MAX: usize = 20;

/// The first attempt of one that was begun so long ago, milliseconds, is over: when there is no other way its place is taken.
const FIRST_ATTEMPT_MS_MAX: u64 = 60 * 60 * 1_000;

/// The newest so many events that were sent for one are remembered: as many servers are asked for one journey.
const SENT_MAX: usize = 8;

/// The newest so many of these are kept as a whole, to be sent again. An event may have 64 KiB, and all joins lie in memory; to take an older one back it is enough
/// to know where it was sent and which it was.
const WHOLE_MAX: usize = 2;

/// A room and a user of this server.
type Pair = (String, String);

/// All joins that are under way: a fold of their records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Joins(OrdMap<Pair, Under>);

/// A join, and the records of what was sent for it, which are to be emptied when it ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Under {
    join: Join,
    records: Vec<Sequence>,
}

/// A join that is under way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Join {
    /// Who wants where, since when.
    pub begun: JoinBegun,
    /// What was sent, oldest first. The events themselves are known of the newest ones only.
    pub sent: Vec<Arc<JoinSent>>,
    /// So many events of the answer are taken in, of so many; `None` before there is an answer, and for a small one.
    pub progress: Option<(u64, u64)>,
    /// Nothing is to come of it.
    pub abandoned: Option<JoinAbandoned>,
}

/// What can be done with joins.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum JoinCommand {
    /// A user wants in. What was sent before for the same user and room stays known. While too many are under way it takes the place of the oldest one that has
    /// failed, else of one that was begun long ago, else of the oldest one that an administrator has cancelled; where there is none it is refused with
    /// `TooMany`.
    Begin(JoinBegun),
    /// The join is about to be sent. Refused with `Abandoned` if nothing is to come of it.
    Send(Box<JoinSent>),
    /// What was answered is being taken in. Refused with `Abandoned` if nothing is to come of it.
    Progress(JoinProgress),
    /// Nothing is to come of it. Refused with `Unknown` when it is not under way.
    Abandon(JoinAbandoned),
    /// It has come to its end. One into which the user has come is not ended, but refused with `Abandoned`, when an administrator or the user wants it
    /// abandoned.
    End(JoinEnded),
    /// It has come to its end, whatever anybody wants.
    EndAnyway(JoinEnded),
}

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum JoinQuery {
    /// One, by room and user.
    One(String, String),
    /// All, without the events that were sent.
    All,
}

/// What is answered: joins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinsTold(pub Vec<Join>);

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum JoinError {
    /// No such join is under way.
    #[error("no such join is under way")]
    Unknown,
    /// Nothing is to come of it.
    #[error("the join was cancelled")]
    Abandoned,
    /// Too many are under way.
    #[error("too many joins are under way")]
    TooMany,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

/// Where all joins are.
pub fn joins() -> Entity {
    Entity::house("joins")
}

impl Join {
    /// The same without the events that were sent.
    fn outlined(&self) -> Self {
        let sent = self.sent.iter();
        Self {
            sent: sent.map(|sent| Arc::new(outline(sent))).collect(),
            ..self.clone()
        }
    }

    /// Which place it has among those that are given up for others, the lowest first: which kind it is of, and since when. `None`: it is not given up.
    fn given_up_rank(&self, now_ms: u64) -> Option<(u8, u64)> {
        match &self.abandoned {
            // What somebody has asked for by name goes last.
            Some(abandoned) if self.is_cancelled() => Some((2, abandoned.at_ms)),
            Some(abandoned) => Some((0, abandoned.at_ms)),
            None => {
                let begun_ms = self.begun.at_ms;
                let is_long_ago = now_ms.saturating_sub(begun_ms) > FIRST_ATTEMPT_MS_MAX;
                is_long_ago.then_some((1, begun_ms))
            }
        }
    }

    /// An administrator wants it abandoned.
    pub fn is_cancelled(&self) -> bool {
        let abandoned = self.abandoned.as_ref();
        abandoned.is_some_and(|abandoned| abandoned.by.is_some())
    }

    /// Somebody wants it abandoned, be it an administrator or the user: it has not just failed.
    pub fn is_unwanted(&self) -> bool {
        let abandoned = self.abandoned.as_ref();
        abandoned.is_some_and(|abandoned| weight(abandoned) > 0)
    }
}

/// How much it says that a join is abandoned: the least when it has just failed, the most when an administrator wants it.
fn weight(abandoned: &JoinAbandoned) -> u8 {
    match abandoned {
        JoinAbandoned { by: Some(_), .. } => 2,
        JoinAbandoned { unwanted: true, .. } => 1,
        _ => 0,
    }
}

/// What was sent, without the event.
fn outline(sent: &JoinSent) -> JoinSent {
    JoinSent {
        pdu: ByteBuf::new(),
        ..sent.clone()
    }
}

impl Under {
    /// Takes in what is sent.
    fn send(&mut self, sequence: Sequence, sent: &JoinSent) {
        self.records.push(sequence);
        self.join.progress = None;
        self.join.sent.push(Arc::new(sent.clone()));
        let too_many = self.records.len().saturating_sub(SENT_MAX);
        self.records.drain(..too_many);
        let too_many = self.join.sent.len().saturating_sub(SENT_MAX);
        self.join.sent.drain(..too_many);
        let older = self.join.sent.len().saturating_sub(WHOLE_MAX);
        for sent in self.join.sent.iter_mut().take(older) {
            if !sent.pdu.is_empty() {
                *sent = Arc::new(outline(sent));
            }
        }
    }

    /// What is emptied when one more is sent: just what is not kept in memory any more.
    fn emptied_by_next(&self) -> Vec<(Sequence, bytes::Bytes)> {
        let newest_first = self
            .records
            .iter()
            .rev()
            .zip(self.join.sent.iter().rev())
            .enumerate();
        let mut emptied = Vec::new();
        for (newer, (sequence, sent)) in newest_first {
            // With the one that is sent now.
            let newer = newer + 1;
            if newer >= SENT_MAX {
                emptied.push((*sequence, encoded(JoinSent::forgotten())));
            } else if newer >= WHOLE_MAX && !sent.pdu.is_empty() {
                emptied.push((*sequence, encoded(outline(sent))));
            }
        }
        emptied
    }
}

fn encoded(sent: JoinSent) -> bytes::Bytes {
    JoinRecord::Sent(sent).encode()
}

impl Joins {
    fn get(&self, room_id: &str, user_id: &str) -> Option<&Under> {
        self.0.get(&(room_id.to_owned(), user_id.to_owned()))
    }

    /// The one that is to be gone on with.
    fn wanted(&self, room_id: &str, user_id: &str) -> Result<&Under, JoinError> {
        let under = self.get(room_id, user_id).ok_or(JoinError::Unknown)?;
        match under.join.abandoned {
            Some(_) => Err(JoinError::Abandoned),
            None => Ok(under),
        }
    }

    /// The end of the join whose place one that is begun takes, if it needs one: that of a user who has too many, or that of anybody.
    fn given_up_for(&self, begun: &JoinBegun) -> Result<Option<JoinEnded>, JoinError> {
        if self.get(&begun.room_id, &begun.user_id).is_some() {
            return Ok(None);
        }
        let is_own = |under: &Under| under.join.begun.user_id == begun.user_id;
        let own = self.0.values().filter(|under| is_own(under)).count();
        let has_too_many = own >= OF_A_USER_MAX;
        if !has_too_many && self.0.len() < JOINS_MAX {
            return Ok(None);
        }
        let candidates = self.0.values();
        let candidates = candidates.filter(|under| !has_too_many || is_own(under));
        let ranked = candidates.filter_map(|under| {
            let join = &under.join;
            Some((join.given_up_rank(begun.at_ms)?, &join.begun))
        });
        let first = ranked.min_by_key(|(rank, _)| *rank);
        let (_, ended) = first.ok_or(JoinError::TooMany)?;
        Ok(Some(JoinEnded {
            room_id: ended.room_id.clone(),
            user_id: ended.user_id.clone(),
            joined: false,
            at_ms: begun.at_ms,
        }))
    }

    fn judge(&self, command: JoinCommand) -> Result<Vec<JoinRecord>, JoinError> {
        match command {
            JoinCommand::Begin(begun) => {
                let given_up = self.given_up_for(&begun)?.map(JoinRecord::Ended);
                let begun = JoinRecord::Begun(begun);
                Ok(given_up.into_iter().chain([begun]).collect())
            }
            JoinCommand::Send(sent) => {
                self.wanted(&sent.room_id, &sent.user_id)?;
                Ok(vec![JoinRecord::Sent(*sent)])
            }
            JoinCommand::Progress(progress) => {
                self.wanted(&progress.room_id, &progress.user_id)?;
                Ok(vec![JoinRecord::Progressed(progress)])
            }
            JoinCommand::Abandon(abandoned) => {
                let under = self.get(&abandoned.room_id, &abandoned.user_id);
                let known = under.ok_or(JoinError::Unknown)?.join.abandoned.as_ref();
                // That it fails says nothing new; that somebody wants it so does.
                let says_less = known.is_some_and(|it| weight(it) >= weight(&abandoned));
                let says_more = (!says_less).then_some(JoinRecord::Abandoned(abandoned));
                Ok(says_more.into_iter().collect())
            }
            JoinCommand::End(ended) => {
                let under = self.get(&ended.room_id, &ended.user_id);
                if ended.joined && under.is_some_and(|under| under.join.is_unwanted()) {
                    return Err(JoinError::Abandoned);
                }
                Ok(under
                    .map(|_| JoinRecord::Ended(ended))
                    .into_iter()
                    .collect())
            }
            JoinCommand::EndAnyway(ended) => {
                let under = self.get(&ended.room_id, &ended.user_id);
                Ok(under
                    .map(|_| JoinRecord::Ended(ended))
                    .into_iter()
                    .collect())
            }
        }
    }

    fn change(&mut self, (room_id, user_id): (&str, &str), change: impl FnOnce(&mut Under)) {
        if let Some(under) = self.0.get_mut(&(room_id.to_owned(), user_id.to_owned())) {
            change(under);
        }
    }

    fn take_in(&mut self, sequence: Sequence, record: &JoinRecord) {
        match record {
            JoinRecord::Begun(begun) => {
                let pair = (begun.room_id.clone(), begun.user_id.clone());
                let before = self.0.remove(&pair);
                let (sent, records) = match before {
                    Some(before) => (before.join.sent, before.records),
                    None => (Vec::new(), Vec::new()),
                };
                let join = Join {
                    begun: begun.clone(),
                    sent,
                    progress: None,
                    abandoned: None,
                };
                self.0.insert(pair, Under { join, records });
            }
            JoinRecord::Sent(sent) => self.change((&sent.room_id, &sent.user_id), |under| {
                under.send(sequence, sent);
            }),
            JoinRecord::Progressed(progress) => {
                self.change((&progress.room_id, &progress.user_id), |under| {
                    under.join.progress = Some((progress.events, progress.of));
                });
            }
            JoinRecord::Abandoned(abandoned) => {
                self.change((&abandoned.room_id, &abandoned.user_id), |under| {
                    under.join.abandoned = Some(abandoned.clone());
                });
            }
            JoinRecord::Ended(ended) => {
                self.0
                    .remove(&(ended.room_id.clone(), ended.user_id.clone()));
            }
        }
    }

    /// What is to be emptied with a record.
    fn emptied_with(&self, record: &JoinRecord) -> Vec<(Sequence, bytes::Bytes)> {
        match record {
            JoinRecord::Ended(ended) => {
                let under = self.get(&ended.room_id, &ended.user_id);
                let records = under.into_iter().flat_map(|under| under.records.iter());
                let nothing = encoded(JoinSent::forgotten());
                records
                    .map(|sequence| (*sequence, nothing.clone()))
                    .collect()
            }
            JoinRecord::Sent(sent) => {
                let under = self.get(&sent.room_id, &sent.user_id);
                under.map_or_else(Vec::new, Under::emptied_by_next)
            }
            _ => Vec::new(),
        }
    }

    fn encode(&self) -> Vec<u8> {
        let all: Vec<_> = self.0.values().collect();
        rmp_serde::to_vec(&all).expect("joins hold nothing that MessagePack cannot say")
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let all: Vec<Under> = rmp_serde::from_slice(bytes).ok()?;
        let pair = |join: &Join| (join.begun.room_id.clone(), join.begun.user_id.clone());
        let all = all.into_iter().map(|under| (pair(&under.join), under));
        Some(Self(all.collect()))
    }

    fn tell(&self, query: JoinQuery) -> JoinsTold {
        JoinsTold(match query {
            JoinQuery::One(room_id, user_id) => {
                let found = self.get(&room_id, &user_id);
                found.map(|under| under.join.clone()).into_iter().collect()
            }
            JoinQuery::All => self.0.values().map(|under| under.join.outlined()).collect(),
        })
    }
}

impl Domain for Joins {
    const NAME: &'static str = "joins";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = JoinRecord;
    type Command = JoinCommand;
    type Reply = ();
    type Query = JoinQuery;
    type Answer = JoinsTold;
    type Signal = ();
    type Error = JoinError;
    type Live = ();
    /// Rung when something is recorded: one may be there that nobody goes on with.
    type Context = Arc<Notify>;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &JoinRecord) {
        self.take_in(sequence, record);
    }

    fn decide(
        &self,
        command: JoinCommand,
        _bell: &Arc<Notify>,
    ) -> Result<Decision<Self>, JoinError> {
        let records = self.judge(command)?;
        let erasures = records.iter().flat_map(|record| self.emptied_with(record));
        Ok(Decision {
            erasures: erasures.collect(),
            ..Decision::new(records, ())
        })
    }

    fn answer(resident: &mut Resident<Self>, query: JoinQuery, port: Port<JoinsTold, JoinError>) {
        let _ = port.send(Ok(resident.state.tell(query)));
    }

    fn committed(resident: &mut Resident<Self>, _records: &[Committed]) {
        resident.context.notify_one();
    }

    fn woken(resident: &mut Resident<Self>) {
        resident.context.notify_one();
    }

    fn weight_bytes(&self) -> usize {
        let of = |under: &Under| {
            let sent = under.join.sent.iter();
            512 + sent.map(|sent| sent.pdu.len() + 512).sum::<usize>()
        };
        256 + self.0.values().map(of).sum::<usize>()
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= 1_000
    }

    fn to_snapshot(&self) -> bytes::Bytes {
        self.encode().into()
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Self::decode(&snapshot.payload)
    }
}
