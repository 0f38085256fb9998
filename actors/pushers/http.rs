//! Pushing to a gateway: one request after the other, and what came of each.

use bytes::Bytes;
use playhouse_schema::{
    address::Sequence,
    record::user::{PushFailed, Pushed, PushesSettled},
};
use tokio::time::timeout;
use tracing::{Instrument as _, Span, field::Empty};

use super::{
    board::{Phase, Positions},
    body::{self, Badge, Told},
    delivery::{Candidate, Delivery, Halt, Names, listed},
    plan::{Gateway, Target},
    port::{Push, PushTaken, PushTrouble},
};
use crate::{
    server::{SLOW_AFTER, Standing as Lane},
    trace::{HOPS, TraceContext},
    user::push_standing::PushNote,
};

/// What came of some pushes.
pub(super) enum Pushes {
    /// All were taken.
    Taken,
    /// The pusher is no more.
    Rejected,
    /// One was not taken, and none after it was tried.
    Failed(PushTrouble),
}

impl Delivery {
    /// Pushes events, or else the count alone when it has fallen.
    pub(super) async fn push_all(
        &self,
        (target, gateway): (&Target, &Gateway),
        (pushes, badge, names): (&[Candidate], Badge, &Names),
    ) -> Result<Pushes, Halt> {
        let settings = &self.pushing.parts.settings;
        let mut is_told = false;
        for candidate in pushes {
            let event_id = &candidate.event.pdu.event_id;
            // Gateways may be slow: what was taken back while another push was on its way stays here.
            if self.slot.is_redacted(&candidate.room_id, event_id) {
                continue;
            }
            let told = Told {
                user_id: &self.user_id,
                event: &candidate.event,
                room_id: candidate.room_id.as_str(),
                actions: &candidate.notice.actions,
                names: names.get(&candidate.room_id),
                content: settings.include_content,
            };
            let body = body::of_event(target, gateway, &told, badge);
            let rooms = vec![(candidate.room_id.to_string(), candidate.sequence)];
            let span = Self::span(target, Some(candidate));
            let trace = TraceContext::open(&span, None, &self.pushing.parts.env);
            let pushing = self.push((target, gateway), (body, &trace), (rooms, badge));
            match pushing.instrument(span).await? {
                Pushes::Taken => is_told = true,
                ended => return Ok(ended),
            }
        }
        if is_told || gateway.without_counts || !self.wants_counts(target, badge) {
            return Ok(Pushes::Taken);
        }
        let body = body::of_counts(target, gateway, badge);
        let span = Self::span(target, None);
        let trace = TraceContext::open(&span, None, &self.pushing.parts.env);
        self.push((target, gateway), (body, &trace), (Vec::new(), badge))
            .instrument(span)
            .await
    }

    /// Whether a gateway must hear of the counts though there is no event to tell of: they have fallen, or nobody knows what it heard last. It may have taken a
    /// push whose answer was lost, and what that was about may be read by now.
    fn wants_counts(&self, target: &Target, badge: Badge) -> bool {
        let standing = &target.standing;
        let has_fallen = standing
            .unread
            .is_some_and(|told| badge.unread < told || badge.missed_calls < standing.missed_calls);
        let failing_ms = match standing.failing_since_ms {
            0 => 0,
            since_ms => self.now_ms().saturating_sub(since_ms),
        };
        // A gateway that is away for good is not asked for ever.
        has_fallen || target.is_unsure && failing_ms < self.pushing.parts.settings.give_up_ms
    }

    /// The span in which everything about a push happens. Whose it is and in which room stands in the log only: whoever collects spans may be somebody else.
    fn span(target: &Target, told: Option<&Candidate>) -> Span {
        let span = tracing::info_span!(
            target: HOPS, "push",
            trace_id = Empty, span_id = Empty, parent_id = Empty,
            event_id = Empty, recorded_ms = Empty, outcome = Empty,
            pusher = target.number, app_id = target.app_id,
        );
        if let Some(candidate) = told {
            span.record("event_id", candidate.event.pdu.event_id.as_str());
            span.record("recorded_ms", candidate.recorded_ms);
        }
        span
    }

    /// One push.
    async fn push(
        &self,
        (target, gateway): (&Target, &Gateway),
        (body, trace): (Bytes, &TraceContext),
        (rooms, badge): (Vec<(String, Sequence)>, Badge),
    ) -> Result<Pushes, Halt> {
        let room_id = rooms.first().map(|(room_id, _)| room_id.as_str());
        tracing::debug!(target: HOPS, hop = "judged", user_id = %self.user_id, room_id, "a push is to go out");
        let outcome = self.request((target, gateway), (body, trace)).await?;
        let count = |outcome: &'static str| {
            metrics::counter!("playhouse_pushes_total", "kind" => "http", "outcome" => outcome)
                .increment(1);
            Span::current().record("outcome", outcome);
        };
        match outcome {
            Ok(taken) if taken.rejected.contains(&target.pushkey) => {
                count("rejected");
                tracing::info!(user_id = %self.user_id, app_id = target.app_id, gateway = gateway.host, "a push gateway knows a key no more");
                self.note(PushNote::Rejected {
                    pusher: target.number,
                    reason: format!("the gateway at {} rejected the key", gateway.host),
                })
                .await?;
                Ok(Pushes::Rejected)
            }
            Ok(_) => {
                count("taken");
                self.note(PushNote::Pushed(Pushed {
                    pusher: target.number,
                    at_ms: 0,
                    rooms,
                    unread: badge.unread,
                    missed_calls: badge.missed_calls,
                }))
                .await?;
                self.slot.assure(target.number);
                tracing::debug!(target: HOPS, hop = "noted", "a push is noted as taken");
                Ok(Pushes::Taken)
            }
            Err(trouble) => {
                count("failed");
                tracing::debug!(user_id = %self.user_id, app_id = target.app_id, gateway = gateway.host, reason = trouble.reason, "a push was not taken");
                Ok(Pushes::Failed(trouble))
            }
        }
    }

    /// One request, when there is a place for it.
    async fn request(
        &self,
        (target, gateway): (&Target, &Gateway),
        (body, trace): (Bytes, &TraceContext),
    ) -> Result<Result<PushTaken, PushTrouble>, Halt> {
        let lane = match &target.standing {
            standing if standing.failures > 0 => Lane::Dead,
            standing if standing.success_ms > 0 => Lane::Proven,
            _ => Lane::Unknown,
        };
        let (lanes, board) = (&self.pushing.lanes, self.pushing.board());
        let permit = tokio::select! {
            permit = lanes.enter(lane) => permit,
            () = board.reaches(Phase::Closing) => return Err(Halt::Closing),
        };
        self.go_on()?;
        let span = tracing::info_span!(
            target: HOPS, "push_request",
            trace_id = Empty, span_id = Empty, parent_id = Empty, otel.kind = "client", gateway = gateway.host,
        );
        let trace = TraceContext::open(&span, Some(*trace), &self.pushing.parts.env);
        let mut asking = self.pushing.parts.settings.postman.push(Push {
            url: gateway.url.clone(),
            body,
            trace: trace.header(),
        });
        span.in_scope(|| tracing::debug!(target: HOPS, hop = "asked", "a gateway is asked"));
        let patiently = async {
            let outcome = match timeout(SLOW_AFTER, &mut asking).await {
                Ok(outcome) => outcome,
                Err(_) => {
                    let _permit = lanes.step_aside(lane, permit);
                    asking.await
                }
            };
            let reason = outcome
                .as_ref()
                .err()
                .map(|trouble| trouble.reason.as_str());
            tracing::debug!(target: HOPS, hop = "answered", reason, "a gateway has answered");
            outcome
        };
        tokio::select! {
            outcome = patiently.instrument(span) => Ok(outcome),
            () = board.reaches(Phase::CutOff) => Err(Halt::Closing),
        }
    }

    pub(super) async fn settle(&self, target: &Target) -> Result<(), Halt> {
        self.note(PushNote::Settled(PushesSettled {
            pusher: target.number,
            at_ms: 0,
            mailed: Vec::new(),
        }))
        .await
    }

    /// Notes a failure; when it is tried again.
    pub(super) async fn fail(
        &self,
        target: &Target,
        trouble: &PushTrouble,
        lag: Option<&Positions>,
    ) -> Result<u64, Halt> {
        let next_ms = self.next_attempt_ms(target.standing.failures, trouble);
        self.note(PushNote::Failed(PushFailed {
            pusher: target.number,
            at_ms: 0,
            next_ms,
            reason: trouble.reason.clone(),
            lag: lag.map(listed),
        }))
        .await?;
        Ok(next_ms)
    }

    /// Twice as long as the last time, within bounds, and a little by chance; no sooner than the other side wants.
    fn next_attempt_ms(&self, failures: u64, trouble: &PushTrouble) -> u64 {
        let settings = &self.pushing.parts.settings;
        let doubled = settings.retry_wait_ms.saturating_mul(1 << failures.min(32));
        let wait_ms = doubled.min(settings.retry_wait_max_ms.max(settings.retry_wait_ms));
        let [chance] = self.pushing.parts.env.random_bytes::<1>();
        let wait_ms = wait_ms + wait_ms.saturating_mul(chance.into()) / 1_024;
        let wanted_ms = trouble.retry_after_ms.unwrap_or(0);
        self.now_ms() + wait_ms.max(wanted_ms.min(settings.give_up_ms))
    }
}
