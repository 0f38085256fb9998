//! What providers said that is good once: answers to questions, logouts. Remembered until nobody would believe it again, for all nodes at one desk.

use playhouse_actors::{
    desks::{DeskKind, Put, Terms},
    house::{Desks, House, HouseError},
};

/// What was used.
pub(super) struct Used(Desks);

impl Used {
    /// Nothing was used yet.
    pub(super) fn new(house: &House) -> Self {
        Self(house.desks().clone())
    }

    /// To be called before something begins whose end is to be noted until some time. What is noted may be lost with a node, but never without notice, from now
    /// on.
    pub(super) async fn attend(&self, until_ms: u64) -> Result<(), HouseError> {
        self.0.attend((DeskKind::Used, ""), until_ms).await
    }

    /// Notes that something is used. `false`: it was used before, there is no room to remember it, or nobody knows any more whether it was used since it began.
    /// Who does not say when it began takes it that it may be used a second time when a node dies.
    pub(super) async fn note(
        &self,
        name: &str,
        until_ms: u64,
        begun_ms: Option<u64>,
    ) -> Result<bool, HouseError> {
        let terms = Terms {
            only_new: true,
            never_evicts: true,
            begun_ms,
            ..Terms::default()
        };
        let place = (DeskKind::Used, name);
        let (put, _) = self.0.put(place, (&(), until_ms), terms).await?;
        Ok(put == Put::Done)
    }
}
