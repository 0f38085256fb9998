//! Google's service accounts: a signed token is exchanged for one that opens the door for an hour (RFC 7523).

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use playhouse_actors::gateway::Verdict;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::{
    sync::Mutex,
    time::{Duration, Instant},
};

use super::super::answer::Answer;

/// What the token opens.
const SCOPE: &str = "https://www.googleapis.com/auth/firebase.messaging";

/// A signed token is good for so many seconds.
const LIFETIME_S: u64 = 3_600;

/// A token is not used any more so long before its end.
const MARGIN_MS: u64 = 5 * 60 * 1_000;

/// After a failure nobody asks for a token for so long: all that waits hears the same.
const LEFT_ALONE: Duration = Duration::from_secs(10);

/// A service account.
pub(super) struct Account {
    email: String,
    key_id: Option<String>,
    key: EncodingKey,
    token_uri: String,
    /// Whoever needs a token while it is being fetched waits for that.
    current: Mutex<Current>,
}

/// What is known of the token.
#[derive(Default)]
enum Current {
    /// There is none.
    #[default]
    None,
    /// The token, and until when it is used, milliseconds since the Unix epoch.
    Good(u64, String),
    /// It was not to be had, and nobody asks again before this moment.
    Failed(Instant, Verdict),
}

/// The file that Google hands out.
#[derive(Deserialize)]
struct File {
    client_email: String,
    private_key: String,
    private_key_id: Option<String>,
    token_uri: String,
}

impl Account {
    /// Reads the file.
    pub(super) fn open(path: &str) -> Result<Self, String> {
        let text = std::fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
        let file: File = serde_json::from_str(&text)
            .map_err(|error| format!("{path} is no service account: {error}"))?;
        let key = EncodingKey::from_rsa_pem(file.private_key.as_bytes())
            .map_err(|error| format!("{path}: private_key cannot be used: {error}"))?;
        Ok(Self {
            email: file.client_email,
            key_id: file.private_key_id,
            key,
            token_uri: file.token_uri,
            current: Mutex::default(),
        })
    }

    /// A token that opens the door now.
    pub(super) async fn token(
        &self,
        http: &reqwest::Client,
        now_ms: u64,
    ) -> Result<String, Verdict> {
        let mut current = self.current.lock().await;
        match &*current {
            Current::Good(until_ms, token) if now_ms < *until_ms => return Ok(token.clone()),
            Current::Failed(until, verdict) if Instant::now() < *until => {
                return Err(verdict.clone());
            }
            _ => {}
        }
        match self.fetch(http, now_ms).await {
            Ok((until_ms, token)) => {
                *current = Current::Good(until_ms, token.clone());
                Ok(token)
            }
            Err(verdict) => {
                *current = Current::Failed(Instant::now() + LEFT_ALONE, verdict.clone());
                Err(verdict)
            }
        }
    }

    /// It does not open the door any more.
    pub(super) async fn forget(&self, token: &str) {
        let mut current = self.current.lock().await;
        if matches!(&*current, Current::Good(_, known) if known == token) {
            *current = Current::None;
        }
    }

    async fn fetch(&self, http: &reqwest::Client, now_ms: u64) -> Result<(u64, String), Verdict> {
        let failed = |reason: &str| Verdict::Later {
            after_ms: None,
            reason: reason.to_owned(),
        };
        let assertion = self.assertion(now_ms).map_err(|error| {
            tracing::error!(%error, "cannot sign for a service account");
            failed("token")
        })?;
        // None of these letters means anything in a form.
        let form = format!(
            "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer&assertion={assertion}"
        );
        let request = http
            .post(&self.token_uri)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(form);
        let answer = Answer::to(request, now_ms).await?;
        let json = answer.json();
        let token = json.get("access_token").and_then(Value::as_str);
        let Some(token) = token.filter(|_| answer.status == 200) else {
            let error = json.get("error").and_then(Value::as_str).unwrap_or("");
            tracing::warn!(
                status = answer.status,
                error,
                "the service account gets no token"
            );
            return Err(answer.later("token"));
        };
        let lifetime_s = json.get("expires_in").and_then(Value::as_u64);
        let lifetime_ms = lifetime_s.unwrap_or(LIFETIME_S).saturating_mul(1_000);
        let until_ms = now_ms.saturating_add(lifetime_ms.saturating_sub(MARGIN_MS).max(1_000));
        Ok((until_ms, token.to_owned()))
    }

    fn assertion(&self, now_ms: u64) -> Result<String, jsonwebtoken::errors::Error> {
        let now_s = now_ms / 1_000;
        let claims = json!({
            "iss": self.email,
            "scope": SCOPE,
            "aud": self.token_uri,
            "iat": now_s,
            "exp": now_s + LIFETIME_S,
        });
        let mut header = Header::new(Algorithm::RS256);
        header.kid.clone_from(&self.key_id);
        jsonwebtoken::encode(&header, &claims, &self.key)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use super::*;
    use crate::{config::Config, push::wire::Wire};

    #[tokio::test]
    async fn who_gets_no_token_does_not_ask_again_at_once() {
        crate::node::install_crypto();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let asked = Arc::<AtomicUsize>::default();
        let counted = asked.clone();
        tokio::spawn(async move {
            // Whoever comes is turned away.
            while listener.accept().await.is_ok() {
                counted.fetch_add(1, Ordering::SeqCst);
            }
        });
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
        let file = json!({
            "client_email": "push@example.org", "private_key": key.serialize_pem(),
            "token_uri": format!("http://127.0.0.1:{port}/token"),
        });
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("account.json");
        std::fs::write(&path, file.to_string()).unwrap();
        let account = Account::open(&path.to_string_lossy()).unwrap();
        let http = Wire::new(&Config::default(), &Arc::default()).known();
        let http = http.unwrap();
        let first = account.token(&http, 0).await;
        assert!(matches!(first, Err(Verdict::Later { .. })), "{first:?}");
        match &mut *account.current.lock().await {
            // It must not be over before all have asked, however slow they are.
            Current::Failed(until, _) => *until += Duration::from_secs(3_600),
            Current::None | Current::Good(..) => panic!("that it failed is forgotten"),
        }
        let before = asked.load(Ordering::SeqCst);
        for _ in 0..20 {
            assert_eq!(account.token(&http, 0).await, first);
        }
        assert_eq!(asked.load(Ordering::SeqCst), before);
    }
}
