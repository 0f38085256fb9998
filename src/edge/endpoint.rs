//! One mounted endpoint: where it answers, who may call it, and what runs.

use std::{future::Future, pin::Pin, sync::OnceLock};

use actix_web::{HttpResponse, http::Method};
use playhouse_actors::admins::AdminRole;

use super::{failure::Failure, incoming::Incoming, limits::Class, trace::Gauges};
use crate::config::Resource;

/// What runs for a request.
pub(crate) type Run = Box<
    dyn Fn(Incoming) -> Pin<Box<dyn Future<Output = Result<HttpResponse, Failure>>>> + Send + Sync,
>;

/// An endpoint. [`super::Routes`] makes it; what the metadata does not tell is said by the methods here, in the line that mounts it.
pub(crate) struct Endpoint {
    pub(super) method: Method,
    pub(super) paths: Vec<String>,
    pub(super) resource: Resource,
    pub(super) guests: bool,
    pub(super) closes: bool,
    pub(super) class: Class,
    pub(super) body_bytes_max: Option<u64>,
    pub(super) body_timeout_ms: Option<u64>,
    pub(super) fields: &'static [&'static str],
    pub(super) role: AdminRole,
    pub(super) other_role: Option<AdminRole>,
    pub(super) run: Run,
    pub(super) gauges: OnceLock<Gauges>,
}

impl Endpoint {
    /// Guests may call it too.
    pub(crate) fn guests(&mut self) -> &mut Self {
        self.guests = true;
        self
    }

    /// Refused while the server is closed, as is all that has a rate of its own because it changes rooms.
    pub(crate) fn closes(&mut self) -> &mut Self {
        self.closes = true;
        self
    }

    /// Whether it is refused while the server is closed.
    pub(super) fn is_closed(&self) -> bool {
        let changes_rooms = matches!(
            self.class,
            Class::Message | Class::Join | Class::Invite | Class::CreateRoom
        );
        self.closes || changes_rooms
    }

    /// The rate limit that applies besides the general one.
    pub(crate) fn class(&mut self, class: Class) -> &mut Self {
        self.class = class;
        self
    }

    /// A limit of its own for the body, where `[limits] body_bytes_max` does not fit.
    pub(crate) fn body_bytes_max(&mut self, bytes: u64) -> &mut Self {
        self.body_bytes_max = Some(bytes);
        self
    }

    /// A time of its own in which the body must have arrived.
    pub(crate) fn body_timeout_ms(&mut self, timeout_ms: u64) -> &mut Self {
        self.body_timeout_ms = Some(timeout_ms);
        self
    }

    /// The body must be an object with these fields: for request types whose own parsing takes them for granted.
    pub(crate) fn fields(&mut self, fields: &'static [&'static str]) -> &mut Self {
        self.fields = fields;
        self
    }

    /// What it takes of an administrator that has roles, where reading takes `read` and everything else `operate` if nothing is said.
    pub(crate) fn role(&mut self, role: AdminRole) -> &mut Self {
        self.role = role;
        self
    }

    /// Another role that opens it as well: the endpoint itself looks at what the request takes.
    pub(crate) fn or_role(&mut self, role: AdminRole) -> &mut Self {
        self.other_role = Some(role);
        self
    }

    /// Changes made through it are noted: it is for administrators, and does not only look.
    pub(super) fn is_audited(&self) -> bool {
        let areas = [
            "/_playhouse/admin/",
            "/_synapse/admin/",
            "/_matrix/client/v1/admin/",
        ];
        let is_for_admins = |path: &String| areas.iter().any(|area| path.starts_with(area));
        self.method != Method::GET && self.paths.iter().any(is_for_admins)
    }

    /// One more path, with the same variables in the same order. One that is there already changes nothing.
    pub(crate) fn also(&mut self, path: &str) -> &mut Self {
        if !self.paths.iter().any(|known| known == path) {
            self.paths.push(path.to_owned());
        }
        self
    }

    /// Answered by listeners that carry this resource instead of `client`.
    pub(crate) fn resource(&mut self, resource: Resource) -> &mut Self {
        self.resource = resource;
        self
    }

    /// The path that stands for the endpoint in logs and metrics: the newest stable one.
    pub(crate) fn name(&self) -> &str {
        self.paths
            .iter()
            .rev()
            .find(|path| !path.contains("/unstable/"))
            .or(self.paths.last())
            .map_or("", String::as_str)
    }
}
