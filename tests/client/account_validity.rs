//! Accounts that end unless their users renew them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::addresses::{add, prove, with_mail};
use crate::harness::{Client, client::Answer};

const ENABLED: &str = "PLAYHOUSE_ACCOUNT_VALIDITY_ENABLED";
const PERIOD: &str = "PLAYHOUSE_ACCOUNT_VALIDITY_PERIOD_MS";
const RENEW_AT: &str = "PLAYHOUSE_ACCOUNT_VALIDITY_RENEW_AT_MS";
const SWEEP: &str = "PLAYHOUSE_ACCOUNT_VALIDITY_SWEEP_EVERY_MS";
const WHOAMI: &str = "/_matrix/client/v3/account/whoami";
const SEND_MAIL: &str = "/_matrix/client/unstable/account_validity/send_mail";
const DAY_MS: &str = "86400000";

/// Asks who one is until the answer has this status.
async fn until(client: &Client, status: u16) -> Answer {
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let answer = client.get(WHOAMI).await;
        if answer.status == status {
            return answer;
        }
        assert!(Instant::now() < end, "{} {}", answer.status, answer.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_ended_can_be_renewed_and_left() {
    with_mail(&[], async |server, sink| {
        let anna = server.register("anna").await;
        let creds = prove(&anna, sink, "add", "anna@example.org").await;
        add(&anna, &creds).await.ok();
        let phone = anna.login_again().await;
        anna.post(SEND_MAIL, json!({}))
            .await
            .refused(404, "M_UNRECOGNIZED");
        // Accounts from before there were ends get one.
        for (name, value) in [
            (ENABLED, "true"),
            (PERIOD, "1"),
            (RENEW_AT, "0"),
            (SWEEP, "50"),
        ] {
            server.set(name, value);
        }
        server.restart();
        let (anna, phone) = (anna.at(server.base()), phone.at(server.base()));
        until(&anna, 403)
            .await
            .refused(403, "ORG_MATRIX_EXPIRED_ACCOUNT");
        phone
            .get("/_matrix/client/v3/sync")
            .await
            .refused(403, "ORG_MATRIX_EXPIRED_ACCOUNT");
        phone
            .post("/_matrix/client/v3/logout", json!({}))
            .await
            .ok();
        phone.get(WHOAMI).await.refused(401, "M_UNKNOWN_TOKEN");
        let before = sink.count("anna@example.org");
        anna.post(SEND_MAIL, json!({})).await.ok();
        let mail = sink.mail("anna@example.org", before + 1).await;
        assert!(mail.text.contains("has ended"), "{}", mail.text);
        server.set(PERIOD, DAY_MS);
        server.restart();
        let anna = anna.at(server.base());
        let forged = mail.link().replace("token=", "token=x");
        let shown = anna.nobody().open(&forged, "en").await;
        assert_eq!(shown.status, 404, "{}", shown.html);
        let page = anna.nobody().open(&mail.link(), "de").await;
        assert!(page.html.contains("Konto verlängern"), "{}", page.html);
        // Looking at the page renews nothing.
        anna.get(WHOAMI)
            .await
            .refused(403, "ORG_MATRIX_EXPIRED_ACCOUNT");
        let done = page.send(&anna.nobody(), &[]).await;
        assert!(done.html.contains("role=\"status\""), "{}", done.html);
        anna.get(WHOAMI).await.ok();
        let again = page.send(&anna.nobody(), &[]).await;
        assert!(again.html.contains("was renewed before"), "{}", again.html);
        server.restart();
        anna.at(server.base()).get(WHOAMI).await.ok();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_ends_soon_is_mailed_once() {
    let settings = [
        (ENABLED, "true"),
        (PERIOD, DAY_MS),
        (RENEW_AT, "172800000"),
        (SWEEP, "50"),
    ];
    with_mail(&settings, async |server, sink| {
        let anna = server.register("anna").await;
        let creds = prove(&anna, sink, "add", "anna@example.org").await;
        add(&anna, &creds).await.ok();
        let mail = sink.mail("anna@example.org", 2).await;
        assert!(mail.text.contains("ends in 1 days"), "{}", mail.text);
        let page = anna.nobody().open(&mail.link(), "en").await;
        page.send(&anna.nobody(), &[]).await;
        // Renewed for a day, which is soon again.
        sink.mail("anna@example.org", 3).await;
        anna.post(SEND_MAIL, json!({})).await.ok();
        sink.mail("anna@example.org", 4).await;
        server.restart();
        // Those who begin with b are mailed after those who begin with a.
        let bert = server.register("bert").await;
        let creds = prove(&bert, sink, "add", "bert@example.org").await;
        add(&bert, &creds).await.ok();
        sink.mail("bert@example.org", 2).await;
        assert_eq!(sink.count("anna@example.org"), 4);
    })
    .await;
}
