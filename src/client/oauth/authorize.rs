//! The authorization endpoint: a client sends its user here, who signs in and says yes or no.

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderValue},
};
use url::{Url, form_urlencoded};

use super::{
    AUTHORIZE,
    answer::Refusal,
    browser::{self, Known},
    client::{AUTHORIZATION_CODE, Client},
    code::{self, Allowed, Sent},
    offered,
    scope::Scope,
    sign_up,
};
use crate::{
    edge::{App, Browser, Failure, Fields, Prepared},
    pages::{Block, Button, Form, Page},
};

/// So long may be what a client wants back.
const STATE_BYTES_MAX: usize = 2_048;

/// What a client asks for, as far as it can be answered to the client at all.
struct Asked {
    client_id: String,
    client: Client,
    redirect_uri: String,
    in_fragment: bool,
    state: Option<String>,
    issuer: String,
}

/// What of it makes sense.
struct Wish {
    scope: Scope,
    challenge: String,
    prompt: Prompt,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Prompt {
    Consent,
    Login,
    Create,
    Nothing,
}

/// Shows what the client wants; asks to sign in first.
pub(super) async fn page(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let base = offered(&app, browser.host.as_deref())?;
    let asked = Asked::read(&app, &browser, &base).await?;
    let wish = match Wish::read(&browser.query, &asked) {
        Ok(wish) => wish,
        Err(refusal) => return asked.refuse(&refusal),
    };
    let known = browser::known(&app, &browser).await?;
    let here = |drop_prompt| here(&browser.query, drop_prompt);
    match (known, wish.prompt) {
        (None, Prompt::Nothing) => {
            asked.refuse(&Refusal::new("login_required", "nobody is signed in"))
        }
        (Some(_), Prompt::Nothing) => {
            asked.refuse(&Refusal::new("consent_required", "the user must be asked"))
        }
        (_, Prompt::Create) => sign_up::show(&app, &browser, &here(true), None),
        (_, Prompt::Login) | (None, _) => browser::sign_in(&app, &browser, &here(true), None),
        (Some(known), Prompt::Consent) => consent(&app, &browser, (&asked, &wish), &known),
    }
}

/// Takes the user's decision and sends the browser back to the client.
pub(super) async fn decide(app: Arc<App>, browser: Browser) -> Result<Prepared, Failure> {
    let base = offered(&app, browser.host.as_deref())?;
    let known = browser::must_be_known(&app, &browser).await?;
    let here = here(&browser.query, false);
    app.pages
        .check_seal(&browser, "oauth-consent", &binding(&known, &here))?;
    let asked = Asked::read(&app, &browser, &base).await?;
    let wish = match Wish::read(&browser.query, &asked) {
        Ok(wish) => wish,
        Err(refusal) => return asked.refuse(&refusal),
    };
    match browser.form.get("decision") {
        Some("allow") => {
            let allowed = Allowed {
                client_id: asked.client_id.clone(),
                scope: wish.scope.granted(),
                sent: Some(Sent {
                    redirect_uri: asked.redirect_uri.clone(),
                    challenge: wish.challenge,
                }),
                origin: known.origin.clone(),
            };
            let code = code::make(&app, &known.user_id, &allowed).await?;
            asked.send_back(&[("code", &code)])
        }
        Some("other") => browser::sign_in(&app, &browser, &here, None),
        _ => asked.refuse(&Refusal::new("access_denied", "the user said no")),
    }
}

impl Asked {
    /// Reads what must be right before anything is told to the client: otherwise anybody could send browsers anywhere.
    async fn read(app: &Arc<App>, browser: &Browser, base: &str) -> Result<Self, Failure> {
        let query = &browser.query;
        let client_id = query.need("client_id")?;
        let client = code::client_of(app, client_id)
            .await
            .map_err(|refusal| Failure::invalid_param(refusal.why))?;
        let redirect_uri = query.need("redirect_uri")?;
        if !client.may_return_to(redirect_uri) {
            return Err(Failure::invalid_param(
                browser.language.say("oauth.bad_redirect"),
            ));
        }
        let state = query.get("state").map(str::to_owned);
        if state
            .as_ref()
            .is_some_and(|state| state.len() > STATE_BYTES_MAX)
        {
            return Err(Failure::invalid_param("state is too long"));
        }
        Ok(Self {
            client_id: client_id.to_owned(),
            client,
            redirect_uri: redirect_uri.to_owned(),
            in_fragment: query.get("response_mode") == Some("fragment"),
            state,
            issuer: format!("{base}/"),
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Result<Prepared, Failure> {
        self.send_back(&[("error", refusal.code), ("error_description", &refusal.why)])
    }

    /// Sends the browser back to the client.
    fn send_back(&self, values: &[(&str, &str)]) -> Result<Prepared, Failure> {
        let mut told = form_urlencoded::Serializer::new(String::new());
        told.extend_pairs(values);
        if let Some(state) = &self.state {
            told.append_pair("state", state);
        }
        told.append_pair("iss", &self.issuer);
        let told = told.finish();
        let mut url = Url::parse(&self.redirect_uri).map_err(Failure::internal)?;
        if self.in_fragment {
            url.set_fragment(Some(&told));
        } else {
            let query = match url.query() {
                Some(query) if !query.is_empty() => format!("{query}&{told}"),
                _ => told,
            };
            url.set_query(Some(&query));
        }
        let location = HeaderValue::from_str(url.as_str()).map_err(Failure::internal)?;
        Ok(Prepared::text("")
            .with_status(StatusCode::SEE_OTHER)
            .with_header(header::LOCATION, location)
            .with_header(
                header::REFERRER_POLICY,
                HeaderValue::from_static("no-referrer"),
            )
            .with_header(header::CACHE_CONTROL, HeaderValue::from_static("no-store")))
    }

    /// What of the client's address forms may lead to.
    fn origin(&self) -> String {
        match Url::parse(&self.redirect_uri) {
            Ok(url) if matches!(url.scheme(), "http" | "https") => {
                url.origin().ascii_serialization()
            }
            Ok(url) => format!("{}:", url.scheme()),
            Err(_) => "'none'".to_owned(),
        }
    }
}

impl Wish {
    fn read(query: &Fields, asked: &Asked) -> Result<Self, Refusal> {
        if !asked.client.uses(AUTHORIZATION_CODE) {
            return Err(Refusal::new(
                "unauthorized_client",
                "the client did not register for codes",
            ));
        }
        if query.get("response_type") != Some("code") {
            return Err(Refusal::new(
                "unsupported_response_type",
                "response_type must be code",
            ));
        }
        if query
            .get("response_mode")
            .is_some_and(|mode| !["query", "fragment"].contains(&mode))
        {
            return Err(Refusal::invalid_request(
                "response_mode must be query or fragment",
            ));
        }
        if query.get("request").is_some() || query.get("request_uri").is_some() {
            return Err(Refusal::new(
                "request_not_supported",
                "requests are read from the query only",
            ));
        }
        let challenge = query.get("code_challenge").unwrap_or_default();
        let is_digest = challenge.len() == 43
            && challenge
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
        if !is_digest || query.get("code_challenge_method") != Some("S256") {
            return Err(Refusal::invalid_request(
                "code_challenge is missing, or its method is not S256",
            ));
        }
        let prompts = query.get("prompt").unwrap_or_default();
        let prompt = match prompts.split(' ').next().unwrap_or_default() {
            "create" => Prompt::Create,
            "login" | "select_account" => Prompt::Login,
            "none" => Prompt::Nothing,
            _ => Prompt::Consent,
        };
        Ok(Self {
            scope: Scope::parse(query.get("scope").unwrap_or_default())?,
            challenge: challenge.to_owned(),
            prompt,
        })
    }
}

/// This very request as a path; without its prompt, so that it is not asked again.
fn here(query: &Fields, drop_prompt: bool) -> String {
    let mut path = form_urlencoded::Serializer::new(format!("{AUTHORIZE}?"));
    let kept = query
        .iter()
        .filter(|(name, _)| !drop_prompt || *name != "prompt");
    path.extend_pairs(kept);
    path.finish()
}

fn binding(known: &Known, here: &str) -> String {
    format!("{} {here}", known.cookie)
}

fn consent(
    app: &App,
    browser: &Browser,
    (asked, wish): (&Asked, &Wish),
    known: &Known,
) -> Result<Prepared, Failure> {
    let language = browser.language;
    let here = here(&browser.query, false);
    let rows = [
        (language.say("oauth.client"), asked.client.name().to_owned()),
        (
            language.say("oauth.client_address"),
            asked.client.client_uri.clone(),
        ),
        (language.say("oauth.account"), known.user_id.to_string()),
        (
            language.say("oauth.device"),
            wish.scope.device_id.to_string(),
        ),
    ];
    let links = [
        (language.say("oauth.terms"), &asked.client.tos_uri),
        (language.say("oauth.policy"), &asked.client.policy_uri),
    ];
    let links = links
        .into_iter()
        .filter_map(|(text, link)| Some((text.to_owned(), link.clone()?)));
    let other = Button::new(language.say("oauth.other_account")).telling("decision", "other");
    let deny = Button::new(language.say("oauth.deny")).telling("decision", "deny");
    let form = Form::to(here.as_str())
        .sealed(&app.pages, "oauth-consent", &binding(known, &here))
        .button(Button::new(language.say("oauth.allow")).telling("decision", "allow"))
        .button(deny.secondary())
        .button(other.secondary());
    let mut page = Page::new(language, language.say("oauth.consent_title"))
        .with(Block::text(language.say("oauth.consent_text")))
        .with(Block::facts(
            rows.map(|(name, value)| (name.to_owned(), value)),
        ));
    let links: Vec<_> = links.collect();
    if !links.is_empty() {
        page = page.with(Block::links(links));
    }
    Ok(app
        .pages
        .show(page.with(form).form_may_lead_to(&asked.origin())))
}
