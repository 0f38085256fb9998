//! oEmbed: some places tell more of their pages through a second address.

use serde_json::{Map, Value};
use url::Url;

use super::page::{plain_text, tidy};
use crate::outbound::UrlPattern;

/// Places whose pages are better asked for this way: patterns and the address that describes them.
const PROVIDERS: [(&[&str], &str); 7] = [
    (
        &[
            "*.youtube.com/watch*",
            "youtube.com/watch*",
            "*.youtube.com/shorts/*",
            "youtube.com/shorts/*",
            "youtu.be/*",
        ],
        "https://www.youtube.com/oembed",
    ),
    (&["vimeo.com/*"], "https://vimeo.com/api/oembed.json"),
    (
        &[
            "twitter.com/*/status/*",
            "*.twitter.com/*/status/*",
            "x.com/*/status/*",
        ],
        "https://publish.twitter.com/oembed",
    ),
    (&["*.tiktok.com/*/video/*"], "https://www.tiktok.com/oembed"),
    (&["open.spotify.com/*"], "https://open.spotify.com/oembed"),
    (
        &["soundcloud.com/*", "*.soundcloud.com/*"],
        "https://soundcloud.com/oembed",
    ),
    (
        &["*.reddit.com/r/*/comments/*"],
        "https://www.reddit.com/oembed",
    ),
];

/// Where a page is described, when it is a known place's.
pub(super) fn address(url: &Url) -> Option<Url> {
    let is_meant = |patterns: &&[&str]| {
        patterns
            .iter()
            .filter_map(|pattern| UrlPattern::parse(pattern))
            .any(|pattern| pattern.matches(url))
    };
    let (_, endpoint) = PROVIDERS.iter().find(|(patterns, _)| is_meant(patterns))?;
    let mut address = Url::parse(endpoint).ok()?;
    address
        .query_pairs_mut()
        .append_pair("format", "json")
        .append_pair("maxwidth", "640")
        .append_pair("url", url.as_str());
    Some(address)
}

/// A description as properties, and the picture that belongs to it.
pub(super) fn read(body: &[u8]) -> Option<(Map<String, Value>, Option<String>)> {
    let description: Map<String, Value> = serde_json::from_slice(body).ok()?;
    let text = |key: &str| description.get(key).and_then(Value::as_str);
    let mut properties = Map::new();
    for (key, property) in [("title", "og:title"), ("provider_name", "og:site_name")] {
        if let Some(value) = text(key).map(tidy).filter(|value| !value.is_empty()) {
            properties.insert(property.to_owned(), value.into());
        }
    }
    if !properties.contains_key("og:title")
        && let Some(author) = text("author_name").map(tidy)
    {
        properties.insert("og:title".to_owned(), author.into());
    }
    let kind = text("type").unwrap_or_default();
    if kind == "rich"
        && let Some(html) = text("html")
    {
        properties.insert("og:description".to_owned(), plain_text(html).into());
    }
    let kind = match kind {
        "video" => Some("video.other"),
        "photo" => Some("photo"),
        _ => None,
    };
    if let Some(kind) = kind {
        properties.insert("og:type".to_owned(), kind.into());
    }
    let picture = match kind {
        Some("photo") => text("url").or_else(|| text("thumbnail_url")),
        _ => text("thumbnail_url"),
    };
    (!properties.is_empty()).then(|| (properties, picture.map(ToOwned::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_places() {
        let address = |url: &str| address(&Url::parse(url).unwrap()).map(String::from);
        assert_eq!(
            address("https://www.youtube.com/watch?v=x").as_deref(),
            Some(
                "https://www.youtube.com/oembed?format=json&maxwidth=640&url=https%3A%2F%2Fwww.youtube.com%2Fwatch%3Fv%3Dx"
            )
        );
        assert!(address("https://x.com/somebody/status/1").is_some());
        assert_eq!(address("https://notyoutube.com/watch?v=x"), None);
        assert_eq!(address("https://example.org/"), None);
    }

    #[test]
    fn descriptions() {
        let (properties, picture) = read(
            br#"{"type":"rich","author_name":"A","html":"<p>Hello <b>you</b></p>","thumbnail_url":"https://e.org/p"}"#,
        )
        .unwrap();
        assert_eq!(properties["og:title"], "A");
        assert_eq!(properties["og:description"], "Hello you");
        assert_eq!(picture.as_deref(), Some("https://e.org/p"));
        assert!(read(b"[]").is_none() && read(b"{}").is_none() && read(b"x").is_none());
    }
}
