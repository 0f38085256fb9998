//! What this server says to SAML providers: its metadata, and the question who somebody is (HTTP-Redirect binding).

use std::io::Write as _;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use flate2::{Compression, write::DeflateEncoder};
use url::Url;

use super::{canon::escape_value, instant};

/// How this server is called and where it takes answers.
pub(super) struct Ourselves {
    /// Our entity ID, which is where the metadata is.
    pub(super) entity_id: String,
    /// Where answers are sent.
    pub(super) consumer: String,
}

/// A question.
pub(super) struct Question<'a> {
    pub(super) id: &'a str,
    /// What comes back with the answer.
    pub(super) state: &'a str,
    /// The person must prove again who they are, even with a session there.
    pub(super) again: bool,
    pub(super) now_ms: u64,
}

impl Ourselves {
    /// The metadata (SAML 2.0 Metadata).
    pub(super) fn metadata(&self) -> String {
        let (entity_id, consumer) = (escaped(&self.entity_id), escaped(&self.consumer));
        format!(
            r#"<?xml version="1.0" encoding="UTF-8"?>
<md:EntityDescriptor xmlns:md="urn:oasis:names:tc:SAML:2.0:metadata" entityID="{entity_id}">
  <md:SPSSODescriptor AuthnRequestsSigned="false" WantAssertionsSigned="true" protocolSupportEnumeration="urn:oasis:names:tc:SAML:2.0:protocol">
    <md:AssertionConsumerService Binding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST" Location="{consumer}" index="1" isDefault="true"/>
  </md:SPSSODescriptor>
</md:EntityDescriptor>
"#
        )
    }

    /// Where a browser is sent with a question.
    pub(super) fn address(&self, sso_url: &str, question: &Question<'_>) -> Result<String, String> {
        let mut url = Url::parse(sso_url).map_err(|error| error.to_string())?;
        let again = if question.again {
            r#" ForceAuthn="true""#
        } else {
            ""
        };
        let request = format!(
            concat!(
                r#"<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" ID="{id}" Version="2.0" IssueInstant="{at}" Destination="{to}"{again}"#,
                r#" AssertionConsumerServiceURL="{consumer}" ProtocolBinding="urn:oasis:names:tc:SAML:2.0:bindings:HTTP-POST">"#,
                r#"<saml:Issuer xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion">{entity_id}</saml:Issuer></samlp:AuthnRequest>"#,
            ),
            id = escaped(question.id),
            at = instant::written(question.now_ms),
            to = escaped(sso_url),
            again = again,
            consumer = escaped(&self.consumer),
            entity_id = escaped(&self.entity_id),
        );
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::default());
        let packed = encoder
            .write_all(request.as_bytes())
            .and_then(|()| encoder.finish());
        let packed = packed.map_err(|error| error.to_string())?;
        url.query_pairs_mut()
            .append_pair("SAMLRequest", &STANDARD.encode(packed))
            .append_pair("RelayState", question.state);
        Ok(url.into())
    }
}

fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    escape_value(&mut escaped, text);
    escaped
}
