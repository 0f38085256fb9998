//! What of a person's claims becomes the account, by templates.

use serde_json::{Value, json};

use super::{
    browser::{Browser, Shown},
    props::text,
    sso::{APP, PICK, Provider, come_back, parameter},
    stage::on_own_servers,
};
use crate::harness::{Client, client::encode};

const TEMPLATES: &str = ", localpart_template = \"{given}.{family}\", display_name_template = \"{given} {family} ({unit})\", email_template = \"{email}\"";

async fn enter(client: &Client, browser: &Browser, confirm: &Shown) -> Client {
    let back = browser.submit(confirm, &[]).await;
    let token = parameter(&back.location, "loginToken");
    let body = json!({"type": "m.login.token", "token": token});
    let session = client.post("/_matrix/client/v3/login", body).await.ok();
    client.nobody().with_session(&session)
}

async fn displayname(client: &Client) -> Value {
    let path = format!("/_matrix/client/v3/profile/{}", encode(&client.user_id));
    client.get(&path).await.ok()["displayname"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_are_named_by_templates() {
    let provider = Provider::start().await;
    let providers = provider.settings(TEMPLATES);
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        let person = json!({
            "sub": "1", "given": "Änna", "family": "van Berg", "unit": 12, "email": "anna@id.test",
            "preferred_username": "not-this-one",
        });
        let browser = Browser::new(&client);
        let confirm = come_back(&browser, &provider, person, APP).await;
        let anna = enter(&client, &browser, &confirm).await;
        assert_eq!(anna.user_id, "@nna.vanberg:playhouse.test");
        assert_eq!(displayname(&anna).await, "Änna van Berg (12)");
        let addresses = anna.get("/_matrix/client/v3/account/3pid").await.ok();
        assert_eq!(text(&addresses["threepids"][0]["address"]), "anna@id.test");
        // Without all of it there is no proposal, and an address that another has stays there.
        let person = json!({
            "sub": "2", "given": "Nora", "email": "anna@id.test", "preferred_username": "not-this-one",
        });
        let browser = Browser::new(&client);
        let led = come_back(&browser, &provider, person, APP).await;
        assert_eq!(led.location, PICK, "{}", led.html);
        let page = browser.open(&led.location).await;
        assert!(!page.html.contains("not-this-one"), "{}", page.html);
        let confirm = browser.submit(&page, &[("username", "nora")]).await;
        let nora = enter(&client, &browser, &confirm).await;
        assert_eq!(nora.user_id, "@nora:playhouse.test");
        let addresses = nora.get("/_matrix/client/v3/account/3pid").await.ok();
        assert_eq!(addresses["threepids"], json!([]));
    })
    .await;
}
