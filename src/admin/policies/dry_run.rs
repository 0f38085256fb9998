//! `GET /_playhouse/admin/v1/policies/{policy}/dry_run`

use std::{cmp::Reverse, collections::BTreeMap, sync::Arc};

use playhouse_actors::house::MatchedInvite;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};
use serde::Serialize;

use crate::edge::{Admin, App, Failure};

/// So many servers and users are named, those with the most first.
const NAMED_MAX: usize = 100;

/// So many invites are shown.
const SAMPLE_MAX: usize = 20;

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_playhouse/admin/v1/policies/{policy}/dry_run",
}

/// Names a policy.
#[request]
pub(crate) struct Request {
    /// Its name.
    #[ruma_api(path)]
    pub(crate) policy: String,
}

/// So many invites of somebody, or for somebody.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Counted {
    name: String,
    count: u64,
}

/// An invite.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Sample {
    user_id: String,
    room_id: String,
    inviter: String,
    event_id: String,
}

/// What the policy would do.
#[response]
pub(crate) struct Response {
    /// So many invites it would take away, …
    pub(crate) invites: u64,
    /// … from so many users.
    pub(crate) users: u64,
    /// By the server of who invites.
    pub(crate) by_server: Vec<Counted>,
    /// By the invited user.
    pub(crate) by_user: Vec<Counted>,
    /// Some of them.
    pub(crate) sample: Vec<Sample>,
    /// To be brought back when it is applied.
    pub(crate) token: String,
    /// A digest of what these users are in which rooms, as it is told to them.
    pub(crate) state_hash: String,
}

/// Tells what a policy would do, and changes nothing.
pub(crate) async fn handle(
    app: Arc<App>,
    _caller: Admin,
    request: Request,
) -> Result<Response, Failure> {
    let told = app.house.dry_run(&request.policy).await?;
    let servers = told
        .invites
        .iter()
        .map(|it| it.inviter.server_name().as_str());
    let users = counted(told.invites.iter().map(|it| it.user_id.as_str()));
    let mut response = Response {
        invites: told.invites.len() as u64,
        users: users.len() as u64,
        by_server: counted(servers),
        by_user: users,
        sample: told.invites.iter().take(SAMPLE_MAX).map(sample).collect(),
        token: told.token,
        state_hash: told.state,
    };
    response.by_server.truncate(NAMED_MAX);
    response.by_user.truncate(NAMED_MAX);
    Ok(response)
}

/// How often each is named, the most often named first.
fn counted<'a>(names: impl Iterator<Item = &'a str>) -> Vec<Counted> {
    let mut counts = BTreeMap::<&str, u64>::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut counted: Vec<_> = counts
        .into_iter()
        .map(|(name, count)| Counted {
            name: name.to_owned(),
            count,
        })
        .collect();
    counted.sort_by_key(|one| Reverse(one.count));
    counted
}

fn sample(invite: &MatchedInvite) -> Sample {
    Sample {
        user_id: invite.user_id.to_string(),
        room_id: invite.room_id.to_string(),
        inviter: invite.inviter.to_string(),
        event_id: invite.event_id.clone(),
    }
}
