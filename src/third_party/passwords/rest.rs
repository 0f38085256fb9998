//! An HTTP endpoint that knows passwords, in the form that other homeservers' plug-ins have made customary.

use std::sync::Arc;

use ruma::UserId;
use serde::Deserialize;
use serde_json::json;

use super::{ADDRESSES_MAX, Proved, patience};
use crate::{
    config::Config,
    outbound::{Client, Trust},
    third_party::bounded,
};

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The endpoint.
pub(super) struct Endpoint {
    http: Client,
    url: String,
}

#[derive(Deserialize)]
struct Answer {
    auth: Verdict,
}

#[derive(Deserialize)]
struct Verdict {
    #[serde(default)]
    success: bool,
    mxid: Option<String>,
    #[serde(default)]
    profile: Profile,
}

#[derive(Default, Deserialize)]
struct Profile {
    display_name: Option<String>,
    #[serde(default)]
    three_pids: Vec<Address>,
}

#[derive(Deserialize)]
struct Address {
    medium: String,
    address: String,
}

impl Endpoint {
    /// As configured, if it is.
    pub(super) fn new(config: &Config, trust: &Arc<Trust>) -> Option<Self> {
        let timeout = patience(config);
        Some(Self {
            url: config.passwords.check_url.clone()?,
            http: Client::for_operators_choice(trust, move |builder| builder.timeout(timeout)),
        })
    }

    /// Whether this is the user's password; what hinders the endpoint from saying, otherwise.
    pub(super) async fn check(
        &self,
        user_id: &UserId,
        password: &str,
    ) -> Result<Option<Proved>, String> {
        let question = json!({"user": {"id": user_id, "password": password}});
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
        let answer: Answer = serde_json::from_slice(&body).map_err(|error| error.to_string())?;
        Ok(proved(user_id, answer.auth))
    }
}

/// Who has proved to be whom. Users of other servers are nobody here.
fn proved(asked: &UserId, verdict: Verdict) -> Option<Proved> {
    if !verdict.success {
        return None;
    }
    let user_id = match &verdict.mxid {
        Some(named) if !named.is_empty() => <&UserId>::try_from(named.as_str()).ok()?,
        _ => asked,
    };
    if user_id.server_name() != asked.server_name() {
        return None;
    }
    let emails = verdict.profile.three_pids.into_iter();
    let emails = emails.filter(|address| address.medium == "email");
    Some(Proved {
        localpart: user_id.localpart().to_owned(),
        displayname: verdict.profile.display_name.filter(|name| !name.is_empty()),
        emails: emails
            .map(|email| email.address)
            .take(ADDRESSES_MAX)
            .collect(),
    })
}

#[cfg(test)]
mod tests {
    use ruma::user_id;
    use serde_json::Value;

    use super::*;

    fn judged(answer: Value) -> Option<Proved> {
        let answer: Answer = serde_json::from_value(answer).unwrap();
        proved(user_id!("@anna:here.test"), answer.auth)
    }

    #[test]
    fn only_users_of_this_server_are_let_in() {
        let good = judged(json!({"auth": {"success": true}})).unwrap();
        assert_eq!(good.localpart, "anna");
        let other = judged(json!({"auth": {"success": true, "mxid": "@a.na:here.test"}}));
        assert_eq!(other.unwrap().localpart, "a.na");
        for refused in [
            json!({"auth": {"success": false, "mxid": "@anna:here.test"}}),
            json!({"auth": {"success": true, "mxid": "@anna:there.test"}}),
            json!({"auth": {"success": true, "mxid": "anna"}}),
            json!({"auth": {}}),
        ] {
            assert_eq!(judged(refused.clone()), None, "{refused}");
        }
    }

    #[test]
    fn a_profile_comes_along() {
        let told = judged(json!({"auth": {"success": true, "profile": {
            "display_name": "Anna",
            "three_pids": [{"medium": "msisdn", "address": "1"}, {"medium": "email", "address": "anna@here.test"}],
        }}}));
        let told = told.unwrap();
        assert_eq!(told.displayname.as_deref(), Some("Anna"));
        assert_eq!(told.emails, ["anna@here.test"]);
    }
}
