//! A house of no cluster on a database that could have one. It leaves a mark there as long as it lives: a node that joined beside it would take its shards away
//! without a word.

use std::{sync::Arc, time::Duration};

use playhouse_schema::{
    port::{LogStore, StoreError},
    register::{NodeName, Register},
};

use super::HouseConfig;
use crate::followers::task::{Running, Stop};

/// The mark of a house that died keeps nodes out for so long, milliseconds.
const MARK_MS: u64 = 6_000;

/// It is renewed so often.
const RENEW_EVERY: Duration = Duration::from_millis(1_500);

/// Who is not answered by then asks over another connection.
const SAID_WITHIN: Duration = Duration::from_secs(2);

/// See the module's documentation.
pub(super) struct Mark {
    register: Arc<dyn Register>,
    who: String,
    renewing: Running,
}

impl Mark {
    /// Leaves it, and renews it from now on. Refused while nodes of a cluster live; `None` where there can be none.
    pub(super) async fn leave(
        store: &dyn LogStore,
        config: &HouseConfig,
    ) -> Result<Option<Self>, StoreError> {
        let register = store.register().filter(|_| config.cluster.is_none());
        let Some(register) = register else {
            return Ok(None);
        };
        let who = config.called.clone();
        let living = register.stand_alone(&who, MARK_MS).await?;
        if !living.is_empty() {
            register.stand_alone(&who, 0).await?;
            let names = names(&living);
            let why = format!("nodes of a cluster use this database: {names}");
            return Err(StoreError::Locked(why));
        }
        let renewed = (register.clone(), who.clone());
        let renewing = Running::start(move |stop| Box::pin(renew(renewed, stop)));
        Ok(Some(Self {
            register,
            who,
            renewing,
        }))
    }

    /// Takes it away: nothing is written any more.
    pub(super) async fn wipe(&self, within: Duration) {
        self.renewing.stop(within).await;
        let gone = self.register.stand_alone(&self.who, 0);
        // Otherwise it goes by itself.
        if let Ok(Err(error)) = tokio::time::timeout(SAID_WITHIN, gone).await {
            tracing::debug!(%error, "cannot take away the mark of a server that is alone");
        }
    }
}

async fn renew((register, who): (Arc<dyn Register>, String), mut stop: Stop) {
    let mut known = Vec::new();
    while stop.pause(RENEW_EVERY).await {
        let said = register.stand_alone(&who, MARK_MS);
        match tokio::time::timeout(SAID_WITHIN, said).await {
            Ok(Ok(living)) => {
                if living != known && !living.is_empty() {
                    let nodes = names(&living);
                    tracing::error!(
                        %nodes,
                        "nodes of a cluster have joined: this server writes nothing any more, stop it"
                    );
                }
                known = living;
            }
            Ok(Err(error)) => {
                tracing::warn!(%error, "cannot say that this server is alone on its database");
            }
            Err(_) => {
                tracing::warn!("the database does not answer, asking over another connection");
                register.reconnect();
            }
        }
    }
}

fn names(nodes: &[NodeName]) -> String {
    let names: Vec<_> = nodes.iter().map(NodeName::as_str).collect();
    names.join(", ")
}
