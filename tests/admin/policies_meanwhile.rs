//! What becomes of invites while a moderation policy hides them.

use serde_json::{Value, json};

use super::{
    administrator,
    policies::{apply, dry_run, invite_to, newest_change, of_policy, sorted, synced, under, undo},
};
use crate::{
    client::{
        props::{room_path, text},
        stage::on_own_servers,
    },
    harness::{Client, TestServer},
};

async fn act(client: &Client, room_id: &str, action: &str, user: &Client) {
    let body = json!({"user_id": user.user_id});
    let done = client.post(&room_path(room_id, action), body).await;
    done.ok();
}

/// Whoever invites takes an invite back, and invites again.
async fn renew(host: &Client, room_id: &str, guest: &Client) {
    act(host, room_id, "kick", guest).await;
    act(host, room_id, "invite", guest).await;
}

/// Applies a policy against all invites of somebody. Answers the change.
async fn hide_all(boss: &Client, spam: &Client) -> Value {
    let rule = json!({"inviter": spam.user_id});
    boss.put(&of_policy("spam", ""), rule).await.ok();
    let shown = dry_run(boss, "spam").await;
    let applied = apply(boss, "spam", json!({"token": shown["token"]})).await;
    assert_eq!(applied.ok()["invites"], shown["invites"]);
    newest_change(boss).await
}

async fn cast(server: &TestServer) -> [Client; 3] {
    [
        administrator(&server.client(), "boss").await,
        server.register("anna").await,
        server.register("spammer").await,
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_meanwhile_stays() {
    on_own_servers(&[], async |server| {
        let [boss, anna, spam] = cast(server).await;
        let mut rooms = Vec::new();
        for name in ["Accepted", "Withdrawn", "Renewed", "Kept"] {
            rooms.push(invite_to(&spam, name, &anna).await);
        }
        let before = synced(&anna, None, |it| under(it, "invite").len() == 4).await;
        let since = text(&before["next_batch"]);
        // Her client shows the first one, and is told of the end of the second one too.
        renew(&spam, &rooms[2], &anna).await;
        let change = hide_all(&boss, &spam).await;
        let is_gone = |it: &Value| under(it, "leave") == sorted(&rooms);
        let gone = synced(&anna, Some(&since), is_gone).await;
        assert!(under(&gone, "invite").is_empty(), "{gone}");
        let between = text(&gone["next_batch"]);

        anna.join(&rooms[0]).await;
        act(&spam, &rooms[1], "kick", &anna).await;
        renew(&spam, &rooms[2], &anna).await;
        // A new invite is another one.
        let is_told =
            |it: &Value| under(it, "join") == rooms[..1] && under(it, "invite") == rooms[2..3];
        synced(&anna, Some(&between), is_told).await;
        synced(&anna, None, is_told).await;
        undo(&boss, &change).await.ok();
        let both = sorted(&rooms[2..]);
        let is_told = |it: &Value| under(it, "join") == rooms[..1] && under(it, "invite") == both;
        let after = synced(&anna, None, is_told).await;
        assert!(under(&after, "leave").is_empty(), "{after}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_run_at_a_time_and_each_is_taken_back_once() {
    on_own_servers(&[], async |server| {
        let [boss, anna, spam] = cast(server).await;
        let first = invite_to(&spam, "One", &anna).await;
        let before = synced(&anna, None, |it| under(it, "invite").len() == 1).await;
        let rule = json!({"inviter": spam.user_id});
        boss.put(&of_policy("spam", ""), rule).await.ok();
        let shown = dry_run(&boss, "spam").await;
        let body = json!({"token": shown["token"]});
        // Twice at the same time: whichever comes second finds nothing to hide, or nothing that was shown.
        let (one, other) = tokio::join!(
            apply(&boss, "spam", body.clone()),
            apply(&boss, "spam", body.clone()),
        );
        assert!([one.status, other.status].contains(&200));
        for answer in [&one, &other] {
            assert!([200, 409].contains(&answer.status), "{}", answer.body);
        }
        apply(&boss, "spam", body).await.refused(409, "M_UNKNOWN");
        let listed = boss.get("/_playhouse/admin/v1/audit").await.ok();
        let changes = listed["changes"].as_array().expect("changes").iter();
        let applied = changes.filter(|it| it["kind"] == "policy_run" && it["status"] == 200);
        // Of two that were one run, one undo is enough.
        let mut undone = 0;
        for change in applied {
            let answer = undo(&boss, change).await;
            assert!([200, 409].contains(&answer.status), "{}", answer.body);
            undone += usize::from(answer.status == 200);
        }
        assert!(undone > 0);
        let after = synced(&anna, None, |it| under(it, "invite") == [first.clone()]).await;
        assert_eq!(after["rooms"], before["rooms"]);
        // It can be done all over.
        hide_all(&boss, &spam).await;
        synced(&anna, None, |it| under(it, "invite").is_empty()).await;
    })
    .await;
}
