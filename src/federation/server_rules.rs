//! With which servers this one talks, by their names.

use ruma::ServerName;

use crate::{config, outbound::glob};

type Settings = config::Federation;

/// What the operator allows.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerRules {
    /// Only these; all when there are none.
    allow: Vec<String>,
    /// None of these.
    deny: Vec<String>,
}

impl ServerRules {
    /// The rules of a configuration.
    pub(crate) fn new(settings: &Settings) -> Self {
        let lower = |names: &[String]| names.iter().map(|name| name.to_lowercase()).collect();
        Self {
            allow: lower(&settings.allow_servers),
            deny: lower(&settings.deny_servers),
        }
    }

    /// Whether this server talks with another one. A pattern is about the name without its port, or with it.
    pub(crate) fn admit(&self, name: &ServerName) -> bool {
        let (name, host) = (name.as_str().to_lowercase(), name.host().to_lowercase());
        let names = |patterns: &[String]| {
            patterns
                .iter()
                .any(|one| glob(one, &host) || glob(one, &name))
        };
        (self.allow.is_empty() || names(&self.allow)) && !names(&self.deny)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_admitted_by_patterns() {
        let admits = |allow: &[&str], deny: &[&str], name: &str| {
            let own = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
            let rules = ServerRules::new(&Settings {
                allow_servers: own(allow),
                deny_servers: own(deny),
                ..Settings::default()
            });
            rules.admit(<&ServerName>::try_from(name).expect("a server name"))
        };
        assert!(admits(&[], &[], "a.example.org"));
        assert!(admits(&["*.example.org"], &[], "A.Example.org:8448"));
        assert!(!admits(&["*.example.org"], &[], "example.org"));
        assert!(!admits(&[], &["*.evil.org", "evil.org"], "b.evil.org"));
        assert!(!admits(&[], &["evil.org"], "evil.org:443"));
        assert!(!admits(&["*"], &["evil.org:443"], "evil.org:443"));
        assert!(admits(&["*"], &["evil.org:443"], "evil.org"));
    }
}
