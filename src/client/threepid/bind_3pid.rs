//! `POST /_matrix/client/*/account/3pid/bind`

use std::sync::Arc;

use playhouse_actors::threepid::Address;
use playhouse_schema::record::threepid::Binding;
use ruma::api::client::account::bind_3pid::v3::{Request, Response};

use crate::{
    edge::{App, Failure, Session},
    third_party::Asking,
};

/// Lets an identity server publish whose an address is, and remembers that it knows.
pub(crate) async fn handle(
    app: Arc<App>,
    caller: Session,
    request: Request,
) -> Result<Response, Failure> {
    let info = request.identity_server_info;
    let asking = Asking {
        server: &info.id_server,
        token: &info.id_access_token,
    };
    let session = (request.sid.as_str(), request.client_secret.as_str());
    let bound = app
        .third_party
        .identity
        .bind(asking, session, &caller.user_id)
        .await?;
    if let Some(address) = Address::new(&bound.medium, &bound.address) {
        let binding = Binding {
            user_id: caller.user_id.to_string(),
            id_server: info.id_server,
            medium: address.medium.as_str().to_owned(),
            address: address.address,
        };
        app.house.note_binding(binding, true).await?;
    }
    Ok(Response::new())
}
