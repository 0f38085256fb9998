//! One attempt to bring a transaction over, and its place among those of other destinations.

use std::time::Duration;

use playhouse_schema::record::server::Departed;
use tokio::{sync::OwnedSemaphorePermit, time::timeout};

use super::{
    body,
    delivery::{Delivery, Halt},
    lanes::{SLOW_AFTER, Standing},
    refusals::{emptied, refusal},
    space::{SMALL_BYTES, halves},
};
use crate::network::{PeerError, PeerMethod, PeerRequest};

/// An acknowledgement is not larger: a line for each event.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// What came of a request, and how many bytes that had.
type Asked = (Result<(), PeerError>, usize);

impl Delivery {
    /// One attempt to bring a transaction over.
    pub(super) async fn attempt(&mut self, departed: &Departed) -> Result<(), Halt> {
        let is_revived = self.slot.take_revival();
        let standing = if self.state.failures > 0 && self.state.next_ms > 0 && !is_revived {
            Standing::Dead
        } else {
            self.living()
        };
        let outcome = self.bring(departed, standing).await?;
        let is_recorded = self
            .state
            .in_flight
            .as_ref()
            .is_some_and(|known| known.transaction_id == departed.transaction_id);
        match outcome {
            Ok(()) => {
                metrics::counter!("playhouse_outbox_transactions_total", "outcome" => "acknowledged")
                    .increment(1);
                if is_recorded {
                    self.acknowledged = Some(departed.transaction_id.clone());
                }
                self.slot.took();
                let now_ms = self.context.env.now_ms();
                let took_ms = now_ms.saturating_sub(departed.at_ms);
                metrics::histogram!("playhouse_outbox_delivery_seconds")
                    .record(took_ms as f64 / 1_000.0);
                self.context.board.note_reached(&self.name, now_ms);
                // Who was thought dead is not any more, and that is worth a record.
                if self.state.failures > 0 || self.state.acknowledged_ms == 0 {
                    self.record_acknowledgement().await?;
                }
                Ok(())
            }
            Err(error) => {
                metrics::counter!("playhouse_outbox_transactions_total", "outcome" => "failed")
                    .increment(1);
                tracing::debug!(destination = %self.name, %error, failures = self.state.failures, "transaction not acknowledged");
                let now_ms = self.context.env.now_ms();
                self.slot
                    .refused((&departed.transaction_id, now_ms), &error);
                self.fail().await
            }
        }
    }

    /// The lane of a destination that lives as far as is known.
    fn living(&self) -> Standing {
        match self.state.acknowledged_ms {
            0 => Standing::Unknown,
            _ => Standing::Proven,
        }
    }

    /// Brings a transaction over; one that is too large for the destination, or that it keeps refusing, in halves, and a single such thing not at all: all that
    /// comes after it would wait for ever.
    ///
    /// A refusal is the end of a transaction, so that others may follow before it is acknowledged (server-server API, "Transactions"). What is recorded
    /// stays the whole: who breaks off between the halves sends the same ones again.
    async fn bring(
        &mut self,
        departed: &Departed,
        mut standing: Standing,
    ) -> Result<Result<(), PeerError>, Halt> {
        let now_ms = self.context.env.now_ms();
        let refused_for_ms = self.context.settings.refused_for_ms;
        let is_lasting = self
            .slot
            .refuses((&departed.transaction_id, now_ms), refused_for_ms);
        let mut takes_any = false;
        let mut left = vec![departed.clone()];
        while let Some(part) = left.pop() {
            let (outcome, bytes) = self.ask(&part, &mut standing).await?;
            let Err(error) = outcome else {
                takes_any = true;
                continue;
            };
            let is_too_large =
                matches!(error, PeerError::Refused { status: 413, .. }) && bytes > SMALL_BYTES;
            let is_refused = is_lasting && refusal(&error).is_some();
            if !is_too_large && !is_refused {
                return Ok(Err(error));
            }
            if is_refused && !takes_any {
                // Who takes nothing at all is at fault itself.
                let (outcome, _) = self.ask(&emptied(departed), &mut standing).await?;
                if outcome.is_err() {
                    return Ok(Err(error));
                }
                takes_any = true;
            }
            if let Some([first, second]) = halves(&part) {
                left.extend([second, first]);
                continue;
            }
            if is_too_large {
                metrics::counter!("playhouse_outbox_too_large_total").increment(1);
            }
            self.give_up((&part, bytes), &error);
        }
        Ok(Ok(()))
    }

    /// One request.
    async fn ask(&mut self, departed: &Departed, standing: &mut Standing) -> Result<Asked, Halt> {
        let context = self.context.clone();
        let permit = self.enter(standing).await?;
        if context.board.is_closing() {
            return Err(Halt::Closing);
        }
        let names = (context.env.server_name(), &*self.name);
        let body = body::write(&*context.store, names, departed).await?;
        let bytes = body.len();
        let request = PeerRequest {
            destination: self.name.clone(),
            method: PeerMethod::Put,
            path: format!("/_matrix/federation/v1/send/{}", departed.transaction_id),
            body: Some(body),
            within: Duration::from_millis(context.settings.answer_within_ms),
            answer_bytes_max: ANSWER_BYTES_MAX,
        };
        let mut asking = context.env.network.ask(request);
        let outcome = match timeout(SLOW_AFTER, &mut asking).await {
            Ok(outcome) => outcome,
            Err(_) => {
                let _permit = context.lanes.step_aside(*standing, permit);
                self.patiently(asking).await?
            }
        };
        Ok((outcome.map(drop), bytes))
    }

    /// Waits for a place in the lane. Who gives a sign of life while it waits among the dead waits among the living from then on.
    async fn enter(&mut self, standing: &mut Standing) -> Result<OwnedSemaphorePermit, Halt> {
        let (context, slot) = (self.context.clone(), self.slot.clone());
        let (before, living) = (*standing, self.living());
        let entering = async {
            if before == Standing::Dead {
                tokio::select! {
                    biased;
                    permit = context.lanes.enter(before) => return (permit, before),
                    () = slot.revived() => {}
                }
                return (context.lanes.enter(living).await, living);
            }
            (context.lanes.enter(before).await, before)
        };
        let (permit, entered) = self.patiently(entering).await?;
        *standing = entered;
        Ok(permit)
    }
}
