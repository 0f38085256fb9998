//! How a call reaches its actor, wherever that is, while shards move.
//!
//! A call that was refused unread goes on to the next place by itself. A query that was lost on the way is asked again; a command is not: who does not know
//! whether it was carried out is told so.

use std::{
    sync::{Arc, atomic::Ordering},
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use playhouse_schema::{
    address::{Entity, Shard},
    register::NodeName,
};
use ractor::RpcReplyPort;

use super::{
    directory::Directory,
    domain::{Domain, Port, Unavailable},
    keeper::Mail,
    parcel,
    vitals::Ticket,
    ways::{Call, Errand, LinkError, MAP_PATIENCE, Place, Routes, Served, Ways},
};

/// A command or a query.
pub(super) trait Asked<D: Domain>: Sized + Send {
    /// What comes back.
    type Answer: serde::Serialize + serde::de::DeserializeOwned + Send + 'static;

    /// What it is.
    const ERRAND: Errand;

    /// As mail.
    fn post(self, port: Port<Self::Answer, D::Error>, ticket: Arc<Ticket>) -> Mail<D>;

    /// Out of mail that was refused unread.
    fn from_unread(mail: Mail<D>) -> Option<Self>;

    /// The same once more, if it may be asked twice.
    fn again(&self) -> Option<Self>;

    /// Packed for another node.
    fn pack(&self) -> Result<Bytes, parcel::ParcelError>;
}

/// A command on its way.
pub(super) struct Told<D: Domain>(pub(super) D::Command);

/// A query on its way.
pub(super) struct Question<D: Domain>(pub(super) D::Query);

impl<D: Domain> Asked<D> for Told<D> {
    type Answer = D::Reply;

    const ERRAND: Errand = Errand::Command;

    fn post(self, port: Port<D::Reply, D::Error>, ticket: Arc<Ticket>) -> Mail<D> {
        Mail::Command(self.0, port, ticket)
    }

    fn from_unread(mail: Mail<D>) -> Option<Self> {
        match mail {
            Mail::Command(command, ..) => Some(Self(command)),
            _ => None,
        }
    }

    fn again(&self) -> Option<Self> {
        None
    }

    fn pack(&self) -> Result<Bytes, parcel::ParcelError> {
        parcel::pack(&self.0)
    }
}

impl<D: Domain> Asked<D> for Question<D> {
    type Answer = D::Answer;

    const ERRAND: Errand = Errand::Query;

    fn post(self, port: Port<D::Answer, D::Error>, ticket: Arc<Ticket>) -> Mail<D> {
        Mail::Query(self.0, port, ticket)
    }

    fn from_unread(mail: Mail<D>) -> Option<Self> {
        match mail {
            Mail::Query(query, ..) => Some(Self(query)),
            _ => None,
        }
    }

    fn again(&self) -> Option<Self> {
        Some(Self(self.0.clone()))
    }

    fn pack(&self) -> Result<Bytes, parcel::ParcelError> {
        parcel::pack(&self.0)
    }
}

/// What came of a call on this node.
enum Outcome<D: Domain, A: Asked<D>> {
    /// An answer.
    Answered(Result<A::Answer, D::Error>),
    /// The actor is not served here; it has not seen the call.
    Refused(A),
    /// The actor ended while the call waited.
    Lost(Unavailable),
}

/// What a node answers to another: the first byte of a frame.
mod frame {
    /// The packed answer follows.
    pub(super) const ANSWERED: u8 = 1;
    /// The actor is not served here, and has not seen the call.
    pub(super) const ELSEWHERE: u8 = 2;
}

impl<D: Domain> Directory<D> {
    /// Brings a call to its actor.
    pub(super) async fn reach<A: Asked<D>>(
        &self,
        entity: Entity,
        mut asked: A,
        timeout: Duration,
    ) -> Result<A::Answer, D::Error> {
        let Ways::Cluster { routes, link } = &self.ways else {
            let shard = None;
            return match self.call_here((&entity, shard), asked, timeout).await {
                Outcome::Answered(answer) => answer,
                Outcome::Refused(_) => Err(Unavailable::Stopped.into()),
                Outcome::Lost(why) => Err(why.into()),
            };
        };
        let shard = self.layout.shard_of(&entity);
        let waits = A::ERRAND == Errand::Query && self.is_long(timeout);
        let deadline = Instant::now() + timeout;
        let mut changes = routes.changes();
        let (mut packed, mut patience) = (None::<Bytes>, MAP_PATIENCE.0);
        // Who waits for a shard that is nowhere waits for no actor yet, and holds no ticket.
        let permit = self.travelling.try_acquire();
        let _permit = permit.map_err(|_| Unavailable::Overloaded)?;
        loop {
            changes.borrow_and_update();
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Unavailable::Timeout.into());
            }
            match routes.place(shard) {
                // This node ends, and has not been able to give the shard away.
                Place::Here if self.is_closed() => return Err(Unavailable::Stopped.into()),
                Place::Nowhere => {}
                Place::Here => {
                    let again = asked.again();
                    match self.call_here((&entity, Some(shard)), asked, left).await {
                        Outcome::Answered(answer) => return answer,
                        Outcome::Refused(unread) => asked = unread,
                        Outcome::Lost(why) => match again {
                            Some(again) if has_moved(&**routes, shard) => asked = again,
                            _ => return Err(why.into()),
                        },
                    }
                }
                Place::There(node) => {
                    let body = match packed.take() {
                        Some(body) => body,
                        None => asked.pack().map_err(|_| Unavailable::Stopped)?,
                    };
                    let call = Call {
                        kind: D::NAME.to_owned(),
                        entity: entity.clone(),
                        errand: A::ERRAND,
                        body: body.clone(),
                        within_ms: u64::try_from(left.as_millis()).unwrap_or(u64::MAX),
                        waits,
                    };
                    packed = Some(body);
                    let told = link.ask(&node, call).await;
                    if let Some(answer) = Self::heard(&node, A::ERRAND, told)? {
                        return answer;
                    }
                }
            }
            // The map changes soon, or has changed already. Of a line that is mended it says nothing.
            let change = tokio::time::timeout(patience.min(left), changes.changed()).await;
            patience = match change {
                Ok(_) => MAP_PATIENCE.0,
                Err(_) => (patience * 2).min(MAP_PATIENCE.1),
            };
        }
    }

    /// What came back from another node; `None` when the call goes on to the next place.
    fn heard<T: serde::de::DeserializeOwned>(
        node: &NodeName,
        errand: Errand,
        told: Result<Bytes, LinkError>,
    ) -> Result<Option<Result<T, D::Error>>, Unavailable> {
        match told {
            Ok(frame) => opened(&frame),
            Err(LinkError::Unreached) => Ok(None),
            Err(LinkError::Broken) if errand == Errand::Query => Ok(None),
            Err(LinkError::TimedOut) => Err(Unavailable::Timeout),
            Err(error @ (LinkError::Broken | LinkError::Malformed(_))) => {
                tracing::warn!(%node, kind = D::NAME, %error, "a call to another node failed");
                Err(Unavailable::Stopped)
            }
        }
    }

    /// Calls an actor of this node. What it says counts only while its shard is served here, where it could be elsewhere.
    async fn call_here<A: Asked<D>>(
        &self,
        (entity, shard): (&Entity, Option<Shard>),
        asked: A,
        timeout: Duration,
    ) -> Outcome<D, A> {
        let Some((mut actor, mut vitals)) = self.find(entity) else {
            return Outcome::Refused(asked);
        };
        let mut ticket = match self.ticket(&vitals) {
            Ok(ticket) => ticket,
            Err(full) => return Outcome::Answered(Err(full.into())),
        };
        let (sender, receiver) = ractor::concurrency::oneshot();
        let mut mail = asked.post(RpcReplyPort::from(sender), ticket.clone());
        loop {
            match actor.send_message(mail) {
                Ok(()) => break,
                // An actor on its way to sleep refuses: the message comes back unread and goes to its next life.
                Err(ractor::MessagingErr::SendErr(unread)) => {
                    // A runtime that ends lets no life begin, and ends nobody who gives it no chance to.
                    tokio::task::yield_now().await;
                    let Some(next) = self.find_after(entity, &actor) else {
                        return match A::from_unread(unread) {
                            Some(asked) => Outcome::Refused(asked),
                            None => Outcome::Lost(Unavailable::Stopped),
                        };
                    };
                    (actor, vitals) = next;
                    ticket = match self.ticket(&vitals) {
                        Ok(ticket) => ticket,
                        Err(full) => return Outcome::Answered(Err(full.into())),
                    };
                    mail = unread.with(ticket.clone());
                }
                Err(_) => return Outcome::Lost(Unavailable::Stopped),
            }
        }
        let answer = tokio::time::timeout(timeout, receiver).await;
        drop(ticket);
        // Another node may have written meanwhile what a query did not see. What a command wrote stands in the log.
        let is_stale = || shard.is_some_and(|shard| !self.ways.is_here(shard));
        match answer {
            Ok(Ok(_)) if A::ERRAND == Errand::Query && is_stale() => {
                Outcome::Lost(Unavailable::Stopped)
            }
            Ok(Ok(answer)) => Outcome::Answered(answer),
            Ok(Err(_)) if vitals.damaged.load(Ordering::Acquire) => {
                Outcome::Lost(Unavailable::Damaged)
            }
            Ok(Err(_)) => Outcome::Lost(Unavailable::Stopped),
            Err(_) => Outcome::Answered(Err(Unavailable::Timeout.into())),
        }
    }

    /// Answers what another node asks, with a frame for [`Link::ask`].
    pub(super) async fn answer_call(&self, call: Call) -> Result<Bytes, parcel::ParcelError> {
        let within = Duration::from_millis(call.within_ms).min(super::directory::CALL_MAX);
        let shard = self.layout.shard_of(&call.entity);
        if !self.ways.is_here(shard) {
            return Ok(elsewhere());
        }
        let place = (&call.entity, Some(shard));
        match call.errand {
            Errand::Command => {
                let told = Told::<D>(parcel::unpack(&call.body)?);
                self.framed(shard, self.call_here(place, told, within).await)
            }
            Errand::Query => {
                let question = Question::<D>(parcel::unpack(&call.body)?);
                self.framed(shard, self.call_here(place, question, within).await)
            }
            Errand::Signal => {
                let signal = parcel::unpack(&call.body)?;
                if D::heeds(&self.context, &call.entity, &signal) {
                    self.signal_here(&call.entity, signal);
                }
                Ok(Bytes::new())
            }
            Errand::Renew => {
                let done: Result<bool, Unavailable> = Ok(self.renew_here(&call.entity).await);
                answered(&done)
            }
            Errand::SignalIfAwake => {
                self.signal_if_awake_here(&call.entity, parcel::unpack(&call.body)?);
                Ok(Bytes::new())
            }
        }
    }

    /// Packs what came of a call for the node that asked.
    fn framed<A: Asked<D>>(
        &self,
        shard: Shard,
        outcome: Outcome<D, A>,
    ) -> Result<Bytes, parcel::ParcelError> {
        let answer: Result<A::Answer, D::Error> = match outcome {
            Outcome::Answered(answer) => answer,
            Outcome::Refused(_) => return Ok(elsewhere()),
            // What moved away while a query waited is asked where it is now.
            Outcome::Lost(_) if A::ERRAND == Errand::Query && !self.ways.is_here(shard) => {
                return Ok(elsewhere());
            }
            Outcome::Lost(why) => Err(why.into()),
        };
        answered(&answer)
    }

    /// Passes a signal on to the node of its actor; gives it back when that is this one, and drops it when there is none.
    pub(super) fn signal_there(
        &self,
        entity: &Entity,
        signal: D::Signal,
        errand: Errand,
    ) -> Option<D::Signal> {
        let Ways::Cluster { routes, link } = &self.ways else {
            return Some(signal);
        };
        match routes.place(self.layout.shard_of(entity)) {
            Place::Here => Some(signal),
            Place::Nowhere => None,
            Place::There(node) => {
                if let Ok(body) = parcel::pack(&signal) {
                    let call = Call {
                        kind: D::NAME.to_owned(),
                        entity: entity.clone(),
                        errand,
                        body,
                        within_ms: 0,
                        waits: false,
                    };
                    link.tell(&node, call);
                }
                None
            }
        }
    }
}

impl<D: Domain> Served for Directory<D> {
    fn kind(&self) -> &'static str {
        D::NAME
    }

    fn serve(self: Arc<Self>, call: Call) -> BoxFuture<'static, Option<Bytes>> {
        Box::pin(async move {
            let answer = self.answer_call(call).await;
            let refused = |error: &parcel::ParcelError| {
                tracing::error!(kind = D::NAME, %error, "cannot answer another node");
            };
            answer.inspect_err(refused).ok()
        })
    }

    fn release(&self, shard: Shard, within: Duration) -> BoxFuture<'_, bool> {
        Box::pin(Self::release(self, shard, within))
    }

    fn abandon(&self, shard: Shard) {
        Self::abandon(self, shard);
    }
}

/// A frame with an answer.
fn answered<T: serde::Serialize>(answer: &T) -> Result<Bytes, parcel::ParcelError> {
    let packed = parcel::pack(answer)?;
    let mut frame = Vec::with_capacity(packed.len() + 1);
    frame.push(frame::ANSWERED);
    frame.extend_from_slice(&packed);
    Ok(frame.into())
}

fn elsewhere() -> Bytes {
    Bytes::from_static(&[frame::ELSEWHERE])
}

fn has_moved(routes: &dyn Routes, shard: Shard) -> bool {
    routes.place(shard) != Place::Here
}

/// Reads a frame; `None` when the actor is not served where it was looked for.
pub(super) fn opened<T, E>(frame: &[u8]) -> Result<Option<Result<T, E>>, Unavailable>
where
    T: serde::de::DeserializeOwned,
    E: serde::de::DeserializeOwned,
{
    match frame.split_first() {
        Some((&frame::ELSEWHERE, _)) => Ok(None),
        Some((&frame::ANSWERED, packed)) => match parcel::unpack(packed) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => {
                tracing::error!(%error, "another node's answer cannot be read");
                Err(Unavailable::Stopped)
            }
        },
        _ => Err(Unavailable::Stopped),
    }
}
