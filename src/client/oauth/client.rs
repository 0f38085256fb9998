//! What a client says of itself, and which addresses it may send its users back to (client-server API, "Client metadata").

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use url::{Host, Url};

use super::answer::Refusal;

/// So many addresses a client may have.
const REDIRECT_URIS_MAX: usize = 20;

/// So long may a name or an address be.
const TEXT_BYTES_MAX: usize = 1_024;

/// A client as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Client {
    /// Where it lives.
    pub(super) client_uri: String,
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) client_name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    logo_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) tos_uri: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) policy_uri: Option<String>,
    /// Where it may send its users back to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) redirect_uris: Vec<String>,
    response_types: Vec<String>,
    /// How it may get tokens.
    pub(super) grant_types: Vec<String>,
    application_type: String,
    token_endpoint_auth_method: String,
}

/// How clients get tokens here.
pub(super) const GRANT_TYPES: [&str; 3] = [AUTHORIZATION_CODE, REFRESH_TOKEN, DEVICE_CODE];
pub(super) const AUTHORIZATION_CODE: &str = "authorization_code";
pub(super) const REFRESH_TOKEN: &str = "refresh_token";
pub(super) const DEVICE_CODE: &str = "urn:ietf:params:oauth:grant-type:device_code";

impl Client {
    /// Reads and judges what a client says of itself. What is not known here is left out; texts in further languages are kept out too.
    pub(super) fn read(said: &Map<String, Value>) -> Result<Self, Refusal> {
        let client_uri = need(said, "client_uri")?;
        let base = web_address(&client_uri).ok_or_else(|| bad("client_uri is no https address"))?;
        let grant_types =
            list(said, "grant_types")?.unwrap_or_else(|| vec![AUTHORIZATION_CODE.to_owned()]);
        let grant_types: Vec<String> = grant_types
            .into_iter()
            .filter(|kind| GRANT_TYPES.contains(&kind.as_str()))
            .collect();
        if grant_types.is_empty() {
            return Err(bad("grant_types names none that is known here"));
        }
        let uses_code = grant_types.iter().any(|kind| kind == AUTHORIZATION_CODE);
        let response_types =
            list(said, "response_types")?.unwrap_or_else(|| vec!["code".to_owned()]);
        let response_types: Vec<String> = response_types
            .into_iter()
            .filter(|kind| kind == "code")
            .collect();
        if uses_code && response_types.is_empty() {
            return Err(bad("response_types lacks code"));
        }
        let application_type = text(said, "application_type")?.unwrap_or_else(|| "web".to_owned());
        let native = match application_type.as_str() {
            "web" => false,
            "native" => true,
            _ => return Err(bad("application_type is neither web nor native")),
        };
        let method = text(said, "token_endpoint_auth_method")?;
        if method.as_deref().is_some_and(|method| method != "none") {
            return Err(bad(
                "token_endpoint_auth_method: clients have no secrets here, say none",
            ));
        }
        let redirect_uris = list(said, "redirect_uris")?.unwrap_or_default();
        if redirect_uris.len() > REDIRECT_URIS_MAX || (uses_code && redirect_uris.is_empty()) {
            return Err(Refusal::new(
                "invalid_redirect_uri",
                "redirect_uris must name one address or more, not too many",
            ));
        }
        for uri in &redirect_uris {
            if !may_redirect(uri, &base, native) {
                return Err(Refusal::new(
                    "invalid_redirect_uri",
                    format!("{uri} is not allowed for this client"),
                ));
            }
        }
        let page = |name: &str| page_of(said, name, &base);
        Ok(Self {
            client_name: text(said, "client_name")?,
            logo_uri: page("logo_uri")?,
            tos_uri: page("tos_uri")?,
            policy_uri: page("policy_uri")?,
            client_uri,
            redirect_uris,
            response_types,
            grant_types,
            application_type,
            token_endpoint_auth_method: "none".to_owned(),
        })
    }

    /// Its name for people, or else its address.
    pub(super) fn name(&self) -> &str {
        self.client_name.as_deref().unwrap_or(&self.client_uri)
    }

    /// Whether it may send its users back there. The port of an address on the user's own machine is free.
    pub(super) fn may_return_to(&self, uri: &str) -> bool {
        self.redirect_uris.iter().any(|known| {
            known == uri || {
                let loopback = Url::parse(known).ok().filter(is_loopback);
                let asked = Url::parse(uri).ok().filter(is_loopback);
                loopback.zip(asked).is_some_and(|(known, mut asked)| {
                    asked.set_port(None).is_ok() && asked == known && uri.contains("://")
                })
            }
        })
    }

    /// Whether it said that it gets tokens so.
    pub(super) fn uses(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|kind| kind == grant_type)
    }
}

fn bad(why: impl Into<String>) -> Refusal {
    Refusal::new("invalid_client_metadata", why)
}

fn text(said: &Map<String, Value>, name: &str) -> Result<Option<String>, Refusal> {
    match said.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) if text.len() <= TEXT_BYTES_MAX => Ok(Some(text.clone())),
        Some(_) => Err(bad(format!("{name} is no text, or too long"))),
    }
}

fn need(said: &Map<String, Value>, name: &str) -> Result<String, Refusal> {
    text(said, name)?.ok_or_else(|| bad(format!("{name} is missing")))
}

fn list(said: &Map<String, Value>, name: &str) -> Result<Option<Vec<String>>, Refusal> {
    let wrong = || bad(format!("{name} is no list of texts"));
    let values = match said.get(name) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Array(values)) if values.len() <= 100 => values,
        Some(_) => return Err(wrong()),
    };
    let texts = values.iter().map(|value| {
        let text = value.as_str().filter(|text| text.len() <= TEXT_BYTES_MAX);
        text.map(str::to_owned).ok_or_else(wrong)
    });
    texts.collect::<Result<_, _>>().map(Some)
}

/// A page of the client: on its own host, else it is no client's.
fn page_of(said: &Map<String, Value>, name: &str, base: &Url) -> Result<Option<String>, Refusal> {
    let Some(page) = text(said, name)? else {
        return Ok(None);
    };
    match web_address(&page) {
        Some(url) if is_within(&url, base) => Ok(Some(page)),
        _ => Err(bad(format!(
            "{name} is no https address on the host of client_uri"
        ))),
    }
}

/// An https address of a host with a name, without a name or password in it.
fn web_address(text: &str) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.scheme() == "https"
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.host(), Some(Host::Domain(name)) if name != "localhost");
    plain.then_some(url)
}

/// Whether an address is on the host of another or below it.
fn is_within(url: &Url, base: &Url) -> bool {
    let (Some(host), Some(base)) = (url.host_str(), base.host_str()) else {
        return false;
    };
    host == base
        || host
            .strip_suffix(base)
            .is_some_and(|rest| rest.ends_with('.'))
}

fn is_loopback(url: &Url) -> bool {
    url.scheme() == "http"
        && url.username().is_empty()
        && url.password().is_none()
        && matches!(url.host_str(), Some("localhost" | "127.0.0.1" | "[::1]"))
}

/// Client-server API, "Redirect URI validation".
fn may_redirect(uri: &str, base: &Url, native: bool) -> bool {
    let Ok(url) = Url::parse(uri) else {
        return false;
    };
    if url.fragment().is_some() {
        return false;
    }
    if web_address(uri).is_some_and(|url| is_within(&url, base)) {
        return true;
    }
    if !native {
        return false;
    }
    if is_loopback(&url) {
        return url.port().is_none() && !names_a_port(uri);
    }
    is_own_scheme(uri, url.scheme(), base)
}

/// `Url` drops a port that is the scheme's own.
fn names_a_port(uri: &str) -> bool {
    let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next().unwrap_or_default();
    let after_host = authority.rsplit(']').next().unwrap_or_default();
    after_host.contains(':')
}

/// A scheme that begins with the client's host in reverse order, and no host after it.
fn is_own_scheme(uri: &str, scheme: &str, base: &Url) -> bool {
    let mut labels: Vec<&str> = base.host_str().unwrap_or_default().split('.').collect();
    labels.reverse();
    let reversed = labels.join(".");
    let own = scheme == reversed
        || scheme
            .strip_prefix(&reversed)
            .is_some_and(|rest| rest.starts_with('.'));
    let rest = uri.split_once(':').map_or("", |(_, rest)| rest);
    own && labels.len() > 1 && !rest.starts_with("//")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(client_uri: &str, kind: &str, uris: &[&str]) -> Result<Client, Refusal> {
        let said =
            json!({"client_uri": client_uri, "application_type": kind, "redirect_uris": uris});
        Client::read(said.as_object().unwrap())
    }

    #[test]
    fn web_clients_return_to_their_own_host() {
        for good in [
            "https://example.com/callback",
            "https://app.example.com/callback",
            "https://example.com:5173/?query=value",
        ] {
            assert!(
                read("https://example.com/", "web", &[good]).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "https://example.com/callback#fragment",
            "http://example.com/callback",
            "http://localhost/",
            "https://notexample.com/",
            "https://user@example.com/",
            "com.example:/callback",
            "javascript:alert(1)",
            "nonsense",
        ] {
            let refused = read("https://example.com/", "web", &[bad]).unwrap_err();
            assert_eq!(refused.code, "invalid_redirect_uri", "{bad}");
        }
    }

    #[test]
    fn native_clients_return_to_their_scheme_or_machine() {
        for good in [
            "com.example.app:/callback",
            "com.example:/",
            "com.example:callback",
            "http://localhost/callback",
            "http://127.0.0.1/callback",
            "http://[::1]/callback",
            "https://app.example.com/callback",
        ] {
            assert!(
                read("https://example.com/", "native", &[good]).is_ok(),
                "{good}"
            );
        }
        for bad in [
            "example:/callback",
            "com.example.app://callback",
            "com.examples:/callback",
            "https://localhost/callback",
            "http://localhost:1234/callback",
            "http://localhost:80/callback",
            "http://192.0.2.1/callback",
        ] {
            assert!(
                read("https://example.com/", "native", &[bad]).is_err(),
                "{bad}"
            );
        }
    }

    #[test]
    fn any_port_of_the_own_machine_will_do() {
        let client = read(
            "https://example.com/",
            "native",
            &["http://localhost/callback", "com.example:/back"],
        )
        .unwrap();
        assert!(client.may_return_to("http://localhost:4711/callback"));
        assert!(client.may_return_to("http://localhost/callback"));
        assert!(client.may_return_to("com.example:/back"));
        for bad in [
            "http://localhost:4711/other",
            "http://127.0.0.1:4711/callback",
            "https://localhost/callback",
            "com.example:/back2",
        ] {
            assert!(!client.may_return_to(bad), "{bad}");
        }
    }

    #[test]
    fn what_is_not_known_is_left_out() {
        let said = json!({
            "client_uri": "https://example.com/", "client_name": "App", "client_name#fr": "Appli",
            "redirect_uris": ["https://example.com/"], "response_types": ["code", "token"],
            "grant_types": ["authorization_code", "refresh_token", "password"], "token_endpoint_auth_method": "none",
            "logo_uri": "https://example.com/logo.png",
        });
        let client = Client::read(said.as_object().unwrap()).unwrap();
        let kept = serde_json::to_value(&client).unwrap();
        assert_eq!(
            kept["grant_types"],
            json!(["authorization_code", "refresh_token"])
        );
        assert_eq!(kept["response_types"], json!(["code"]));
        assert!(kept.get("client_name#fr").is_none());
        let elsewhere = json!({"client_uri": "https://example.com/", "redirect_uris": ["https://example.com/"], "logo_uri": "https://evil.test/"});
        assert!(Client::read(elsewhere.as_object().unwrap()).is_err());
        let secret = json!({"client_uri": "https://example.com/", "redirect_uris": ["https://example.com/"], "token_endpoint_auth_method": "client_secret_basic"});
        assert!(Client::read(secret.as_object().unwrap()).is_err());
    }
}
