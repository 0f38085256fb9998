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
    client::discovery::get_supported_versions::FEATURES,
    edge::{App, Failure, Session},
};

/// Features that tools ask for, and what they are called where clients find out what is served.
const KNOWN: [(&str, &str); 3] = [
    ("msc3575", "org.matrix.simplified_msc3575"),
    ("msc3881", "org.matrix.msc3881"),
    ("msc4222", "org.matrix.msc4222"),
];

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
    let features = KNOWN.into_iter();
    let features = features.map(|(name, feature)| (name.to_owned(), FEATURES.contains(&feature)));
    Ok(Response {
        features: features.collect(),
    })
}

/// Changing it.
pub(crate) mod change {
    use super::{
        AccessToken, App, Arc, BTreeMap, FEATURES, Failure, KNOWN, OwnedUserId, Session,
        local_account, metadata, only_administrators, request, response,
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
            let known = KNOWN.into_iter().find(|(name, _)| name == wanted);
            let Some((_, feature)) = known else {
                return Err(Failure::invalid_param(format!(
                    "{wanted} is no feature that is known here"
                )));
            };
            if FEATURES.contains(&feature) != *is_wanted {
                return Err(Failure::invalid_param(format!(
                    "{wanted} is the same for all users of this server"
                )));
            }
        }
        Ok(Response {})
    }
}
