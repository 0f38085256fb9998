//! A server that runs, over HTTP.

use std::{path::PathBuf, time::Duration};

use reqwest::{Method, StatusCode, redirect::Policy};
use serde_json::{Value, json};
use url::Url;

use super::{call::Call, table::harmless_whole};
use crate::{
    cli::{output::Problem, secret::base},
    config::Config,
};

/// A server answers within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(120);

/// No answer is longer.
const ANSWER_BYTES_MAX: usize = 256 << 20;

// Where the server is, and how to show what it says. Documentation here would become that of the command.
#[derive(clap::Args)]
pub(in crate::cli) struct Reach {
    /// The URL of the server; otherwise as configured ([admin] url, PLAYHOUSE_ADMIN_URL), or the client listener's address
    #[arg(long, global = true, value_name = "URL")]
    pub(super) url: Option<String>,
    /// A file with the access token of an administrator; otherwise as configured ([admin] token_file, PLAYHOUSE_ADMIN_TOKEN_FILE or _TOKEN)
    #[arg(long, global = true, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// Show the server's JSON
    #[arg(long, global = true)]
    pub(super) json: bool,
}

/// A server.
pub(super) struct Server {
    http: reqwest::Client,
    base: Url,
    token: Option<String>,
}

impl Server {
    /// As the command line and the configuration say; `None` for the token where none is needed.
    pub(super) fn of(
        config: &Config,
        reach: &Reach,
        token: Option<String>,
    ) -> Result<Self, Problem> {
        let url = reach.url.clone().or_else(|| config.admin.url.clone());
        let url = url.unwrap_or_else(|| base(config));
        let parsed = Url::parse(&url);
        Ok(Self {
            http: reqwest::Client::builder()
                .timeout(ANSWER_WITHIN)
                .redirect(Policy::none())
                .build()?,
            base: parsed.map_err(|error| Problem::new(format!("{url} is no URL: {error}")))?,
            token,
        })
    }

    /// Makes a request; the body of what succeeds.
    pub(super) async fn ask(&self, call: &Call) -> Result<Value, Problem> {
        self.answer(call).await?.told()
    }

    /// The same for what may not be there, which is `None`.
    pub(super) async fn ask_for(&self, call: &Call) -> Result<Option<Value>, Problem> {
        let answer = self.answer(call).await?;
        if answer.is_of_nothing() {
            return Ok(None);
        }
        answer.told().map(Some)
    }

    async fn answer(&self, call: &Call) -> Result<Answer, Problem> {
        let url = call.url(&self.base)?;
        let is_known_to_tools = url.path().contains("/_synapse/");
        let mut request = self.http.request(call.method.clone(), url);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        let needs_body = [Method::POST, Method::PUT].contains(&call.method);
        if let Some(body) = call.body.clone().or_else(|| needs_body.then(|| json!({}))) {
            request = request.json(&body);
        }
        let mut response = request.send().await.map_err(unreachable)?;
        let status = response.status();
        let mut bytes = Vec::new();
        while let Some(piece) = response.chunk().await? {
            if bytes.len() + piece.len() > ANSWER_BYTES_MAX {
                return Err(Problem::new("the answer is too long"));
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Answer {
            status,
            body: serde_json::from_slice(&bytes).ok(),
            is_known_to_tools,
        })
    }
}

/// What a server answers.
struct Answer {
    status: StatusCode,
    /// `None` when it is not JSON.
    body: Option<Value>,
    is_known_to_tools: bool,
}

impl Answer {
    fn is_of_nothing(&self) -> bool {
        let body = self.body.as_ref();
        let errcode = body.and_then(|body| body["errcode"].as_str());
        self.status == StatusCode::NOT_FOUND && errcode == Some("M_NOT_FOUND")
    }

    fn told(self) -> Result<Value, Problem> {
        if self.status.is_success() {
            let body = self.body;
            return body.ok_or_else(|| Problem::new("the answer is not JSON: is it this server?"));
        }
        let body = self.body.unwrap_or_default();
        Err(refusal(self.status, &body, self.is_known_to_tools))
    }
}

/// The token that is named, if any.
pub(super) fn token(config: &Config, reach: &Reach) -> Result<Option<String>, Problem> {
    let file = reach.token_file.clone();
    let file = file.or_else(|| config.admin.token_file.as_ref().map(PathBuf::from));
    let text =
        match file {
            Some(path) => Some(std::fs::read_to_string(&path).map_err(|error| {
                Problem::new(format!("cannot read {}: {error}", path.display()))
            })?),
            None => config.admin.token.clone(),
        };
    let text = text.map(|text| text.trim().to_owned());
    Ok(text.filter(|text| !text.is_empty()))
}

/// An error without the URL, which may have user names in it that belong into no log.
fn unreachable(error: reqwest::Error) -> Problem {
    let error = error.without_url();
    let mut reason = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(inner) = source {
        reason = inner.to_string();
        source = inner.source();
    }
    Problem::new(format!("the server cannot be asked: {reason}"))
}

fn refusal(status: StatusCode, body: &Value, is_known_to_tools: bool) -> Problem {
    // Other servers, and names of rooms, may have part in what it says.
    let error = harmless_whole(body["error"].as_str().unwrap_or("no reason given"));
    let errcode = harmless_whole(body["errcode"].as_str().unwrap_or(status.as_str()));
    let hint = match status {
        StatusCode::UNAUTHORIZED if is_known_to_tools => {
            ": this takes the access token of a user who is an administrator (`playhouse admin login`), not one of `add-token`"
        }
        _ => "",
    };
    Problem::new(format!("the server refuses: {error} ({errcode}){hint}"))
}
