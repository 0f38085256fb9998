//! `GET /_synapse/admin/v1/threepid/{medium}/users/{address}`

use std::sync::Arc;

use playhouse_actors::threepid::Address;
use ruma::{
    OwnedUserId,
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
    path: "/_synapse/admin/v1/threepid/{medium}/users/{address}",
}

/// Names an address.
#[request]
pub(crate) struct Request {
    /// `email` or `msisdn`.
    #[ruma_api(path)]
    pub(crate) medium: String,
    /// The address.
    #[ruma_api(path)]
    pub(crate) address: String,
}

/// Whose it is.
#[response]
pub(crate) struct Response {
    /// The user.
    pub(crate) user_id: OwnedUserId,
}

/// Tells an administrator whose address this is.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    let nobody = || Failure::not_found("no user has this address");
    // What can be no address is nobody's.
    let address = Address::new(&request.medium, &request.address).ok_or_else(nobody)?;
    let owner = app.house.owner_of_threepid(&address).await?;
    Ok(Response {
        user_id: owner.ok_or_else(nobody)?,
    })
}
