//! Proving to have an address: what all requests for a token have in common.

use std::{sync::Arc, time::Duration};

use playhouse_actors::{
    house::ValidationWish,
    threepid::{Address, Medium},
};
use ruma::{OwnedClientSecret, OwnedSessionId, UInt, api::error::ErrorCode};

use crate::{
    edge::{App, Class, Failure, Visitor},
    pages::{Language, Letter},
    third_party::encoded,
};

/// What an address is proven for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// To register.
    Register,
    /// To be added to an account.
    Add,
    /// To set a new password.
    Password,
}

impl Purpose {
    /// Its name in the log.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::Add => "add",
            Self::Password => "password",
        }
    }

    /// Where links in mails lead.
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Register => "/_matrix/client/unstable/registration/email/submit_token",
            Self::Add => "/_matrix/client/unstable/add_threepid/email/submit_token",
            Self::Password => "/_synapse/client/password_reset/email/submit_token",
        }
    }
}

/// A request for a token.
pub(crate) struct Asked {
    pub(crate) purpose: Purpose,
    pub(crate) email: String,
    pub(crate) client_secret: OwnedClientSecret,
    pub(crate) send_attempt: UInt,
    pub(crate) next_link: Option<String>,
}

/// Mails a token, unless this attempt was mailed before.
pub(crate) async fn send(
    app: &Arc<App>,
    visitor: &Visitor,
    asked: Asked,
) -> Result<OwnedSessionId, Failure> {
    let Some(mailer) = &app.third_party.mailer else {
        return Err(Failure::new(
            ErrorCode::ThreepidMediumNotSupported,
            "this server sends no mail",
        ));
    };
    let purpose = asked.purpose;
    let address = Address::email(&asked.email)
        .ok_or_else(|| Failure::invalid_param("this is no mail address"))?;
    if purpose != Purpose::Password {
        check_allowed(app, &address)?;
    }
    let wish = ValidationWish {
        purpose: purpose.as_str(),
        client_secret: asked.client_secret.to_string(),
        attempt: asked.send_attempt.into(),
        next_link: next_link(app, asked.next_link)?,
        lifetime_ms: app.config.email.link_lifetime_ms,
        address,
    };
    app.limiter
        .take_for(Class::ThirdParty, &wish.address.address)
        .await?;
    let (id, is_to_send) = app.house.validation_session(&wish).await?;
    if let Err(failure) = check_owner(app, purpose, &wish.address).await? {
        if !app.config.email.hide_accounts {
            return Err(failure);
        }
        // Mailing takes time too: how long the answer takes must not tell.
        let wait_ms = 100 + u64::from(app.env().random_bytes::<1>()[0]) * 3;
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        return session_id(&id.to_string());
    }
    if is_to_send {
        let token = app.env().random_string(32);
        let url = format!(
            "{}{}?token={token}&client_secret={}&sid={id}",
            base(app),
            purpose.path(),
            encoded(&wish.client_secret)
        );
        let letter = letter(visitor.language, purpose, (&app.config.server.name, url));
        mailer
            .send(app.env(), &wish.address.address, &letter)
            .await?;
        app.house.begin_validation(wish, &token).await?;
    }
    session_id(&id.to_string())
}

/// Whether accounts here may have this address.
pub(crate) fn check_allowed(app: &App, address: &Address) -> Result<(), Failure> {
    let allowed = &app.config.email.allowed;
    let fits = address.medium != Medium::Email
        || allowed.is_empty()
        || allowed
            .iter()
            .any(|pattern| matches(&pattern.to_lowercase(), &address.address));
    if fits {
        return Ok(());
    }
    Err(Failure::new(
        ErrorCode::ThreepidDenied,
        "this address may not be used here",
    ))
}

/// Whether a text fits a pattern in which `*` stands for anything.
fn matches(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    let Some(last) = parts.next_back() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}

/// Whether somebody with this purpose may have this address, as far as its owner goes.
pub(super) async fn check_owner(
    app: &App,
    purpose: Purpose,
    address: &Address,
) -> Result<Result<(), Failure>, Failure> {
    let owner = app.house.owner_of_threepid(address).await?;
    Ok(match (purpose, owner) {
        (Purpose::Register | Purpose::Add, Some(_)) => Err(Failure::new(
            ErrorCode::ThreepidInUse,
            "an account has this address already",
        )),
        (Purpose::Password, None) => Err(Failure::new(
            ErrorCode::ThreepidNotFound,
            "no account has this address",
        )),
        _ => Ok(()),
    })
}

/// Where the person goes on. Without a list of hosts people stay here: a mail of ours must not lead wherever a stranger wants.
fn next_link(app: &App, wanted: Option<String>) -> Result<Option<String>, Failure> {
    let hosts = &app.config.email.next_link_hosts;
    let Some(link) = wanted.filter(|_| !hosts.is_empty()) else {
        return Ok(None);
    };
    let uri: Option<http::Uri> = link.parse().ok().filter(|_| link.len() <= 2_000);
    let fits = uri.is_some_and(|uri| {
        matches!(uri.scheme_str(), Some("https" | "http"))
            && uri
                .authority()
                .is_some_and(|authority| !authority.as_str().contains('@'))
            && uri
                .host()
                .is_some_and(|host| hosts.iter().any(|known| known.eq_ignore_ascii_case(host)))
    });
    if fits {
        Ok(Some(link))
    } else {
        Err(Failure::invalid_param(
            "next_link does not lead to an allowed host",
        ))
    }
}

/// The URL of this server, for links.
pub(crate) fn base(app: &App) -> String {
    let url = app
        .client_url()
        .map(|url| url.trim_end_matches('/').to_owned());
    url.unwrap_or_else(|| format!("https://{}", app.config.server.name))
}

fn letter(language: Language, purpose: Purpose, (server, url): (&str, String)) -> Letter {
    let values = [("server", server)];
    let (subject, text, label) = match purpose {
        Purpose::Register => (
            "mail.register_subject",
            "mail.register_text",
            "mail.confirm",
        ),
        Purpose::Add => ("mail.add_subject", "mail.add_text", "mail.confirm"),
        Purpose::Password => (
            "mail.password_subject",
            "mail.password_text",
            "mail.confirm",
        ),
    };
    Letter::new(
        language,
        language.tell(subject, &values),
        (language.say(label).to_owned(), url),
    )
    .paragraph(language.tell(text, &values))
    .paragraph(language.say("mail.open"))
    .last(language.say("mail.ignore"))
}

/// A session ID.
pub(super) fn session_id(sid: &str) -> Result<OwnedSessionId, Failure> {
    OwnedSessionId::try_from(sid).map_err(Failure::internal)
}

#[cfg(test)]
mod tests {
    use super::matches;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("a@b", "a@b", true),
            ("a@b", "a@bc", false),
            ("*@b.org", "x@b.org", true),
            ("*@b.org", "x@b.org.evil", false),
            ("*@*.org", "x@b.org", true),
            ("a*", "abc", true),
            ("*", "", true),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxc", false),
        ] {
            assert_eq!(matches(pattern, text), fits, "{pattern} {text}");
        }
    }
}
