//! `GET` and `POST /_synapse/admin/v1/background_updates/enabled`
//!
//! Read models follow the log at every moment and are filled anew by the program that needs another form of one: there is nothing that could be paused or
//! started.

use std::sync::Arc;

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
    path: "/_synapse/admin/v1/background_updates/enabled",
}

/// Asks.
#[request]
pub(crate) struct Request {}

/// Whether what is derived is kept up.
#[response]
pub(crate) struct Response {
    /// It is.
    pub(crate) enabled: bool,
}

/// Tells that what is derived from the log is kept up.
pub(crate) async fn handle(
    _app: Arc<App>,
    caller: Session,
    _request: Request,
) -> Result<Response, Failure> {
    only_administrators(&caller)?;
    Ok(Response { enabled: true })
}

/// Switching it.
pub(crate) mod switch {
    use super::{
        AccessToken, App, Arc, Failure, Session, metadata, only_administrators, request, response,
    };

    metadata! {
        method: POST,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/background_updates/enabled",
    }

    /// Says whether what is derived is to be kept up.
    #[request]
    pub(crate) struct Request {
        /// It is.
        #[serde(default = "ruma::serde::default_true")]
        pub(crate) enabled: bool,
    }

    /// It is so.
    #[response]
    pub(crate) struct Response {
        /// As it was said.
        pub(crate) enabled: bool,
    }

    /// Takes yes for an answer, and nothing else.
    pub(crate) async fn handle(
        _app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        if !request.enabled {
            return Err(Failure::invalid_param(
                "there are no background updates that could be paused: read models follow the log",
            ));
        }
        Ok(Response { enabled: true })
    }
}

/// How they stand.
pub(crate) mod status {
    use serde_json::{Map, Value};

    use super::{
        AccessToken, App, Arc, Failure, Session, metadata, only_administrators, request, response,
    };

    metadata! {
        method: GET,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/background_updates/status",
    }

    /// Asks.
    #[request]
    pub(crate) struct Request {}

    /// What goes on.
    #[response]
    pub(crate) struct Response {
        /// What is derived from the log is kept up.
        pub(crate) enabled: bool,
        /// Updates that are being done: none.
        pub(crate) current_updates: Map<String, Value>,
    }

    /// Tells that none is being done.
    pub(crate) async fn handle(
        _app: Arc<App>,
        caller: Session,
        _request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        Ok(Response {
            enabled: true,
            current_updates: Map::new(),
        })
    }
}

/// Starting one.
pub(crate) mod start {
    use super::{
        AccessToken, App, Arc, Failure, Session, metadata, only_administrators, request, response,
    };

    metadata! {
        method: POST,
        rate_limited: false,
        authentication: AccessToken,
        path: "/_synapse/admin/v1/background_updates/start_job",
    }

    /// Names an update.
    #[request]
    pub(crate) struct Request {
        /// Its name.
        pub(crate) job_name: String,
    }

    /// Never given.
    #[response]
    pub(crate) struct Response {}

    /// Tells why nothing is started.
    pub(crate) async fn handle(
        _app: Arc<App>,
        caller: Session,
        request: Request,
    ) -> Result<Response, Failure> {
        only_administrators(&caller)?;
        let derived = ["populate_stats_process_rooms", "regenerate_directory"];
        if derived.contains(&request.job_name.as_str()) {
            return Err(Failure::invalid_param(
                "statistics and the user directory follow the log; `playhouse log rebuild` derives them anew while the server is down",
            ));
        }
        Err(Failure::invalid_param("there is no such job"))
    }
}
