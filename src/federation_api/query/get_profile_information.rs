//! `GET /_matrix/federation/v1/query/profile`

use std::sync::Arc;

use ruma::api::federation::query::get_profile_information::v1::Request;

use crate::{
    client::page::Object,
    edge::{App, Failure, Peer, RawJson},
};

/// Tells a user's profile, or one field of it.
pub(crate) async fn handle(
    app: Arc<App>,
    _peer: Peer,
    request: Request,
) -> Result<RawJson, Failure> {
    if !app.config.federation.tell_profiles {
        return Err(Failure::forbidden("this server tells no profiles"));
    }
    if !app.house.is_local(request.user_id.server_name()) {
        return Err(Failure::invalid_param("this user is not of this server"));
    }
    let wanted = request.field.as_ref().map(AsRef::as_ref);
    let fields = app.house.profile(&request.user_id).await?;
    let mut profile = Object::new();
    for (name, value) in &fields {
        if wanted.is_none_or(|wanted: &str| wanted == name) {
            profile = profile.raw(name, value.as_bytes());
        }
    }
    Ok(profile.finish())
}
