//! `POST /_synapse/admin/v1/account_validity/validity`

use std::sync::Arc;

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use super::local_account;
use crate::{
    admin::only_administrators,
    edge::{App, Failure, Session},
};

metadata! {
    method: POST,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/account_validity/validity",
}

/// Until when an account is to hold.
#[request]
pub(crate) struct Request {
    /// Whose.
    pub(crate) user_id: OwnedUserId,
    /// Until then, milliseconds since the Unix epoch; else for another period from now.
    pub(crate) expiration_ts: Option<u64>,
    /// The user is mailed before that.
    #[serde(default = "ruma::serde::default_true")]
    pub(crate) enable_renewal_emails: bool,
}

/// It is so.
#[response]
pub(crate) struct Response {
    /// It holds until then, milliseconds since the Unix epoch.
    pub(crate) expiration_ts: u64,
}

/// Says until when an account holds.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let settings = &app.config.account_validity;
    if !settings.enabled {
        return Err(Failure::invalid_param("accounts do not end on this server"));
    }
    local_account(&app, &request.user_id).await?;
    let now_ms = app.house.env().now_ms();
    let expiration_ts = request
        .expiration_ts
        .unwrap_or_else(|| now_ms.saturating_add(settings.period_ms));
    app.house
        .set_validity(&request.user_id, expiration_ts)
        .await?;
    if !request.enable_renewal_emails {
        // Who was mailed of an end is not mailed of it again.
        app.house
            .note_renewal_mail(&request.user_id, expiration_ts)
            .await?;
    }
    Ok(Response { expiration_ts })
}
