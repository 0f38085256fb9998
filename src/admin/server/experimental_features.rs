//! `GET` and `PUT /_synapse/admin/v1/experimental_features/{userId}`
//!
//! What is not in the specification yet is served to everybody or to nobody.

use std::{collections::BTreeMap, sync::Arc};

use ruma::{
    OwnedUserId,
    api::{auth_scheme::AccessToken, request, response},
    metadata,
};

use crate::{
    admin::{only_administrators, users::local_account},
    edge::{App, Failure, Session},
};

/// Features that tools ask for, and whether they are served.
const FEATURES: [(&str, bool); 3] = [("msc3575", true), ("msc3881", false), ("msc4222", true)];

metadata! {
    method: GET,
    rate_limited: false,
    authentication: AccessToken,
    path: "/_synapse/admin/v1/experimental_features/{user_id}",
}

/// Asks what is served to a user.
#[request]
pub(crate) struct Request {
    /// To whom.
    #[ruma_api(path)]
    pub(crate) user_id: OwnedUserId,
}

/// What is served to the user.
#[response]
pub(crate) struct Response {
    /// By name.
    pub(crate) features: BTreeMap<String, bool>,
}

/// Tells which features are served to a user.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    local_account(&app, &request.user_id).await?;
    let features = FEATURES.into_iter();
    let features = features.map(|(name, is_served)| (name.to_owned(), is_served));
    Ok(Response {
        features: features.collect(),
    })
}

/// Changing it.
pub(crate) mod change {
    use super::{
        AccessToken, App, Arc, BTreeMap, FEATURES, Failure, OwnedUserId, Session, local_account,
        metadata, only_administrators, request, response,
    };

    metadata! {
        method: PUT,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/experimental_features/{user_id}",
    }

    /// What is to be served to a user.
    #[request]
    pub(crate) struct Request {
        /// To whom.
        #[ruma_api(path)]
        pub(crate) user_id: OwnedUserId,
        /// By name.
        pub(crate) features: BTreeMap<String, bool>,
    }

    /// It is so.
    #[response]
    pub(crate) struct Response {}

    /// Agrees to what is so already.
    pub(crate) async fn handle(
        app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        local_account(&app, &request.user_id).await?;
        if request.features.is_empty() {
            return Err(Failure::invalid_param("no feature is named"));
        }
        for (wanted, is_wanted) in &request.features {
            let known = FEATURES.into_iter().find(|(name, _)| name == wanted);
            let Some((_, is_served)) = known else {
                return Err(Failure::invalid_param(format!(
                    "{wanted} is no feature that is known here"
                )));
            };
            if is_served != *is_wanted {
                return Err(Failure::invalid_param(format!(
                    "{wanted} is the same for all users of this server"
                )));
            }
        }
        Ok(Response {})
    }
}
