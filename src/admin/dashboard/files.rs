//! `GET /_playhouse/admin/` and the files that the page is made of

use std::sync::Arc;

use actix_web::http::{
    StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use aws_lc_rs::digest;
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};

use crate::edge::{App, Failure, Prepared, Visit};

/// The page itself.
const INDEX: &str = include_str!("../../../ops/dashboard/index.html");

/// What the page may do: load what lies beside it, and ask this server. Nothing inline, nothing from elsewhere, no markup made of text.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; \
     frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'";

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
const PICTURE: &str = "image/svg+xml";

/// A file: its name, its type, what is in it.
macro_rules! beside {
    ($name:literal, $kind:expr) => {
        (
            $name,
            $kind,
            include_str!(concat!("../../../ops/dashboard/", $name)),
        )
    };
}

/// All that lies beside the page.
const FILES: &[(&str, &str, &str)] = &[
    beside!("api.js", SCRIPT),
    beside!("app.js", SCRIPT),
    beside!("audit.js", SCRIPT),
    beside!("chart.js", SCRIPT),
    beside!("cluster.js", SCRIPT),
    beside!("dialog.js", SCRIPT),
    beside!("dom.js", SCRIPT),
    beside!("federation.js", SCRIPT),
    beside!("figures.js", SCRIPT),
    beside!("format.js", SCRIPT),
    beside!("icon.svg", PICTURE),
    beside!("journey.js", SCRIPT),
    beside!("list.js", SCRIPT),
    beside!("login.js", SCRIPT),
    beside!("media.js", SCRIPT),
    beside!("overview.js", SCRIPT),
    beside!("parked.js", SCRIPT),
    beside!("reports.js", SCRIPT),
    beside!("room.js", SCRIPT),
    beside!("rooms.js", SCRIPT),
    beside!("session.js", SCRIPT),
    beside!("style.css", STYLE),
    beside!("theme.js", SCRIPT),
    beside!("tokens.js", SCRIPT),
    beside!("user.js", SCRIPT),
    beside!("users.js", SCRIPT),
];

/// Leads to the page from where its slash was forgotten. The address is relative: a proxy may have it elsewhere.
pub(crate) async fn lead(app: Arc<App>, _visit: Visit) -> Result<Prepared, Failure> {
    must_be_on(&app)?;
    Ok(Prepared::text("")
        .with_status(StatusCode::PERMANENT_REDIRECT)
        .with_header(header::LOCATION, HeaderValue::from_static("admin/")))
}

/// The page.
pub(crate) async fn index(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    must_be_on(&app)?;
    Ok(shown(&visit, HTML, INDEX))
}

/// A file beside it.
pub(crate) async fn handle(app: Arc<App>, visit: Visit) -> Result<Prepared, Failure> {
    must_be_on(&app)?;
    let name = visit.variable(0);
    let found = FILES.iter().find(|(known, ..)| *known == name);
    let &(_, kind, text) = found.ok_or_else(|| Failure::not_found("there is no such file"))?;
    Ok(shown(&visit, kind, text))
}

fn must_be_on(app: &App) -> Result<(), Failure> {
    match app.config.dashboard.enabled {
        true => Ok(()),
        false => Err(Failure::not_found("the dashboard is switched off")),
    }
}

/// A file, or that the browser has it as it is. It asks each time, so that page and files are of one version after an upgrade.
fn shown(visit: &Visit, kind: &'static str, text: &'static str) -> Prepared {
    let tag = tag(text);
    let known = visit.header(header::IF_NONE_MATCH).unwrap_or_default();
    let is_known = known.split(',').any(|one| one.trim() == tag);
    let mut prepared = match is_known {
        true => Prepared::text("").with_status(StatusCode::NOT_MODIFIED),
        false => Prepared::bytes(HeaderValue::from_static(kind), text),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        prepared = prepared.with_header(header::ETAG, tag);
    }
    for (name, value) in protection() {
        prepared = prepared.with_header(name, HeaderValue::from_static(value));
    }
    prepared
}

fn tag(text: &str) -> String {
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    format!("\"{}\"", URL_SAFE_NO_PAD.encode(digest.as_ref()))
}

fn protection() -> [(HeaderName, &'static str); 6] {
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (
            HeaderName::from_static("cross-origin-opener-policy"),
            "same-origin",
        ),
    ]
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// A file may have so many lines …
    const LINES_MAX: usize = 500;

    /// … of so many characters.
    const COLUMNS_MAX: usize = 160;

    #[test]
    fn every_file_is_served() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/ops/dashboard");
        let there: BTreeSet<String> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| name != "index.html")
            .collect();
        let served: BTreeSet<String> = FILES.iter().map(|(name, ..)| (*name).to_owned()).collect();
        assert_eq!(there, served);
    }

    #[test]
    fn what_is_imported_is_there() {
        for (name, _, text) in FILES.iter().filter(|(_, kind, _)| *kind == SCRIPT) {
            for rest in text.split(" from \"./").skip(1) {
                let wanted = rest.split('"').next().unwrap();
                let known = FILES.iter().any(|(known, ..)| *known == wanted);
                assert!(known, "{name} imports {wanted}");
            }
        }
        for rest in INDEX.split("\"dashboard/").skip(1) {
            let wanted = rest.split('"').next().unwrap();
            let known = FILES.iter().any(|(known, ..)| *known == wanted);
            assert!(known, "the page wants {wanted}");
        }
    }

    #[test]
    fn files_are_small_and_keep_to_the_policy() {
        let page = ("index.html", HTML, INDEX);
        for (name, _, text) in FILES.iter().chain([&page]) {
            let lines = text.lines().count();
            assert!(lines <= LINES_MAX, "{name} has {lines} lines");
            let longest = text.lines().map(|line| line.chars().count()).max();
            assert!(longest <= Some(COLUMNS_MAX), "{name}: {longest:?} columns");
            for forbidden in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "localStorage.setItem(\"token",
                " style=\"",
                " onclick=\"",
                "<style",
                "https://",
            ] {
                assert!(!text.contains(forbidden), "{name} has {forbidden}");
            }
        }
        assert!(!INDEX.contains("<script>"));
    }
}
