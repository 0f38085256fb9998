//! What a provider answers (SAML 2.0 Core; Profiles, "Web Browser SSO Profile"): read only when it is signed, for this server, about our question, and in time.

use roxmltree::{Document, Node, ParsingOptions};
use serde_json::Value;

use super::{
    super::provider::Claims,
    instant,
    keys::PublicKey,
    signature::{DS, is_signed},
    text_of,
};

/// The namespace of messages.
const PROTOCOL: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
/// The namespace of assertions.
const ASSERTION: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SUCCESS: &str = "urn:oasis:names:tc:SAML:2.0:status:Success";
const BEARER: &str = "urn:oasis:names:tc:SAML:2.0:cm:bearer";
const TRANSIENT: &str = "urn:oasis:names:tc:SAML:2.0:nameid-format:transient";

/// An answer has at most so many elements, texts and attributes.
const NODES_MAX: u32 = 10_000;

/// Clocks may differ by so much.
const SKEW_MS: u64 = 60_000;

/// What an answer must fit.
pub(super) struct Expected<'a> {
    /// The provider's entity ID.
    pub(super) issuer: &'a str,
    /// What it signs by.
    pub(super) keys: &'a [PublicKey],
    /// Our entity ID.
    pub(super) audience: &'a str,
    /// Where answers are sent.
    pub(super) recipient: &'a str,
    /// The ID of our question.
    pub(super) request_id: &'a str,
    /// Now.
    pub(super) now_ms: u64,
}

/// What a provider says of somebody.
#[derive(Debug)]
pub(super) struct Asserted {
    /// `sub` and its attributes.
    pub(super) claims: Claims,
    /// Its own session.
    pub(super) session: Option<String>,
    /// The ID of the assertion.
    pub(super) id: String,
}

/// Reads an answer. Everything that is given back stood in an element that is signed.
pub(super) fn read(xml: &str, expected: &Expected<'_>) -> Result<Asserted, String> {
    // No document type, so no entities: the parser refuses them.
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(xml, options).map_err(|error| error.to_string())?;
    let response = document.root_element();
    if !response.has_tag_name((PROTOCOL, "Response")) {
        return Err("this is no answer".to_owned());
    }
    let assertion = only_assertion(&document)?;
    let response_is_signed = is_signed(response, expected.keys)?;
    let assertion_is_signed = is_signed(assertion, expected.keys)?;
    if !response_is_signed && !assertion_is_signed {
        return Err("the answer is not signed".to_owned());
    }
    check_response(response, expected, response_is_signed)?;
    check_assertion(assertion, expected)?;
    Ok(Asserted {
        claims: claims(assertion)?,
        session: check_statements(assertion, expected.now_ms)?,
        id: need(assertion, "ID")?.to_owned(),
    })
}

/// The one assertion of a document that has nothing by which another could be slipped in: it is the only one anywhere, signatures stand only where they are
/// looked at, no ID is there twice, and there are no comments that cut texts in two.
fn only_assertion<'a>(document: &'a Document<'a>) -> Result<Node<'a, 'a>, String> {
    let response = document.root_element();
    let mut assertions = Vec::new();
    let mut ids = std::collections::BTreeSet::new();
    for node in document.descendants() {
        if node.is_comment() || node.is_pi() {
            return Err("there are comments or processing instructions".to_owned());
        }
        if node.has_tag_name((ASSERTION, "EncryptedAssertion")) {
            return Err("the answer is encrypted: this is not known here".to_owned());
        }
        if node.has_tag_name((ASSERTION, "Assertion")) {
            assertions.push(node);
        }
        for attribute in node.attributes() {
            let is_id = attribute.name().eq_ignore_ascii_case("id");
            if is_id && !ids.insert(attribute.value()) {
                return Err("an ID is there twice".to_owned());
            }
        }
    }
    let [assertion] = assertions.as_slice() else {
        return Err("there must be one assertion".to_owned());
    };
    if assertion.parent() != Some(response) {
        return Err("the assertion does not stand in the answer itself".to_owned());
    }
    let mut signatures = document
        .descendants()
        .filter(|node| node.has_tag_name((DS, "Signature")));
    let is_looked_at = |parent| parent == Some(response) || parent == Some(*assertion);
    if signatures.any(|signature| !is_looked_at(signature.parent())) {
        return Err("a signature stands where none belongs".to_owned());
    }
    Ok(*assertion)
}

fn check_response(
    response: Node<'_, '_>,
    expected: &Expected<'_>,
    is_signed: bool,
) -> Result<(), String> {
    check_version(response)?;
    for status in only(response, (PROTOCOL, "Status"))?
        .children()
        .filter(|node| node.has_tag_name((PROTOCOL, "StatusCode")))
    {
        let code = need(status, "Value")?;
        if code != SUCCESS {
            return Err(format!("the provider says {code}"));
        }
    }
    let destination = response.attribute("Destination");
    // Signed answers must say where they go (Bindings, section 3.5.5.2).
    if is_signed && destination.is_none() {
        return Err("the answer does not say where it goes".to_owned());
    }
    if destination.is_some_and(|destination| destination != expected.recipient) {
        return Err("the answer was sent to somebody else".to_owned());
    }
    let about = response.attribute("InResponseTo");
    if about.is_some_and(|about| about != expected.request_id) {
        return Err("the answer is about another question".to_owned());
    }
    for issuer in children(response, "Issuer") {
        check_issuer(issuer, expected)?;
    }
    Ok(())
}

/// Checks for whom an assertion is, and who may bring it.
fn check_assertion(assertion: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), String> {
    check_version(assertion)?;
    check_issuer(only(assertion, (ASSERTION, "Issuer"))?, expected)?;
    check_conditions(only(assertion, (ASSERTION, "Conditions"))?, expected)?;
    let subject = only(assertion, (ASSERTION, "Subject"))?;
    let mut refused = "nobody may bring the assertion".to_owned();
    for confirmation in children(subject, "SubjectConfirmation") {
        if confirmation.attribute("Method") != Some(BEARER) {
            continue;
        }
        match check_bearer(confirmation, expected) {
            Ok(()) => return Ok(()),
            Err(reason) => refused = reason,
        }
    }
    Err(refused)
}

fn check_bearer(confirmation: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), String> {
    let data = only(confirmation, (ASSERTION, "SubjectConfirmationData"))?;
    if need(data, "Recipient")? != expected.recipient {
        return Err("the assertion is for another recipient".to_owned());
    }
    if need(data, "InResponseTo")? != expected.request_id {
        return Err("the assertion is about another question".to_owned());
    }
    need(data, "NotOnOrAfter")?;
    check_times(data, expected.now_ms)
}

fn check_conditions(conditions: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), String> {
    check_times(conditions, expected.now_ms)?;
    let mut is_for_us = false;
    for condition in conditions.children().filter(Node::is_element) {
        let name = condition.tag_name();
        match (name.namespace(), name.name()) {
            (Some(ASSERTION), "AudienceRestriction") => {
                let audiences: Result<Vec<String>, String> =
                    children(condition, "Audience").map(text_of).collect();
                if !audiences?
                    .iter()
                    .any(|audience| audience.trim() == expected.audience)
                {
                    return Err("the assertion is for another audience".to_owned());
                }
                is_for_us = true;
            }
            // Each is used once here anyway, and never passed on.
            (Some(ASSERTION), "OneTimeUse" | "ProxyRestriction") => {}
            _ => return Err(format!("the condition {} is not known", name.name())),
        }
    }
    if is_for_us {
        Ok(())
    } else {
        Err("the assertion does not say for whom it is".to_owned())
    }
}

/// Somebody must have logged in there; gives the provider's session.
fn check_statements(assertion: Node<'_, '_>, now_ms: u64) -> Result<Option<String>, String> {
    let mut session = None;
    let mut is_there = false;
    for statement in children(assertion, "AuthnStatement") {
        is_there = true;
        let ends_ms = time(statement, "SessionNotOnOrAfter")?;
        if ends_ms.is_some_and(|ends_ms| ends_ms + SKEW_MS <= now_ms) {
            return Err("the session there has ended".to_owned());
        }
        session = session.or(statement.attribute("SessionIndex"));
    }
    if is_there {
        Ok(session.map(str::to_owned))
    } else {
        Err("nobody has logged in there".to_owned())
    }
}

/// What the assertion says of its subject: attributes by their names, and the `NameID` as `sub` unless it changes each time.
fn claims(assertion: Node<'_, '_>) -> Result<Claims, String> {
    let mut claims = Claims::new();
    let mut friendly = Claims::new();
    for statement in children(assertion, "AttributeStatement") {
        for attribute in children(statement, "Attribute") {
            let mut values = Vec::new();
            for value in children(attribute, "AttributeValue") {
                // Values may be elements of their own: those say nothing here.
                if let Ok(text) = text_of(value) {
                    values.push(Value::from(text.trim()));
                }
            }
            let name = need(attribute, "Name")?.to_owned();
            if let Some(name) = attribute.attribute("FriendlyName") {
                friendly.insert(name.to_owned(), Value::from(values.clone()));
            }
            claims.insert(name, Value::from(values));
        }
    }
    for (name, values) in friendly {
        claims.entry(name).or_insert(values);
    }
    claims.remove("sub");
    let subject = only(assertion, (ASSERTION, "Subject"))?;
    let name = only(subject, (ASSERTION, "NameID"))?;
    if name.attribute("Format") != Some(TRANSIENT) {
        claims.insert("sub".to_owned(), Value::from(text_of(name)?.trim()));
    }
    Ok(claims)
}

fn check_version(element: Node<'_, '_>) -> Result<(), String> {
    match element.attribute("Version") {
        Some("2.0") => Ok(()),
        _ => Err("this is not SAML 2.0".to_owned()),
    }
}

fn check_issuer(issuer: Node<'_, '_>, expected: &Expected<'_>) -> Result<(), String> {
    if text_of(issuer)?.trim() == expected.issuer {
        Ok(())
    } else {
        Err("the answer is by another provider".to_owned())
    }
}

fn check_times(element: Node<'_, '_>, now_ms: u64) -> Result<(), String> {
    let begins_ms = time(element, "NotBefore")?;
    if begins_ms.is_some_and(|begins_ms| now_ms + SKEW_MS < begins_ms) {
        return Err("the assertion is not good yet".to_owned());
    }
    let ends_ms = time(element, "NotOnOrAfter")?;
    if ends_ms.is_some_and(|ends_ms| ends_ms + SKEW_MS <= now_ms) {
        return Err("the assertion has ended".to_owned());
    }
    Ok(())
}

fn time(element: Node<'_, '_>, name: &str) -> Result<Option<u64>, String> {
    let Some(text) = element.attribute(name) else {
        return Ok(None);
    };
    let at_ms = instant::read(text);
    at_ms.map(Some).ok_or_else(|| format!("{name} is no time"))
}

fn need<'a>(element: Node<'a, 'a>, attribute: &str) -> Result<&'a str, String> {
    let value = element.attribute(attribute).filter(|text| !text.is_empty());
    value.ok_or_else(|| format!("{attribute} is missing"))
}

/// The elements of assertions directly in an element that have a name.
fn children<'a>(parent: Node<'a, 'a>, name: &'static str) -> impl Iterator<Item = Node<'a, 'a>> {
    parent
        .children()
        .filter(move |child| child.has_tag_name((ASSERTION, name)))
}

/// The one element directly in an element that has a name.
fn only<'a>(parent: Node<'a, 'a>, (namespace, name): (&str, &str)) -> Result<Node<'a, 'a>, String> {
    let mut found = parent
        .children()
        .filter(|child| child.has_tag_name((namespace, name)));
    match (found.next(), found.next()) {
        (Some(child), None) => Ok(child),
        _ => Err(format!("there must be one {name}")),
    }
}
