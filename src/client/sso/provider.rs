//! How a provider is spoken to (OpenID Connect Core 1.0, Discovery 1.0).

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use aws_lc_rs::digest;
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use jsonwebtoken::{Algorithm, DecodingKey, Validation, jwk::JwkSet};
use parking_lot::Mutex;
use playhouse_actors::house::House;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use url::{Url, form_urlencoded};

use super::{cookie::Begun, mapping, used::Used};
use crate::{
    config::Provider,
    outbound::{Client, Trust},
};

/// A provider must answer within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);

/// An answer has at most so many bytes.
const ANSWER_BYTES_MAX: usize = 512 * 1024;

/// What a provider tells of itself is believed for so long.
const METADATA_LIFETIME_MS: u64 = 60 * 60 * 1000;

/// How identities may be signed: by keys that only the provider has.
const ALGORITHMS: [Algorithm; 9] = [
    Algorithm::RS256,
    Algorithm::RS384,
    Algorithm::RS512,
    Algorithm::PS256,
    Algorithm::PS384,
    Algorithm::PS512,
    Algorithm::ES256,
    Algorithm::ES384,
    Algorithm::EdDSA,
];

/// What a provider says of somebody.
pub(super) type Claims = Map<String, Value>;

/// What a provider tells of itself.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct Metadata {
    issuer: String,
    authorization_endpoint: String,
    token_endpoint: String,
    jwks_uri: String,
    userinfo_endpoint: Option<String>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: Option<String>,
}

/// What a browser was sent to a provider with.
pub(super) struct Sent<'a> {
    pub(super) begun: &'a Begun,
    /// Where the provider sends it back to.
    pub(super) callback: &'a str,
}

/// The way to all providers.
pub(crate) struct Providers {
    http: Client,
    /// What they said that is good once.
    pub(super) used: Used,
    known: Mutex<BTreeMap<String, (Metadata, u64)>>,
}

impl Providers {
    /// Nothing is known yet.
    pub(crate) fn new(trust: &Arc<Trust>, house: &House) -> Self {
        Self {
            http: Client::for_operators_choice(trust, |builder| builder.timeout(ANSWER_WITHIN)),
            used: Used::new(house),
            known: Mutex::default(),
        }
    }

    /// Where a browser is sent to be recognised.
    pub(super) async fn address(
        &self,
        provider: &Provider,
        sent: &Sent<'_>,
        now_ms: u64,
    ) -> Result<String, String> {
        let metadata = self.metadata(provider, now_ms).await?;
        let mut url =
            Url::parse(&metadata.authorization_endpoint).map_err(|error| error.to_string())?;
        let challenge = digest::digest(&digest::SHA256, sent.begun.verifier.as_bytes());
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &provider.client_id)
            .append_pair("redirect_uri", sent.callback)
            .append_pair("scope", &provider.scopes.join(" "))
            .append_pair("state", &sent.begun.state)
            .append_pair("nonce", &sent.begun.nonce)
            .append_pair("code_challenge", &URL_SAFE_NO_PAD.encode(challenge))
            .append_pair("code_challenge_method", "S256");
        if sent.begun.is_again() {
            url.query_pairs_mut().append_pair("prompt", "login");
        }
        Ok(url.into())
    }

    /// Whom a code stands for. What the provider signed is checked; what it adds at its `userinfo` endpoint must be of the same person.
    pub(super) async fn claims(
        &self,
        provider: &Provider,
        (code, sent): (&str, &Sent<'_>),
        now_ms: u64,
    ) -> Result<Claims, String> {
        let metadata = self.metadata(provider, now_ms).await?;
        let tokens = self.exchange(provider, &metadata, (code, sent)).await?;
        let keys: JwkSet = self.get(&metadata.jwks_uri, None).await?;
        let mut claims = checked(
            &tokens.id_token,
            &keys,
            (&metadata.issuer, &provider.client_id),
        )?;
        if claims.get("nonce").and_then(Value::as_str) != Some(sent.begun.nonce.as_str()) {
            return Err("the identity was made for another sign-in".to_owned());
        }
        if lacks(&claims, provider)
            && let (Some(url), Some(token)) = (&metadata.userinfo_endpoint, &tokens.access_token)
        {
            let more: Claims = self.get(url, Some(token)).await?;
            if more.get("sub") != claims.get("sub") {
                return Err("the provider told of somebody else".to_owned());
            }
            for (claim, value) in more {
                claims.entry(claim).or_insert(value);
            }
        }
        Ok(claims)
    }

    /// What a logout token says, if the provider signed it for us and it has not ended.
    pub(super) async fn logged_out(
        &self,
        provider: &Provider,
        token: &str,
        now_ms: u64,
    ) -> Result<Claims, String> {
        let metadata = self.metadata(provider, now_ms).await?;
        let keys: JwkSet = self.get(&metadata.jwks_uri, None).await?;
        let needed = ["exp", "iss", "aud"];
        signed(
            token,
            &keys,
            (&metadata.issuer, &provider.client_id),
            &needed,
        )
    }

    /// A text of bounded size.
    pub(super) async fn text(&self, url: &str) -> Result<String, String> {
        let body = body(self.http.get(url)).await?;
        String::from_utf8(body).map_err(|error| format!("the provider's answer: {error}"))
    }

    async fn metadata(&self, provider: &Provider, now_ms: u64) -> Result<Metadata, String> {
        if let Some((metadata, until_ms)) = self.known.lock().get(&provider.id)
            && now_ms < *until_ms
        {
            return Ok(metadata.clone());
        }
        let issuer = provider.issuer.trim_end_matches('/');
        let url = format!("{issuer}/.well-known/openid-configuration");
        let metadata: Metadata = self.get(&url, None).await?;
        if metadata.issuer.trim_end_matches('/') != issuer {
            return Err(format!("the provider calls itself {}", metadata.issuer));
        }
        let known = (metadata.clone(), now_ms + METADATA_LIFETIME_MS);
        self.known.lock().insert(provider.id.clone(), known);
        Ok(metadata)
    }

    async fn exchange(
        &self,
        provider: &Provider,
        metadata: &Metadata,
        (code, sent): (&str, &Sent<'_>),
    ) -> Result<Tokens, String> {
        let mut form = form_urlencoded::Serializer::new(String::new());
        form.append_pair("grant_type", "authorization_code")
            .append_pair("code", code)
            .append_pair("redirect_uri", sent.callback)
            .append_pair("code_verifier", &sent.begun.verifier)
            .append_pair("client_id", &provider.client_id);
        let methods = metadata.token_endpoint_auth_methods_supported.as_deref();
        let by_header = methods
            .is_none_or(|methods| methods.iter().any(|method| method == "client_secret_basic"));
        let mut basic = None;
        match &provider.client_secret {
            Some(secret) if by_header => {
                let encoded = |text: &str| {
                    form_urlencoded::byte_serialize(text.as_bytes()).collect::<String>()
                };
                let pair = format!("{}:{}", encoded(&provider.client_id), encoded(secret));
                basic = Some(format!("Basic {}", STANDARD.encode(pair)));
            }
            Some(secret) => drop(form.append_pair("client_secret", secret)),
            None => {}
        }
        let mut request = self
            .http
            .post(&metadata.token_endpoint)
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(form.finish());
        if let Some(basic) = basic {
            request = request.header("authorization", basic);
        }
        answer(request).await
    }

    async fn get<T: DeserializeOwned>(&self, url: &str, token: Option<&str>) -> Result<T, String> {
        let mut request = self.http.get(url).header("accept", "application/json");
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        answer(request).await
    }
}

/// Whether a claim that is needed here is still to be asked for.
fn lacks(claims: &Claims, provider: &Provider) -> bool {
    let needed = mapping::needed(provider).into_iter();
    let mut needed = needed
        .chain([&provider.subject_claim])
        .chain(provider.required_claims.keys());
    needed.any(|claim| !claims.contains_key(claim))
}

/// A JSON answer of bounded size.
async fn answer<T: DeserializeOwned>(request: reqwest::RequestBuilder) -> Result<T, String> {
    let body = body(request).await?;
    serde_json::from_slice(&body).map_err(|error| format!("the provider's answer: {error}"))
}

async fn body(request: reqwest::RequestBuilder) -> Result<Vec<u8>, String> {
    let mut response = request.send().await.map_err(|error| error.to_string())?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await.map_err(|error| error.to_string())? {
        body.extend_from_slice(&piece);
        if body.len() > ANSWER_BYTES_MAX {
            return Err("the provider's answer is too long".to_owned());
        }
    }
    if !status.is_success() {
        return Err(format!("the provider answered {status}"));
    }
    Ok(body)
}

/// What an identity token says, if the provider signed it for us and it is not too old.
fn checked(
    token: &str,
    keys: &JwkSet,
    (issuer, client_id): (&str, &str),
) -> Result<Claims, String> {
    let needed = ["exp", "iss", "aud", "sub"];
    let claims = signed(token, keys, (issuer, client_id), &needed)?;
    let party = claims.get("azp").and_then(Value::as_str);
    if party.is_some_and(|party| party != client_id) {
        return Err("the identity was made for another client".to_owned());
    }
    // A logout is signed by the same key, for us as well.
    if claims.contains_key("events") {
        return Err("the token is no identity".to_owned());
    }
    Ok(claims)
}

fn signed(
    token: &str,
    keys: &JwkSet,
    (issuer, client_id): (&str, &str),
    needed: &[&str],
) -> Result<Claims, String> {
    let header = jsonwebtoken::decode_header(token).map_err(|error| error.to_string())?;
    if !ALGORITHMS.contains(&header.alg) {
        return Err("the token is signed in a way that is not allowed".to_owned());
    }
    let key = match &header.kid {
        Some(id) => keys.find(id),
        None => keys.keys.first().filter(|_| keys.keys.len() == 1),
    };
    let key = key.ok_or("the token is signed by an unknown key")?;
    let key = DecodingKey::from_jwk(key).map_err(|error| error.to_string())?;
    let mut validation = Validation::new(header.alg);
    validation.set_issuer(&[issuer]);
    validation.set_audience(&[client_id]);
    validation.set_required_spec_claims(needed);
    let decoded = jsonwebtoken::decode::<Claims>(token, &key, &validation);
    decoded
        .map(|decoded| decoded.claims)
        .map_err(|error| error.to_string())
}
