//! `POST /_matrix/client/unstable/account_validity/send_mail`

use std::sync::Arc;

use playhouse_actors::user::UserError;
use ruma::{
    api::{auth_scheme::AccessToken, error::ErrorCode, request, response},
    metadata,
};

use super::mail;
use crate::{
    edge::{App, Failure, Leaver},
    pages::Language,
};

metadata! {
    method: POST,
    rate_limited: true,
    authentication: AccessToken,
    path: "/_matrix/client/unstable/account_validity/send_mail",
}

/// Somebody wants to renew the own account.
#[request]
pub(crate) struct Request {}

/// The mail is on its way.
#[response]
pub(crate) struct Response {}

/// Mails the link that renews the caller's account, be it over already.
pub(crate) async fn handle(
    app: Arc<App>,
    Leaver(caller): Leaver,
    _request: Request,
) -> Result<Response, Failure> {
    if caller.locked {
        return Err(UserError::Locked.into());
    }
    if !app.config.account_validity.enabled || app.third_party.mailer.is_none() {
        return Err(Failure::new(
            ErrorCode::Unrecognized,
            "accounts are not renewed by mail here",
        ));
    }
    let end_ms = app.house.account(&caller.user_id).await?.valid_until_ms;
    let end_ms = end_ms.ok_or_else(|| Failure::not_found("this account does not end"))?;
    let count = mail(&app, Language::ENGLISH, (&caller.user_id, end_ms)).await?;
    if count == 0 {
        return Err(Failure::not_found("this account has no mail address"));
    }
    app.house.note_renewal_mail(&caller.user_id, end_ms).await?;
    Ok(Response {})
}
