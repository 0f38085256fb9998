//! Endpoints for other servers: mounting as in [`super::mount`], authenticated by the signature of the request (server-server API, "Request
//! Authentication").
//!
//! The signature covers the body, so that is read first. Until the origin is certain a request counts for its address, then for its origin.

use std::{future::Future, sync::Arc};

use actix_web::http::header;
use bytes::Bytes;
use ruma::{
    OwnedServerName,
    api::{
        IncomingRequest, Metadata, OutgoingResponse, error::ErrorCode,
        federation::authentication::ServerSignatures,
    },
};

use super::{
    answer::{self, Prepared},
    app::App,
    endpoint::Endpoint,
    failure::Failure,
    incoming::{Arguments, Incoming},
    limits::Class,
    mount::{Routes, parsed},
};
use crate::{
    config::Resource,
    federation::x_matrix::{self, Signed, Unbelieved},
};

/// So many bytes a transaction may have: 50 events and 100 ephemeral ones.
pub(crate) const TRANSACTION_BYTES_MAX: u64 = 10 * 1024 * 1024;

/// Another server that asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name.
    pub(crate) origin: OwnedServerName,
}

impl Routes {
    /// Mounts `async fn handle(app: Arc<App>, peer: Peer, request: R) -> Result<Response, Failure>`.
    pub(crate) fn mount_peer<R, H, F>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + Metadata<Authentication = ServerSignatures> + 'static,
        R::OutgoingResponse: OutgoingResponse,
        H: Fn(Arc<App>, Peer, R) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<R::OutgoingResponse, Failure>> + 'static,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let (peer, body) = believed(&mut incoming).await?;
                let request = parsed::<R>(&incoming, body_or_empty(&body))?;
                let response = handle(incoming.app.clone(), peer, request).await?;
                answer::typed(response)
            })
        }))
        .for_peers()
    }

    /// As [`Routes::mount_peer`], for handlers that return a finished answer ([`Prepared`] or [`super::RawJson`]).
    pub(crate) fn mount_peer_raw<R, H, F, P>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + Metadata<Authentication = ServerSignatures> + 'static,
        H: Fn(Arc<App>, Peer, R) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<P, Failure>> + 'static,
        P: Into<Prepared>,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let (peer, body) = believed(&mut incoming).await?;
                let request = parsed::<R>(&incoming, body_or_empty(&body))?;
                let prepared = handle(incoming.app.clone(), peer, request).await?;
                Ok(prepared.into().into_response())
            })
        }))
        .for_peers()
    }

    /// For what must keep the bytes of its body (events, transactions): `R` gives method and paths, but the handler reads path variables, query and body
    /// itself.
    pub(crate) fn mount_peer_fast<R, H, F, P>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + Metadata<Authentication = ServerSignatures> + 'static,
        H: Fn(Arc<App>, Peer, Arguments) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<P, Failure>> + 'static,
        P: Into<Prepared>,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let (peer, body) = believed(&mut incoming).await?;
                let arguments = incoming.arguments_with(body);
                let prepared = handle(incoming.app.clone(), peer, arguments).await?;
                Ok(prepared.into().into_response())
            })
        }))
        .for_peers()
    }
}

impl Endpoint {
    fn for_peers(&mut self) -> &mut Self {
        self.resource(Resource::Federation).class(Class::Peer)
    }
}

/// Servers send no body where all of it is optional.
fn body_or_empty(body: &Bytes) -> &[u8] {
    if body.is_empty() { b"{}" } else { body }
}

/// The server that signed a request, and the body that it signed.
async fn believed(incoming: &mut Incoming) -> Result<(Peer, Bytes), Failure> {
    if !incoming.app.config.federation.enabled {
        return Err(Failure::forbidden("this server talks to no other"));
    }
    incoming.admit_stranger()?;
    let headers: Vec<String> = incoming.headers(header::AUTHORIZATION);
    if headers.is_empty() {
        return Err(Unbelieved::Missing.into());
    }
    let headers: Vec<&str> = headers.iter().map(String::as_str).collect();
    if !incoming
        .app
        .server_rules
        .admit(&x_matrix::claimed(&headers)?)
    {
        return Err(Failure::forbidden("this server does not talk with yours"));
    }
    let body = incoming.signed_body().await?;
    let uri = incoming.path_and_query();
    let signed = Signed {
        method: incoming.method(),
        uri: &uri,
        authorization: &headers,
        body: (!body.is_empty()).then_some(&*body),
    };
    let origin = x_matrix::authenticate(incoming.app.env(), &signed).await?;
    incoming.admit_peer(&origin)?;
    // Whoever asks can perhaps be asked again.
    incoming.app.house.peer_alive(&origin);
    incoming.app.origins.slow(&origin).await?;
    incoming.check_fields(&body)?;
    Ok((Peer { origin }, body))
}

impl From<Unbelieved> for Failure {
    fn from(error: Unbelieved) -> Self {
        match error {
            Unbelieved::NotJson => Self::not_json("body is not JSON"),
            error => Self::new(ErrorCode::Unauthorized, error.to_string()),
        }
    }
}
