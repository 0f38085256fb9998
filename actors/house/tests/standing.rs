//! Locked accounts.

use super::{HouseError, Trial};
use crate::user::{UserCommand, UserError, message::Login};

#[tokio::test(flavor = "multi_thread")]
async fn a_locked_user_can_only_log_out() {
    let trial = Trial::new().await;
    let alice = trial.user("alice").await;
    let login = Login {
        device_id: None,
        display_name: None,
        refresh: false,
        access_lifetime_ms: 300_000,
    };
    let logged_in = trial
        .house
        .login_by_password("alice", "secret".to_owned(), login);
    let token = logged_in.await.unwrap().1.access_token;
    trial.house.authenticate(&token).await.unwrap();
    let lock = UserCommand::SetLocked(true);
    trial.house.user_command(&alice, lock).await.unwrap();
    for _ in 0..2 {
        let refused = trial.house.authenticate(&token).await.unwrap_err();
        assert_eq!(refused, HouseError::User(UserError::Locked));
        trial.house.authenticate_locked(&token).await.unwrap();
    }
    let session = trial.house.authenticate_locked(&token).await.unwrap();
    trial.house.logout(&session).await.unwrap();
    assert!(trial.house.authenticate_locked(&token).await.is_err());
}
