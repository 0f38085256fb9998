//! `GET /_synapse/admin/v1/registration_tokens`

use std::sync::Arc;

use playhouse_actors::registration::message::RegistrationQuery;
use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::{Shown, ask};
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/registration_tokens",
}

/// Asks for all tokens, or for those that can be used, or cannot.
#[request]
pub(crate) struct Request {
    /// Only tokens that can be used, or only those that cannot.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[ruma_api(query)]
    pub(crate) valid: Option<bool>,
}

/// Tokens, sorted.
#[response]
pub(crate) struct Response {
    /// As many as there are: their number is bounded.
    pub(crate) registration_tokens: Vec<Shown>,
}

/// Tells an administrator which registration tokens there are.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let now_ms = app.env().now_ms();
    let tokens = ask(&app, RegistrationQuery::List).await?;
    let wanted = tokens.into_iter().filter(|token| {
        let valid = request.valid;
        valid.is_none_or(|valid| token.is_usable(now_ms) == valid)
    });
    Ok(Response {
        registration_tokens: wanted.map(Shown::from).collect(),
    })
}
