//! What administrators have changed, in one order. The log of this one entity is the list itself; a read model finds changes in it.
//!
//! A change stands here before it is made. After a crash in between it is not known what became of it, and the list says so.

use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::admin::{AdminRecord, ChangeBegun, ChangeEnded},
};
use serde::{Deserialize, Serialize};

use super::AdminError;
use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

/// After so many records nobody reads the older ones again to wake it.
const SNAPSHOT_EVERY: u64 = 1_000;

/// What is noted of a request, or of how something stands, has at most so many bytes.
const TEXT_BYTES_MAX: usize = 32 * 1024;

/// The list: what it says is read in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditLog {
    newest: Sequence,
}

/// What can be done: both answer the number of the record.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum AuditCommand {
    /// A change is about to be made.
    Begin(Box<ChangeBegun>),
    /// It is known what became of a change.
    End(Box<ChangeEnded>),
}

impl AuditLog {
    fn judge(&self, command: AuditCommand) -> Result<AdminRecord, AdminError> {
        let fits = |text: &Option<String>| {
            text.as_ref()
                .is_none_or(|text| text.len() <= TEXT_BYTES_MAX)
        };
        match command {
            AuditCommand::Begin(begun)
                if begun.request.len() <= TEXT_BYTES_MAX && fits(&begun.before) =>
            {
                Ok(AdminRecord::ChangeBegun(*begun))
            }
            AuditCommand::End(ended) if ended.begun > self.newest => {
                Err(AdminError::Unknown("there is no such change".to_owned()))
            }
            AuditCommand::End(ended) if fits(&ended.after) => Ok(AdminRecord::ChangeEnded(*ended)),
            _ => Err(AdminError::Invalid("there is too much to note".to_owned())),
        }
    }
}

impl Domain for AuditLog {
    const NAME: &'static str = "audit";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = AdminRecord;
    type Command = AuditCommand;
    type Reply = Sequence;
    type Query = ();
    type Answer = ();
    type Signal = ();
    type Error = AdminError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, _record: &AdminRecord) {
        self.newest = sequence;
    }

    fn decide(&self, command: AuditCommand, _env: &Env) -> Result<Decision<Self>, AdminError> {
        let record = self.judge(command)?;
        Ok(Decision::new(vec![record], self.newest + 1))
    }

    fn answer(_resident: &mut Resident<Self>, _query: (), port: Port<(), AdminError>) {
        let _ = port.send(Ok(()));
    }

    fn weight_bytes(&self) -> usize {
        64
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= SNAPSHOT_EVERY
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        Some(Self {
            newest: snapshot.sequence,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(request: String) -> AuditCommand {
        AuditCommand::Begin(Box::new(ChangeBegun {
            by: "@boss:b".to_owned(),
            at_ms: 7,
            action: "PUT /x".to_owned(),
            target: None,
            request,
            before: None,
            undoes: None,
        }))
    }

    fn end(begun: Sequence) -> AuditCommand {
        AuditCommand::End(Box::new(ChangeEnded {
            begun,
            at_ms: 8,
            status: 200,
            target: None,
            after: None,
            undoes: None,
        }))
    }

    #[test]
    fn a_change_begins_before_it_ends() {
        let mut log = AuditLog::default();
        assert!(matches!(log.judge(end(1)), Err(AdminError::Unknown(_))));
        let begun = log.judge(begin("{}".to_owned())).expect("a record");
        log.apply(1, 1, &begun);
        assert!(log.judge(end(1)).is_ok());
        let long = "x".repeat(TEXT_BYTES_MAX + 1);
        assert!(matches!(
            log.judge(begin(long)),
            Err(AdminError::Invalid(_))
        ));
    }
}
