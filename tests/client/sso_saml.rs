//! Single sign-on by SAML 2.0, with a provider that the test plays. What it signs it writes down in canonical form, letter for letter.

use aws_lc_rs::{
    digest,
    encoding::AsDer as _,
    rand::SystemRandom,
    rsa::{KeyPair as RsaKeyPair, KeySize},
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::read::DeflateDecoder;

use super::{
    browser::{Browser, Shown},
    sso::{APP, REDIRECT, log_in, parameter},
    stage::on_own_servers,
};
use crate::harness::Client;

pub(super) const ANSWER: &str = "/_synapse/client/saml2/authn_response";
const METADATA: &str = "/_synapse/client/saml2/metadata.xml";
const ISSUER: &str = "https://idp.test/metadata";
const SSO_URL: &str = "https://idp.test/sso?tenant=1";

pub(super) const SAML: &str = "urn:oasis:names:tc:SAML:2.0:assertion";
const SAMLP: &str = "urn:oasis:names:tc:SAML:2.0:protocol";
const DS: &str = "http://www.w3.org/2000/09/xmldsig#";
const C14N: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";

/// By what a provider signs.
pub(super) enum Key {
    Rsa(RsaKeyPair),
    Ecdsa(EcdsaKeyPair),
}

impl Key {
    pub(super) fn rsa() -> Self {
        Self::Rsa(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))
    }

    fn ecdsa() -> Self {
        Self::Ecdsa(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key"))
    }

    fn pem(&self) -> String {
        let der = match self {
            Self::Rsa(key) => key.public_key().as_der().expect("a key").as_ref().to_vec(),
            Self::Ecdsa(key) => key.public_key().as_der().expect("a key").as_ref().to_vec(),
        };
        let text = STANDARD.encode(der);
        format!("-----BEGIN PUBLIC KEY-----\\n{text}\\n-----END PUBLIC KEY-----\\n")
    }

    fn method(&self) -> &'static str {
        match self {
            Self::Rsa(_) => "rsa-sha256",
            Self::Ecdsa(_) => "ecdsa-sha256",
        }
    }

    fn sign(&self, text: &str) -> String {
        let random = SystemRandom::new();
        let signature = match self {
            Self::Rsa(key) => {
                let mut signature = vec![0; key.public_modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, text.as_bytes(), &mut signature)
                    .expect("signed");
                signature
            }
            Self::Ecdsa(key) => {
                let signature = key.sign(&random, text.as_bytes()).expect("signed");
                signature.as_ref().to_vec()
            }
        };
        STANDARD.encode(signature)
    }

    /// The same element with a signature over it in place of `{SIG}`. It is written as its canonical form is.
    pub(super) fn signed(&self, element: &str) -> String {
        let id = element.split(" ID=\"").nth(1).expect("an ID");
        let id = id.split('"').next().expect("an ID");
        let bare = element.replacen("{SIG}", "", 1);
        let digest = STANDARD.encode(digest::digest(&digest::SHA256, bare.as_bytes()));
        let info = |namespace: &str| {
            format!(
                concat!(
                    r#"<ds:SignedInfo{ns}><ds:CanonicalizationMethod Algorithm="{c14n}"></ds:CanonicalizationMethod>"#,
                    r#"<ds:SignatureMethod Algorithm="http://www.w3.org/2001/04/xmldsig-more#{method}"></ds:SignatureMethod>"#,
                    r##"<ds:Reference URI="#{id}"><ds:Transforms><ds:Transform Algorithm="http://www.w3.org/2000/09/xmldsig#enveloped-signature"></ds:Transform>"##,
                    r#"<ds:Transform Algorithm="{c14n}"></ds:Transform></ds:Transforms>"#,
                    r#"<ds:DigestMethod Algorithm="http://www.w3.org/2001/04/xmlenc#sha256"></ds:DigestMethod>"#,
                    r#"<ds:DigestValue>{digest}</ds:DigestValue></ds:Reference></ds:SignedInfo>"#,
                ),
                ns = namespace,
                c14n = C14N,
                method = self.method(),
                id = id,
                digest = digest,
            )
        };
        let value = self.sign(&info(&format!(" xmlns:ds=\"{DS}\"")));
        let signature = format!(
            "<ds:Signature xmlns:ds=\"{DS}\">{}<ds:SignatureValue>{value}</ds:SignatureValue></ds:Signature>",
            info("")
        );
        element.replacen("{SIG}", &signature, 1)
    }
}

/// What the provider was asked, and what it makes of it.
pub(super) struct Asked {
    id: String,
    audience: String,
    pub(super) consumer: String,
    pub(super) state: String,
}

/// What an assertion says.
#[derive(Clone)]
pub(super) struct Said<'a> {
    pub(super) id: &'a str,
    pub(super) name: &'a str,
    pub(super) audience: &'a str,
    pub(super) recipient: &'a str,
    pub(super) request: &'a str,
    pub(super) issuer: &'a str,
    pub(super) ends: &'a str,
}

impl Asked {
    pub(super) fn said<'a>(&'a self, id: &'a str, name: &'a str) -> Said<'a> {
        Said {
            id,
            name,
            audience: &self.audience,
            recipient: &self.consumer,
            request: &self.id,
            issuer: ISSUER,
            ends: "2099-01-01T00:00:00Z",
        }
    }

    pub(super) fn response(&self, id: &str, inner: &str) -> String {
        let (to, about) = (&self.consumer, &self.id);
        format!(
            concat!(
                r#"<samlp:Response xmlns:samlp="{samlp}" Destination="{to}" ID="{id}" InResponseTo="{about}" IssueInstant="2026-01-01T00:00:00Z" Version="2.0">"#,
                r#"<saml:Issuer xmlns:saml="{saml}">{issuer}</saml:Issuer>{{SIG}}"#,
                r#"<samlp:Status><samlp:StatusCode Value="urn:oasis:names:tc:SAML:2.0:status:Success"></samlp:StatusCode></samlp:Status>{inner}</samlp:Response>"#,
            ),
            samlp = SAMLP,
            saml = SAML,
            to = to,
            id = id,
            about = about,
            issuer = ISSUER,
            inner = inner,
        )
    }
}

impl Said<'_> {
    pub(super) fn assertion(&self) -> String {
        format!(
            concat!(
                r#"<saml:Assertion xmlns:saml="{saml}" ID="{id}" IssueInstant="2026-01-01T00:00:00Z" Version="2.0"><saml:Issuer>{issuer}</saml:Issuer>{{SIG}}"#,
                r#"<saml:Subject><saml:NameID>{name}</saml:NameID><saml:SubjectConfirmation Method="urn:oasis:names:tc:SAML:2.0:cm:bearer">"#,
                r#"<saml:SubjectConfirmationData InResponseTo="{request}" NotOnOrAfter="{ends}" Recipient="{recipient}"></saml:SubjectConfirmationData></saml:SubjectConfirmation></saml:Subject>"#,
                r#"<saml:Conditions NotBefore="2020-01-01T00:00:00Z" NotOnOrAfter="{ends}"><saml:AudienceRestriction><saml:Audience>{audience}</saml:Audience></saml:AudienceRestriction></saml:Conditions>"#,
                r#"<saml:AuthnStatement AuthnInstant="2026-01-01T00:00:00Z" SessionIndex="s"></saml:AuthnStatement>"#,
                r#"<saml:AttributeStatement><saml:Attribute Name="urn:oid:0.9" FriendlyName="uid"><saml:AttributeValue>{name}</saml:AttributeValue></saml:Attribute></saml:AttributeStatement></saml:Assertion>"#,
            ),
            saml = SAML,
            id = self.id,
            issuer = self.issuer,
            name = self.name,
            request = self.request,
            ends = self.ends,
            recipient = self.recipient,
            audience = self.audience,
        )
        // Canonical order of attributes.
        .replace(
            r#"Name="urn:oid:0.9" FriendlyName="uid""#,
            r#"FriendlyName="uid" Name="urn:oid:0.9""#,
        )
    }
}

/// Without any signature.
pub(super) fn bare(element: &str) -> String {
    element.replace("{SIG}", "")
}

/// A value of a query as it was before it was encoded.
fn decoded(text: &str) -> String {
    let pairs = format!("text={text}");
    let mut pairs = url::form_urlencoded::parse(pairs.as_bytes());
    pairs.next().expect("a pair").1.into_owned()
}

/// Asks in a browser, as a client does.
pub(super) async fn ask(browser: &Browser) -> Asked {
    let start = browser
        .open(&format!("{REDIRECT}/saml?redirectUrl={APP}"))
        .await;
    assert_eq!(start.status, 302, "{}", start.html);
    assert!(start.location.starts_with(SSO_URL), "{}", start.location);
    let packed = STANDARD
        .decode(decoded(&parameter(&start.location, "SAMLRequest")))
        .expect("base64");
    let mut request = String::new();
    std::io::Read::read_to_string(&mut DeflateDecoder::new(packed.as_slice()), &mut request)
        .expect("packed text");
    let part = |from: &str, to: &str| {
        let (_, rest) = request.split_once(from).expect("a part");
        rest.split(to).next().expect("a part").to_owned()
    };
    Asked {
        id: part(" ID=\"", "\""),
        consumer: part(" AssertionConsumerServiceURL=\"", "\""),
        audience: part("assertion\">", "</saml:Issuer>"),
        state: parameter(&start.location, "RelayState"),
    }
}

pub(super) async fn answer(browser: &Browser, asked: &Asked, xml: &str) -> Shown {
    let xml = STANDARD.encode(xml);
    let fields = [("SAMLResponse", xml.as_str()), ("RelayState", &asked.state)];
    browser.post(ANSWER, &fields).await
}

pub(super) fn settings(key: &Key) -> String {
    format!(
        "[{{ id = \"saml\", name = \"SAML\", kind = \"saml\", issuer = \"{ISSUER}\", sso_url = \"{SSO_URL}\", certificates = \"{}\", localpart_claim = \"uid\" }}]",
        key.pem()
    )
}

async fn enters(client: &Client, browser: &Browser, shown: &Shown) -> String {
    assert_eq!(shown.status, 200, "{}", shown.html);
    let back = browser.submit(shown, &[]).await;
    log_in(client, &back.location).await
}

#[tokio::test(flavor = "multi_thread")]
async fn signed_answers_are_believed() {
    for key in [Key::rsa(), Key::ecdsa()] {
        let providers = settings(&key);
        let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
        on_own_servers(&settings, async |server| {
            let client = server.client();
            let (status, metadata) = client.text(METADATA).await;
            assert!(status == 200 && metadata.contains(ANSWER), "{metadata}");
            // The assertion is signed, the answer, or both; it need not be written as it is signed.
            for how in ["assertion", "response", "both", "spaced"] {
                let browser = Browser::new(&client);
                let asked = ask(&browser).await;
                assert!(metadata.contains(&asked.audience), "{metadata}");
                let id = format!("_{how}");
                let assertion = asked.said(&id, "nora").assertion();
                let xml = match how {
                    "assertion" => bare(&asked.response("_r", &key.signed(&assertion))),
                    "response" => key.signed(&asked.response("_r", &bare(&assertion))),
                    "both" => both_signed(&key, &asked, &key.signed(&assertion)),
                    _ => {
                        let xml = bare(&asked.response("_r", &key.signed(&assertion)));
                        let moved = format!("xmlns:x='u:x' xmlns:saml=\"{SAML}\" ID=");
                        xml.replace(&format!("xmlns:saml=\"{SAML}\" ID="), &moved)
                            .replace(
                                " Version=\"2.0\"><saml:Issuer>",
                                "\n Version = '2.0'  ><saml:Issuer>",
                            )
                            .replace("></saml:AuthnStatement>", "/>")
                    }
                };
                let shown = answer(&browser, &asked, &xml).await;
                assert_eq!(
                    enters(&client, &browser, &shown).await,
                    "@nora:playhouse.test",
                    "{how}"
                );
                // The same answer once more, in the same browser and in another.
                let again = answer(&browser, &asked, &xml).await;
                assert_eq!(again.status, 400, "{how}: {}", again.html);
                let other = answer(&Browser::new(&client), &asked, &xml).await;
                assert_eq!(other.status, 400, "{how}: {}", other.html);
            }
        })
        .await;
    }
}

/// An answer that is signed around an assertion that is signed already.
fn both_signed(key: &Key, asked: &Asked, assertion: &str) -> String {
    key.signed(&asked.response("_r", assertion))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_good_once() {
    let key = Key::rsa();
    let providers = settings(&key);
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let browser = Browser::new(&client);
        let asked = ask(&browser).await;
        let kept = browser.cookies();
        let assertion = asked.said("_a", "nora").assertion();
        let xml = bare(&asked.response("_r", &key.signed(&assertion)));
        assert_eq!(answer(&browser, &asked, &xml).await.status, 200);
        // Even when the browser keeps what it should have forgotten.
        let thief = Browser::new(&client).with_cookies(kept.clone());
        assert_eq!(answer(&thief, &asked, &xml).await.status, 502);
        // Nor is a second answer to the same question.
        let second = asked.said("_b", "nora").assertion();
        let xml = bare(&asked.response("_r", &key.signed(&second)));
        let thief = Browser::new(&client).with_cookies(kept);
        assert_eq!(answer(&thief, &asked, &xml).await.status, 502);
    })
    .await;
}
