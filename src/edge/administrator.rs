//! Who calls the admin API of this server's own: a user who is an administrator, or a tool with a token of its own.

use playhouse_actors::admins::{ALL_ROLES, AdminRole, may};
use ruma::api::{auth_scheme::AccessToken, error::ErrorCode};

use super::{
    caller::{Caller, Session, session, token},
    failure::Failure,
    incoming::Incoming,
};

/// Somebody who calls an endpoint for administrators. What it takes is said in the line that mounts it ([`super::endpoint::Endpoint::role`]) and looked at
/// before the endpoint runs.
#[derive(Clone, Debug)]
pub(crate) struct Admin {
    /// As whom changes are noted: the user ID, or `token:` and the name of the token.
    pub(crate) name: String,
    roles: Vec<AdminRole>,
    session: Option<Session>,
}

impl Admin {
    /// The names of all roles of which everything may be done.
    pub(crate) fn roles(&self) -> impl Iterator<Item = &'static str> {
        let all = ALL_ROLES.into_iter();
        all.filter(move |role| may(&self.roles, *role))
            .map(role_name)
    }

    /// Whether this may be done that takes a role, for endpoints of which only the request says what it takes.
    pub(crate) fn may(&self, role: AdminRole) -> Result<(), Failure> {
        if may(&self.roles, role) {
            return Ok(());
        }
        if self.roles.is_empty() {
            return Err(Failure::forbidden("only for server administrators"));
        }
        Err(Failure::forbidden(format!(
            "this takes the role {}",
            role_name(role)
        )))
    }
}

/// A role as requests and answers name it.
pub(crate) fn role_name(role: AdminRole) -> &'static str {
    match role {
        AdminRole::Read => "read",
        AdminRole::Moderate => "moderate",
        AdminRole::Operate => "operate",
    }
}

/// The role of a name.
pub(crate) fn role_named(name: &str) -> Option<AdminRole> {
    ALL_ROLES.into_iter().find(|role| role_name(*role) == name)
}

impl Caller<AccessToken> for Admin {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let token = token(incoming)
            .ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
        if let Some(known) = incoming.app.house.admin_of_token(&token).await? {
            return Ok(Self {
                name: format!("token:{}", known.id),
                roles: known.roles,
                session: None,
            });
        }
        let session = session(incoming, &token).await?;
        let roles = match session.admin {
            true => ALL_ROLES.to_vec(),
            false => Vec::new(),
        };
        Ok(Self {
            name: session.user_id.to_string(),
            roles,
            session: Some(session),
        })
    }

    fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    fn administrator(&self) -> Option<&str> {
        (!self.roles.is_empty()).then_some(self.name.as_str())
    }

    fn must_have(&self, role: AdminRole) -> Result<(), Failure> {
        self.may(role)
    }
}
