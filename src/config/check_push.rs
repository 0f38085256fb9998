//! What makes sense of `[push]` and what does not.

use super::{
    Config, ConfigError,
    check::{Network, require},
};

impl Config {
    pub(super) fn check_push(&self) -> Result<(), ConfigError> {
        let push = &self.push;
        for network in &push.allow_networks {
            require(Network::parse(network).is_some(), || {
                format!("[push] allow_networks: `{network}` is neither an address nor a network")
            })?;
        }
        let year_ms = 31_536_000_000;
        for (key, value, range) in [
            ("jitter_ms", push.jitter_ms, 0..=3_600_000),
            ("retry_wait_ms", push.retry_wait_ms, 1..=3_600_000),
            ("retry_wait_max_ms", push.retry_wait_max_ms, 1..=86_400_000),
            ("give_up_ms", push.give_up_ms, 1..=year_ms),
            ("answer_timeout_ms", push.answer_timeout_ms, 100..=120_000),
            ("requests_max", push.requests_max, 1..=10_000),
            ("pushers_max", push.pushers_max, 1..=1_000),
            ("mail_delay_ms", push.mail_delay_ms, 0..=year_ms),
            ("mail_throttle_ms", push.mail_throttle_ms, 1..=year_ms),
            (
                "mail_throttle_max_ms",
                push.mail_throttle_max_ms,
                1..=year_ms,
            ),
            (
                "mail_throttle_reset_ms",
                push.mail_throttle_reset_ms,
                1..=year_ms,
            ),
        ] {
            require(range.contains(&value), || {
                let (from, to) = (range.start(), range.end());
                format!("[push] {key}: {value} is not from {from} to {to}")
            })?;
        }
        let is_link = |url: &String| url.starts_with("https://") || url.starts_with("http://");
        require(push.client_base_url.as_ref().is_none_or(is_link), || {
            "[push] client_base_url must begin with https:// or http://".to_owned()
        })
    }
}
