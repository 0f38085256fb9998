//! `[acme]`: certificates that an authority gives by ACME.

use std::{collections::BTreeSet, net::IpAddr, path::Path};

use super::{Config, ConfigError, check::require, section::section};

/// The directory of Let's Encrypt.
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";

/// The directory of Let's Encrypt for trials.
const LETS_ENCRYPT_STAGING: &str = "https://acme-staging-v02.api.letsencrypt.org/directory";

/// Let's Encrypt gives a certificate for so many names at most.
const DOMAINS_MAX: usize = 100;

section! {
    /// Certificates that an authority such as Let's Encrypt gives by ACME (RFC 8555) and gives anew in time: for the listeners that want it
    /// (`client_tls_acme` and `federation_tls_acme` in `[listen]`). The authority connects to port 443 of each name (tls-alpn-01): one of these listeners
    /// must be reached there. See `ops/docs/certificates.md`.
    "acme" Acme {
        /// You agree to the authority's terms of service. Nothing is ordered without it.
        agree_to_terms: bool = false;
        /// The names that the certificate is to be good for: the server name, or the host to which it is delegated, and those that clients use.
        domains: Vec<String> = Vec::new();
        /// Mail addresses that the authority may write to. It gets a new account when they change.
        contacts: Vec<String> = Vec::new();
        /// The authority: `letsencrypt`, `letsencrypt-staging` (for trials: nobody believes its certificates), or the URL of another's directory.
        directory: String = "letsencrypt".to_owned();
        /// A PEM file with certificate authorities that are believed beside the system's when the directory is asked.
        ca_file: Option<String> = None, sample "/etc/playhouse/acme-ca.pem";
    }
}

impl Acme {
    /// The names of the certificate: in lower case, as they come in a TLS handshake, each once and in order.
    pub(crate) fn names(&self) -> Vec<String> {
        let names = self.domains.iter().map(|name| name.to_ascii_lowercase());
        let names: BTreeSet<String> = names.collect();
        names.into_iter().collect()
    }

    /// The URL of the directory.
    pub(crate) fn directory_url(&self) -> &str {
        match self.directory.as_str() {
            "letsencrypt" => LETS_ENCRYPT,
            "letsencrypt-staging" => LETS_ENCRYPT_STAGING,
            url => url,
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        require(self.agree_to_terms, || {
            "[acme] agree_to_terms: read the authority's terms of service and set it to true, or order nothing".to_owned()
        })?;
        require(!self.domains.is_empty(), || {
            "[acme] domains: name the hosts that the certificate is to be good for".to_owned()
        })?;
        require(self.domains.len() <= DOMAINS_MAX, || {
            format!("[acme] domains: a certificate has at most {DOMAINS_MAX}")
        })?;
        for domain in &self.domains {
            if let Some(problem) = problem_of(domain) {
                return Err(ConfigError::Invalid(format!(
                    "[acme] domains: `{domain}` {problem}"
                )));
            }
        }
        for contact in &self.contacts {
            require(contact.parse::<lettre::Address>().is_ok(), || {
                format!("[acme] contacts: `{contact}` is no mail address")
            })?;
        }
        let url = url::Url::parse(self.directory_url());
        let is_fit = url.is_ok_and(|url| url.scheme() == "https" && url.has_host());
        require(is_fit, || {
            format!(
                "[acme] directory: `{}` is none of letsencrypt, letsencrypt-staging and a URL that begins with https://",
                self.directory
            )
        })?;
        let path = self.ca_file.as_deref();
        require(path.is_none_or(|path| Path::new(path).is_file()), || {
            format!("[acme] ca_file: there is no file {}", path.unwrap_or(""))
        })
    }
}

impl Config {
    pub(super) fn check_acme(&self) -> Result<(), ConfigError> {
        let listen = &self.listen;
        let mut listeners = vec![
            (
                "client_tls_acme",
                listen.client_tls_acme,
                &listen.client_tls_cert,
            ),
            (
                "federation_tls_acme",
                listen.federation_tls_acme,
                &listen.federation_tls_cert,
            ),
        ];
        let more = listen.more.iter();
        listeners.extend(more.map(|more| ("more: tls_acme", more.tls_acme, &more.tls_cert)));
        for (key, by_acme, cert) in listeners {
            require(!by_acme || cert.is_none(), || {
                format!(
                    "[listen] {key}: the certificate comes either by ACME or from files, not both"
                )
            })?;
        }
        let speaks_tls = listen.federation.is_some() && !listen.federation_plain;
        require(!listen.federation_tls_acme || speaks_tls, || {
            "[listen] federation_tls_acme needs a federation listener that is not plain".to_owned()
        })?;
        if listen.has_acme() {
            return self.acme.check();
        }
        require(self.acme.domains.is_empty(), || {
            "[acme] domains: no listener would use the certificate: set client_tls_acme or federation_tls_acme in [listen]".to_owned()
        })
    }
}

/// Why a name can be given no certificate.
fn problem_of(domain: &str) -> Option<&'static str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(plain)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let bare = domain.trim_start_matches('[').trim_end_matches(']');
    if bare.parse::<IpAddr>().is_ok() {
        return Some("is an address, and only names can be proven");
    }
    if domain.starts_with("*.") {
        return Some("stands for many names, and only single ones can be proven (tls-alpn-01)");
    }
    let is_name = domain.len() <= 253 && domain.split('.').all(is_label);
    (!is_name).then_some("is no host name (in ASCII, without a port)")
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    const ON: &str = "[listen]\nfederation = '127.0.0.1:0'\nfederation_tls_acme = true\n";

    #[test]
    fn what_cannot_work_is_refused_with_the_reason() {
        let acme = "[acme]\nagree_to_terms = true\ndomains = ['a.example']\n";
        for (file, word) in [
            (ON.to_owned(), "agree_to_terms"),
            (
                format!("{ON}[acme]\nagree_to_terms = true"),
                "name the hosts",
            ),
            (acme.to_owned(), "no listener"),
            (
                format!("[listen]\nfederation_tls_acme = true\n{acme}"),
                "needs a federation listener",
            ),
            (
                format!("{ON}federation_plain = true\n{acme}"),
                "needs a federation listener",
            ),
            (
                format!("{ON}{acme}directory = 'http://a'"),
                "[acme] directory",
            ),
            (
                format!("{ON}{acme}directory = 'staging'"),
                "[acme] directory",
            ),
            (
                format!("{ON}{acme}contacts = ['mailto:a@b.c']"),
                "[acme] contacts",
            ),
            (
                format!("{ON}{acme}ca_file = '/nowhere/ca.pem'"),
                "[acme] ca_file",
            ),
        ] {
            let error = parse(&file, &[]).unwrap_err();
            assert!(error.contains(word), "{file}: {error}");
        }
        parse(&format!("{ON}{acme}"), &[]).unwrap();
    }

    #[test]
    fn certificates_come_by_acme_or_from_files() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.pem");
        std::fs::write(&path, "").unwrap();
        let path = path.display();
        let acme = "[acme]\nagree_to_terms = true\ndomains = ['a.example']\n";
        let files = [
            format!("{ON}federation_tls_cert = '{path}'\nfederation_tls_key = '{path}'\n{acme}"),
            format!(
                "[listen]\nclient_tls_acme = true\nclient_tls_cert = '{path}'\nclient_tls_key = '{path}'\n{acme}"
            ),
            format!(
                "[listen]\nmore = [{{ address = '127.0.0.1:0', resources = ['client'], tls_acme = true, tls_cert = '{path}', tls_key = '{path}' }}]\n{acme}"
            ),
        ];
        for file in files {
            let error = parse(&file, &[]).unwrap_err();
            assert!(error.contains("not both"), "{file}: {error}");
        }
    }

    #[test]
    fn only_names_of_hosts_are_ordered() {
        for (domain, word) in [
            ("1.2.3.4", "address"),
            ("::1", "address"),
            ("[::1]", "address"),
            ("*.a.example", "many names"),
            ("a.example:8448", "no host name"),
            ("https://a.example", "no host name"),
            ("bücher.example", "no host name"),
            ("a..example", "no host name"),
            ("-a.example", "no host name"),
            ("", "no host name"),
        ] {
            let file = format!("{ON}[acme]\nagree_to_terms = true\ndomains = ['{domain}']");
            let error = parse(&file, &[]).unwrap_err();
            assert!(error.contains(word), "{domain}: {error}");
        }
        let file = format!(
            "{ON}[acme]\nagree_to_terms = true\ndomains = ['b.example', 'A.example', 'a.example']"
        );
        let config = parse(&file, &[]).unwrap();
        assert_eq!(config.acme.names(), ["a.example", "b.example"]);
    }
}
