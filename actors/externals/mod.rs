//! Who somebody is at another system, by which they log in here (single sign-on).
//!
//! The one owner of an identity there, so that it never belongs to two users here. Must not know how the other system proves it.

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    record::external::{ExternalRecord, Linked},
};
use ruma::{OwnedUserId, UserId};
use serde::{Deserialize, Serialize};

use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident, Unavailable},
};

/// An identity at another system: a fold of its records.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct External {
    linked: Option<Linked>,
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
}

/// What a command answers: it is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExternalReply;

/// What can be asked: to whom it belongs.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub struct ExternalQuery;

/// To whom it belongs.
pub type ExternalAnswer = Option<OwnedUserId>;

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
        self.linked = match record {
            ExternalRecord::Linked(linked) => Some(linked.clone()),
            ExternalRecord::Unlinked => None,
        };
    }

    fn judge(
        &self,
        command: ExternalCommand,
        now_ms: u64,
    ) -> Result<Decision<Self>, ExternalError> {
        let record = match (command, self.owner()) {
            (ExternalCommand::Unlink, None) => return Ok(Decision::unchanged(ExternalReply)),
            (ExternalCommand::Unlink, Some(_)) => ExternalRecord::Unlinked,
            (ExternalCommand::Link { user_id, .. }, Some(owner)) if owner == user_id => {
                return Ok(Decision::unchanged(ExternalReply));
            }
            (ExternalCommand::Link { .. }, Some(_)) => return Err(ExternalError::Taken),
            (
                ExternalCommand::Link {
                    provider,
                    subject,
                    user_id,
                },
                None,
            ) => ExternalRecord::Linked(Linked {
                provider,
                subject,
                user_id: user_id.to_string(),
                at_ms: now_ms,
            }),
        };
        Ok(Decision::new(vec![record], ExternalReply))
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
        let _ = port.send(Ok(resident.state.owner()));
    }

    fn weight_bytes(&self) -> usize {
        512
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
}
