//! What leaves a node: shards that another may hold, at once, and shards that shall go elsewhere, after what lives in them.

use std::{sync::Arc, time::Instant};

use playhouse_schema::{
    address::Shard,
    register::{Claim, Incarnation, NodeName, RegisterView, ShardEntry},
};

use super::ward::Ward;

impl Ward {
    /// Shards that this life has claimed and does not hold any more, by what the register says.
    fn not_held(&self, view: &RegisterView) -> Vec<Shard> {
        let life = self.life.lock();
        let is_gone = |entry: &&ShardEntry| {
            let term = life.terms.get(&entry.shard);
            // A view that was read before the claim knows an earlier term.
            term.is_some_and(|term| entry.term >= *term) && entry.holder != Some(life.incarnation)
        };
        let gone = view.shards.iter().filter(is_gone);
        gone.map(|entry| entry.shard).collect()
    }

    /// What the log has refused, or the register says is not held here.
    fn lost(&self, view: &RegisterView) -> Vec<Shard> {
        let mut lost = self.tenants.lost();
        lost.extend(self.not_held(view));
        lost
    }

    /// What is lost is not served any more.
    pub(super) fn lose(self: &Arc<Self>, view: &RegisterView) {
        let own = self.incarnation();
        for shard in self.lost(view) {
            if !self.map.serves(shard) || !self.set_out(shard) {
                continue;
            }
            // It may have been taken anew since that was looked at; from now on it is not.
            if !self.lost(view).contains(&shard) {
                self.arrived(shard);
                continue;
            }
            tracing::error!(%shard, "another node writes this shard, or may");
            self.map.part_with(shard);
            let is_ours = |entry: &ShardEntry| entry.shard == shard && entry.holder == Some(own);
            let is_ours = view.shards.iter().any(is_ours);
            let claim = self.claim_of(shard).filter(|_| is_ours);
            let ward = self.clone();
            ractor::concurrency::spawn(async move {
                ward.tenants.abandon(shard).await;
                // A writer that died has let go of it: then it is claimed again.
                if let Some(claim) = claim {
                    ward.give_back(own, claim).await;
                }
                ward.arrived(shard);
                ward.ring();
            });
        }
    }

    /// What shall go elsewhere goes, if somebody lives there. What is held here, not served, and wanted elsewhere was to be given back before, and the register
    /// did not hear of it, or has heard of the claim alone: nobody else may take it.
    pub(super) fn let_go(self: &Arc<Self>, view: &Arc<RegisterView>) {
        let own = self.incarnation();
        for entry in &view.shards {
            let Some(wanted) = &entry.wanted else {
                continue;
            };
            let mut nodes = view.nodes.iter();
            let is_there = nodes.any(|node| node.name == *wanted && node.is_alive());
            let is_served = self.map.serves(entry.shard);
            let may_go = match is_served {
                true => is_there,
                false => entry.holder == Some(own),
            };
            if *wanted == self.settings.name || !may_go || !self.set_out(entry.shard) {
                continue;
            }
            let claim = match is_served {
                true => self.claim_of(entry.shard),
                false => Some(Claim::new(entry.shard, entry.term)),
            };
            let (ward, shard, to) = (self.clone(), entry.shard, wanted.clone());
            ractor::concurrency::spawn(async move {
                let _permit = ward.leaving.acquire().await;
                let began = Instant::now();
                if is_served {
                    ward.map.part_with(shard);
                    ward.tenants.end(shard).await;
                }
                if let Some(claim) = claim {
                    ward.hand_over(own, claim, &to).await;
                }
                ward.arrived(shard);
                let took_ms = began.elapsed().as_millis();
                tracing::info!(%shard, %to, took_ms, "shard given away");
            });
        }
    }

    /// Under what this life serves a shard.
    pub(super) fn claim_of(&self, shard: Shard) -> Option<Claim> {
        let life = self.life.lock();
        let term = life.terms.get(&shard);
        term.map(|term| Claim::new(shard, *term))
    }

    /// Gives a shard to the node that is to have it, which need not claim it then. If it cannot have it now it claims it once it can.
    async fn hand_over(&self, life: Incarnation, claim: Claim, to: &NodeName) {
        let given = self.register.hand_over(life, claim, to);
        match self.answered(given).await {
            Ok(Some(next)) => {
                self.herald.hand(to, next);
                return;
            }
            Ok(None) => {}
            // Its lease says the rest.
            Err(error) => {
                tracing::warn!(shard = %claim.shard, %error, "cannot give a shard away");
            }
        }
        self.herald.look(to);
        self.ring();
    }

    /// A life gives back what it held itself: the next one may hold the shard anew, and so may this one by the time that the register hears of it.
    pub(super) async fn give_back(&self, life: Incarnation, claim: Claim) {
        let claims = [claim];
        if let Err(error) = self.answered(self.register.release(life, &claims)).await {
            // Its lease says the rest.
            tracing::warn!(shard = %claim.shard, %error, "cannot give a shard back");
        }
    }
}
