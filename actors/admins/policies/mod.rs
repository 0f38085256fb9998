//! Moderation policies: rules that are written down, and the runs in which they were applied. What a rule matches is found elsewhere.

use std::collections::BTreeSet;

use bytes::Bytes;
use imbl::OrdMap;
use playhouse_schema::{
    address::{Entity, Position, Sequence},
    port::Snapshot,
    record::admin::{
        AdminRecord, PolicyDeleted, PolicyRule, PolicyRunBegun, PolicyRunEnded, PolicyRunUndone,
        PolicySaved,
    },
};
use serde::{Deserialize, Serialize};

use super::AdminError;
use crate::{
    env::Env,
    kernel::{Decision, Domain, Port, Resident},
};

/// So many policies may be written down.
const POLICIES_MAX: usize = 200;

/// A name has at most so many bytes.
const NAME_BYTES_MAX: usize = 64;

/// A pattern has at most so many bytes.
const PATTERN_BYTES_MAX: usize = 255;

/// So many runs are remembered, the newest ones: an older one is taken back no more.
const RUNS_MAX: usize = 50;

/// A run touches at most so many users.
pub const USERS_MAX: usize = 10_000;

/// After so many records nobody reads the older ones again to wake it: each may name many users.
const SNAPSHOT_EVERY: u64 = 100;

/// All policies and the newest runs: a fold of their records. Snapshots hold all of it: a change of any type in it needs another version of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policies {
    newest: Sequence,
    policies: OrdMap<String, Policy>,
    runs: OrdMap<Sequence, PolicyRun>,
}

/// A policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Policy {
    /// Its name.
    pub name: String,
    /// What it matches, and what is done.
    pub rule: PolicyRule,
    /// Who wrote it down.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
}

/// A policy that was applied, or is being.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRun {
    /// Its number.
    pub id: Sequence,
    /// The policy.
    pub policy: String,
    /// What it matched then.
    pub rule: PolicyRule,
    /// Whom it touched; nobody once it was taken back, and where many runs are told.
    pub users: BTreeSet<String>,
    /// So many users are that.
    pub user_count: u64,
    /// The other servers were told.
    pub tells_servers: bool,
    /// Who applied it.
    pub by: String,
    /// When, milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// So many invites it took away; `None` while nobody knows whether it came to its end.
    pub invites: Option<u64>,
    /// Who took it back.
    pub undone_by: Option<String>,
}

impl PolicyRun {
    /// Nobody knows whether it came to its end.
    pub fn is_open(&self) -> bool {
        self.invites.is_none() && self.undone_by.is_none()
    }

    /// The same without its users: they may be many.
    fn in_short(&self) -> Self {
        Self {
            id: self.id,
            policy: self.policy.clone(),
            rule: self.rule.clone(),
            users: BTreeSet::new(),
            user_count: self.user_count,
            tells_servers: self.tells_servers,
            by: self.by.clone(),
            at_ms: self.at_ms,
            invites: self.invites,
            undone_by: self.undone_by.clone(),
        }
    }
}

/// What can be done with policies.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PolicyCommand {
    /// Write one down, in place of one of the same name. Answers `Done`.
    Save {
        /// Its name.
        name: String,
        /// What it matches.
        rule: Box<PolicyRule>,
        /// Who writes it.
        by: String,
    },
    /// Strike one out. Its runs stay. Answers `Done`; refused with `Unknown`.
    Delete {
        /// Its name.
        name: String,
        /// Who wants that.
        by: String,
    },
    /// It is about to be applied. Answers `Run`. Where a run of it is open, that one goes on.
    Begin {
        /// Its name.
        name: String,
        /// What it matches; refused with `ChangedSince` when it was written anew.
        rule: Box<PolicyRule>,
        /// Whom it touches.
        users: Vec<String>,
        /// The other servers are told.
        tells_servers: bool,
        /// Who applies it.
        by: String,
    },
    /// It was applied. Answers `Done`; refused with `ChangedSince` when it was taken back meanwhile.
    End {
        /// The run.
        run: Sequence,
        /// So many invites were taken away.
        invites: u64,
    },
    /// It was taken back. Answers `Done`.
    Undo {
        /// The run.
        run: Sequence,
        /// Who wanted that.
        by: String,
    },
}

/// What a command answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum PolicyReply {
    /// It is done.
    Done,
    /// The number of the run, and whom it touches, those from before included.
    Run(Sequence, BTreeSet<String>),
}

/// What can be asked.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum PolicyQuery {
    /// All policies by name, and all runs that are remembered, the newest first.
    All,
    /// One policy and its runs; refused with `Unknown` where there is neither.
    One(String),
    /// One run with its users; refused with `Unknown`.
    Run(Sequence),
}

/// What is answered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyAnswer {
    /// Policies, by name.
    pub policies: Vec<Policy>,
    /// Runs, the newest first.
    pub runs: Vec<PolicyRun>,
}

impl Policies {
    fn judge(&self, command: PolicyCommand, at_ms: u64) -> Result<Decided, AdminError> {
        let unknown = || AdminError::Unknown("there is no such policy".to_owned());
        let record = match command {
            PolicyCommand::Save { name, rule, by } => {
                self.must_fit(&name, &rule)?;
                AdminRecord::PolicySaved(PolicySaved {
                    name,
                    rule: *rule,
                    by,
                    at_ms,
                })
            }
            PolicyCommand::Delete { name, by } => {
                self.policies.get(&name).ok_or_else(unknown)?;
                AdminRecord::PolicyDeleted(PolicyDeleted { name, by, at_ms })
            }
            PolicyCommand::Begin {
                name,
                rule,
                users,
                tells_servers,
                by,
            } => {
                let policy = self.policies.get(&name).ok_or_else(unknown)?;
                if policy.rule != *rule {
                    return Err(AdminError::ChangedSince);
                }
                return self.begin(PolicyRunBegun {
                    continues: self.open_run(&name, tells_servers),
                    policy: name,
                    rule: *rule,
                    users,
                    tells_servers,
                    by,
                    at_ms,
                });
            }
            PolicyCommand::End { run, invites } => {
                if self.run(run)?.undone_by.is_some() {
                    return Err(AdminError::ChangedSince);
                }
                AdminRecord::PolicyRunEnded(PolicyRunEnded {
                    run,
                    invites,
                    at_ms,
                })
            }
            PolicyCommand::Undo { run, by } => {
                if self.run(run)?.undone_by.is_some() {
                    return Ok((None, PolicyReply::Done));
                }
                AdminRecord::PolicyRunUndone(PolicyRunUndone { run, by, at_ms })
            }
        };
        Ok((Some(record), PolicyReply::Done))
    }

    fn begin(&self, begun: PolicyRunBegun) -> Result<Decided, AdminError> {
        let before = begun.continues.and_then(|run| self.runs.get(&run));
        let before = before.into_iter().flat_map(|run| &run.users).cloned();
        let users: BTreeSet<String> = before.chain(begun.users.iter().cloned()).collect();
        if users.len() > USERS_MAX {
            let reason = format!("one run touches at most {USERS_MAX} users: say more of them");
            return Err(AdminError::Invalid(reason));
        }
        let run = begun.continues.unwrap_or(self.newest + 1);
        let record = AdminRecord::PolicyRunBegun(begun);
        Ok((Some(record), PolicyReply::Run(run, users)))
    }

    /// The run of a policy that may not have come to its end.
    fn open_run(&self, name: &str, tells_servers: bool) -> Option<Sequence> {
        let fits = |run: &&PolicyRun| {
            run.policy == name && run.tells_servers == tells_servers && run.is_open()
        };
        self.runs.values().find(fits).map(|run| run.id)
    }

    fn run(&self, id: Sequence) -> Result<&PolicyRun, AdminError> {
        let unknown = || AdminError::Unknown("this run is not remembered".to_owned());
        self.runs.get(&id).ok_or_else(unknown)
    }

    fn must_fit(&self, name: &str, rule: &PolicyRule) -> Result<(), AdminError> {
        let invalid = |message: &str| Err(AdminError::Invalid(message.to_owned()));
        let is_plain = |it: char| it.is_ascii_alphanumeric() || matches!(it, '-' | '_' | '.');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(is_plain) {
            return invalid("a name has 1 to 64 characters: letters, digits, -, _ and .");
        }
        if name.starts_with('.') {
            return invalid("a name does not begin with a dot");
        }
        let patterns = [
            &rule.inviter,
            &rule.inviter_server,
            &rule.room_id,
            &rule.room_name,
            &rule.user_id,
        ];
        let mut said = patterns.iter().copied().flatten();
        if said.any(|pattern| pattern.is_empty() || pattern.len() > PATTERN_BYTES_MAX) {
            return invalid("a pattern is empty or longer than 255 bytes");
        }
        let says_something = patterns.iter().any(|pattern| pattern.is_some())
            || rule.age_min_ms.is_some()
            || rule.age_max_ms.is_some();
        if !says_something {
            return invalid("the rule matches everything: say at least one thing of the invites");
        }
        if let (Some(min), Some(max)) = (rule.age_min_ms, rule.age_max_ms)
            && min > max
        {
            return invalid("age_min_ms is more than age_max_ms");
        }
        if !self.policies.contains_key(name) && self.policies.len() >= POLICIES_MAX {
            return invalid("there are too many policies: delete some");
        }
        Ok(())
    }

    fn begun(&mut self, sequence: Sequence, begun: &PolicyRunBegun) {
        let id = begun.continues.unwrap_or(sequence);
        if let Some(run) = self.runs.get_mut(&id) {
            run.users.extend(begun.users.iter().cloned());
            run.user_count = run.users.len() as u64;
            return;
        }
        let users: BTreeSet<String> = begun.users.iter().cloned().collect();
        let run = PolicyRun {
            id,
            policy: begun.policy.clone(),
            rule: begun.rule.clone(),
            user_count: users.len() as u64,
            users,
            tells_servers: begun.tells_servers,
            by: begun.by.clone(),
            at_ms: begun.at_ms,
            invites: None,
            undone_by: None,
        };
        self.runs.insert(id, run);
        while self.runs.len() > RUNS_MAX
            && let Some(oldest) = self.runs.keys().next().copied()
        {
            self.runs.remove(&oldest);
        }
    }

    fn tell(&self, query: PolicyQuery) -> Result<PolicyAnswer, AdminError> {
        let newest_first = self.runs.values().rev();
        match query {
            PolicyQuery::All => Ok(PolicyAnswer {
                policies: self.policies.values().cloned().collect(),
                runs: newest_first.map(PolicyRun::in_short).collect(),
            }),
            PolicyQuery::One(name) => {
                let policies: Vec<_> = self.policies.get(&name).cloned().into_iter().collect();
                let runs = newest_first.filter(|run| run.policy == name);
                let runs: Vec<_> = runs.map(PolicyRun::in_short).collect();
                if policies.is_empty() && runs.is_empty() {
                    return Err(AdminError::Unknown("there is no such policy".to_owned()));
                }
                Ok(PolicyAnswer { policies, runs })
            }
            PolicyQuery::Run(id) => Ok(PolicyAnswer {
                policies: Vec::new(),
                runs: vec![self.run(id)?.clone()],
            }),
        }
    }
}

/// What is to be written, and what is answered.
type Decided = (Option<AdminRecord>, PolicyReply);

impl Domain for Policies {
    const NAME: &'static str = "policies";
    const SNAPSHOT_VERSION: u32 = 1;

    type Record = AdminRecord;
    type Command = PolicyCommand;
    type Reply = PolicyReply;
    type Query = PolicyQuery;
    type Answer = PolicyAnswer;
    type Signal = ();
    type Error = AdminError;
    type Live = ();
    type Context = Env;

    fn empty(_entity: &Entity) -> Self {
        Self::default()
    }

    fn apply(&mut self, sequence: Sequence, _position: Position, record: &AdminRecord) {
        self.newest = sequence;
        match record {
            AdminRecord::PolicySaved(saved) => {
                let policy = Policy {
                    name: saved.name.clone(),
                    rule: saved.rule.clone(),
                    by: saved.by.clone(),
                    at_ms: saved.at_ms,
                };
                self.policies.insert(saved.name.clone(), policy);
            }
            AdminRecord::PolicyDeleted(deleted) => {
                self.policies.remove(&deleted.name);
            }
            AdminRecord::PolicyRunBegun(begun) => self.begun(sequence, begun),
            AdminRecord::PolicyRunEnded(ended) => {
                if let Some(run) = self.runs.get_mut(&ended.run) {
                    run.invites = Some(ended.invites);
                }
            }
            AdminRecord::PolicyRunUndone(undone) => {
                if let Some(run) = self.runs.get_mut(&undone.run) {
                    run.undone_by = Some(undone.by.clone());
                    run.users.clear();
                    run.user_count = 0;
                }
            }
            // Topics of their own.
            AdminRecord::TokenMade(_)
            | AdminRecord::TokenRevoked(_)
            | AdminRecord::ChangeBegun(_)
            | AdminRecord::ChangeEnded(_) => {}
        }
    }

    fn decide(&self, command: PolicyCommand, env: &Env) -> Result<Decision<Self>, AdminError> {
        let (record, reply) = self.judge(command, env.now_ms())?;
        Ok(Decision::new(record.into_iter().collect(), reply))
    }

    fn answer(
        resident: &mut Resident<Self>,
        query: PolicyQuery,
        port: Port<PolicyAnswer, AdminError>,
    ) {
        let _ = port.send(resident.state.tell(query));
    }

    fn weight_bytes(&self) -> usize {
        let users: usize = self.runs.values().map(|run| run.users.len()).sum();
        256 + self.policies.len() * 800 + self.runs.len() * 800 + users * 100
    }

    fn snapshot_due(&self, records_since: u64) -> bool {
        records_since >= SNAPSHOT_EVERY
    }

    fn to_snapshot(&self) -> Bytes {
        Bytes::from(
            rmp_serde::to_vec(self).expect("policies hold nothing that MessagePack cannot say"),
        )
    }

    fn from_snapshot(_entity: &Entity, snapshot: &Snapshot) -> Option<Self> {
        rmp_serde::from_slice(&snapshot.payload).ok()
    }
}

#[cfg(test)]
mod tests;
