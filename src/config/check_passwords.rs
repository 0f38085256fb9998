//! What makes sense of the options that concern other systems that know passwords.

use std::net::IpAddr;

use super::{Config, ConfigError, check::require};

impl Config {
    pub(super) fn check_passwords(&self) -> Result<(), ConfigError> {
        let ldap = &self.ldap;
        let places = [
            (
                "[passwords] check_url",
                &self.passwords.check_url,
                "https",
                "http",
                false,
            ),
            ("[ldap] url", &ldap.url, "ldaps", "ldap", ldap.start_tls),
        ];
        for (option, place, secured, plain, is_secured_later) in places {
            let Some(place) = place else {
                continue;
            };
            let url = url::Url::parse(place);
            let url = url.map_err(|error| ConfigError::Invalid(format!("{option}: {error}")))?;
            // A password must not go over the network in clear.
            let is_near = url.host_str().is_some_and(is_this_machine);
            let is_fine =
                url.scheme() == secured || (url.scheme() == plain && (is_secured_later || is_near));
            require(is_fine, || {
                format!("{option}: passwords would go to `{place}` in clear")
            })?;
        }
        let names = |text: &String| text.contains("{username}");
        require(
            ldap.url.is_none() || names(&ldap.filter) || ldap.user_dn.is_some(),
            || "[ldap] filter has no {username}".to_owned(),
        )?;
        require(ldap.user_dn.as_ref().is_none_or(names), || {
            "[ldap] user_dn has no {username}".to_owned()
        })?;
        require(
            ldap.url.is_none() || ldap.user_dn.is_some() || ldap.base.is_some(),
            || "[ldap] needs user_dn or base".to_owned(),
        )?;
        require(
            ldap.bind_dn.is_some() == ldap.bind_password.is_some(),
            || "[ldap] bind_dn and bind_password belong together".to_owned(),
        )
    }
}

/// Whether nobody on the way reads what is sent to this URL by HTTP.
pub(super) fn is_unread_on_the_way(url: &url::Url) -> bool {
    let is_near = url.host_str().is_some_and(is_this_machine);
    url.scheme() == "https" || (url.scheme() == "http" && is_near)
}

fn is_this_machine(host: &str) -> bool {
    let address: Option<IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    host == "localhost" || address.is_some_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Ldap;

    fn with(url: &str, start_tls: bool) -> Config {
        Config {
            ldap: Ldap {
                url: Some(url.to_owned()),
                start_tls,
                base: Some("dc=test".to_owned()),
                ..Ldap::default()
            },
            ..Config::default()
        }
    }

    #[test]
    fn passwords_do_not_go_over_the_network_in_clear() {
        for (url, start_tls, is_fine) in [
            ("ldaps://ldap.test", false, true),
            ("ldap://ldap.test", true, true),
            ("ldap://127.0.0.1:1389", false, true),
            ("ldap://[::1]:1389", false, true),
            ("ldap://ldap.test", false, false),
            ("http://ldap.test", true, false),
            ("ldap", true, false),
        ] {
            let checked = with(url, start_tls).check_passwords();
            assert_eq!(checked.is_ok(), is_fine, "{url}: {checked:?}");
        }
        let mut config = Config::default();
        for (url, is_fine) in [
            ("https://x.test/check", true),
            ("http://localhost:80/check", true),
            ("http://x.test/check", false),
        ] {
            config.passwords.check_url = Some(url.to_owned());
            assert_eq!(config.check_passwords().is_ok(), is_fine, "{url}");
        }
    }

    #[test]
    fn a_directory_must_be_asked_for_somebody() {
        let mut config = with("ldaps://ldap.test", false);
        config.ldap.filter = "(objectClass=person)".to_owned();
        assert!(config.check_passwords().is_err());
        config.ldap.user_dn = Some("uid=anna".to_owned());
        assert!(config.check_passwords().is_err());
        config.ldap.user_dn = Some("uid={username},dc=test".to_owned());
        assert!(config.check_passwords().is_ok());
        config.ldap.bind_dn = Some("cn=x".to_owned());
        assert!(config.check_passwords().is_err());
    }
}
