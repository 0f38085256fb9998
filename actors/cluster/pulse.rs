//! What a node says with each beat, and how it sees to it that the register hears it.

use std::time::Instant;

use playhouse_schema::{
    port::StoreError,
    register::{Beat, Pulse, RegisterView},
};

use super::{roles, ward::Ward};

/// What is asked of the register is answered within such a part of a lease, or asked again: a connection that hangs must not cost the lease.
const ANSWERED_PART: u32 = 3;

impl Ward {
    /// Says that this node lives, and when that was said: once more if nobody answers. A beat that arrives late only extends a lease that runs.
    pub(super) async fn pulse(&self) -> (Instant, Result<Pulse, StoreError>) {
        let beat = self.heartbeat();
        let within = self.settings.lease / ANSWERED_PART;
        let sent = Instant::now();
        if let Ok(pulse) = tokio::time::timeout(within, self.register.beat(&beat)).await {
            return (sent, pulse);
        }
        tracing::warn!("the database does not answer, asking over another connection");
        self.register.reconnect();
        let sent = Instant::now();
        (sent, self.answered(self.register.beat(&beat)).await)
    }

    /// Waits for an answer of the register, but not for ever: it has few connections, and the lease needs them. What is not answered may be done still.
    pub async fn answered<T, E: From<StoreError>>(
        &self,
        asked: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        match tokio::time::timeout(self.settings.lease / ANSWERED_PART, asked).await {
            Ok(answer) => answer,
            Err(_) => {
                self.register.reconnect();
                let why = "the register does not answer";
                Err(StoreError::Database(why.to_owned()).into())
            }
        }
    }

    /// What is to be said now.
    pub(super) fn heartbeat(&self) -> Beat {
        let mut facts = self.tenants.facts();
        let mut life = self.life.lock();
        facts.unheld = life.failing.told(Instant::now());
        let moves = life.moving.iter();
        facts.moves = moves
            .map(|(shard, since)| {
                let for_ms = u64::try_from(since.elapsed().as_millis());
                (shard.to_string(), for_ms.unwrap_or(u64::MAX))
            })
            .collect();
        Beat {
            name: self.settings.name.clone(),
            incarnation: life.incarnation,
            address: self.settings.address.clone(),
            roles: self.settings.roles.clone(),
            standing: life.standing(),
            facts: facts.write(),
            lease_ms: u64::try_from(self.settings.lease.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Says so when there is a role that no living node has, and when somebody has it again.
    pub(super) fn miss_roles(&self, view: &RegisterView) {
        let missing = roles::missing(view);
        metrics::gauge!("playhouse_cluster_missing_roles").set(missing.len() as f64);
        let before = std::mem::replace(&mut self.life.lock().missing, missing.clone());
        if before == missing {
            return;
        }
        if missing.is_empty() {
            tracing::info!("there is a node for every role");
        } else {
            let roles = missing.join(", ");
            tracing::warn!(%roles, "no living node has these roles, and what they are for is not done");
        }
    }
}
