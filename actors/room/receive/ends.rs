//! What an event that has found its place does to the ends of the graph, and to the state in force, which is the resolution of the states after them.

use std::{collections::BTreeSet, sync::Arc};

use playhouse_schema::record::room::{EndsForgotten, Placement, RoomRecord, StateId};
use ruma::{EventId, OwnedEventId};

use super::{
    merge,
    resets::{self, StateReset},
    verdict,
    weigh::Weighing,
};
use crate::room::{
    RoomError, auth, event::RoomEvent, gaps::with_members, pdu::Pdu, state::StateMap,
};

/// So many events are looked at to find what lies before an event.
const STEPS_MAX: usize = 100;

/// So many keys that are reset at once are told of.
const RESETS_MAX: usize = 1_000;

impl Weighing {
    /// An event has found its place: the ends before it are none any more, and the state in force follows.
    /// `in_force` is the state in force before it came.
    pub(super) async fn place(
        &mut self,
        event: &RoomEvent,
        (in_force_id, in_force): (StateId, StateMap),
    ) -> Result<(), RoomError> {
        // What is in force in a room that one comes into, or comes back to, is news as a whole.
        let is_arriving = std::mem::take(&mut self.is_arriving);
        let is_in_graph = is_in_graph(event);
        if !is_in_graph && !self.room.overtaken.contains(&event.pdu.event_id) {
            return Ok(());
        }
        let passed = self.pass_ends(event).await?;
        if is_in_graph || passed {
            // A state event on another branch than the state in force has not become that.
            let is_aside = event.pdu.is_state() && event.sequence != self.room.current_id;
            self.settle(is_in_graph && is_aside).await?;
        }
        if self.room.current_id != in_force_id && !is_arriving {
            self.note_resets(event, &in_force);
        }
        Ok(())
    }

    fn note_resets(&mut self, event: &RoomEvent, in_force: &StateMap) {
        let turns = resets::turns(in_force, &self.room.current);
        let unruled = resets::unruled(&self.rules, turns, &self.news);
        let ends = self.room.extremities.iter();
        let ends: Vec<_> = ends.map(|end| end.event_id.clone()).collect();
        let room = RESETS_MAX.saturating_sub(self.resets.len());
        let id_of = |event: &Arc<RoomEvent>| event.pdu.event_id.clone();
        let resets = unruled.iter().take(room).map(|turn| StateReset {
            at_ms: 0,
            event_type: turn.key.0.to_string(),
            state_key: turn.key.1.clone(),
            old: turn.old.as_ref().map(id_of),
            new: turn.new.as_ref().map(id_of),
            cause: event.pdu.event_id.clone(),
            ends: ends.clone(),
        });
        self.resets.extend(resets);
    }

    /// Takes away ends that an event leaves behind by way of events that are no part of the graph: soft-failed, rejected, or taken with a state that was
    /// told. What these follow on and is not known is no end either should it come. Answers whether there were any.
    async fn pass_ends(&mut self, event: &RoomEvent) -> Result<bool, RoomError> {
        let mut ends = BTreeSet::new();
        let mut has_passed = false;
        let mut seen = BTreeSet::new();
        let mut open = event.pdu.prev_events.clone();
        while let Some(event_id) = open.pop() {
            if seen.len() >= STEPS_MAX || !seen.insert(event_id.clone()) {
                continue;
            }
            if self.room.end(&event_id).is_some() {
                has_passed = true;
                ends.insert(event_id.to_string());
                continue;
            }
            // What was an end before this came is part of the graph.
            if self.history.room.end(&event_id).is_some() {
                continue;
            }
            match self.find(&event_id).await? {
                Some(known) if is_in_graph(&known) => {}
                Some(known) => {
                    // An outlier may yet find its place, and what follows on it has come already.
                    if known.placement == Placement::Outlier {
                        self.overtake(&event_id, &mut ends);
                    }
                    open.extend(known.pdu.prev_events.iter().cloned());
                }
                None => self.overtake(&event_id, &mut ends),
            }
        }
        if !ends.is_empty() {
            self.depends_on_ends = true;
            let ends = ends.into_iter().collect();
            self.push(RoomRecord::EndsForgotten(EndsForgotten { ends }));
        }
        Ok(has_passed)
    }

    /// Notes, unless it is noted, that an event is no end of the graph should it come.
    fn overtake(&self, event_id: &EventId, ends: &mut BTreeSet<String>) {
        if !self.room.overtaken.contains(event_id) {
            ends.insert(event_id.to_string());
        }
    }

    /// Judges an event by the state in force as it is with what the event knows: the state in force may lag behind that, where events between the two could
    /// not be had.
    pub(super) async fn judge_by_all(
        &mut self,
        pdu: &Pdu,
        before: StateId,
        members: &[Arc<RoomEvent>],
    ) -> Result<Result<(), String>, RoomError> {
        self.depends_on_ends = true;
        let mut all = BTreeSet::clone(&self.afters());
        all.insert(before);
        let state = with_members(&self.resolution(&all).await?, members);
        Ok(verdict::by_state(&self.rules, pdu, &state))
    }

    /// The state after the end that an event follows on, if it follows on one only, the state is not the one in force, and it is at hand.
    fn state_of_branch(&self, pdu: &Pdu) -> Option<&StateMap> {
        let [before] = &pdu.prev_events[..] else {
            return None;
        };
        let after = self.room.end(before)?.after;
        if after == self.room.current_id {
            return None;
        }
        let states = self.states.get(&after);
        states.or_else(|| self.remembered.state(after))
    }

    /// What may authorise an event: what the state of its branch holds, and where that does not have all that is wanted, also what is in force.
    pub(super) fn at_hand(&self, pdu: &Pdu, wanted: &[OwnedEventId]) -> Vec<Arc<RoomEvent>> {
        let in_force = || auth::candidate_events(&self.room.current, pdu).cloned();
        let Some(branch) = self.state_of_branch(pdu) else {
            return in_force().collect();
        };
        let mut held: Vec<_> = auth::candidate_events(branch, pdu).cloned().collect();
        let is_held = |id: &OwnedEventId| held.iter().any(|event| event.pdu.event_id == *id);
        if !wanted.iter().all(is_held) {
            held.extend(in_force());
        }
        held
    }

    /// The states after the ends of the graph.
    pub(super) fn afters(&mut self) -> Arc<BTreeSet<StateId>> {
        let ends = self.room.extremities.iter();
        let made = || Arc::new(ends.map(|end| end.after).collect());
        self.afters.get_or_insert_with(made).clone()
    }

    /// The ends of the graph have changed: the state in force is the resolution of the states after all of them.
    pub(super) async fn settle(&mut self, is_state_aside: bool) -> Result<(), RoomError> {
        self.is_settled = true;
        let afters = self.afters();
        if afters.len() == 1 && afters.contains(&self.room.current_id) {
            return Ok(());
        }
        self.depends_on_ends = true;
        let only = afters.first().copied().filter(|_| afters.len() == 1);
        let known = self.merged.get(&*afters).copied().or(only);
        if known == Some(self.room.current_id) && !is_state_aside {
            return Ok(());
        }
        let state = match known {
            Some(id) => self.state(id).await?,
            None => self.resolution(&afters).await?,
        };
        // A state event that is recorded live looks as if it were in force from then on: what follows it says what is.
        if is_state_aside || !merge::changes(&self.room.current, &state).is_empty() {
            self.state_as_set(state, true)?;
        }
        self.merged.insert(afters, self.room.current_id);
        Ok(())
    }
}

/// Whether an event is part of the graph: other events that follow on it have made it no end.
pub(super) fn is_in_graph(event: &RoomEvent) -> bool {
    event.verdict.has_passed() && event.placement == Placement::Live
}
