//! `GET /_synapse/admin/v1/user/redact_status/{redact_id}`

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/user/redact_status/{redact_id}",
}

/// Names a redaction of a user's events.
#[request]
pub(crate) struct Request {
    /// As it was told when it began.
    #[ruma_api(path)]
    pub(crate) redact_id: String,
}

/// How it stands.
#[response]
pub(crate) struct Response {
    /// `active`, `complete` or `failed`.
    pub(crate) status: String,
    /// Events that could not be redacted, and why; told at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) failed_redactions: Option<BTreeMap<String, String>>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) error: Option<String>,
}

/// Tells how a redaction of a user's events stands.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let standing = app.house.redaction(&request.redact_id).await?;
    let Some(ended) = standing.ended else {
        return Ok(Response {
            status: "active".to_owned(),
            failed_redactions: None,
            error: None,
        });
    };
    let failed = standing.done.failed.into_iter().collect();
    Ok(match ended.error {
        None => Response {
            status: "complete".to_owned(),
            failed_redactions: Some(failed),
            error: None,
        },
        error => Response {
            status: "failed".to_owned(),
            failed_redactions: Some(failed),
            error,
        },
    })
}
