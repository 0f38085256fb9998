//! What the authorization server tells of itself (RFC 8414; client-server API, "Server metadata discovery").

use std::sync::Arc;

use actix_web::http::header;
use serde_json::{Value, json};

use super::{
    ACCOUNT, AUTHORIZE, DEVICE, INTROSPECT, KEYS, REGISTRATION, REVOKE, TOKEN, USERINFO,
    client::GRANT_TYPES, offered,
};
use crate::edge::{App, Failure, Prepared, RawJson, Visit};

/// What can be done on the account's pages; the last three are the names of before version 1.18.
const ACTIONS: [&str; 9] = [
    "org.matrix.profile",
    "org.matrix.devices_list",
    "org.matrix.device_view",
    "org.matrix.device_delete",
    "org.matrix.account_deactivate",
    "org.matrix.cross_signing_reset",
    "org.matrix.sessions_list",
    "org.matrix.session_view",
    "org.matrix.session_end",
];

/// All of it.
pub(super) async fn whole(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let base = offered(&app, visit.header(header::HOST))?;
    let mut metadata = metadata(&base);
    if !app.config.oauth.introspection_clients.is_empty() {
        metadata["introspection_endpoint"] = json!(format!("{base}{INTROSPECT}"));
        metadata["introspection_endpoint_auth_methods_supported"] =
            json!(["client_secret_basic", "client_secret_post"]);
    }
    Ok(RawJson(metadata.to_string().into()).into())
}

/// Only who it is, as clients of before version 1.15 asked.
pub(super) async fn issuer(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    let base = offered(&app, visit.header(header::HOST))?;
    Ok(RawJson(json!({ "issuer": format!("{base}/") }).to_string().into()).into())
}

/// The keys with which it signs: none, since it gives out no signed tokens.
pub(super) async fn keys(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    offered(&app, visit.header(header::HOST))?;
    Ok(RawJson(json!({ "keys": [] }).to_string().into()).into())
}

fn metadata(base: &str) -> Value {
    let at = |path: &str| format!("{base}{path}");
    json!({
        "issuer": format!("{base}/"),
        "authorization_endpoint": at(AUTHORIZE),
        "token_endpoint": at(TOKEN),
        "registration_endpoint": at(REGISTRATION),
        "revocation_endpoint": at(REVOKE),
        "device_authorization_endpoint": at(DEVICE),
        "userinfo_endpoint": at(USERINFO),
        "jwks_uri": at(KEYS),
        "account_management_uri": at(ACCOUNT),
        "account_management_actions_supported": ACTIONS,
        "response_types_supported": ["code"],
        "response_modes_supported": ["query", "fragment"],
        "grant_types_supported": GRANT_TYPES,
        "code_challenge_methods_supported": ["S256"],
        "token_endpoint_auth_methods_supported": ["none"],
        "revocation_endpoint_auth_methods_supported": ["none"],
        "prompt_values_supported": ["none", "login", "create"],
        "scopes_supported": ["urn:matrix:client:api:*"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["RS256"],
        "authorization_response_iss_parameter_supported": true,
    })
}
