//! What makes sense of the options that concern accounts.

use ruma::{MxcUri, UserId};

use super::{
    Config, ConfigError,
    check::{Network, require},
    check_passwords::is_unread_on_the_way,
};

/// Devices cannot be stale sooner.
const STALE_AFTER_MS_MIN: u64 = 60 * 60 * 1000;

impl Config {
    pub(super) fn check_accounts(&self) -> Result<(), ConfigError> {
        self.check_consent()?;
        self.check_notices()?;
        self.check_captcha()?;
        self.check_email()?;
        self.check_passwords()?;
        self.check_spam_check()?;
        let validity = &self.account_validity;
        require(!validity.enabled || validity.period_ms > 0, || {
            "[account_validity] period_ms must be more than 0".to_owned()
        })?;
        let stale_after_ms = self.devices.stale_after_ms();
        require(
            stale_after_ms.is_none_or(|after_ms| after_ms >= STALE_AFTER_MS_MIN),
            || "[devices] delete_stale_after_ms must be at least 3600000, or 0".to_owned(),
        )?;
        if let Some(problem) = self.oauth.problem() {
            return Err(ConfigError::Invalid(format!(
                "[oauth] introspection_clients: {problem}"
            )));
        }
        if let Some(problem) = self.monthly_active_users.problem() {
            return Err(ConfigError::Invalid(format!(
                "[monthly_active_users] mau_limits_reserved_threepids: {problem}"
            )));
        }
        self.check_identity()
    }

    fn check_spam_check(&self) -> Result<(), ConfigError> {
        let wish = &self.spam_check;
        if let Some(place) = &wish.url {
            let url = url::Url::parse(place);
            let url =
                url.map_err(|error| ConfigError::Invalid(format!("[spam_check] url: {error}")))?;
            require(is_unread_on_the_way(&url), || {
                format!("[spam_check] url: messages would go to `{place}` in clear")
            })?;
        }
        let silent = wish.when_silent.as_str();
        require(matches!(silent, "allow" | "refuse"), || {
            format!("[spam_check] when_silent: `{silent}` is none of allow, refuse")
        })
    }

    fn check_notices(&self) -> Result<(), ConfigError> {
        let notices = &self.server_notices;
        let Some(localpart) = &notices.localpart else {
            return Ok(());
        };
        let user_id = UserId::parse(format!("@{localpart}:{}", self.server.name));
        let fits = user_id.is_ok_and(|user_id| user_id.validate_strict().is_ok());
        require(fits && !localpart.is_empty(), || {
            format!("[server_notices] localpart: `{localpart}` is no user name")
        })?;
        let url = notices.avatar_url.as_deref();
        let fits = url.is_none_or(|url| <&MxcUri>::from(url).is_valid());
        require(fits, || {
            "[server_notices] avatar_url must begin with mxc:// and name a piece of media"
                .to_owned()
        })
    }

    fn check_consent(&self) -> Result<(), ConfigError> {
        for policy in &self.consent.policies {
            let id = &policy.id;
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
            require(!id.is_empty() && id.bytes().all(plain), || {
                format!(
                    "[consent] policies: the id `{id}` has other characters than letters, digits and ._-"
                )
            })?;
            require(!policy.texts.is_empty(), || {
                format!("[consent] policies: {id} has no texts")
            })?;
            for (language, text) in &policy.texts {
                // Clients take every object beside the version for a text.
                require(language != "version", || {
                    format!("[consent] policies: {id}: `version` is no language")
                })?;
                require_url("consent", "policies", &text.url)?;
            }
        }
        Ok(())
    }

    fn check_email(&self) -> Result<(), ConfigError> {
        let email = &self.email;
        require(
            matches!(email.tls.as_str(), "starttls" | "tls" | "none"),
            || {
                format!(
                    "[email] tls: `{}` is none of starttls, tls and none",
                    email.tls
                )
            },
        )?;
        require((1..=65_535).contains(&email.port), || {
            format!("[email] port: {} is no port", email.port)
        })?;
        require(email.user.is_some() == email.password.is_some(), || {
            "[email] user and password belong together".to_owned()
        })?;
        // A password must not go over the network in clear.
        require(email.tls != "none" || email.user.is_none(), || {
            "[email] tls: logging in needs starttls or tls".to_owned()
        })?;
        require(
            email.host.is_some() || !email.required_at_registration,
            || "[email] required_at_registration needs a host".to_owned(),
        )?;
        let from = email.from.as_deref();
        require(
            from.is_none_or(|from| from.parse::<lettre::message::Mailbox>().is_ok()),
            || "[email] from is no mail address".to_owned(),
        )
    }

    fn check_identity(&self) -> Result<(), ConfigError> {
        let identity = &self.identity;
        for network in &identity.allow_networks {
            require(Network::parse(network).is_some(), || {
                format!(
                    "[identity] allow_networks: `{network}` is neither an address nor a network"
                )
            })?;
        }
        match &identity.msisdn_delegate {
            Some(url) => require_url("identity", "msisdn_delegate", url),
            None => Ok(()),
        }
    }

    fn check_captcha(&self) -> Result<(), ConfigError> {
        let captcha = &self.captcha;
        require(
            captcha.site_key.is_some() == captcha.secret_key.is_some(),
            || "[captcha] site_key and secret_key belong together".to_owned(),
        )?;
        require_url("captcha", "verify_url", &captcha.verify_url)?;
        require_url("captcha", "script_url", &captcha.script_url)?;
        for origin in &captcha.script_origins {
            require_url("captcha", "script_origins", origin)?;
        }
        Ok(())
    }
}

fn require_url(section: &str, key: &str, url: &str) -> Result<(), ConfigError> {
    require(
        url.starts_with("https://") || url.starts_with("http://"),
        || format!("[{section}] {key}: `{url}` must begin with https:// or http://"),
    )
}
