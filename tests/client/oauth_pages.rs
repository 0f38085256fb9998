//! Pages of the OAuth 2.0 API: devices without a browser, the account, keys.

use serde_json::json;

use super::{
    browser::Browser,
    oauth::{DEVICE_CODE, WHOAMI, post_form, refused, register, scope, with_token},
    props::text,
    stage::{on_each_engine, on_own_servers},
};
use crate::harness::client::encode;

#[tokio::test(flavor = "multi_thread")]
async fn a_device_without_a_browser_is_let_in() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let client_id = register(&anna).await;
        let wish = [
            ("client_id", client_id.as_str()),
            ("scope", &scope("TELEVISION")),
        ];
        let codes = post_form(&anna, "/oauth2/device", &wish).await.ok();
        let device_code = text(&codes["device_code"]);
        let poll = async || {
            let fields = [
                ("grant_type", DEVICE_CODE),
                ("client_id", client_id.as_str()),
                ("device_code", &device_code),
            ];
            post_form(&anna, "/oauth2/token", &fields).await
        };
        refused(&poll().await, 400, "authorization_pending");
        let mut hasty = poll().await;
        // A slow server hears of it when it is no haste any more.
        for _ in 0..20 {
            if hasty.body["error"] != "authorization_pending" {
                break;
            }
            hasty = poll().await;
        }
        refused(&hasty, 400, "slow_down");
        let browser = Browser::new(&anna);
        let complete = text(&codes["verification_uri_complete"]);
        let path = complete
            .strip_prefix(anna.base())
            .expect("an address of ours");
        let page = browser.open(path).await;
        let confirm = browser.sign_in(&page, &anna.user_id).await;
        assert!(confirm.html.contains("TELEVISION"), "{}", confirm.html);
        let done = browser.submit(&confirm, &[("decision", "allow")]).await;
        assert_eq!(done.status, 200);
        let tokens = poll().await.ok();
        assert_eq!(
            with_token(&anna, &tokens).get(WHOAMI).await.ok()["device_id"],
            "TELEVISION"
        );
        refused(&poll().await, 400, "expired_token");
        let typed = browser.open("/oauth2/link").await;
        let led = browser.submit(&typed, &[("user_code", "WRONG")]).await;
        let shown = browser.open(&led.location).await;
        assert!(shown.html.contains("role=\"alert\""), "{}", shown.html);
        let codes = post_form(&anna, "/oauth2/device", &wish).await.ok();
        let path = format!(
            "/oauth2/link?user_code={}",
            codes["user_code"].as_str().expect("a code")
        );
        let confirm = browser.open(&path).await;
        browser.submit(&confirm, &[("decision", "deny")]).await;
        let fields = [
            ("grant_type", DEVICE_CODE),
            ("client_id", client_id.as_str()),
            (
                "device_code",
                codes["device_code"].as_str().expect("a code"),
            ),
        ];
        refused(
            &post_form(&anna, "/oauth2/token", &fields).await,
            400,
            "access_denied",
        );
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_account_is_managed_on_pages() {
    on_each_engine(async |stage| {
        let anna = stage.user("anna").await;
        let browser = Browser::new(&anna);
        let page = browser.open("/oauth2/account").await;
        let profile = browser.sign_in(&page, &anna.user_id).await;
        let saved = browser
            .submit(&profile, &[("displayname", "Anna <A>")])
            .await;
        assert!(
            saved.html.contains("role=\"status\"") || saved.status == 200,
            "{}",
            saved.html
        );
        let path = format!("/_matrix/client/v3/profile/{}", encode(&anna.user_id));
        assert_eq!(anna.get(&path).await.ok()["displayname"], "Anna <A>");
        let phone = anna.login_again().await;
        let devices = browser
            .open("/oauth2/account?action=org.matrix.sessions_list")
            .await;
        assert!(devices.html.contains(&phone.device_id), "{}", devices.html);
        let path = format!(
            "/oauth2/account?action=org.matrix.device_delete&device_id={}",
            phone.device_id
        );
        let device = browser.open(&path).await;
        assert_eq!(browser.submit(&device, &[]).await.status, 303);
        phone.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        let close = browser
            .open("/oauth2/account?action=org.matrix.account_deactivate")
            .await;
        let wrong = browser.submit(&close, &[("password", "wrong")]).await;
        assert!(wrong.html.contains("role=\"alert\""), "{}", wrong.html);
        anna.get(WHOAMI).await.ok();
        browser
            .submit(&wrong, &[("password", "correct horse")])
            .await;
        anna.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        let page = browser.open("/oauth2/account").await;
        assert!(page.html.contains("name=\"password\""), "{}", page.html);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_signs_browsers_out() {
    on_own_servers(&[], async |server| {
        let anna = server.register("anna").await;
        let browser = Browser::new(&anna);
        let page = browser.open("/oauth2/account").await;
        let account = browser.sign_in(&page, &anna.user_id).await;
        assert!(account.html.contains(&anna.user_id), "{}", account.html);
        let auth = json!({"type": "m.login.password", "identifier": {"type": "m.id.user", "user": anna.user_id}, "password": "correct horse"});
        let body = json!({"new_password": "another horse", "auth": auth});
        anna.post("/_matrix/client/v3/account/password", body).await.ok();
        let account = browser.open("/oauth2/account").await;
        assert!(account.html.contains("name=\"password\""), "{}", account.html);
    })
    .await;
}
