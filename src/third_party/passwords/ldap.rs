//! An LDAP directory that knows passwords (RFC 4511): whoever can bind by a password has proved to be whom the entry describes.

use std::{sync::Arc, time::Duration};

use ldap3::{
    Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, SearchOptions, dn_escape,
    drive, ldap_escape,
};

use super::{ADDRESSES_MAX, Proved, patience};
use crate::{
    config::{self, Config},
    outbound::Trust,
};

/// The result code "invalidCredentials" (RFC 4511, section 4.1.9).
const INVALID_CREDENTIALS: u32 = 49;

/// The result code "noSuchObject": there is nobody of this name.
const NO_SUCH_OBJECT: u32 = 32;

/// What stands for the name of who logs in.
const USERNAME: &str = "{username}";

/// The directory.
pub(super) struct Directory {
    config: config::Ldap,
    url: String,
    trust: Arc<Trust>,
    timeout: Duration,
}

impl Directory {
    /// As configured, if it is.
    pub(super) fn new(config: &Config, trust: &Arc<Trust>) -> Option<Self> {
        Some(Self {
            url: config.ldap.url.clone()?,
            config: config.ldap.clone(),
            trust: trust.clone(),
            timeout: patience(config),
        })
    }

    /// Whether this is the person's password; what hinders the directory from saying, otherwise.
    pub(super) async fn check(
        &self,
        username: &str,
        password: &str,
    ) -> Result<Option<Proved>, String> {
        let checked = tokio::time::timeout(self.timeout, self.ask(username, password)).await;
        checked
            .map_err(|_| "it does not answer in time".to_owned())?
            .map_err(|error| error.to_string())
    }

    async fn ask(&self, username: &str, password: &str) -> Result<Option<Proved>, LdapError> {
        let settings = LdapConnSettings::new()
            .set_conn_timeout(self.timeout)
            .set_starttls(self.config.start_tls)
            .set_config(Arc::new(self.trust.tls()));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.url).await?;
        drive!(connection);
        let entry = self.proved_entry(&mut ldap, username, password).await;
        // The answer stands whether or not the directory hears the goodbye.
        let _ = ldap.unbind().await;
        Ok(entry?.map(|entry| self.describe(username, &entry)))
    }

    /// The person's entry, if the password is right.
    async fn proved_entry(
        &self,
        ldap: &mut Ldap,
        username: &str,
        password: &str,
    ) -> Result<Option<SearchEntry>, LdapError> {
        if let Some(template) = &self.config.user_dn {
            let dn = template.replace(USERNAME, &dn_escape(username));
            if !binds(ldap, &dn, password).await? {
                return Ok(None);
            }
            return self.only_entry(ldap, (&dn, Scope::Base), username).await;
        }
        if let Some(bind_dn) = &self.config.bind_dn {
            let secret = self.config.bind_password.as_deref().unwrap_or_default();
            ldap.simple_bind(bind_dn, secret).await?.success()?;
        }
        let base = self.config.base.as_deref().unwrap_or_default();
        let found = self.only_entry(ldap, (base, Scope::Subtree), username);
        let Some(entry) = found.await? else {
            return Ok(None);
        };
        let is_right = binds(ldap, &entry.dn, password).await?;
        Ok(is_right.then_some(entry))
    }

    /// The one entry that the filter finds. Where it finds two, nobody knows whose password is meant.
    async fn only_entry(
        &self,
        ldap: &mut Ldap,
        (base, scope): (&str, Scope),
        username: &str,
    ) -> Result<Option<SearchEntry>, LdapError> {
        let config = &self.config;
        let filter = config.filter.replace(USERNAME, &ldap_escape(username));
        let wanted = [
            &config.localpart_attribute,
            &config.name_attribute,
            &config.mail_attribute,
        ];
        let wanted: Vec<_> = wanted.into_iter().filter(|name| !name.is_empty()).collect();
        let limited = ldap.with_search_options(SearchOptions::new().sizelimit(2));
        let found = limited.search(base, scope, &filter, wanted).await?;
        let entries = match found.non_error() {
            Ok((entries, _)) => entries,
            Err(LdapError::LdapResult { result }) if result.rc == NO_SUCH_OBJECT => Vec::new(),
            Err(error) => return Err(error),
        };
        let entries = entries.into_iter();
        let mut entries = entries.filter(|entry| !entry.is_ref() && !entry.is_intermediate());
        Ok(match (entries.next(), entries.next()) {
            (Some(entry), None) => Some(SearchEntry::construct(entry)),
            _ => None,
        })
    }

    fn describe(&self, username: &str, entry: &SearchEntry) -> Proved {
        let values = |name: &str| {
            entry
                .attrs
                .iter()
                .find(|(it, _)| it.eq_ignore_ascii_case(name))
        };
        let first = |name: &str| values(name).and_then(|(_, values)| values.first().cloned());
        let emails = values(&self.config.mail_attribute).map(|(_, values)| values);
        let localpart = first(&self.config.localpart_attribute);
        Proved {
            localpart: localpart
                .unwrap_or_else(|| username.to_owned())
                .to_ascii_lowercase(),
            displayname: first(&self.config.name_attribute),
            emails: emails
                .into_iter()
                .flatten()
                .take(ADDRESSES_MAX)
                .cloned()
                .collect(),
        }
    }
}

/// Whether a password opens an entry.
async fn binds(ldap: &mut Ldap, dn: &str, password: &str) -> Result<bool, LdapError> {
    match ldap.simple_bind(dn, password).await?.success() {
        Ok(_) => Ok(true),
        // Many directories do not tell whether there is such an entry; those that do mean the same.
        Err(LdapError::LdapResult { result })
            if matches!(result.rc, INVALID_CREDENTIALS | NO_SUCH_OBJECT) =>
        {
            Ok(false)
        }
        Err(error) => Err(error),
    }
}
