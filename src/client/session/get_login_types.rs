//! `GET /_matrix/client/*/login`

use std::sync::Arc;

use ruma::api::client::session::get_login_types::v3::{
    ApplicationServiceLoginType, IdentityProvider, LoginType, PasswordLoginType, Request, Response,
    SsoLoginType, TokenLoginType,
};
use serde_json::Map;

use crate::{
    client::oauth,
    config::Provider,
    edge::{Addressed, App, Failure},
};

/// Tells how one may log in.
pub(crate) async fn handle(
    app: Arc<App>,
    Addressed(host): Addressed,
    _request: Request,
) -> Result<Response, Failure> {
    let mut token = TokenLoginType::new();
    token.get_login_token = true;
    let mut flows = vec![
        LoginType::Password(PasswordLoginType::new()),
        LoginType::Token(token),
        LoginType::ApplicationService(ApplicationServiceLoginType::new()),
    ];
    let is_on_our_pages = oauth::leads_legacy_clients(&app, host.as_deref());
    if is_on_our_pages || !app.config.sso.providers.is_empty() {
        let mut sso = SsoLoginType::new();
        sso.oauth_aware_preferred = is_on_our_pages;
        sso.identity_providers = app.config.sso.providers.iter().map(described).collect();
        flows.push(LoginType::Sso(sso));
    }
    if app.config.jwt.enabled {
        let jwt = LoginType::new("org.matrix.login.jwt", Map::new());
        flows.push(jwt.map_err(Failure::internal)?);
    }
    Ok(Response::new(flows))
}

fn described(provider: &Provider) -> IdentityProvider {
    let mut told = IdentityProvider::new(provider.id.clone(), provider.name.clone());
    told.icon = provider.icon.as_deref().map(Into::into);
    told.brand = provider.brand.as_deref().map(Into::into);
    told
}
