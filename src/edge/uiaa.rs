//! User-interactive authentication (client-server API, "User-Interactive Authentication API"): sessions, flows, completed stages.
//!
//! Sessions are volatile: a client whose session is gone is asked to begin again. They lie on desks, where all nodes see them; beyond the bounds of a desk the
//! oldest end. What a stage proves is checked by the caller's `verify`.

use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
};

use playhouse_actors::{
    desks::{Changed, DeskKind, Put, Terms},
    env::Env,
    house::{Desks, Found, House},
};
use ruma::api::client::uiaa::AuthData;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::failure::Failure;

/// A session that is not completed within this time ends.
const SESSION_LIFETIME_MS: u64 = 15 * 60 * 1000;

/// So often it is tried to note a stage while others note theirs.
const NOTE_ATTEMPTS: usize = 8;

/// Who had no luck may try again so much later.
const NOTE_AGAIN_MS: u64 = 1_000;

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

/// What is known of a session. Proofs are secret: this is not to be shown.
#[derive(Clone, Serialize, Deserialize)]
struct Open {
    scope: String,
    stages: BTreeSet<String>,
    proofs: BTreeMap<String, String>,
}

/// All open sessions. They lie on desks: a client's next request may come to another node.
pub(crate) struct Interactive {
    env: Env,
    desks: Desks,
    /// What clients must know of a stage: for the terms the policies, for a captcha its key.
    params: BTreeMap<&'static str, Value>,
}

impl Interactive {
    /// No session is open yet.
    pub(crate) fn new(house: &House, params: BTreeMap<&'static str, Value>) -> Self {
        Self {
            env: house.env().clone(),
            desks: house.desks().clone(),
            params,
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
        let (session, open) = self.session(&demand, auth).await?;
        let Some((auth, stage)) = auth.and_then(|auth| Some((auth, auth.auth_type()?))) else {
            return self.verdict(&demand, &session, open.proofs, None).await;
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
            let failed = Some(refused);
            return self.verdict(&demand, &session, open.proofs, failed).await;
        };
        if open.proofs.contains_key(*known) {
            return self.verdict(&demand, &session, open.proofs, None).await;
        }
        match verify(stage).await {
            Ok(proof) => {
                let proofs = self.note(&session, known, proof).await?;
                self.verdict(&demand, &session, proofs, None).await
            }
            // Trouble of our own is not a failed stage.
            Err(failure) if failure.status() >= 500 || failure.status() == 429 => Err(failure),
            Err(failure) => {
                let open = self.open(&session).await?;
                let proofs = open.map(|open| open.value.proofs).unwrap_or_default();
                self.verdict(&demand, &session, proofs, Some(failure)).await
            }
        }
    }

    /// The session that the request names, or a new one.
    async fn session(
        &self,
        demand: &Demand<'_>,
        auth: Option<&AuthData>,
    ) -> Result<(String, Open), Failure> {
        if let Some(named) = auth.and_then(AuthData::session) {
            return match self.open(named).await? {
                Some(open) if open.value.scope == demand.scope => {
                    Ok((named.to_owned(), open.value))
                }
                Some(_) => Err(Failure::forbidden(
                    "this authentication session belongs to another operation",
                )),
                None => Err(Failure::new(
                    ruma::api::error::ErrorCode::Unknown,
                    "unknown or ended authentication session",
                )),
            };
        }
        let name = self.env.random_string(24);
        let stages = demand.flows.iter().flat_map(|flow| flow.iter());
        let open = Open {
            scope: demand.scope.clone(),
            stages: stages.map(|stage| (*stage).to_owned()).collect(),
            proofs: BTreeMap::new(),
        };
        let until_ms = self.env.now_ms() + SESSION_LIFETIME_MS;
        let lying = (&open, until_ms);
        let place = (DeskKind::Uia, name.as_str());
        match self.desks.put(place, lying, Terms::default()).await? {
            (Put::Done, _) => Ok((name, open)),
            _ => Err(Failure::new(
                ruma::api::error::ErrorCode::TooLarge,
                "what is to be authenticated is too long",
            )),
        }
    }

    async fn open(&self, session: &str) -> Result<Option<Found<Open>>, Failure> {
        Ok(self.desks.get(DeskKind::Uia, session).await?)
    }

    /// How a stage of a session stands, for pages that pass it in the client's place.
    pub(crate) async fn standing(&self, session: &str, stage: &str) -> Result<Standing, Failure> {
        let open = self.open(session).await?.map(|open| open.value);
        Ok(match open {
            None => Standing::NoSession,
            Some(open) if open.proofs.contains_key(stage) => Standing::Passed,
            Some(open) if open.stages.contains(stage) => Standing::Awaited,
            Some(_) => Standing::NotAsked,
        })
    }

    /// What a session is for: the scope that its endpoint gave it.
    pub(crate) async fn scope(&self, session: &str) -> Result<Option<String>, Failure> {
        let open = self.open(session).await?;
        Ok(open.map(|open| open.value.scope))
    }

    /// Notes that a stage was passed in another way than by the client's request.
    pub(crate) async fn complete(
        &self,
        session: &str,
        stage: &str,
        proof: String,
    ) -> Result<(), Failure> {
        self.note(session, stage, proof).await?;
        Ok(())
    }

    /// Notes that a stage of a session was passed, if it is one and the session has not ended; what is proven now.
    async fn note(
        &self,
        session: &str,
        stage: &str,
        proof: String,
    ) -> Result<BTreeMap<String, String>, Failure> {
        for _ in 0..NOTE_ATTEMPTS {
            let Some(Found { value, token, .. }) = self.open(session).await? else {
                return Ok(BTreeMap::new());
            };
            let mut open = value;
            if !open.stages.contains(stage) {
                return Ok(open.proofs);
            }
            open.proofs.insert(stage.to_owned(), proof.clone());
            let place = (DeskKind::Uia, session);
            match self.desks.change(place, &token, &open).await? {
                (Changed::Done, _) => return Ok(open.proofs),
                (Changed::Gone, _) => return Ok(BTreeMap::new()),
                (Changed::Full, _) => break,
                // Another stage was passed at the same moment.
                (Changed::Overtaken, _) => {}
            }
        }
        Err(Failure::limit_exceeded(NOTE_AGAIN_MS))
    }

    /// Passes when a flow is complete; the session then ends.
    async fn verdict(
        &self,
        demand: &Demand<'_>,
        session: &str,
        mut proofs: BTreeMap<String, String>,
        failed: Option<Failure>,
    ) -> Result<Passed, Failure> {
        if failed.is_none() && demand.is_met(&proofs) {
            // Of two requests with the same session one passes.
            let ended: Option<Open> = self.desks.take(DeskKind::Uia, session).await?;
            proofs = ended.map(|open| open.proofs).unwrap_or_default();
            if demand.is_met(&proofs) {
                return Ok(demand.passed(&proofs));
            }
        }
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

impl Demand<'_> {
    /// Whether a flow is complete.
    fn is_met(&self, proofs: &BTreeMap<String, String>) -> bool {
        let is_proven = |stage: &&'static str| proofs.contains_key(*stage);
        self.flows.iter().any(|flow| flow.iter().all(is_proven))
    }

    /// What the stages asked for have proven.
    fn passed(&self, proofs: &BTreeMap<String, String>) -> Passed {
        let stages = self.flows.iter().flat_map(|flow| flow.iter().copied());
        let proven = stages.filter_map(|stage| Some((stage, proofs.get(stage)?.clone())));
        Passed {
            proofs: proven.collect(),
        }
    }
}

fn auth_type(auth: &AuthData) -> String {
    auth.auth_type()
        .map_or_else(String::new, |kind| kind.to_string())
}
