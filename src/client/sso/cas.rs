//! CAS (protocol 2 and 3): the server is asked whom a ticket stands for.

use std::sync::Arc;

use roxmltree::{Document, Node, ParsingOptions};
use ruma::api::error::ErrorCode;
use serde_json::Value;
use url::Url;

use super::{
    TICKET_CAS,
    callback::{Recognised, must_have_begun, recognised, unusable},
    cookie::{Begun, Purpose},
    provider::Claims,
    redirect::{begin, redirect_url},
};
use crate::{
    config::{Provider, ProviderKind},
    edge::{App, Browser, Failure, Prepared},
};

/// The namespace of answers.
const CAS: &str = "http://www.yale.edu/tp/cas";

/// An answer has at most so many elements, texts and attributes.
const NODES_MAX: u32 = 10_000;

/// `GET /_matrix/client/*/login/cas/redirect`: to the only CAS server, as clients of before version 1 of the API asked.
pub(super) async fn redirect(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let providers = app.config.sso.providers.iter();
    let mut of_cas = providers.filter(|provider| provider.kind == ProviderKind::Cas);
    let provider = of_cas
        .next()
        .ok_or_else(|| Failure::new(ErrorCode::Unrecognized, "CAS is not offered here"))?;
    let purpose = Purpose::Login(redirect_url(&browser)?.to_owned());
    begin(&app, &browser, provider, purpose).await
}

/// Where a browser is sent to be recognised.
pub(super) fn address(
    app: &App,
    browser: &Browser,
    provider: &Provider,
    begun: &Begun,
) -> Result<String, String> {
    let mut url = Url::parse(&provider.below("/login")).map_err(|error| error.to_string())?;
    let service = service(app, browser, begun)?;
    url.query_pairs_mut().append_pair("service", &service);
    if begun.is_again() {
        url.query_pairs_mut().append_pair("renew", "true");
    }
    Ok(url.into())
}

/// `GET /_matrix/client/*/login/cas/ticket`: the browser comes back with a ticket.
pub(super) async fn come_back(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let state = browser.query.get("state");
    let (begun, provider) = must_have_begun(&app, &browser, (state, ProviderKind::Cas))?;
    let ticket = browser.query.need("ticket")?;
    match validated(&app, &browser, (provider, &begun), ticket).await {
        Ok(Some(claims)) => {
            let person = Recognised { claims, sid: None };
            recognised(&app, &browser, &begun, person).await
        }
        Ok(None) => Err(Failure::forbidden(
            browser.language.say("sso.not_recognised"),
        )),
        Err(reason) => Err(unusable(&browser, provider, &reason)),
    }
}

/// What the server says of the owner of a ticket; `None` when it does not know the ticket.
async fn validated(
    app: &App,
    browser: &Browser,
    (provider, begun): (&Provider, &Begun),
    ticket: &str,
) -> Result<Option<Claims>, String> {
    let path = match provider.cas_protocol {
        2 => "/serviceValidate",
        _ => "/p3/serviceValidate",
    };
    let mut url = Url::parse(&provider.below(path)).map_err(|error| error.to_string())?;
    let service = service(app, browser, begun)?;
    url.query_pairs_mut()
        .append_pair("service", &service)
        .append_pair("ticket", ticket);
    if begun.is_again() {
        url.query_pairs_mut().append_pair("renew", "true");
    }
    let answer = app.providers.text(url.as_str()).await?;
    read(&answer)
}

/// The service that a ticket is for: our address, with the state that the browser must bring back.
fn service(app: &App, browser: &Browser, begun: &Begun) -> Result<String, String> {
    let base = app.base_url(browser.host.as_deref());
    let base = base.ok_or("no client URL is configured")?;
    Ok(format!("{base}{TICKET_CAS}?state={}", begun.state))
}

/// Reads an answer (CAS protocol 3.0, section 2.5).
fn read(xml: &str) -> Result<Option<Claims>, String> {
    let options = ParsingOptions {
        allow_dtd: false,
        nodes_limit: NODES_MAX,
        ..ParsingOptions::default()
    };
    let document = Document::parse_with_options(xml, options).map_err(|error| error.to_string())?;
    let answer = document.root_element();
    if !answer.has_tag_name((CAS, "serviceResponse")) {
        return Err("this is no answer of CAS".to_owned());
    }
    if one(answer, "authenticationFailure").is_some() {
        return Ok(None);
    }
    let success = one(answer, "authenticationSuccess").ok_or("the answer says nothing")?;
    let user = one(success, "user").and_then(text);
    let user = user.filter(|user| !user.is_empty());
    let user = user.ok_or("the answer names nobody")?;
    let mut claims = Claims::new();
    let attributes = one(success, "attributes");
    for attribute in attributes.iter().flat_map(|all| all.children()) {
        let name = attribute.tag_name().name();
        let Some(value) = text(attribute).filter(|_| attribute.is_element()) else {
            continue;
        };
        let values = claims
            .entry(name)
            .or_insert_with(|| Value::Array(Vec::new()));
        if let Value::Array(values) = values {
            values.push(Value::from(value));
        }
    }
    claims
        .entry("preferred_username")
        .or_insert_with(|| Value::from(user.clone()));
    claims.insert("sub".to_owned(), Value::from(user));
    Ok(Some(claims))
}

/// The one element of CAS with a name; two are none.
fn one<'a>(parent: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    let mut found = parent
        .children()
        .filter(|child| child.has_tag_name((CAS, name)));
    found.next().filter(|_| found.next().is_none())
}

/// The text of an element in which nothing else stands.
fn text(element: Node<'_, '_>) -> Option<String> {
    let mut pieces = element.children();
    let only_text = pieces.all(|child| child.is_text());
    let texts = element.children().filter_map(|child| child.text());
    only_text.then(|| texts.collect::<String>().trim().to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::read;

    #[test]
    fn answers_are_read() {
        let xml = |inner: &str| {
            format!(
                "<c:serviceResponse xmlns:c='http://www.yale.edu/tp/cas'>{inner}</c:serviceResponse>"
            )
        };
        let known = xml(
            "<c:authenticationSuccess><c:user> Nora </c:user><c:attributes><c:mail>n@a.test</c:mail><c:group>a</c:group><c:group>b</c:group><c:sub>root</c:sub></c:attributes></c:authenticationSuccess>",
        );
        let claims = read(&known).unwrap().unwrap();
        assert_eq!(
            serde_json::Value::Object(claims),
            json!({"sub": "Nora", "preferred_username": "Nora", "mail": ["n@a.test"], "group": ["a", "b"]})
        );
        let unknown =
            xml("<c:authenticationFailure code='INVALID_TICKET'>no</c:authenticationFailure>");
        assert_eq!(read(&unknown), Ok(None));
        for bad in [
            xml(""),
            xml("<c:authenticationSuccess/>"),
            xml("<c:authenticationSuccess><c:user/></c:authenticationSuccess>"),
            xml(
                "<c:authenticationSuccess><c:user>a</c:user><c:user>b</c:user></c:authenticationSuccess>",
            ),
            xml(
                "<c:authenticationSuccess><c:user>ad<!-- -->min</c:user></c:authenticationSuccess>",
            ),
            xml("<authenticationSuccess><user>a</user></authenticationSuccess>"),
            "<!DOCTYPE a [<!ENTITY e 'x'>]><a>&e;</a>".to_owned(),
            "<serviceResponse/>".to_owned(),
            "yes\nnora\n".to_owned(),
        ] {
            assert!(read(&bad).is_err(), "{bad}");
        }
    }
}
