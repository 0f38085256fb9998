//! `[consent]`: policies that people accept.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::section::{Form, Setting, section};

section! {
    /// Policies that people accept when they register. They are shown at `/_matrix/consent` too.
    "consent" Consent {
        /// The policies, each `{ id, version, texts }`; texts are by language: `{ en = { name, url }, de = { name, url } }`.
        policies: Vec<Policy> = Vec::new();
        /// Who registers must accept them.
        at_registration: bool = true;
    }
}

/// A policy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// What it is, in letters, digits and `._-`: `privacy_policy`, `terms_of_service`.
    pub id: String,
    /// Its version.
    pub version: String,
    /// Where it can be read, by language.
    pub texts: BTreeMap<String, PolicyText>,
}

/// A policy in one language.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyText {
    /// Its name.
    pub name: String,
    /// Where it can be read.
    pub url: String,
}

impl Setting for Vec<Policy> {
    const FORM: Form = Form::Tables;
}

impl Consent {
    /// What is accepted by who accepts everything: the version of the only policy, or all with their names. `None` when there is nothing to accept.
    pub(crate) fn version(&self) -> Option<String> {
        match self.policies.as_slice() {
            [] => None,
            [policy] => Some(policy.version.clone()),
            policies => {
                let named = policies.iter();
                let named = named.map(|policy| format!("{} {}", policy.id, policy.version));
                Some(named.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

impl Policy {
    /// The text in a language, or in English, or in any.
    pub(crate) fn text(&self, language: &str) -> Option<&PolicyText> {
        let texts = &self.texts;
        texts
            .get(language)
            .or_else(|| texts.get("en"))
            .or_else(|| texts.values().next())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_accepted_has_a_name() {
        let policy = |id: &str, version: &str| Policy {
            id: id.to_owned(),
            version: version.to_owned(),
            texts: BTreeMap::new(),
        };
        let mut consent = Consent::default();
        assert_eq!(consent.version(), None);
        consent.policies.push(policy("privacy", "1.2"));
        assert_eq!(consent.version().as_deref(), Some("1.2"));
        consent.policies.push(policy("terms", "3"));
        assert_eq!(consent.version().as_deref(), Some("privacy 1.2, terms 3"));
    }
}
