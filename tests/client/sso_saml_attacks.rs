//! What a SAML provider never said: forged, changed, wrapped, late, or meant for somebody else.

use super::{
    browser::Browser,
    sso_saml::{ANSWER, Asked, Key, SAML, Said, answer, ask, bare, settings},
    stage::on_own_servers,
};

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_do_not_fit_are_not_believed() {
    let (key, stranger) = (Key::rsa(), Key::rsa());
    let providers = settings(&key);
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        for case in 0.. {
            let browser = Browser::new(&client);
            let asked = ask(&browser).await;
            let Some((what, xml)) = misfit(case, &asked, (&key, &stranger)) else {
                break;
            };
            let shown = answer(&browser, &asked, &xml).await;
            assert_eq!((shown.status, shown.location.as_str()), (502, ""), "{what}");
        }
        // Without the state, without the answer, for another provider.
        let browser = Browser::new(&client);
        let asked = ask(&browser).await;
        assert_eq!(browser.post(ANSWER, &[]).await.status, 400);
        let fields = [("RelayState", asked.state.as_str())];
        assert_eq!(browser.post(ANSWER, &fields).await.status, 400);
        let back = format!(
            "/_synapse/client/oidc/callback?code=c&state={}",
            asked.state
        );
        assert_eq!(browser.open(&back).await.status, 400);
    })
    .await;
}

/// Answers with one thing wrong.
#[expect(clippy::too_many_lines, reason = "a list of cases")]
fn misfit(
    case: usize,
    asked: &Asked,
    (key, stranger): (&Key, &Key),
) -> Option<(&'static str, String)> {
    let said = asked.said("_a", "nora");
    let good = said.assertion();
    let of = |said: Said<'_>| bare(&asked.response("_r", &key.signed(&said.assertion())));
    let with = |inner: &str| bare(&asked.response("_r", inner));
    let signed = key.signed(&good);
    let swapped = |from: &str, to: &str| {
        assert!(signed.contains(from), "{from}");
        with(&signed.replace(from, to))
    };
    let around = key.signed(&asked.response("_r", &bare(&good)));
    let tampered = |from: &str, to: &str| with(&key.signed(&good.replace(from, to)));
    let to_us = format!("Destination=\"{}\"", asked.consumer);
    let cases = [
        ("unsigned", with(&good)),
        ("signed by a stranger", with(&stranger.signed(&good))),
        ("changed", swapped("<saml:NameID>nora", "<saml:NameID>root")),
        (
            "signature changed",
            swapped("<ds:SignatureValue>", "<ds:SignatureValue>AAAA"),
        ),
        (
            "a comment in the name",
            swapped("<saml:NameID>nora", "<saml:NameID>no<!-- -->ra"),
        ),
        (
            "an instruction in the name",
            swapped("<saml:NameID>nora", "<saml:NameID>no<?x y?>ra"),
        ),
        (
            "entities",
            format!("<!DOCTYPE a [<!ENTITY e \"nora\">]>{}", with(&signed)),
        ),
        ("old digest", swapped("xmlenc#sha256", "xmldsig#sha1")),
        (
            "old signature",
            swapped("xmldsig-more#rsa-sha256", "xmldsig#rsa-sha1"),
        ),
        (
            "another canonical form",
            swapped(
                "http://www.w3.org/2001/10/xml-exc-c14n#",
                "http://www.w3.org/TR/2001/REC-xml-c14n-20010315",
            ),
        ),
        (
            "about the whole document",
            swapped("URI=\"#_a\"", "URI=\"\""),
        ),
        (
            "ended",
            of(Said {
                ends: "2020-01-02T00:00:00Z",
                ..said.clone()
            }),
        ),
        (
            "never good",
            tampered("NotBefore=\"2020", "NotBefore=\"2098"),
        ),
        (
            "no time",
            of(Said {
                ends: "soon",
                ..said.clone()
            }),
        ),
        (
            "another audience",
            of(Said {
                audience: "https://another.test",
                ..said.clone()
            }),
        ),
        (
            "no audience",
            tampered(
                &good[good.find("<saml:AudienceR").expect("there")
                    ..good.find("</saml:Conditions>").expect("there")],
                "",
            ),
        ),
        (
            "another recipient",
            of(Said {
                recipient: "https://another.test",
                ..said.clone()
            }),
        ),
        (
            "another question",
            of(Said {
                request: "_another",
                ..said.clone()
            }),
        ),
        (
            "another issuer",
            of(Said {
                issuer: "https://another.test",
                ..said.clone()
            }),
        ),
        ("another bearer", tampered("cm:bearer", "cm:holder-of-key")),
        (
            "an unknown condition",
            tampered(
                "<saml:AudienceR",
                "<saml:Condition></saml:Condition><saml:AudienceR",
            ),
        ),
        (
            "nobody logged in",
            tampered(
                "<saml:AuthnStatement AuthnInstant=\"2026-01-01T00:00:00Z\" SessionIndex=\"s\"></saml:AuthnStatement>",
                "",
            ),
        ),
        (
            "a failure",
            with(&signed).replace("status:Success", "status:Requester"),
        ),
        (
            "sent to another",
            with(&signed).replace(&to_us, "Destination=\"https://another.test\""),
        ),
        (
            "signed answer changed",
            around.replace("status:Success", "status:Successs"),
        ),
        (
            "signed without destination",
            key.signed(
                &asked
                    .response("_r", &bare(&good))
                    .replace(&format!(" {to_us}"), ""),
            ),
        ),
        (
            "two assertions",
            with(&format!(
                "{signed}{}",
                key.signed(&said.assertion().replace("\"_a\"", "\"_b\""))
            )),
        ),
        (
            "an encrypted one beside",
            with(&format!(
                "{signed}<saml:EncryptedAssertion xmlns:saml=\"{SAML}\"></saml:EncryptedAssertion>"
            )),
        ),
        ("no XML", "nora".to_owned()),
        ("an assertion alone", signed.clone()),
    ];
    let count = cases.len();
    match cases.into_iter().nth(case) {
        Some(found) => Some(found),
        None => wrapped(case - count, asked, key),
    }
}

/// Signature wrapping (the eight variants of Somorovsky and others): something signed is there, but something else is to be read.
fn wrapped(case: usize, asked: &Asked, key: &Key) -> Option<(&'static str, String)> {
    let evil = bare(&asked.said("_evil", "root").assertion());
    let good = asked.said("_a", "nora").assertion();
    let signed = key.signed(&good);
    let plain = bare(&good);
    let start = signed.find("<ds:Signature ").expect("there");
    let end = signed.find("</ds:Signature>").expect("there") + "</ds:Signature>".len();
    let signature = &signed[start..end];
    let whole = key.signed(&asked.response("_r", &plain));
    let of_whole = &whole[whole.find("<ds:Signature ").expect("there")
        ..whole.find("</ds:Signature>").expect("there") + "</ds:Signature>".len()];
    let whole_plain = bare(&asked.response("_r", &plain));
    let evil_whole = |inner: &str| asked.response("_evilr", inner);
    let within = |signature: &str, inner: &str| {
        signature.replace("</ds:Signature>", &format!("{inner}</ds:Signature>"))
    };
    let evil_with =
        |inner: &str| evil.replacen("</saml:Issuer>", &format!("</saml:Issuer>{inner}"), 1);
    let object = format!("<ds:Object>{plain}</ds:Object>");
    let extensions = format!("<samlp:Extensions>{evil}</samlp:Extensions>{signed}");
    let cases = [
        (
            "XSW1",
            evil_whole(&evil).replace("{SIG}", &within(of_whole, &whole_plain)),
        ),
        (
            "XSW2",
            evil_whole(&evil).replace("{SIG}", &format!("{whole_plain}{of_whole}")),
        ),
        ("XSW3", bare(&evil_whole(&format!("{evil}{signed}")))),
        (
            "XSW3, the other way round",
            bare(&evil_whole(&format!("{signed}{evil}"))),
        ),
        (
            "XSW4",
            bare(&evil_whole(&evil.replace(
                "</saml:Assertion>",
                &format!("{signed}</saml:Assertion>"),
            ))),
        ),
        (
            "XSW5",
            bare(&evil_whole(&format!("{}{plain}", evil_with(signature)))),
        ),
        (
            "XSW6",
            bare(&evil_whole(&evil_with(&within(signature, &plain)))),
        ),
        ("XSW7", bare(&evil_whole(&extensions))),
        (
            "XSW8",
            bare(&evil_whole(&evil_with(&within(signature, &object)))),
        ),
        (
            "the same ID",
            bare(&evil_whole(&evil_with(signature).replace("_evil", "_a"))),
        ),
        (
            "another's signature",
            bare(&evil_whole(&evil_with(signature))),
        ),
        (
            "an ID elsewhere",
            bare(&evil_whole(
                &signed.replace("<saml:Conditions ", "<saml:Conditions ID=\"_a\" "),
            )),
        ),
    ];
    cases.into_iter().nth(case)
}
