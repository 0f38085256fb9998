//! Who calls: from token to session. The type that a handler takes follows from its endpoint's authentication; the wrong one does not compile.

use std::{future::Future, net::IpAddr, ops::Deref, sync::Arc};

use actix_web::http::header;
use playhouse_actors::{admins::AdminRole, house::Sighting, user::message};
use ruma::{
    DeviceId,
    api::{
        auth_scheme::{
            AccessToken, AccessTokenOptional, AppserviceToken, AppserviceTokenOptional, AuthScheme,
            NoAccessToken, NoAuthentication,
        },
        error::ErrorCode,
    },
};

use super::{bridges::Bridge, failure::Failure, incoming::Incoming, masked};
use crate::pages::Language;

/// A logged-in caller. What the house knows of the session (`user_id`, `device_id`, `admin`, `guest`, `suspended`) is read through it.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    /// The house's word, for its flows that take a session.
    pub(crate) known: message::Session,
    /// The application service that acts for the user.
    pub(crate) bridge: Option<Arc<Bridge>>,
}

impl Deref for Session {
    type Target = message::Session;

    fn deref(&self) -> &message::Session {
        &self.known
    }
}

impl Session {
    /// The device, for endpoints that cannot do without.
    pub(crate) fn device(&self) -> Result<&DeviceId, Failure> {
        self.device_id
            .as_deref()
            .ok_or_else(|| Failure::invalid_param("this needs a device: give device_id"))
    }

    /// Refuses suspended users, for endpoints that write.
    pub(crate) fn not_suspended(&self) -> Result<(), Failure> {
        if self.suspended {
            return Err(Failure::new(
                ErrorCode::UserSuspended,
                "account is suspended",
            ));
        }
        Ok(())
    }
}

/// A logged-in caller whose account may be locked or have ended: for logging out, which a lock does not forbid (client-server API, "Account locking"), and
/// for renewing it.
#[derive(Clone, Debug)]
pub(crate) struct Leaver(pub(crate) Session);

/// A caller of whom only the connection is known.
#[derive(Clone, Debug)]
pub(crate) struct Visitor {
    /// The address; that of the client behind a trusted proxy.
    pub(crate) address: IpAddr,
    /// The `User-Agent` header, cut.
    pub(crate) user_agent: String,
    /// The language that the person reads best of those we have.
    pub(crate) language: Language,
}

/// A caller type that fits authentication scheme `A`.
pub(crate) trait Caller<A: AuthScheme>: Sized + 'static {
    /// Finds out who calls.
    fn identify(incoming: &Incoming) -> impl Future<Output = Result<Self, Failure>>;

    /// The session, if there is one: guests and rates depend on it.
    fn session(&self) -> Option<&Session>;

    /// As whom changes are noted that are made through endpoints for administrators; `None` who is no administrator.
    fn administrator(&self) -> Option<&str> {
        let session = self.session().filter(|session| session.admin);
        session.map(|session| session.user_id.as_str())
    }

    /// Refuses who may call, and may not do what takes this role.
    fn must_have(&self, _role: AdminRole) -> Result<(), Failure> {
        Ok(())
    }
}

impl Caller<AccessToken> for Session {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let token = token(incoming)
            .ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
        session(incoming, &token).await
    }

    fn session(&self) -> Option<&Session> {
        Some(self)
    }
}

impl Caller<AccessToken> for Leaver {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let token = token(incoming)
            .ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
        let known = incoming.app.house.authenticate_locked(&token).await?;
        Ok(Self(Session {
            known,
            bridge: None,
        }))
    }

    fn session(&self) -> Option<&Session> {
        Some(&self.0)
    }
}

impl Caller<AccessTokenOptional> for Option<Session> {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        match token(incoming) {
            Some(token) => session(incoming, &token).await.map(Some),
            None => Ok(None),
        }
    }

    fn session(&self) -> Option<&Session> {
        self.as_ref()
    }
}

/// Endpoints that the specification leaves open, and the operator may close: a session counts when there is one.
impl Caller<NoAccessToken> for Option<Session> {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        match token(incoming) {
            Some(token) => session(incoming, &token).await.map(Some),
            None => Ok(None),
        }
    }

    fn session(&self) -> Option<&Session> {
        self.as_ref()
    }
}

impl Caller<AppserviceToken> for Arc<Bridge> {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let token = token(incoming)
            .ok_or_else(|| Failure::new(ErrorCode::MissingToken, "access token is missing"))?;
        incoming
            .app
            .bridge(&token)
            .ok_or_else(|| Failure::unknown_token(false))
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

/// Login and registration: anybody, or an application service. A token that is no application service's is ignored: clients leave old ones in.
impl Caller<AppserviceTokenOptional> for (Visitor, Option<Arc<Bridge>>) {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let bridge = token(incoming).and_then(|token| incoming.app.bridge(&token));
        Ok((incoming.visitor(), bridge))
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

impl Caller<NoAuthentication> for () {
    async fn identify(_: &Incoming) -> Result<Self, Failure> {
        Ok(())
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

impl Caller<NoAccessToken> for () {
    async fn identify(_: &Incoming) -> Result<Self, Failure> {
        Ok(())
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

impl Caller<NoAuthentication> for Visitor {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        Ok(incoming.visitor())
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

/// A caller of whom only the `Host` header is looked at.
#[derive(Clone, Debug)]
pub(crate) struct Addressed(pub(crate) Option<String>);

impl Caller<NoAccessToken> for Addressed {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        let host = incoming.header(header::HOST);
        Ok(Self(host.map(str::to_owned)))
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

impl Caller<NoAccessToken> for Visitor {
    async fn identify(incoming: &Incoming) -> Result<Self, Failure> {
        Ok(incoming.visitor())
    }

    fn session(&self) -> Option<&Session> {
        None
    }
}

/// The token from the header or, from old clients, the query.
pub(super) fn token(incoming: &Incoming) -> Option<String> {
    if let Some(value) = incoming.header(header::AUTHORIZATION) {
        let (scheme, token) = value.split_once(' ')?;
        return scheme
            .eq_ignore_ascii_case("bearer")
            .then(|| token.trim().to_owned());
    }
    let pair = incoming
        .query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("access_token="))?;
    super::route::percent_decoded(pair)
}

pub(super) async fn session(incoming: &Incoming, token: &str) -> Result<Session, Failure> {
    if let Some(bridge) = incoming.app.bridge(token) {
        return masked::session(incoming, bridge).await;
    }
    let house = &incoming.app.house;
    let known = house.authenticate(token).await?;
    let app = &incoming.app;
    let has_ended = known
        .valid_until_ms
        .is_some_and(|until_ms| until_ms <= app.env().now_ms());
    if has_ended && app.config.account_validity.enabled {
        let code = ErrorCode::from("ORG_MATRIX_EXPIRED_ACCOUNT");
        let failure = Failure::new(code, "this account has ended and can be renewed");
        return Err(failure.with_status(403));
    }
    let visitor = incoming.visitor();
    let sighting = Sighting {
        address: visitor.address.to_string(),
        user_agent: visitor.user_agent,
    };
    house.note_sighting(&known, sighting);
    Ok(Session {
        known,
        bridge: None,
    })
}
