//! Reports to the administrators.

use ruma::{RoomId, UserId};

use super::Trial;

#[tokio::test(flavor = "multi_thread")]
async fn reports_are_listed_after_a_restart_too() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let room_id = RoomId::parse("!unknown:example.org").unwrap();
    let nobody = UserId::parse("@nobody:example.org").unwrap();
    let house = &trial.house;
    house
        .report_room(&alice, &room_id, "spam\0".to_owned())
        .await
        .unwrap();
    house
        .report_user(&alice, &nobody, String::new())
        .await
        .unwrap();
    let trial = trial.restart().await;
    let filed = trial.house.reports(None, 10).await.unwrap();
    assert_eq!(filed.len(), 2);
    let rooms: Vec<_> = filed
        .iter()
        .filter_map(|filed| filed.report.room_id.as_deref())
        .collect();
    assert_eq!(rooms, [room_id.as_str()]);
    let reasons: Vec<_> = filed
        .iter()
        .filter_map(|filed| filed.report.reason.as_deref())
        .collect();
    assert_eq!(reasons, ["spam"]);
    assert!(filed.iter().all(|filed| filed.report.reporter == alice));
    let rest = trial.house.reports(Some(&filed[0]), 10).await.unwrap();
    assert_eq!(rest, filed[1..]);
}
