//! Signatures of XML elements (W3C, "XML Signature Syntax and Processing"), as far as SAML needs them: enveloped, by RSA or ECDSA, over the element that the
//! signature stands in.
//!
//! Nothing is looked up by its ID: an element is signed if a signature stands directly in it and is about just that element.

use aws_lc_rs::{
    digest,
    signature::{self, UnparsedPublicKey, VerificationAlgorithm},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use roxmltree::Node;

use super::{
    canon::{Wish, canonical},
    keys::PublicKey,
};

/// The namespace of signatures.
pub(super) const DS: &str = "http://www.w3.org/2000/09/xmldsig#";

const EXCLUSIVE: &str = "http://www.w3.org/2001/10/xml-exc-c14n#";
const ENVELOPED: &str = "http://www.w3.org/2000/09/xmldsig#enveloped-signature";

/// Whether an element is signed by one of the keys. A signature that is there and does not hold is an error.
pub(super) fn is_signed(element: Node<'_, '_>, keys: &[PublicKey]) -> Result<bool, String> {
    let mut signatures = element
        .children()
        .filter(|child| child.has_tag_name((DS, "Signature")));
    let Some(signature) = signatures.next() else {
        return Ok(false);
    };
    if signatures.next().is_some() {
        return Err("an element has two signatures".to_owned());
    }
    let parts: Vec<_> = elements(signature)?;
    let [info, value, rest @ ..] = parts.as_slice() else {
        return Err("a signature is incomplete".to_owned());
    };
    let is_plain = info.has_tag_name((DS, "SignedInfo"))
        && value.has_tag_name((DS, "SignatureValue"))
        && rest.len() <= 1
        && rest.iter().all(|part| part.has_tag_name((DS, "KeyInfo")));
    if !is_plain {
        return Err("a signature has parts that it must not have".to_owned());
    }
    let [method, algorithm, reference] = elements(*info)?
        .try_into()
        .map_err(|_| "a signature is not about one thing".to_owned())?;
    let prefixes = canonicalisation(method, "CanonicalizationMethod")?;
    check_reference(element, (signature, reference))?;
    let algorithm = verification(attribute_of(algorithm, "SignatureMethod", "Algorithm")?)?;
    let signed = canonical(
        *info,
        Wish {
            without: None,
            inclusive: &prefixes,
        },
    )?;
    let value = decoded(*value)?;
    let holds = |key: &PublicKey| {
        UnparsedPublicKey::new(algorithm, key.as_ref())
            .verify(signed.as_bytes(), &value)
            .is_ok()
    };
    if keys.iter().any(holds) {
        Ok(true)
    } else {
        Err("a signature is by none of the keys".to_owned())
    }
}

/// A reference must be about the element that its signature stands in, and its digest must be right.
fn check_reference(
    element: Node<'_, '_>,
    (signature, reference): (Node<'_, '_>, Node<'_, '_>),
) -> Result<(), String> {
    let id = element.attribute("ID").filter(|id| !id.is_empty());
    let about = attribute_of(reference, "Reference", "URI")?;
    if id.is_none() || about.strip_prefix('#') != id {
        return Err("a signature is about another element".to_owned());
    }
    let [transforms, method, value] = elements(reference)?
        .try_into()
        .map_err(|_| "a reference is incomplete".to_owned())?;
    if !transforms.has_tag_name((DS, "Transforms")) || !value.has_tag_name((DS, "DigestValue")) {
        return Err("a reference is incomplete".to_owned());
    }
    let [enveloped, canonicalised] = elements(transforms)?
        .try_into()
        .map_err(|_| "a reference is transformed in a way that is not allowed".to_owned())?;
    if attribute_of(enveloped, "Transform", "Algorithm")? != ENVELOPED {
        return Err("a signature is not enveloped".to_owned());
    }
    let prefixes = canonicalisation(canonicalised, "Transform")?;
    let algorithm = match attribute_of(method, "DigestMethod", "Algorithm")? {
        "http://www.w3.org/2001/04/xmlenc#sha256" => &digest::SHA256,
        "http://www.w3.org/2001/04/xmldsig-more#sha384" => &digest::SHA384,
        "http://www.w3.org/2001/04/xmlenc#sha512" => &digest::SHA512,
        other => return Err(format!("the digest method {other} is not allowed")),
    };
    let wish = Wish {
        without: Some(signature.id()),
        inclusive: &prefixes,
    };
    let found = digest::digest(algorithm, canonical(element, wish)?.as_bytes());
    if decoded(value)? == found.as_ref() {
        Ok(())
    } else {
        Err("what is signed was changed".to_owned())
    }
}

fn verification(method: &str) -> Result<&'static dyn VerificationAlgorithm, String> {
    Ok(match method {
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha256" => {
            &signature::RSA_PKCS1_2048_8192_SHA256
        }
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha384" => {
            &signature::RSA_PKCS1_2048_8192_SHA384
        }
        "http://www.w3.org/2001/04/xmldsig-more#rsa-sha512" => {
            &signature::RSA_PKCS1_2048_8192_SHA512
        }
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha256" => {
            &signature::ECDSA_P256_SHA256_FIXED
        }
        "http://www.w3.org/2001/04/xmldsig-more#ecdsa-sha384" => {
            &signature::ECDSA_P384_SHA384_FIXED
        }
        other => return Err(format!("the signature method {other} is not allowed")),
    })
}

/// Only exclusive canonicalisation without comments is known; gives the prefixes that are inclusive.
fn canonicalisation<'a>(method: Node<'a, 'a>, name: &str) -> Result<Vec<&'a str>, String> {
    if attribute_of(method, name, "Algorithm")? != EXCLUSIVE {
        return Err("only exclusive canonicalisation is known".to_owned());
    }
    match elements(method)?.as_slice() {
        [] => Ok(Vec::new()),
        [list] if list.has_tag_name((EXCLUSIVE, "InclusiveNamespaces")) => {
            let prefixes = list.attribute("PrefixList").unwrap_or_default();
            Ok(prefixes.split_ascii_whitespace().collect())
        }
        _ => Err("a canonicalisation has parts that it must not have".to_owned()),
    }
}

fn attribute_of<'a>(element: Node<'a, 'a>, name: &str, attribute: &str) -> Result<&'a str, String> {
    let value = element
        .has_tag_name((DS, name))
        .then(|| element.attribute(attribute));
    value
        .flatten()
        .ok_or_else(|| format!("a signature lacks {name}"))
}

/// The elements in an element that has nothing else but white space.
fn elements<'a>(parent: Node<'a, 'a>) -> Result<Vec<Node<'a, 'a>>, String> {
    let stray = |node: &Node<'_, '_>| !node.is_element() && !super::is_blank(*node);
    if parent.children().any(|node| stray(&node)) {
        return Err("there is text where none belongs".to_owned());
    }
    Ok(parent.children().filter(Node::is_element).collect())
}

fn decoded(element: Node<'_, '_>) -> Result<Vec<u8>, String> {
    let text = super::text_of(element)?;
    let text: String = text.split_ascii_whitespace().collect();
    STANDARD
        .decode(text)
        .map_err(|_| "a signature is not in base64".to_owned())
}
