//! Making accounts, by whichever way a server offers, and logging in.

use hmac::{Hmac, KeyInit as _, Mac as _};
use serde_json::{Value, json};
use sha1::Sha1;

use super::{
    api::{User, accepted, value},
    target::Target,
    text::field,
    trouble::{Outcome, Trouble},
};

/// How accounts are made.
#[derive(Clone, Debug)]
pub(crate) enum Registration {
    /// Anybody, by `m.login.dummy`.
    Open,
    /// With a registration token.
    Token(String),
    /// With the secret that a server shares with its scripts.
    Shared(String),
}

impl Target {
    /// Makes an account with a fresh name.
    pub(crate) async fn register(&self) -> Outcome<User> {
        let name = self.fresh();
        let password = format!("password of {name}");
        let text = match &self.registration {
            Registration::Shared(secret) => self.register_shared(&name, &password, secret).await?,
            Registration::Open => self.register_in_stages(&name, &password, None).await?,
            Registration::Token(token) => {
                self.register_in_stages(&name, &password, Some(token))
                    .await?
            }
        };
        user_of(&text, password)
    }

    /// Logs in by password: a new session, thrown away with the next.
    pub(crate) async fn log_in(&self, user: &User) -> Outcome<User> {
        let body = json!({
            "type": "m.login.password", "password": user.password,
            "identifier": {"type": "m.id.user", "user": user.id},
        });
        let path = "/_matrix/client/v3/login";
        let answer = accepted(self.api.ask("POST", path, None, &body).await?)?;
        user_of(&String::from_utf8_lossy(&answer), user.password.clone())
    }

    async fn register_in_stages(
        &self,
        name: &str,
        password: &str,
        token: Option<&str>,
    ) -> Outcome<String> {
        let mut body = json!({"username": name, "password": password});
        // A server may ask for a stage that is taken for granted, terms for example, before the last one.
        for _ in 0..4 {
            let path = "/_matrix/client/v3/register";
            let answer = self.api.ask("POST", path, None, &body).await?;
            if answer.status != 401 {
                return Ok(String::from_utf8_lossy(&accepted(answer)?).into_owned());
            }
            let demand: Value = serde_json::from_slice(&answer.body)
                .map_err(|_| Trouble::Surprise("stages that are no JSON".to_owned()))?;
            let stage = next_stage(&demand, token.is_some())
                .ok_or_else(|| Trouble::Surprise("no way to register".to_owned()))?;
            body["auth"] = json!({"type": stage, "session": demand["session"], "token": token});
        }
        Err(Trouble::Surprise("endless stages".to_owned()))
    }

    async fn register_shared(&self, name: &str, password: &str, secret: &str) -> Outcome<String> {
        let path = "/_synapse/admin/v1/register";
        let answer = accepted(self.api.ask("GET", path, None, &Value::Null).await?)?;
        let nonce = value(&String::from_utf8_lossy(&answer), "nonce")?;
        let mut mac = Hmac::<Sha1>::new_from_slice(secret.as_bytes())
            .map_err(|_| Trouble::Setup("an unusable secret".to_owned()))?;
        mac.update([&nonce, name, password, "notadmin"].join("\0").as_bytes());
        let digits = mac.finalize().into_bytes();
        let mac: String = digits.iter().map(|byte| format!("{byte:02x}")).collect();
        let body = json!({
            "nonce": nonce, "username": name, "password": password, "admin": false, "mac": mac,
        });
        let answer = accepted(self.api.ask("POST", path, None, &body).await?)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

/// The first open stage of a flow that needs nothing but what we have.
fn next_stage(demand: &Value, has_token: bool) -> Option<&Value> {
    let wanted = if has_token {
        "m.login.registration_token"
    } else {
        "m.login.dummy"
    };
    let completed = demand["completed"].as_array();
    let stages = demand["flows"]
        .as_array()?
        .iter()
        .filter_map(|flow| flow["stages"].as_array())
        .find(|stages| stages.iter().any(|stage| stage == wanted))?;
    stages
        .iter()
        .find(|stage| completed.is_none_or(|done| !done.contains(stage)))
}

fn user_of(text: &str, password: String) -> Outcome<User> {
    match (field(text, "user_id"), field(text, "access_token")) {
        (Some(id), Some(token)) => Ok(User {
            id: id.to_owned(),
            token: token.to_owned(),
            password,
        }),
        _ => Err(Trouble::Surprise("an account without a session".to_owned())),
    }
}
