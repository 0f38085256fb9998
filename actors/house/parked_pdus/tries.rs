//! When it was tried last to take in what waits in rooms, and what need not be tried again for a while. All of it is forgotten with the process: who comes
//! next tries.

use std::{collections::BTreeMap, time::Duration};

use ruma::{OwnedEventId, OwnedRoomId, OwnedServerName, RoomId, ServerName};
use tokio::time::Instant;

use crate::room::parked::ParkedPdu;

/// So long nobody tries again what came to nothing.
const PAUSE: Duration = Duration::from_secs(300);

/// A server whose events were not tried for so long is like one that never brought any.
const REMEMBERED: Duration = Duration::from_secs(3_600);

/// What is known of attempts.
#[derive(Default)]
pub(super) struct Tries {
    begun: BTreeMap<(OwnedRoomId, OwnedServerName), Instant>,
    put_off: BTreeMap<(OwnedRoomId, OwnedEventId), Instant>,
}

impl Tries {
    /// What a server has brought into a room is being tried.
    pub(super) fn begin(&mut self, (room_id, origin): (&RoomId, &ServerName), now: Instant) {
        let is_recent = |at: &Instant| now.saturating_duration_since(*at) < REMEMBERED;
        self.begun.retain(|_, at| is_recent(at));
        self.begun
            .insert((room_id.to_owned(), origin.to_owned()), now);
    }

    /// It came to nothing.
    pub(super) fn put_off(&mut self, room_id: &RoomId, event_ids: Vec<OwnedEventId>, now: Instant) {
        self.put_off.retain(|_, at| is_paused(*at, now));
        let event_ids = event_ids.into_iter();
        self.put_off
            .extend(event_ids.map(|event_id| ((room_id.to_owned(), event_id), now)));
    }

    /// Nothing of a room is put off any more.
    pub(super) fn forget(&mut self, room_id: &RoomId) {
        self.put_off.retain(|(room, _), _| room != room_id);
    }

    /// Without what is put off.
    pub(super) fn ready(
        &self,
        room_id: &RoomId,
        parked: Vec<ParkedPdu>,
        now: Instant,
    ) -> Vec<ParkedPdu> {
        let parked = parked.into_iter();
        let ready = parked.filter(|one| {
            let key = (room_id.to_owned(), one.event_id.clone());
            let at = self.put_off.get(&key);
            !at.is_some_and(|at| is_paused(*at, now))
        });
        ready.collect()
    }

    /// By the server that brought it: first what was never tried, then what was tried longest ago. Whoever is slow is last the next time.
    pub(super) fn in_turn(
        &self,
        room_id: &RoomId,
        parked: Vec<ParkedPdu>,
    ) -> Vec<(OwnedServerName, Vec<ParkedPdu>)> {
        let mut by_origin: BTreeMap<OwnedServerName, Vec<ParkedPdu>> = BTreeMap::new();
        for one in parked {
            by_origin.entry(one.origin.clone()).or_default().push(one);
        }
        let mut in_turn: Vec<_> = by_origin.into_iter().collect();
        in_turn.sort_by_cached_key(|(origin, _)| {
            let key = (room_id.to_owned(), origin.clone());
            self.begun.get(&key).copied()
        });
        in_turn
    }
}

fn is_paused(at: Instant, now: Instant) -> bool {
    now.saturating_duration_since(at) < PAUSE
}

#[cfg(test)]
mod tests {
    use ruma::{EventId, room_id, server_name};

    use super::*;

    fn parked(origin: &ServerName, number: u64) -> ParkedPdu {
        ParkedPdu {
            event_id: EventId::parse(format!("$parked{number}")).unwrap(),
            origin: origin.to_owned(),
            at_ms: 1,
            lacks: Vec::new(),
            for_members: false,
            sequence: number,
        }
    }

    #[test]
    fn who_was_tried_longest_ago_is_next() {
        let room = room_id!("!room:x");
        let (a, b, c) = (server_name!("a"), server_name!("b"), server_name!("c"));
        let all = || vec![parked(a, 1), parked(b, 2), parked(c, 3), parked(a, 4)];
        let order = |tries: &Tries| -> Vec<String> {
            let in_turn = tries.in_turn(room, all()).into_iter();
            in_turn.map(|(origin, _)| origin.to_string()).collect()
        };
        let mut tries = Tries::default();
        assert_eq!(order(&tries), ["a", "b", "c"]);
        assert_eq!(tries.in_turn(room, all())[0].1.len(), 2);
        let mut now = Instant::now();
        for origin in [a, b] {
            tries.begin((room, origin), now);
            now += Duration::from_secs(1);
        }
        assert_eq!(order(&tries), ["c", "a", "b"]);
        tries.begin((room, c), now);
        tries.begin((room_id!("!other:x"), a), now);
        assert_eq!(order(&tries), ["a", "b", "c"]);
        tries.begin((room, a), now + REMEMBERED);
        assert_eq!(tries.begun.len(), 1, "the others are long ago");
    }

    #[test]
    fn what_came_to_nothing_is_put_off_for_a_while() {
        let room = room_id!("!room:x");
        let (one, two) = (parked(server_name!("a"), 1), parked(server_name!("a"), 2));
        let all = || vec![one.clone(), two.clone()];
        let mut tries = Tries::default();
        let now = Instant::now();
        tries.put_off(room, vec![one.event_id.clone()], now);
        assert_eq!(tries.ready(room, all(), now), std::slice::from_ref(&two));
        assert_eq!(tries.ready(room_id!("!other:x"), all(), now), all());
        assert_eq!(tries.ready(room, all(), now + PAUSE), all());
        tries.forget(room_id!("!other:x"));
        assert_eq!(tries.ready(room, all(), now), std::slice::from_ref(&two));
        tries.forget(room);
        assert_eq!(tries.ready(room, all(), now), all());
    }
}
