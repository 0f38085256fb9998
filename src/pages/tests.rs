//! What a page looks like to a browser.

use playhouse_actors::env::{Env, Identity, Signer};

use super::{Block, Button, Cookie, Field, Form, Language, Page, Pages, Script, Tone};

fn pages() -> Pages {
    let identity = Identity {
        server_name: ruma::owned_server_name!("playhouse.test"),
        signer: Signer::from_seed("1", &[7; 32]).unwrap(),
    };
    Pages::new(Env::system(identity))
}

async fn shown(page: Page) -> (String, String) {
    let response = pages().show(page).into_response();
    let policy = response
        .headers()
        .get("content-security-policy")
        .unwrap()
        .to_str()
        .unwrap()
        .to_owned();
    let body = actix_web::body::to_bytes(response.into_body())
        .await
        .unwrap();
    (policy, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn what_is_put_in_is_escaped() {
    let evil = "<script>alert('\"x\"')</script>";
    let form = Form::to(evil)
        .hidden("h", evil)
        .field(
            Field::new("text", "t", evil)
                .value(evil)
                .hint(evil)
                .required(),
        )
        .button(Button::new(evil).telling("b", evil));
    let page = Page::new(Language::ENGLISH, evil)
        .with(Block::text(evil))
        .with(Block::notice(Tone::Error, evil))
        .with(Block::facts([(evil.to_owned(), evil.to_owned())]))
        .with(Block::links([
            (evil.to_owned(), format!("/{evil}")),
            ("bad".to_owned(), "javascript:alert(1)".to_owned()),
        ]))
        .with(form);
    let (policy, html) = shown(page).await;
    assert!(!html.contains("<script"), "{html}");
    assert!(!html.contains("javascript:"), "{html}");
    assert!(html.contains("role=\"alert\""), "{html}");
    assert!(policy.starts_with("default-src 'none'"), "{policy}");
    assert!(policy.ends_with("frame-ancestors 'none'"), "{policy}");
    assert!(!policy.contains("script-src"), "{policy}");
}

#[tokio::test]
async fn scripts_are_allowed_by_hash_or_origin() {
    let page = Page::new(Language::named("de").unwrap(), "t")
        .framed()
        .script(Script::Inline("go()"))
        .script(Script::From("https://captcha.test/api.js?x=1".to_owned()));
    let (policy, html) = shown(page).await;
    assert!(html.contains("<html lang=\"de\">"), "{html}");
    assert!(html.contains("<script>go()</script>"), "{html}");
    assert!(policy.contains("script-src 'sha256-"), "{policy}");
    assert!(
        policy.contains("frame-src https://captcha.test;"),
        "{policy}"
    );
    assert!(policy.ends_with("frame-ancestors *"), "{policy}");
}

#[test]
fn seals_are_for_one_purpose_and_binding() {
    let pages = pages();
    let seal = pages.seal("terms", "session");
    assert!(pages.is_sealed(&seal, "terms", "session"));
    assert!(!pages.is_sealed(&seal, "terms", "other"));
    assert!(!pages.is_sealed(&seal, "term", "ssession"));
    assert!(!pages.is_sealed("", "terms", "session"));
    let (until, proof) = seal.split_once('.').unwrap();
    let later = format!("{}.{proof}", until.parse::<u64>().unwrap() + 1);
    assert!(!pages.is_sealed(&later, "terms", "session"));
}

#[test]
fn cookies_are_kept_from_scripts() {
    let cookie = Cookie {
        name: "ph",
        value: "a;b\r\nc",
        path: "/x",
        lifetime_s: 60,
        secure: true,
        cross_site: false,
    };
    let (_, header) = cookie.header();
    let text = header.to_str().unwrap();
    assert_eq!(
        text,
        "ph=abc; Path=/x; Max-Age=60; HttpOnly; SameSite=Lax; Secure"
    );
    let posted = Cookie {
        cross_site: true,
        ..cookie
    };
    let (_, header) = posted.header();
    assert!(header.to_str().unwrap().ends_with("SameSite=None; Secure"));
}
