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

    /// What shall go elsewhere goes, if somebody lives there. What is held here, not served, and wanted elsewhere has just been handed over, or was to be given
    /// away before, and the register did not hear of it, or has heard of the claim alone: nobody else may take it.
    pub(super) fn let_go(self: &Arc<Self>, view: &Arc<RegisterView>) {
        for entry in &view.shards {
            if self.may_go(view, entry).is_none() || !self.set_out(entry.shard) {
                continue;
            }
            // It may have come meanwhile; from now on it does not.
            let Some(claim) = self.may_go(view, entry) else {
                self.arrived(entry.shard);
                continue;
            };
            let (ward, life) = (self.clone(), self.incarnation());
            ractor::concurrency::spawn(async move {
                let has_gone = ward.give_away(life, claim).await;
                ward.arrived(claim.shard);
                if !has_gone {
                    ward.ring();
                }
            });
        }
    }

    /// Under what a shard is held here that shall go elsewhere, if it may go now.
    fn may_go(&self, view: &RegisterView, entry: &ShardEntry) -> Option<Claim> {
        let wanted = entry.wanted.as_ref()?;
        if *wanted == self.settings.name {
            return None;
        }
        if !self.map.serves(entry.shard) {
            let life = self.life.lock();
            let newest = life.newest.get(&entry.shard);
            // A view that was read before the shard was handed over knows an earlier term.
            let is_held = entry.holder == Some(life.incarnation)
                && newest.is_none_or(|newest| entry.term >= *newest);
            return is_held.then(|| Claim::new(entry.shard, entry.term));
        }
        // A view that was read before the shard came wants it where it was.
        let claim = self.claim_of(entry.shard)?;
        (is_there(view, wanted) && entry.term >= claim.term()).then_some(claim)
    }

    /// Ends what lives in a shard, and gives it to the node that is to have it by now. Whether that has it.
    async fn give_away(&self, life: Incarnation, claim: Claim) -> bool {
        let shard = claim.shard;
        // Where nothing lives nothing has to end, and nobody is waited for.
        let is_served = self.map.serves(shard);
        let permit = match is_served {
            true => self.leaving.acquire().await.ok(),
            false => None,
        };
        // It has waited: it may have to go somewhere else, or nowhere, or who was to have it has died.
        let view = self.view.borrow().clone();
        let wanted = view.wanted(shard).cloned();
        let may_go =
            |to: &NodeName| *to != self.settings.name && (!is_served || is_there(&view, to));
        let Some(to) = wanted.filter(may_go) else {
            return false;
        };
        // Or somebody else lets it end, as this node does when it has waited for long enough.
        if self.incarnation() != life || is_served != self.map.serves(shard) {
            return false;
        }
        let began = Instant::now();
        if is_served {
            self.map.part_with(shard);
            self.tenants.end(shard).await;
        }
        drop(permit);
        let has_gone = self.hand_over(life, claim, &to).await;
        if has_gone {
            let took_ms = began.elapsed().as_millis();
            tracing::info!(%shard, %to, took_ms, "shard given away");
        }
        has_gone
    }

    /// Under what this life serves a shard.
    pub(super) fn claim_of(&self, shard: Shard) -> Option<Claim> {
        let life = self.life.lock();
        let term = life.terms.get(&shard);
        term.map(|term| Claim::new(shard, *term))
    }

    /// Gives a shard to the node that is to have it, which need not claim it then; whether it has it. If not, who is to have it claims it once it can.
    async fn hand_over(&self, life: Incarnation, claim: Claim, to: &NodeName) -> bool {
        let given = self.register.hand_over(life, claim, to);
        match self.answered(given).await {
            Ok(Some(next)) => {
                self.life.lock().hear_of(next.shard, next.term);
                self.herald.hand(to, next);
                return true;
            }
            Ok(None) => {}
            // Its lease says the rest.
            Err(error) => {
                tracing::warn!(shard = %claim.shard, %error, "cannot give a shard away");
            }
        }
        self.herald.look(to);
        // Somebody else may be to have it by now, who has looked too early.
        if let Ok(view) = self.answered(self.register.view()).await {
            let wanted = view.wanted(claim.shard);
            if let Some(other) = wanted.filter(|wanted| *wanted != to) {
                self.herald.look(other);
            }
        }
        false
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

/// Whether somebody of a name lives.
fn is_there(view: &RegisterView, name: &NodeName) -> bool {
    let mut nodes = view.nodes.iter();
    nodes.any(|node| node.name == *name && node.is_alive())
}
