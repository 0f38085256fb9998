//! Asks whether a captcha was solved.

use std::net::IpAddr;

use ruma::api::error::ErrorCode;
use serde::Deserialize;

use super::ThirdParty;
use crate::{config::Captcha, edge::Failure};

/// The answer to a solution has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// A solution has at most so many bytes.
const SOLUTION_BYTES_MAX: usize = 8 * 1024;

#[derive(Deserialize)]
struct Verdict {
    success: bool,
}

impl ThirdParty {
    /// Whether a captcha was solved: `M_CAPTCHA_INVALID` when not.
    pub(crate) async fn check_captcha(
        &self,
        captcha: &Captcha,
        solution: &str,
        address: IpAddr,
    ) -> Result<(), Failure> {
        let Some(secret) = &captcha.secret_key else {
            return Err(Failure::bad_json("no captcha is asked for here"));
        };
        if solution.is_empty() {
            return Err(Failure::new(
                ErrorCode::CaptchaNeeded,
                "the captcha is not solved",
            ));
        }
        if solution.len() > SOLUTION_BYTES_MAX {
            return Err(invalid());
        }
        let address = address.to_string();
        let form = [
            ("secret", secret.as_str()),
            ("response", solution),
            ("remoteip", &address),
        ];
        let unreachable = |error: String| {
            tracing::warn!(error, "the captcha cannot be verified");
            Failure::new(ErrorCode::Unknown, "the captcha cannot be verified now").with_status(502)
        };
        let request = self
            .http
            .post(&captcha.verify_url)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(super::form(&form));
        let answer = request
            .send()
            .await
            .map_err(|error| unreachable(error.without_url().to_string()))?;
        let body = super::bounded(answer, ANSWER_BYTES_MAX)
            .await
            .map_err(unreachable)?;
        let verdict: Verdict =
            serde_json::from_slice(&body).map_err(|error| unreachable(error.to_string()))?;
        if verdict.success {
            Ok(())
        } else {
            Err(invalid())
        }
    }
}

fn invalid() -> Failure {
    Failure::new(ErrorCode::CaptchaInvalid, "the captcha was not solved").with_status(401)
}
