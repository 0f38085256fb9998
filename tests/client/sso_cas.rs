//! Single sign-on by CAS, with a server that the test plays.

use std::sync::{Arc, Mutex};

use super::{
    browser::{Browser, Shown},
    sso::{APP, REDIRECT, log_in, parameter},
    stage::on_own_servers,
};
use crate::harness::web::{Body, Reply, Seen, Web};

const OLD_REDIRECT: &str = "/_matrix/client/r0/login/cas/redirect";

/// A CAS server that knows one ticket.
struct Cas {
    web: Web,
    answer: Arc<Mutex<String>>,
}

impl Cas {
    async fn start() -> Self {
        let answer: Arc<Mutex<String>> = Arc::default();
        let told = answer.clone();
        let web = Web::start("127.0.0.1", move |seen: &Seen| {
            let validates = seen.target.starts_with("/cas/p3/serviceValidate?service=");
            let answer = match validates && seen.target.contains("&ticket=ST-1") {
                true => told.lock().expect("nobody panicked").clone(),
                false => failure(),
            };
            Reply::new("application/xml", Body::Bytes(answer.into_bytes()))
        })
        .await;
        Self { web, answer }
    }

    fn recognise(&self, user: &str, attributes: &str) {
        *self.answer.lock().expect("nobody panicked") = format!(
            "<cas:serviceResponse xmlns:cas=\"http://www.yale.edu/tp/cas\"><cas:authenticationSuccess>\n<cas:user>{user}</cas:user>\n<cas:attributes>{attributes}</cas:attributes></cas:authenticationSuccess></cas:serviceResponse>"
        );
    }

    fn settings(&self) -> String {
        format!(
            "[{{ id = \"cas\", name = \"CAS\", kind = \"cas\", issuer = \"{}/cas/\", required_claims = {{ group = \"staff\" }}, display_name_claim = \"cn\" }}]",
            self.web.base()
        )
    }
}

fn failure() -> String {
    "<cas:serviceResponse xmlns:cas=\"http://www.yale.edu/tp/cas\"><cas:authenticationFailure code=\"INVALID_TICKET\">no</cas:authenticationFailure></cas:serviceResponse>".to_owned()
}

/// Goes to the CAS server and comes back with a ticket.
async fn come_back(browser: &Browser, path: &str, ticket: &str) -> Shown {
    let start = browser.open(&format!("{path}?redirectUrl={APP}")).await;
    assert_eq!(start.status, 302, "{}", start.html);
    assert!(
        start.location.contains("/cas/login?service="),
        "{}",
        start.location
    );
    let service = parameter(&start.location, "service");
    let query = format!("service={service}");
    let service = url::form_urlencoded::parse(query.as_bytes()).next();
    let service = service.expect("a service").1.into_owned();
    let place = service.find("/_matrix/client/v3/login/cas/ticket?state=");
    let back = format!("{}&ticket={ticket}", &service[place.expect("our path")..]);
    browser.open(&back).await
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_a_ticket_gets_a_login_token() {
    let cas = Cas::start().await;
    let providers = cas.settings();
    let settings = [("PLAYHOUSE_SSO_PROVIDERS", providers.as_str())];
    on_own_servers(&settings, async |server| {
        let client = server.client();
        cas.recognise(
            "Nora",
            "<cas:cn>Nora N.</cas:cn><cas:group>guests</cas:group><cas:group>staff</cas:group>",
        );
        for path in [OLD_REDIRECT, &format!("{REDIRECT}/cas")] {
            let browser = Browser::new(&client);
            let confirm = come_back(&browser, path, "ST-1").await;
            assert_eq!(confirm.status, 200, "{}", confirm.html);
            let back = browser.submit(&confirm, &[]).await;
            let user_id = log_in(&client, &back.location).await;
            assert_eq!(user_id, "@nora:playhouse.test");
        }
        let profile = "/_matrix/client/v3/profile/@nora:playhouse.test";
        let profile = client.get(profile).await.ok();
        assert_eq!(profile["displayname"], "Nora N.");
        // A ticket that CAS does not know, a group that may not come in, an answer that cannot be read.
        let browser = Browser::new(&client);
        let unknown = come_back(&browser, OLD_REDIRECT, "ST-2").await;
        assert_eq!(unknown.status, 403, "{}", unknown.html);
        cas.recognise("eve", "<cas:group>guests</cas:group>");
        let outside = come_back(&browser, OLD_REDIRECT, "ST-1").await;
        assert_eq!(outside.status, 403, "{}", outside.html);
        cas.recognise("no<!-- -->ra", "<cas:group>staff</cas:group>");
        let broken = come_back(&browser, OLD_REDIRECT, "ST-1").await;
        assert_eq!(broken.status, 502, "{}", broken.html);
        // Begun in another browser.
        let ticket = "/_matrix/client/r0/login/cas/ticket?ticket=ST-1&state=s";
        assert_eq!(Browser::new(&client).open(ticket).await.status, 400);
    })
    .await;
}
