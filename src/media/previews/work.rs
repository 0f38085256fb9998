//! One preview, from link to JSON.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use playhouse_actors::house::House;
use ruma::UserId;
use serde_json::{Map, Value};
use tokio::time::Instant;
use url::Url;

use super::{
    PreviewError, charset, oembed,
    page::{Page, tidy},
    picture::Picture,
};
use crate::{
    config::Previews as Settings,
    media::Blobs,
    outbound::{Fetched, Outbound, Wanted},
};

const ACCEPT_PAGE: &str = "text/html,application/xhtml+xml;q=0.9,image/*;q=0.8,*/*;q=0.5";
const ACCEPT_JSON: &str = "application/json";
const ACCEPT_PICTURE: &str = "image/webp,image/png,image/jpeg,image/gif;q=0.9,image/*;q=0.5";

/// A description in JSON is no larger.
const JSON_BYTES_MAX: u64 = 256 << 10;

/// So many pictures of a page's text are tried when it names none itself.
const PICTURES_TRIED_MAX: usize = 3;

/// A picture of the text with a shorter side is an ornament.
const PICTURE_SIDE_MIN: u32 = 100;

const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What every preview needs.
pub(super) struct Worker {
    pub(super) outbound: Arc<Outbound>,
    pub(super) blobs: Blobs,
    pub(super) house: Arc<House>,
    pub(super) settings: Settings,
    pub(super) pixels_max: u64,
}

/// Properties, and pictures in the order in which they are tried: those the page names, and those of its text.
#[derive(Default)]
struct Found {
    properties: Map<String, Value>,
    named: Vec<Url>,
    shown: Vec<Url>,
}

impl Worker {
    /// Days since the Unix epoch.
    pub(super) fn today(&self) -> u64 {
        self.house.env().now_ms() / DAY_MS
    }

    /// Removes pictures that have served their time.
    pub(super) async fn tidy_up(&self) {
        let first = self.today().saturating_sub(self.settings.picture_days);
        if let Err(error) = self.blobs.remove_previews_before(first).await {
            tracing::warn!(%error, "cannot remove the pictures of old previews");
        }
    }

    /// The preview of a link.
    pub(super) async fn preview(&self, url: Url, user_id: &UserId) -> Result<Bytes, PreviewError> {
        let deadline = Instant::now() + Duration::from_millis(self.settings.timeout_ms);
        if let Some(address) = oembed::address(&url)
            && let Some(found) = self.described(address, deadline).await
        {
            return Ok(self.with_picture(found, user_id, deadline).await);
        }
        let page_bytes_max = self.settings.page_bytes_max;
        let bytes_max = page_bytes_max.max(self.settings.picture_bytes_max);
        let wanted = self.wanted(ACCEPT_PAGE, bytes_max, deadline);
        let mut fetched = self.outbound.get(url, &wanted).await?;
        let content_type = fetched.content_type.clone().unwrap_or_default();
        let essence = content_type.split(';').next().unwrap_or_default().trim();
        let essence = essence.to_ascii_lowercase();
        if essence.starts_with("image/") {
            fetched.at_most(self.settings.picture_bytes_max);
            let mut properties = Map::new();
            if let Some(name) = file_name(&fetched.url) {
                properties.insert("og:title".to_owned(), name.into());
            }
            let picture = self.keep_picture(fetched, user_id, 1).await?;
            picture.tell(&mut properties);
            return Ok(json(properties));
        }
        if !matches!(essence.as_str(), "text/html" | "application/xhtml+xml" | "") {
            // What is no page and no picture says nothing of itself.
            return Ok(json(Map::new()));
        }
        fetched.at_most(page_bytes_max);
        let found = self.page(fetched, deadline).await?;
        Ok(self.with_picture(found, user_id, deadline).await)
    }

    fn wanted(&self, accept: &'static str, bytes_max: u64, deadline: Instant) -> Wanted<'_> {
        Wanted {
            accept,
            language: Some(&self.settings.accept_language),
            bytes_max,
            deadline,
        }
    }

    async fn page(&self, mut fetched: Fetched, deadline: Instant) -> Result<Found, PreviewError> {
        let body = fetched.whole().await?;
        let content_type = fetched.content_type.clone();
        let page = tokio::task::spawn_blocking(move || {
            Page::read(&charset::text(&body, content_type.as_deref()))
        });
        let page = page.await.map_err(|_| PreviewError::Broken)?;
        let mut found = found_in(&page, &fetched.url);
        if !(found.properties.contains_key("og:title") && !found.named.is_empty())
            && let Some(address) = page.oembed.as_deref()
            && let Ok(address) = fetched.url.join(address)
            && let Some(more) = self.described(address, deadline).await
        {
            for (name, value) in more.properties {
                found.properties.entry(name).or_insert(value);
            }
            found.named.extend(more.named);
        }
        Ok(found)
    }

    /// What oEmbed says. That it says nothing is no reason to give up.
    async fn described(&self, address: Url, deadline: Instant) -> Option<Found> {
        let wanted = self.wanted(ACCEPT_JSON, JSON_BYTES_MAX, deadline);
        let mut fetched = self.outbound.get(address, &wanted).await.ok()?;
        let body = fetched.whole().await.ok()?;
        let (properties, picture) = oembed::read(&body)?;
        let named = picture.and_then(|picture| fetched.url.join(&picture).ok());
        Some(Found {
            properties,
            named: named.into_iter().collect(),
            shown: Vec::new(),
        })
    }

    /// The preview with the first picture that can be had; without one when there is none.
    async fn with_picture(&self, found: Found, user_id: &UserId, deadline: Instant) -> Bytes {
        let mut properties = found.properties;
        let named = found.named.into_iter().map(|url| (url, 1)).take(1);
        let shown = found.shown.into_iter().map(|url| (url, PICTURE_SIDE_MIN));
        for (url, side_min) in named.chain(shown).take(PICTURES_TRIED_MAX) {
            match self.picture(url, user_id, (side_min, deadline)).await {
                Ok(picture) => {
                    picture.tell(&mut properties);
                    break;
                }
                Err(error) => tracing::debug!(%error, "a preview goes without this picture"),
            }
        }
        json(properties)
    }

    async fn picture(
        &self,
        url: Url,
        user_id: &UserId,
        (side_min, deadline): (u32, Instant),
    ) -> Result<Picture, PreviewError> {
        let bytes_max = self.settings.picture_bytes_max;
        let wanted = self.wanted(ACCEPT_PICTURE, bytes_max, deadline);
        let fetched = self.outbound.get(url, &wanted).await?;
        self.keep_picture(fetched, user_id, side_min).await
    }
}

/// A page's own words, with what stands in for those it does not say.
fn found_in(page: &Page, base: &Url) -> Found {
    let mut properties = Map::new();
    for (name, value) in &page.properties {
        // Pictures are told as ours or not at all.
        if name.starts_with("og:") && !name.starts_with("og:image") {
            properties.insert(name.clone(), value.clone().into());
        }
    }
    let title = page
        .first(&["og:title", "twitter:title"])
        .or(page.title.as_ref());
    let description = page.first(&["og:description", "twitter:description", "description"]);
    let site = page.first(&["og:site_name", "twitter:site"]);
    for (name, value) in [
        ("og:title", title),
        ("og:description", description),
        ("og:site_name", site),
    ] {
        if let Some(value) = value {
            properties.insert(name.to_owned(), value.clone().into());
        }
    }
    let named = page.first(&[
        "og:image:secure_url",
        "og:image",
        "og:image:url",
        "twitter:image",
        "twitter:image:src",
    ]);
    let named = named.and_then(|address| base.join(address).ok());
    let shown = page.pictures.iter();
    Found {
        properties,
        named: named.into_iter().collect(),
        shown: shown
            .filter_map(|address| base.join(address).ok())
            .collect(),
    }
}

/// The last part of a path, when it looks like a file's name.
fn file_name(url: &Url) -> Option<String> {
    let name = url.path_segments()?.next_back()?;
    let name = percent_decoded(name);
    let name = tidy(&name);
    (!name.is_empty()).then_some(name)
}

fn percent_decoded(text: &str) -> String {
    // The only decoder at hand that needs no crate of its own is that of query strings.
    let query = format!("x={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(query.as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn json(properties: Map<String, Value>) -> Bytes {
    Value::Object(properties).to_string().into()
}
