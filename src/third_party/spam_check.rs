//! An endpoint of the operator's that says what is spam.

use std::{sync::Arc, time::Duration};

use ruma::api::error::ErrorCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::bounded;
use crate::{
    config::Config,
    edge::Failure,
    outbound::{Client, Trust},
};

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// So many characters of what the endpoint says are passed on.
const WORDS_CHARS_MAX: usize = 512;

/// What the endpoint may be asked about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Check {
    /// A user of this server invites somebody.
    Invite,
    /// A user of another server invites one of this.
    ReceiveInvite,
    /// Somebody joins a room, or knocks.
    Join,
    /// Somebody makes a room.
    CreateRoom,
    /// A room goes into the public list.
    Publish,
    /// Somebody makes an account.
    Register,
    /// An event is sent.
    Send,
}

impl Check {
    /// All of them, by what the configuration calls them.
    const NAMES: [(&'static str, Self); 7] = [
        ("invite", Self::Invite),
        ("receive_invite", Self::ReceiveInvite),
        ("join", Self::Join),
        ("create_room", Self::CreateRoom),
        ("publish", Self::Publish),
        ("register", Self::Register),
        ("send", Self::Send),
    ];

    fn named(name: &str) -> Option<Self> {
        let found = Self::NAMES.iter().find(|(known, _)| *known == name);
        found.map(|(_, check)| *check)
    }

    fn name(self) -> &'static str {
        let found = Self::NAMES.iter().find(|(_, check)| *check == self);
        found.map_or("", |(name, _)| name)
    }
}

/// The endpoint, if one is configured.
pub(crate) struct SpamCheck {
    endpoint: Option<Endpoint>,
}

struct Endpoint {
    http: Client,
    url: String,
    checks: Vec<Check>,
    allows_when_silent: bool,
}

#[derive(Deserialize)]
struct Verdict {
    allow: bool,
    errcode: Option<String>,
    error: Option<String>,
}

impl SpamCheck {
    /// As configured.
    pub(super) fn new(config: &Config, trust: &Arc<Trust>) -> Result<Self, String> {
        let wish = &config.spam_check;
        let checks = wish.checks.iter().map(|name| {
            Check::named(name).ok_or_else(|| format!("[spam_check] checks: nobody checks `{name}`"))
        });
        let checks: Vec<Check> = checks.collect::<Result<_, _>>()?;
        let timeout = Duration::from_millis(wish.timeout_ms);
        let endpoint = wish.url.clone().map(|url| Endpoint {
            url,
            http: Client::for_operators_choice(trust, move |builder| builder.timeout(timeout)),
            checks,
            allows_when_silent: wish.when_silent == "allow",
        });
        Ok(Self { endpoint })
    }

    /// Asks about what is told by `question`, a JSON object, unless the operator does not want to be asked.
    ///
    /// # Errors
    ///
    /// What the endpoint says when it refuses; `M_UNKNOWN` with status 503 when it does not answer and the operator wants to refuse then.
    pub(crate) async fn ask(
        &self,
        check: Check,
        question: impl FnOnce() -> Value,
    ) -> Result<(), Failure> {
        let asked = self
            .endpoint
            .as_ref()
            .filter(|endpoint| endpoint.checks.contains(&check));
        let Some(endpoint) = asked else {
            return Ok(());
        };
        let mut question = question();
        question["check"] = json!(check.name());
        match endpoint.judge(&question).await {
            Ok(verdict) => verdict.followed(),
            Err(error) => {
                tracing::warn!(
                    check = check.name(),
                    error,
                    "nobody says whether this is spam"
                );
                match endpoint.allows_when_silent {
                    true => Ok(()),
                    false => Err(
                        Failure::new(ErrorCode::Unknown, "this cannot be checked now")
                            .with_status(503),
                    ),
                }
            }
        }
    }
}

impl Endpoint {
    async fn judge(&self, question: &Value) -> Result<Verdict, String> {
        let request = self
            .http
            .post(&self.url)
            .header("content-type", "application/json")
            .body(question.to_string());
        let answer = request.send().await;
        let answer = answer.map_err(|error| error.without_url().to_string())?;
        if !answer.status().is_success() {
            return Err(format!("it answers {}", answer.status()));
        }
        let body = bounded(answer, ANSWER_BYTES_MAX).await?;
        serde_json::from_slice(&body).map_err(|error| error.to_string())
    }
}

impl Verdict {
    fn followed(self) -> Result<(), Failure> {
        if self.allow {
            return Ok(());
        }
        let words = |text: String| text.chars().take(WORDS_CHARS_MAX).collect::<String>();
        let code = self.errcode.filter(|code| !code.is_empty());
        let code = code.map_or(ErrorCode::Forbidden, |code| words(code).into());
        let error = self
            .error
            .map_or_else(|| "this is not allowed".to_owned(), words);
        Err(Failure::new(code, error).with_status(403))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_check_has_a_name_of_its_own() {
        for (name, check) in Check::NAMES {
            assert_eq!(Check::named(name), Some(check));
            assert_eq!(check.name(), name);
        }
        assert_eq!(Check::named("sneeze"), None);
    }

    #[test]
    fn what_is_refused_is_refused_in_the_endpoints_words() {
        let verdict = |answer: Value| serde_json::from_value::<Verdict>(answer).unwrap();
        assert!(verdict(json!({"allow": true})).followed().is_ok());
        let refused = verdict(
            json!({"allow": false, "errcode": "ORG_EXAMPLE_SPAM", "error": "x".repeat(600)}),
        );
        let refused = refused.followed().unwrap_err();
        assert_eq!(
            (refused.status(), refused.message().len()),
            (403, WORDS_CHARS_MAX)
        );
        let refused = verdict(json!({"allow": false})).followed().unwrap_err();
        assert_eq!(refused.message(), "this is not allowed");
        assert!(serde_json::from_value::<Verdict>(json!({"allow": "no"})).is_err());
    }
}
