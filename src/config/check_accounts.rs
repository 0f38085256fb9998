//! What makes sense of the options that concern accounts.

use super::{Config, ConfigError, check::require};

impl Config {
    pub(super) fn check_accounts(&self) -> Result<(), ConfigError> {
        self.check_consent()?;
        self.check_captcha()
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

    fn check_captcha(&self) -> Result<(), ConfigError> {
        let captcha = &self.captcha;
        require(
            captcha.site_key.is_some() == captcha.secret_key.is_some(),
            || "[captcha] site_key and secret_key belong together".to_owned(),
        )?;
        require_url("captcha", "verify_url", &captcha.verify_url)?;
        require_url("captcha", "script_url", &captcha.script_url)
    }
}

fn require_url(section: &str, key: &str, url: &str) -> Result<(), ConfigError> {
    require(
        url.starts_with("https://") || url.starts_with("http://"),
        || format!("[{section}] {key}: `{url}` must begin with https:// or http://"),
    )
}
