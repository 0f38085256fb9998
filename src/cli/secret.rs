//! Registration by shared secret, through the HTTP API of a server that runs.

use std::{net::ToSocketAddrs as _, time::Duration};

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;

use super::output::Problem;
use crate::config::Config;

const PATH: &str = "/_synapse/admin/v1/register";

/// A server on this machine answers within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// Registers users by the shared secret.
pub(super) struct Registrar {
    base: String,
    secret: String,
}

impl Registrar {
    /// For the server of a configuration, if it has a secret.
    pub(super) fn of(config: &Config) -> Option<Self> {
        Some(Self {
            base: base(config),
            secret: config.registration.shared_secret.clone()?,
        })
    }

    /// Whether something answers where the server of a configuration would.
    pub(super) async fn is_served(config: &Config) -> bool {
        match config.listen.client.to_socket_addrs() {
            Ok(addresses) => {
                let addresses: Vec<_> = addresses.collect();
                let connect = tokio::net::TcpStream::connect(addresses.as_slice());
                let connected = tokio::time::timeout(Duration::from_secs(2), connect).await;
                matches!(connected, Ok(Ok(_)))
            }
            Err(_) => false,
        }
    }

    /// Makes a user; answers the user ID.
    pub(super) async fn register(
        &self,
        name: &str,
        password: &str,
        admin: bool,
    ) -> Result<String, Problem> {
        let http = reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?;
        let url = format!("{}{PATH}", self.base);
        let nonce = answer(http.get(&url).send().await?).await?;
        let nonce = nonce["nonce"]
            .as_str()
            .ok_or_else(|| Problem::new("the server gave no nonce"))?;
        let body = json!({
            "nonce": nonce,
            "username": name,
            "password": password,
            "admin": admin,
            "mac": self.mac(nonce, name, password, admin),
        });
        let made = answer(http.post(&url).json(&body).send().await?).await?;
        Ok(made["user_id"].as_str().unwrap_or(name).to_owned())
    }

    fn mac(&self, nonce: &str, name: &str, password: &str, admin: bool) -> String {
        let mut mac = Hmac::<Sha1>::new_from_slice(self.secret.as_bytes())
            .expect("a key of any length will do");
        let role = if admin { "admin" } else { "notadmin" };
        mac.update([nonce, name, password, role].join("\0").as_bytes());
        let digest = mac.finalize().into_bytes();
        digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Where the client listener of a configuration answers.
pub(super) fn base(config: &Config) -> String {
    let scheme = if config.listen.client_has_tls() {
        "https"
    } else {
        "http"
    };
    format!("{scheme}://{}", config.listen.client)
}

async fn answer(response: reqwest::Response) -> Result<Value, Problem> {
    let status = response.status();
    let body: Value = response.json().await?;
    if status.is_success() {
        return Ok(body);
    }
    let error = body["error"].as_str().unwrap_or("no reason given");
    Err(Problem::new(format!("the server refuses: {error}")))
}
