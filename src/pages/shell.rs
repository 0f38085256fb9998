//! The one shell around all pages, and the headers that protect them.

use std::sync::OnceLock;

use actix_web::http::header::{self, HeaderName, HeaderValue};
use aws_lc_rs::{digest, hmac};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use minijinja::{context, value::Serde};
use playhouse_actors::env::Env;

use super::{
    language::Language,
    page::{Page, Script},
    seal,
};
use crate::edge::Prepared;

const STYLE: &str = include_str!("../../ops/pages/page.css");
const SHELL: &str = include_str!("../../ops/pages/page.html");

/// Shows pages.
pub(crate) struct Pages {
    pub(super) env: Env,
    pub(super) key: hmac::Key,
}

impl Pages {
    /// Pages of the server whose identity this is.
    pub(crate) fn new(env: Env) -> Self {
        Self {
            key: seal::key(&env),
            env,
        }
    }

    /// A page, ready to be sent.
    pub(crate) fn show(&self, page: Page) -> Prepared {
        let (language, may_be_framed) = (page.language, page.may_be_framed);
        let policy = HeaderValue::from_str(&policy(&page))
            .unwrap_or(HeaderValue::from_static("default-src 'none'"));
        let mut prepared = Prepared::bytes(
            HeaderValue::from_static("text/html; charset=utf-8"),
            self.html(page),
        )
        .with_header(header::CONTENT_SECURITY_POLICY, policy)
        .with_header(
            header::CONTENT_LANGUAGE,
            HeaderValue::from_static(language.code()),
        );
        for (name, value) in fixed_headers() {
            prepared = prepared.with_header(name, value);
        }
        if !may_be_framed {
            prepared =
                prepared.with_header(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
        }
        prepared
    }

    fn html(&self, page: Page) -> String {
        let (mut inline, mut sources) = (Vec::new(), Vec::new());
        for script in &page.scripts {
            match script {
                Script::Inline(text) => inline.push(*text),
                Script::From(url) => sources.push(url.clone()),
                Script::Origin(_) => {}
            }
        }
        let server = self.env.server_name().as_str();
        let language: Language = page.language;
        let shell = environment()
            .get_template("page.html")
            .expect("the shell is there, a test shows it");
        let rendered = shell.render(context! {
            lang => language.code(),
            server,
            title => &page.title,
            blocks => Serde(page.blocks),
            footer => language.tell("shell.footer", &[("server", server)]),
            style => STYLE,
            inline,
            sources,
        });
        rendered.unwrap_or_else(|error| {
            tracing::error!(%error, "a page cannot be rendered");
            String::new()
        })
    }
}

/// What every page may do: nothing but to look as it does and send its form to us.
fn policy(page: &Page) -> String {
    let mut policy = format!(
        "default-src 'none'; base-uri 'none'; style-src '{}'; form-action 'self'",
        hash(STYLE)
    );
    for target in &page.form_targets {
        policy.push(' ');
        policy.push_str(target);
    }
    if !page.scripts.is_empty() {
        let allowed: Vec<String> = page.scripts.iter().map(allowed).collect();
        policy.push_str(&format!(
            "; connect-src 'self'; script-src {}",
            allowed.join(" ")
        ));
    }
    let frames: Vec<String> = page.scripts.iter().filter_map(origin).collect();
    if !frames.is_empty() {
        policy.push_str(&format!("; frame-src {}", frames.join(" ")));
    }
    policy.push_str(if page.may_be_framed {
        "; frame-ancestors *"
    } else {
        "; frame-ancestors 'none'"
    });
    policy
}

fn allowed(script: &Script) -> String {
    match script {
        Script::Inline(text) => format!("'{}'", hash(text)),
        Script::From(_) | Script::Origin(_) => origin(script).unwrap_or_default(),
    }
}

/// The origin of a script that comes from elsewhere: it may load more from there.
fn origin(script: &Script) -> Option<String> {
    let url = match script {
        Script::From(url) | Script::Origin(url) => url,
        Script::Inline(_) => return None,
    };
    let (scheme, rest) = url.split_once("://")?;
    let host = rest.split(['/', '?', '#', ';', ',', ' ']).next()?;
    Some(format!("{scheme}://{host}"))
}

fn hash(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    format!("sha256-{}", STANDARD.encode(digest.as_ref()))
}

fn fixed_headers() -> [(HeaderName, HeaderValue); 3] {
    [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ]
}

/// Templates named `.html` escape what is put into them.
fn environment() -> &'static minijinja::Environment<'static> {
    static ENVIRONMENT: OnceLock<minijinja::Environment<'static>> = OnceLock::new();
    ENVIRONMENT.get_or_init(|| {
        let mut environment = minijinja::Environment::new();
        environment
            .add_template("page.html", SHELL)
            .expect("the shell is a template, a test shows it");
        environment
    })
}
