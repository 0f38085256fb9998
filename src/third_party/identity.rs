//! Asks identity servers (identity service API): whose an address is, to keep an invite for somebody without an account, to publish or forget whose it is.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use playhouse_actors::{env::Env, threepid::Address};
use reqwest::Method;
use ruma::{OwnedUserId, ServerName, UserId, api::error::ErrorCode};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};

use crate::{
    config::{Config, Identity as Settings},
    edge::Failure,
    outbound::{AddressRules, Client, SystemLookup, Trust},
};

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 256 * 1024;

/// A token for an identity server has at most so many bytes.
const TOKEN_BYTES_MAX: usize = 4 * 1024;

/// The way to identity servers.
pub(crate) struct IdentityServers {
    http: Client,
    addresses: AddressRules,
    settings: Settings,
}

/// An identity server and the user's access token there.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asking<'a> {
    /// Host, perhaps with a port.
    pub(crate) server: &'a str,
    /// The token.
    pub(crate) token: &'a str,
}

/// An invite that the identity server keeps.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct StoredInvite {
    /// Under this name.
    pub(crate) token: String,
    /// Keys with which it will be signed.
    #[serde(default)]
    pub(crate) public_keys: Vec<PublicKey>,
    /// What of the address may be shown.
    pub(crate) display_name: String,
}

/// A key and where it can be checked.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct PublicKey {
    /// The key.
    pub(crate) public_key: String,
    /// Where to ask whether it is still good.
    pub(crate) key_validity_url: String,
}

#[derive(Deserialize)]
struct HashDetails {
    lookup_pepper: String,
    algorithms: Vec<String>,
}

#[derive(Deserialize)]
struct Found {
    mappings: std::collections::BTreeMap<String, OwnedUserId>,
}

/// What an identity server said when asked to bind.
#[derive(Deserialize)]
pub(crate) struct Bound {
    /// The medium.
    pub(crate) medium: String,
    /// The address.
    pub(crate) address: String,
}

impl IdentityServers {
    /// As configured.
    pub(super) fn new(config: &Config, trust: &Arc<Trust>) -> Self {
        let settings = &config.identity;
        let addresses = AddressRules::new(&settings.allow_networks, &config.outbound.deny_networks);
        let guarded = (addresses.clone(), Arc::new(SystemLookup) as _);
        Self {
            http: Client::for_strangers_choice(trust, guarded, |builder| {
                builder.timeout(super::ANSWER_WITHIN)
            }),
            addresses,
            settings: settings.clone(),
        }
    }

    /// Whose an address is, as far as the identity server knows.
    pub(crate) async fn look_up(
        &self,
        asking: Asking<'_>,
        address: &Address,
    ) -> Result<Option<OwnedUserId>, Failure> {
        let path = "/_matrix/identity/v2/hash_details";
        let details: HashDetails = self.ask(asking, (Method::GET, path), None).await?;
        let plain = format!("{} {}", address.address, address.medium.as_str());
        let knows = |name: &str| details.algorithms.iter().any(|known| known == name);
        let (algorithm, asked) = if knows("sha256") {
            let peppered = format!("{plain} {}", details.lookup_pepper);
            let hash = digest(&SHA256, peppered.as_bytes());
            ("sha256", URL_SAFE_NO_PAD.encode(hash.as_ref()))
        } else if knows("none") {
            ("none", plain)
        } else {
            return Err(unusable("the identity server hashes in an unknown way"));
        };
        let body = json!({
            "addresses": [asked], "algorithm": algorithm, "pepper": details.lookup_pepper
        });
        let path = "/_matrix/identity/v2/lookup";
        let found: Found = self.ask(asking, (Method::POST, path), Some(&body)).await?;
        Ok(found.mappings.get(&asked).cloned())
    }

    /// Lets the identity server keep an invite until its recipient comes.
    pub(crate) async fn store_invite(
        &self,
        asking: Asking<'_>,
        invite: &Value,
    ) -> Result<StoredInvite, Failure> {
        let path = "/_matrix/identity/v2/store-invite";
        self.ask(asking, (Method::POST, path), Some(invite)).await
    }

    /// Publishes whose an address is.
    pub(crate) async fn bind(
        &self,
        asking: Asking<'_>,
        (sid, client_secret): (&str, &str),
        user_id: &UserId,
    ) -> Result<Bound, Failure> {
        let body = json!({"sid": sid, "client_secret": client_secret, "mxid": user_id});
        let path = "/_matrix/identity/v2/3pid/bind";
        self.ask(asking, (Method::POST, path), Some(&body)).await
    }

    /// Lets the identity server forget whose an address is; `false` when it cannot.
    pub(crate) async fn unbind(
        &self,
        env: &Env,
        server: &str,
        (address, user_id): (&Address, &UserId),
    ) -> Result<bool, Failure> {
        let path = "/_matrix/identity/v2/3pid/unbind";
        let body = json!({
            "mxid": user_id,
            "threepid": {"medium": address.medium.as_str(), "address": address.address}
        });
        let authorization = signed(env, server, path, &body)?;
        let request = self
            .http
            .post(self.url(server, path)?)
            .header("authorization", authorization)
            .json(&body);
        let response = request.send().await.map_err(|error| {
            tracing::info!(server, error = %error.without_url(), "identity server cannot be asked");
            unusable("the identity server cannot be reached")
        })?;
        match response.status().as_u16() {
            200..=299 => Ok(true),
            // What servers say that know no such binding, or no unbinding.
            400 | 404 | 501 => Ok(false),
            _ => Err(unusable("the identity server does not forget")),
        }
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        asking: Asking<'_>,
        (method, path): (Method, &str),
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let token = asking.token;
        if token.len() > TOKEN_BYTES_MAX || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::invalid_param("id_access_token is malformed"));
        }
        let mut request = self
            .http
            .request(method, self.url(asking.server, path)?)
            .header("authorization", format!("Bearer {token}"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(|error| {
            let server = asking.server;
            tracing::info!(server, error = %error.without_url(), "identity server cannot be asked");
            unusable("the identity server cannot be reached")
        })?;
        let status = response.status().as_u16();
        let body = super::bounded(response, ANSWER_BYTES_MAX)
            .await
            .map_err(|_| unusable("the identity server's answer is unusable"))?;
        if (200..300).contains(&status) {
            return serde_json::from_slice(&body)
                .map_err(|_| unusable("the identity server's answer is unusable"));
        }
        Err(relayed(status, &body))
    }

    fn url(&self, server: &str, path: &str) -> Result<String, Failure> {
        let name = <&ServerName>::try_from(server)
            .map_err(|_| Failure::invalid_param("id_server is no host name"))?;
        let trusted = &self.settings.servers;
        let named = |list: &[String]| list.iter().any(|known| known.eq_ignore_ascii_case(server));
        if !trusted.is_empty() && !named(trusted) {
            return Err(denied("this identity server is not trusted here"));
        }
        if !self.addresses.permit_host(name.host()) {
            return Err(denied("this identity server may not be asked"));
        }
        let scheme = if named(&self.settings.plain_http_servers) {
            "http"
        } else {
            "https"
        };
        Ok(format!("{scheme}://{server}{path}"))
    }
}

/// The identity server's own refusal, if it has said one that a client can read.
fn relayed(status: u16, body: &[u8]) -> Failure {
    #[derive(Deserialize)]
    struct Refusal {
        errcode: String,
        #[serde(default)]
        error: String,
    }
    match serde_json::from_slice::<Refusal>(body) {
        Ok(refusal) if (400..500).contains(&status) => {
            // A 401 of ours would end the session of a client here, which is not meant.
            let status = if status == 401 { 403 } else { status };
            let error: String = refusal.error.chars().take(200).collect();
            Failure::new(
                ErrorCode::from(refusal.errcode),
                format!("the identity server refuses: {error}"),
            )
            .with_status(status)
        }
        _ => unusable("the identity server does not answer as it should"),
    }
}

fn denied(message: &'static str) -> Failure {
    Failure::new(ErrorCode::from("M_SERVER_NOT_TRUSTED"), message).with_status(403)
}

fn unusable(message: &'static str) -> Failure {
    Failure::new(ErrorCode::Unknown, message).with_status(502)
}

/// The `Authorization` header of a request that this server signs as it does for other servers. What identity servers verify names them by
/// `destination_is`, which the header does not repeat.
fn signed(env: &Env, server: &str, path: &str, body: &Value) -> Result<String, Failure> {
    let origin = env.server_name();
    let request = json!({
        "method": "POST", "uri": path, "origin": origin, "destination_is": server, "content": body
    });
    let Ok(ruma::CanonicalJsonValue::Object(mut object)) =
        ruma::CanonicalJsonValue::try_from(request)
    else {
        return Err(Failure::internal("a request is no canonical JSON"));
    };
    let signer = &env.identity.signer;
    ruma::signatures::sign_json(origin.as_str(), signer, &mut object).map_err(Failure::internal)?;
    let signatures = serde_json::to_value(&object["signatures"]).map_err(Failure::internal)?;
    let key = signer.key_id().as_str();
    let signature = signatures[origin.as_str()][key]
        .as_str()
        .ok_or_else(|| Failure::internal("a signature is missing"))?;
    Ok(format!(
        "X-Matrix origin=\"{origin}\",key=\"{key}\",sig=\"{signature}\""
    ))
}
