//! Mounting: from a handler's types follow method, paths, authentication and parsing.

use std::{
    future::Future,
    sync::{Arc, OnceLock},
};

use actix_web::{HttpResponse, http::Method};
use playhouse_actors::admins::AdminRole;
use ruma::api::{
    IncomingRequest, IncomingRequestExt as _, Metadata, OutgoingResponse,
    path_builder::PathBuilder as _,
};

use super::{
    answer::{self, Prepared},
    app::App,
    audit::{self, Change},
    caller::Caller,
    endpoint::{Endpoint, Run},
    failure::Failure,
    incoming::{Arguments, Incoming, Upload},
    limits::Class,
};
use crate::config::Resource;

/// Everything that is mounted.
#[derive(Default)]
pub(crate) struct Routes {
    pub(super) endpoints: Vec<Endpoint>,
}

impl Routes {
    /// Mounts `async fn handle(app: Arc<App>, caller: C, request: R) -> Result<Response, Failure>`.
    ///
    /// The caller type must fit the endpoint's authentication: see [`Caller`].
    pub(crate) fn mount<R, C, H, F>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + 'static,
        R::OutgoingResponse: OutgoingResponse,
        C: Caller<R::Authentication>,
        H: Fn(Arc<App>, C, R) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<R::OutgoingResponse, Failure>> + 'static,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let caller = admitted::<R, C>(&incoming).await?;
                let body = incoming.json_body().await?;
                let request = typed::<R>(&incoming, &body)?;
                let said = (&*incoming.path, &*body);
                let change = begun::<R, C>(&incoming, &caller, said).await?;
                let answer = handle(incoming.app.clone(), caller, request).await;
                audit::end(change, answer.and_then(answer::typed)).await
            })
        }))
    }

    /// As [`Routes::mount`], for handlers that return a finished answer ([`Prepared`] or [`super::RawJson`]).
    pub(crate) fn mount_raw<R, C, H, F, P>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + 'static,
        C: Caller<R::Authentication>,
        H: Fn(Arc<App>, C, R) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<P, Failure>> + 'static,
        P: Into<Prepared>,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let caller = admitted::<R, C>(&incoming).await?;
                let body = incoming.json_body().await?;
                let request = typed::<R>(&incoming, &body)?;
                let said = (&*incoming.path, &*body);
                let change = begun::<R, C>(&incoming, &caller, said).await?;
                let answer = handle(incoming.app.clone(), caller, request).await;
                audit::end(change, answer.map(finished)).await
            })
        }))
    }

    /// As [`Routes::mount`], for handlers that need of the query or the body what the typed request leaves out.
    pub(crate) fn mount_whole<R, C, H, F>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + 'static,
        R::OutgoingResponse: OutgoingResponse,
        C: Caller<R::Authentication>,
        H: Fn(Arc<App>, C, R, Arguments) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<R::OutgoingResponse, Failure>> + 'static,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let caller = admitted::<R, C>(&incoming).await?;
                let arguments = incoming.arguments().await?;
                let request = arguments.typed::<R>()?;
                let said = (&*arguments.path, &*arguments.body);
                let change = begun::<R, C>(&incoming, &caller, said).await?;
                let answer = handle(incoming.app.clone(), caller, request, arguments).await;
                audit::end(change, answer.and_then(answer::typed)).await
            })
        }))
    }

    /// For hot endpoints: `R` gives method, paths and authentication, but the handler reads path variables, query and body itself.
    pub(crate) fn mount_fast<R, C, H, F, P>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + 'static,
        C: Caller<R::Authentication>,
        H: Fn(Arc<App>, C, Arguments) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<P, Failure>> + 'static,
        P: Into<Prepared>,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let caller = admitted::<R, C>(&incoming).await?;
                let arguments = incoming.arguments().await?;
                let said = (&*arguments.path, &*arguments.body);
                let change = begun::<R, C>(&incoming, &caller, said).await?;
                let answer = handle(incoming.app.clone(), caller, arguments).await;
                audit::end(change, answer.map(finished)).await
            })
        }))
    }

    /// For uploads: the request is parsed without its body, which the handler reads as it comes.
    pub(crate) fn mount_upload<R, C, H, F, P>(&mut self, handle: H) -> &mut Endpoint
    where
        R: IncomingRequest + 'static,
        C: Caller<R::Authentication>,
        H: Fn(Arc<App>, C, R, Upload) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<P, Failure>> + 'static,
        P: Into<Prepared>,
    {
        self.push::<R>(Box::new(move |mut incoming| {
            Box::pin(async move {
                let caller = admitted::<R, C>(&incoming).await?;
                let upload = incoming.upload()?;
                let request = parsed::<R>(&incoming, b"")?;
                let prepared = handle(incoming.app.clone(), caller, request, upload).await?;
                Ok(prepared.into().into_response())
            })
        }))
    }

    /// For what is no Matrix endpoint: the handler gets the request's address and query, without body or authentication.
    pub(crate) fn mount_plain<H, F>(&mut self, path: &str, handle: H) -> &mut Endpoint
    where
        H: Fn(Arc<App>, super::Visitor) -> F + Copy + Send + Sync + 'static,
        F: Future<Output = Result<Prepared, Failure>> + 'static,
    {
        self.push_at(
            Method::GET,
            vec![path.to_owned()],
            Box::new(move |incoming| {
                Box::pin(async move {
                    let visitor = incoming.visitor();
                    Ok(handle(incoming.app.clone(), visitor).await?.into_response())
                })
            }),
        )
    }

    pub(super) fn push<R: Metadata>(&mut self, run: Run) -> &mut Endpoint {
        let mut paths: Vec<String> = R::PATH_BUILDER.all_paths().map(str::to_owned).collect();
        for path in R::PATH_BUILDER.all_paths() {
            paths.extend(old_spellings(path));
        }
        paths.sort();
        paths.dedup();
        self.push_at(method_of(&R::METHOD), paths, run)
    }

    pub(super) fn push_at(
        &mut self,
        method: Method,
        paths: Vec<String>,
        run: Run,
    ) -> &mut Endpoint {
        let role = match method {
            Method::GET => AdminRole::Read,
            _ => AdminRole::Operate,
        };
        self.endpoints.push(Endpoint {
            method,
            paths,
            resource: Resource::Client,
            guests: false,
            closes: false,
            class: Class::General,
            body_bytes_max: None,
            body_timeout_ms: None,
            fields: &[],
            role,
            other_role: None,
            run,
            gauges: OnceLock::new(),
        });
        self.endpoints
            .last_mut()
            .expect("an endpoint was just pushed")
    }
}

/// Clients from before version 1.1 say `r0` where later ones say `v3`, and those from before `r0` called media `v1`.
fn old_spellings(path: &str) -> impl Iterator<Item = String> {
    [
        ("/_matrix/client/v3/", "/_matrix/client/r0/"),
        ("/_matrix/media/v3/", "/_matrix/media/r0/"),
        ("/_matrix/media/v3/", "/_matrix/media/v1/"),
    ]
    .into_iter()
    .filter_map(move |(new, old)| Some(format!("{old}{}", path.strip_prefix(new)?)))
}

fn method_of(method: &http::Method) -> Method {
    Method::from_bytes(method.as_str().as_bytes()).expect("ruma's methods are methods")
}

async fn admitted<R, C>(incoming: &Incoming) -> Result<C, Failure>
where
    R: Metadata,
    C: Caller<R::Authentication>,
{
    let caller = C::identify(incoming).await?;
    incoming.admit(caller.session()).await?;
    incoming.admit_active(caller.session()).await?;
    Ok(caller)
}

fn typed<R: IncomingRequest>(incoming: &Incoming, body: &[u8]) -> Result<R, Failure> {
    // Clients send no body where all of it is optional.
    parsed(incoming, if body.is_empty() { b"{}" } else { body })
}

fn finished(answer: impl Into<Prepared>) -> HttpResponse {
    answer.into().into_response()
}

/// Refuses administrators without the role, and notes a change that one is about to make. What was said: path variables and body.
async fn begun<R, C>(
    incoming: &Incoming,
    caller: &C,
    said: (&[String], &[u8]),
) -> Result<Option<Change>, Failure>
where
    R: Metadata,
    C: Caller<R::Authentication>,
{
    let endpoint = &incoming.endpoint;
    let looked = caller.must_have(endpoint.role);
    let other = endpoint.other_role.filter(|_| looked.is_err());
    if other.is_none_or(|role| caller.must_have(role).is_err()) {
        looked?;
    }
    Change::begin(incoming, caller.administrator(), said).await
}

/// The typed request out of path, query and body.
pub(super) fn parsed<R: IncomingRequest>(incoming: &Incoming, body: &[u8]) -> Result<R, Failure> {
    let request = incoming.as_http(R::METHOD, body)?;
    let path_arguments: Vec<&str> = incoming.path.iter().map(String::as_str).collect();
    Ok(R::try_from_http_request(request, &path_arguments)?)
}
