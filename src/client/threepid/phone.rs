//! Proving to have a phone number: what all requests for a code have in common. The delegate keeps the session.

use std::sync::Arc;

use playhouse_actors::threepid::Address;
use ruma::{OwnedClientSecret, OwnedSessionId, UInt};
use serde_json::json;

use super::validation::{self, Purpose};
use crate::edge::{App, Class, Failure};

/// Where the code comes back.
pub(super) const SUBMIT: &str = "/_matrix/client/unstable/add_threepid/msisdn/submit_token";

/// A request for a code.
pub(super) struct Asked {
    pub(super) purpose: Purpose,
    pub(super) country: String,
    pub(super) number: String,
    pub(super) client_secret: OwnedClientSecret,
    pub(super) send_attempt: UInt,
}

/// Has a code sent; the session at the delegate, and where the code is to be sent to.
pub(super) async fn send(
    app: &Arc<App>,
    asked: Asked,
) -> Result<(OwnedSessionId, String), Failure> {
    let digits: String = asked.number.chars().filter(char::is_ascii_digit).collect();
    app.limiter.take_for(Class::ThirdParty, &digits).await?;
    // A number without its country's digits is understood by the delegate only: whose it is shows when it is proven.
    if asked.number.starts_with('+')
        && let Some(address) = Address::msisdn(&asked.number)
        && let Err(failure) = validation::check_owner(app, asked.purpose, &address).await?
    {
        if !app.config.email.hide_accounts {
            return Err(failure);
        }
        let sid = app.env().random_string(32);
        return Ok((validation::session_id(&sid)?, url(app)));
    }
    let wish = json!({
        "country": asked.country,
        "phone_number": asked.number,
        "client_secret": asked.client_secret,
        "send_attempt": asked.send_attempt,
    });
    let sent = app.third_party.send_text(&wish).await?;
    Ok((validation::session_id(&sent.sid)?, url(app)))
}

fn url(app: &App) -> String {
    format!("{}{SUBMIT}", validation::base(app))
}
