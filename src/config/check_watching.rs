//! What makes sense of `[tracing]` and `[canary]`, and what does not.

use http::{HeaderName, HeaderValue};
use ruma::UserId;
use url::Url;

use super::{Config, ConfigError, check::require};

impl Config {
    pub(super) fn check_watching(&self) -> Result<(), ConfigError> {
        let tracing = &self.tracing;
        if let Some(endpoint) = &tracing.endpoint {
            let parsed = Url::parse(endpoint).ok();
            let fits = parsed.is_some_and(|url| {
                matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
            });
            require(fits, || {
                "[tracing] endpoint is no URL that begins with http:// or https://".to_owned()
            })?;
        }
        // What a header holds may be a secret, and is not repeated.
        for (number, header) in (1..).zip(&tracing.headers) {
            require(header_of(header).is_some(), || {
                format!("[tracing] headers: number {number} is not `name=value`")
            })?;
        }
        for (key, value, range) in [
            ("sampled_per_mille", tracing.sampled_per_mille, 0..=1_000),
            ("queue_spans_max", tracing.queue_spans_max, 1..=1_000_000),
            ("timeout_ms", tracing.timeout_ms, 100..=120_000),
        ] {
            require(range.contains(&value), || {
                let (from, to) = (range.start(), range.end());
                format!("[tracing] {key}: {value} is not from {from} to {to}")
            })?;
        }
        self.check_canary()
    }

    fn check_canary(&self) -> Result<(), ConfigError> {
        let canary = &self.canary;
        let user_id = format!("@{}:{}", canary.localpart, self.server.name);
        let is_name = UserId::parse(user_id).is_ok_and(|user_id| user_id.validate_strict().is_ok());
        require(is_name && !canary.localpart.is_empty(), || {
            format!(
                "[canary] localpart: `{}` is no name of a user",
                canary.localpart
            )
        })?;
        let of_notices = self.server_notices.localpart.as_ref();
        require(
            !canary.enabled || of_notices != Some(&canary.localpart),
            || "[canary] localpart: [server_notices] speaks by this name".to_owned(),
        )?;
        for (key, value, range) in [
            ("every_ms", canary.every_ms, 100..=3_600_000),
            ("timeout_ms", canary.timeout_ms, 100..=120_000),
            ("history_max", canary.history_max, 10..=1_000_000),
        ] {
            require(range.contains(&value), || {
                let (from, to) = (range.start(), range.end());
                format!("[canary] {key}: {value} is not from {from} to {to}")
            })?;
        }
        Ok(())
    }
}

/// A header from how it is configured.
pub(crate) fn header_of(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once('=')?;
    let name = name.trim().parse().ok()?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((name, value))
}

#[cfg(test)]
mod tests {
    use super::super::tests::parse;

    #[test]
    fn what_cannot_be_watched_is_refused() {
        for (file, complaint) in [
            (
                "[tracing]\nendpoint = 'collector:4318'",
                "[tracing] endpoint",
            ),
            ("[tracing]\nheaders = ['a']", "[tracing] headers: number 1"),
            (
                "[tracing]\nsampled_per_mille = 1001",
                "[tracing] sampled_per_mille",
            ),
            ("[canary]\nevery_ms = 0", "[canary] every_ms"),
            ("[canary]\nlocalpart = 'Canary Bird'", "[canary] localpart"),
            (
                "[canary]\nenabled = true\n[server_notices]\nlocalpart = 'canary'",
                "[canary] localpart",
            ),
        ] {
            let error = parse(file, &[]).unwrap_err();
            assert!(error.contains(complaint), "{file}: {error}");
        }
        let file = "[tracing]\nheaders = ['authorization=Basic YTpi']";
        let variables = [("PLAYHOUSE_OTLP_ENDPOINT", "http://localhost:4318")];
        let config = parse(file, &variables).unwrap();
        assert_eq!(
            config.tracing.endpoint.as_deref(),
            Some("http://localhost:4318")
        );
    }
}
