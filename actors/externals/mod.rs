//! Who somebody is at another system, by which they log in here (single sign-on).
//!
//! The one owner of an identity there, so that it never belongs to two users here. The same kind of entity keeps which sessions began by an identity, or by a
//! session there, and which identities a user has. Must not know how the other system proves it.

use std::collections::VecDeque;

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::external::{ExternalRecord, Identity, Linked, SessionBegun},
};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident, Unavailable},
};

/// So many sessions are remembered; the oldest are forgotten beyond it.
const SESSIONS_MAX: usize = 100;

/// So many identities of a user are remembered.
const IDENTITIES_MAX: usize = 100;

/// An identity at another system: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    linked: Option<Linked>,
    sessions: VecDeque<SessionBegun>,
    identities: Vec<Identity>,
}

/// What can be done with an identity.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum ExternalCommand {
    /// Let it belong to a user. Refused with `Taken` when it belongs to another.
    Link {
        /// The other system.
        provider: String,
        /// The name there.
        subject: String,
        /// The user.
        user_id: OwnedUserId,
    },
    /// Let it belong to nobody.
    Unlink,
    /// Remember that a session began by it.
    BeginSession(SessionBegun),
    /// Forget the sessions that began by it: they are being ended.
    EndSessions,
    /// Remember that the user to whom this entity belongs has an identity.
    Note(Identity),
}

/// What a command answers: it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalReply;

/// What can be asked.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ExternalQuery;

/// All there is to know.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalAnswer {
    /// To whom it belongs.
    pub owner: Option<OwnedUserId>,
    /// The sessions that began by it and were not ended by its system.
    pub sessions: Vec<SessionBegun>,
    /// The identities of the user to whom this entity belongs.
    pub identities: Vec<Identity>,
}

/// Why it is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
pub enum ExternalError {
    /// It belongs to another user.
    #[error("this identity belongs to another user")]
    Taken,
    /// It could not be asked.
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

impl External {
    fn owner(&self) -> Option<OwnedUserId> {
        UserId::parse(&self.linked.as_ref()?.user_id).ok()
    }

    fn take_in(&mut self, record: &ExternalRecord) {
        match record {
            ExternalRecord::Linked(linked) => self.linked = Some(linked.clone()),
            ExternalRecord::Unlinked => self.linked = None,
            ExternalRecord::SessionBegun(begun) => {
                self.sessions.retain(|known| {
                    (&known.user_id, &known.device_id) != (&begun.user_id, &begun.device_id)
                });
                self.sessions.push_back(begun.clone());
                if self.sessions.len() > SESSIONS_MAX {
                    self.sessions.pop_front();
                }
            }
            ExternalRecord::SessionsEnded => self.sessions.clear(),
            ExternalRecord::IdentityNoted(identity) => {
                if !self.identities.contains(identity) && self.identities.len() < IDENTITIES_MAX {
                    self.identities.push(identity.clone());
                }
            }
        }
    }

    fn judge(
        &self,
        command: ExternalCommand,
        now_ms: u64,
    ) -> Result<Decision<Self>, ExternalError> {
        let record = match command {
            ExternalCommand::Unlink => self.linked.is_some().then_some(ExternalRecord::Unlinked),
            ExternalCommand::Link {
                provider,
                subject,
                user_id,
            } => match self.owner() {
                Some(owner) if owner == user_id => None,
                Some(_) => return Err(ExternalError::Taken),
                None => Some(ExternalRecord::Linked(Linked {
                    provider,
                    subject,
                    user_id: user_id.to_string(),
                    at_ms: now_ms,
                })),
            },
            ExternalCommand::BeginSession(begun) => (self.sessions.back() != Some(&begun))
                .then_some(ExternalRecord::SessionBegun(begun)),
            ExternalCommand::EndSessions => {
                (!self.sessions.is_empty()).then_some(ExternalRecord::SessionsEnded)
            }
            ExternalCommand::Note(identity) => {
                let is_new =
                    !self.identities.contains(&identity) && self.identities.len() < IDENTITIES_MAX;
                is_new.then_some(ExternalRecord::IdentityNoted(identity))
            }
        };
        Ok(match record {
            Some(record) => Decision::new(vec![record], ExternalReply),
            None => Decision::unchanged(ExternalReply),
        })
    }

    fn tell(&self) -> ExternalAnswer {
        ExternalAnswer {
            owner: self.owner(),
            sessions: self.sessions.iter().cloned().collect(),
            identities: self.identities.clone(),
        }
    }
}

impl Domain for External {
    const NAME: &'static str = "external";

    type Record = ExternalRecord;
    type Command = ExternalCommand;
    type Reply = ExternalReply;
    type Query = ExternalQuery;
    type Answer = ExternalAnswer;
    type Signal = ();
    type Error = ExternalError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, _sequence: Sequence, _position: Position, record: &ExternalRecord) {
        self.take_in(record);
    }

    fn decide(&self, command: ExternalCommand, env: &Env) -> Result<Decision<Self>, ExternalError> {
        self.judge(command, env.now_ms())
    }

    fn answer(
        resident: &mut Resident<Self>,
        _query: ExternalQuery,
        port: Port<ExternalAnswer, ExternalError>,
    ) {
        let _ = port.send(Ok(resident.state.tell()));
    }

    fn weight_bytes(&self) -> usize {
        512 + 200 * (self.sessions.len() + self.identities.len())
    }
}

#[cfg(test)]
mod tests {
    use ruma::user_id;

    use super::*;

    fn link(external: &mut External, user_id: &UserId) -> Result<usize, ExternalError> {
        let command = ExternalCommand::Link {
            provider: "p".to_owned(),
            subject: "s".to_owned(),
            user_id: user_id.to_owned(),
        };
        let decision = external.judge(command, 0)?;
        for record in &decision.records {
            external.take_in(record);
        }
        Ok(decision.records.len())
    }

    #[test]
    fn an_identity_belongs_to_one_user() {
        let (anna, bert) = (user_id!("@anna:b"), user_id!("@bert:b"));
        let mut external = External::default();
        assert_eq!(link(&mut external, anna), Ok(1));
        assert_eq!(link(&mut external, anna), Ok(0));
        assert_eq!(link(&mut external, bert), Err(ExternalError::Taken));
        let decision = external
            .judge(ExternalCommand::Unlink, 0)
            .expect("a decision");
        for record in &decision.records {
            external.take_in(record);
        }
        assert_eq!(link(&mut external, bert), Ok(1));
        assert_eq!(external.owner().as_deref(), Some(bert));
    }

    #[test]
    fn sessions_are_remembered_until_their_system_ends_them() {
        let mut external = External::default();
        let mut act = |command: ExternalCommand| {
            let decision = external.judge(command, 0).expect("a decision");
            for record in &decision.records {
                external.take_in(record);
            }
            external.tell().sessions.len()
        };
        let begun = |device: usize| {
            ExternalCommand::BeginSession(SessionBegun {
                user_id: "@anna:b".to_owned(),
                device_id: device.to_string(),
                sid: None,
            })
        };
        assert_eq!(act(begun(0)), 1);
        assert_eq!(act(begun(0)), 1);
        for device in 1..150 {
            act(begun(device));
        }
        assert_eq!(act(begun(150)), SESSIONS_MAX);
        assert_eq!(act(ExternalCommand::EndSessions), 0);
    }
}
