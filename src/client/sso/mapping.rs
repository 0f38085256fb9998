//! What of a person's claims becomes the user name, the display name and the address of the account.

use serde_json::Value;

use super::provider::Claims;
use crate::config::{Provider, Template};

/// A display name is cut: it must fit into a cookie.
const NAME_CHARACTERS_MAX: usize = 100;

/// An e-mail address has at most so many bytes (RFC 5321).
const EMAIL_BYTES_MAX: usize = 254;

/// What a provider proposes for the account of a person.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Proposed {
    pub(super) localpart: Option<String>,
    pub(super) displayname: Option<String>,
    pub(super) email: Option<String>,
}

/// What a provider proposes: by its templates, or else by single claims.
pub(super) fn proposed(provider: &Provider, claims: &Claims) -> Proposed {
    let made = |template: &Option<Template>, claim: &str| match template {
        Some(template) => template.fill(|name| value(claims, name)),
        None => text(claims, claim).map(str::to_owned),
    };
    let localpart = made(&provider.localpart_template, &provider.localpart_claim);
    let displayname = made(
        &provider.display_name_template,
        &provider.display_name_claim,
    );
    let email = provider.email_template.as_ref();
    let email = email.and_then(|template| template.fill(|name| value(claims, name)));
    let is_unproven = claims.get("email_verified") == Some(&Value::Bool(false));
    Proposed {
        localpart: localpart.as_deref().and_then(as_localpart),
        displayname: displayname.map(|name| name.chars().take(NAME_CHARACTERS_MAX).collect()),
        email: email.filter(|email| email.len() <= EMAIL_BYTES_MAX && !is_unproven),
    }
}

/// The claims that are needed for it, without those that may as well be missing.
pub(super) fn needed(provider: &Provider) -> Vec<&String> {
    let templates = [
        &provider.localpart_template,
        &provider.display_name_template,
        &provider.email_template,
    ];
    let of_templates = templates.into_iter().flatten().flat_map(Template::claims);
    let mut needed: Vec<_> = of_templates.collect();
    if provider.localpart_template.is_none() {
        needed.push(&provider.localpart_claim);
    }
    needed
}

/// A claim as text: of several values the first.
pub(super) fn text<'a>(claims: &'a Claims, name: &str) -> Option<&'a str> {
    match claims.get(name)? {
        Value::Array(values) => values.first()?.as_str(),
        value => value.as_str(),
    }
}

/// A claim as it stands in a template, where numbers are good too.
fn value(claims: &Claims, name: &str) -> Option<String> {
    match claims.get(name) {
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => text(claims, name).map(str::to_owned),
    }
}

/// A user name out of a name elsewhere: of an address the part before the `@`, and only what user names may have.
fn as_localpart(name: &str) -> Option<String> {
    let name = name.split('@').next().unwrap_or_default();
    let kept: String = name
        .to_lowercase()
        .chars()
        .filter(|letter| letter.is_ascii_alphanumeric() || "._=-/+".contains(*letter))
        .take(100)
        .collect();
    let kept = kept.trim_start_matches('_');
    (!kept.is_empty()).then(|| kept.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{Proposed, as_localpart, needed, proposed};
    use crate::config::Provider;

    fn provider(further: Value) -> Provider {
        let mut described = json!({ "id": "a", "name": "A", "issuer": "https://a.test" });
        let further = further.as_object().unwrap().clone();
        described.as_object_mut().unwrap().extend(further);
        serde_json::from_value(described).unwrap()
    }

    fn told(provider: &Provider, claims: Value) -> [Option<String>; 3] {
        let Proposed {
            localpart,
            displayname,
            email,
        } = proposed(provider, claims.as_object().unwrap());
        [localpart, displayname, email]
    }

    fn some<const N: usize>(texts: [&str; N]) -> [Option<String>; N] {
        texts.map(|text| Some(text.to_owned()))
    }

    #[test]
    fn names_elsewhere_become_user_names() {
        assert_eq!(
            as_localpart("Anna.B@example.org").as_deref(),
            Some("anna.b")
        );
        assert_eq!(as_localpart("__Änne Ö").as_deref(), Some("nne"));
        assert_eq!(as_localpart("ÄÖ"), None);
        assert_eq!(as_localpart(""), None);
    }

    #[test]
    fn templates_go_before_claims() {
        let provider = provider(json!({
            "localpart_template": "{given}.{family}", "display_name_template": "{given} {family} ({room})",
            "email_template": "{given}@example.org",
        }));
        let claims = json!({"given": "Anna", "family": ["van Berg", "B"], "room": 12, "preferred_username": "x"});
        let expected = some(["anna.vanberg", "Anna van Berg (12)", "Anna@example.org"]);
        assert_eq!(told(&provider, claims), expected);
        let claims = json!({"given": "Anna", "preferred_username": "x", "name": "X", "email_verified": false});
        assert_eq!(told(&provider, claims), [None, None, None]);
        assert_eq!(
            needed(&provider),
            ["given", "family", "given", "family", "room", "given"]
        );
    }

    #[test]
    fn without_templates_claims_are_taken() {
        let provider = provider(json!({}));
        let claims = json!({"preferred_username": "Anna", "name": "A", "email": "a@b.test"});
        let [localpart, displayname, email] = told(&provider, claims);
        assert_eq!([localpart, displayname], some(["anna", "A"]));
        assert_eq!(email, None);
        assert_eq!(needed(&provider), ["preferred_username"]);
    }
}
