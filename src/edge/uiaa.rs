//! User-interactive authentication (client-server API, "User-Interactive Authentication API"): sessions, flows, completed stages.
//!
//! Sessions are volatile: a client whose session is gone is asked to begin again. What a stage proves is checked by the caller's `verify`.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use parking_lot::Mutex;
use playhouse_actors::env::Env;
use ruma::api::client::uiaa::AuthData;
use serde_json::{Value, json};

use super::failure::Failure;

/// A session that is not completed within this time ends.
const SESSION_LIFETIME_MS: u64 = 15 * 60 * 1000;

/// So many sessions may be open; beyond it the oldest end.
const SESSIONS_MAX: usize = 10_000;

/// What an endpoint demands.
#[derive(Clone, Debug)]
pub(crate) struct Demand<'a> {
    /// The endpoint and whatever else a session must not be carried away from, for example the user.
    pub(crate) scope: String,
    /// Ways to pass: each a list of stages in order.
    pub(crate) flows: &'a [&'a [&'static str]],
}

/// A session that has passed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Passed {
    /// What was proven, by stage: for a registration token the token, otherwise empty.
    pub(crate) proofs: BTreeMap<&'static str, String>,
}

/// How a stage of a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// There is no such session, or it has ended.
    NoSession,
    /// The session has no such stage.
    NotAsked,
    /// It is to be passed.
    Awaited,
    /// It was passed.
    Passed,
}

#[derive(Debug)]
struct Open {
    scope: String,
    begun_ms: u64,
    stages: BTreeSet<&'static str>,
    proofs: BTreeMap<&'static str, String>,
}

/// All open sessions of this node.
pub(crate) struct Interactive {
    env: Env,
    /// What clients must know of a stage: for the terms the policies, for a captcha its key.
    params: BTreeMap<&'static str, Value>,
    sessions: Mutex<BTreeMap<String, Open>>,
}

impl Interactive {
    /// No session is open.
    pub(crate) fn new(env: Env, params: BTreeMap<&'static str, Value>) -> Self {
        Self {
            env,
            params,
            sessions: Mutex::new(BTreeMap::new()),
        }
    }

    /// Lets a request pass whose stages are complete; otherwise the answer is a 401 that says what is missing.
    ///
    /// `verify` checks one stage and gives what it proved; its failure is told to the client, who may try the stage again.
    pub(crate) async fn pass<F>(
        &self,
        demand: Demand<'_>,
        auth: Option<&AuthData>,
        verify: impl FnOnce(String) -> F,
    ) -> Result<Passed, Failure>
    where
        F: Future<Output = Result<String, Failure>>,
    {
        let session = self.session(&demand, auth)?;
        let Some((auth, stage)) = auth.and_then(|auth| Some((auth, auth.auth_type()?))) else {
            return self.verdict(&demand, session, None);
        };
        let stage = stage.to_string();
        let known = demand
            .flows
            .iter()
            .flat_map(|flow| flow.iter())
            .find(|known| **known == stage);
        let Some(known) = known else {
            let refused = Failure::new(
                ruma::api::error::ErrorCode::Unrecognized,
                format!(
                    "authentication type {} is not offered here",
                    auth_type(auth)
                ),
            );
            return self.verdict(&demand, session, Some(refused));
        };
        if self.is_proven(&session, known) {
            return self.verdict(&demand, session, None);
        }
        match verify(stage).await {
            Ok(proof) => {
                if let Some(open) = self.sessions.lock().get_mut(&session) {
                    open.proofs.insert(known, proof);
                }
                self.verdict(&demand, session, None)
            }
            // Trouble of our own is not a failed stage.
            Err(failure) if failure.status() >= 500 || failure.status() == 429 => Err(failure),
            Err(failure) => self.verdict(&demand, session, Some(failure)),
        }
    }

    /// The session that the request names, or a new one.
    fn session(&self, demand: &Demand<'_>, auth: Option<&AuthData>) -> Result<String, Failure> {
        let now_ms = self.env.now_ms();
        let mut sessions = self.sessions.lock();
        if let Some(named) = auth.and_then(AuthData::session) {
            let open = sessions.get(named);
            let open = open.filter(|open| open.begun_ms + SESSION_LIFETIME_MS > now_ms);
            return match open {
                Some(open) if open.scope == demand.scope => Ok(named.to_owned()),
                Some(_) => Err(Failure::forbidden(
                    "this authentication session belongs to another operation",
                )),
                None => Err(Failure::new(
                    ruma::api::error::ErrorCode::Unknown,
                    "unknown or ended authentication session",
                )),
            };
        }
        if sessions.len() >= SESSIONS_MAX {
            sessions.retain(|_, open| open.begun_ms + SESSION_LIFETIME_MS > now_ms);
        }
        if sessions.len() >= SESSIONS_MAX {
            let oldest = sessions.iter().min_by_key(|(_, open)| open.begun_ms);
            if let Some(name) = oldest.map(|(name, _)| name.clone()) {
                sessions.remove(&name);
            }
        }
        let name = self.env.random_string(24);
        let open = Open {
            scope: demand.scope.clone(),
            begun_ms: now_ms,
            stages: demand
                .flows
                .iter()
                .flat_map(|flow| flow.iter().copied())
                .collect(),
            proofs: BTreeMap::new(),
        };
        sessions.insert(name.clone(), open);
        Ok(name)
    }

    /// How a stage of a session stands, for pages that pass it in the client's place.
    pub(crate) fn standing(&self, session: &str, stage: &str) -> Standing {
        let now_ms = self.env.now_ms();
        let sessions = self.sessions.lock();
        let open = sessions.get(session);
        match open.filter(|open| open.begun_ms + SESSION_LIFETIME_MS > now_ms) {
            None => Standing::NoSession,
            Some(open) if open.proofs.contains_key(stage) => Standing::Passed,
            Some(open) if open.stages.contains(stage) => Standing::Awaited,
            Some(_) => Standing::NotAsked,
        }
    }

    /// What a session is for: the scope that its endpoint gave it.
    pub(crate) fn scope(&self, session: &str) -> Option<String> {
        let now_ms = self.env.now_ms();
        let sessions = self.sessions.lock();
        let open = sessions.get(session);
        open.filter(|open| open.begun_ms + SESSION_LIFETIME_MS > now_ms)
            .map(|open| open.scope.clone())
    }

    /// Notes that a stage was passed in another way than by the client's request.
    pub(crate) fn complete(&self, session: &str, stage: &str, proof: String) {
        let mut sessions = self.sessions.lock();
        if let Some(open) = sessions.get_mut(session)
            && let Some(known) = open.stages.get(stage)
        {
            open.proofs.insert(known, proof);
        }
    }

    fn is_proven(&self, session: &str, stage: &str) -> bool {
        let sessions = self.sessions.lock();
        sessions
            .get(session)
            .is_some_and(|open| open.proofs.contains_key(stage))
    }

    /// Passes when a flow is complete; the session then ends.
    fn verdict(
        &self,
        demand: &Demand<'_>,
        session: String,
        failed: Option<Failure>,
    ) -> Result<Passed, Failure> {
        let mut sessions = self.sessions.lock();
        let proofs = sessions
            .get(&session)
            .map(|open| open.proofs.clone())
            .unwrap_or_default();
        let complete =
            |flow: &&&[&'static str]| flow.iter().all(|stage| proofs.contains_key(stage));
        if failed.is_none() && demand.flows.iter().any(|flow| complete(&flow)) {
            sessions.remove(&session);
            return Ok(Passed { proofs });
        }
        drop(sessions);
        let completed: BTreeSet<_> = proofs.keys().collect();
        let flows: Vec<_> = demand
            .flows
            .iter()
            .map(|flow| json!({ "stages": flow }))
            .collect();
        let asked = demand.flows.iter().flat_map(|flow| flow.iter().copied());
        let params: BTreeMap<&str, &Value> = asked
            .filter_map(|stage| Some((stage, self.params.get(stage)?)))
            .collect();
        let mut body = json!({ "flows": flows, "params": params, "session": session });
        if !completed.is_empty() {
            body["completed"] = json!(completed);
        }
        if let (Some(failure), Some(body)) = (failed, body.as_object_mut())
            && let Value::Object(error) = failure.body("")
        {
            body.extend(error);
        }
        Err(Failure::authentication_needed(body))
    }
}

fn auth_type(auth: &AuthData) -> String {
    auth.auth_type()
        .map_or_else(String::new, |kind| kind.to_string())
}
