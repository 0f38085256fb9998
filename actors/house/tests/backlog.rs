//! What readers of the log have parked, as administrators see it.

use playhouse_schema::{
    address::{Family, Shard},
    models::parked::Parked,
};

use super::{HouseError, Trial};
use crate::{admins::AdminError, house::ParkedPlace};

#[tokio::test(flavor = "multi_thread")]
async fn what_is_parked_is_told_and_can_be_discarded() {
    let trial = Trial::new().await;
    let store = trial.house.models().store().clone();
    let shard = Shard {
        family: Family::Users,
        number: 0,
    };
    let place = |position| ParkedPlace {
        reader: "nobody".to_owned(),
        shard,
        position,
    };
    let parked = |position| Parked {
        entity: "user:@a:b".to_owned(),
        reason: "poison".to_owned(),
        program: "1".to_owned(),
        ..Parked::at("nobody", shard, position)
    };
    let statements = [1, 2, 3].map(|position| parked(position).park());
    store.apply(statements.to_vec(), Vec::new()).await.unwrap();
    let (first, total) = trial.house.parked(None, 2).await.unwrap();
    assert_eq!((first, total), (vec![parked(1), parked(2)], 3));
    let (rest, _) = trial.house.parked(Some(&place(2)), 2).await.unwrap();
    assert_eq!(rest, [parked(3)]);
    trial.house.discard_parked(&place(2)).await.unwrap();
    trial.house.retry_parked(&place(1)).await.unwrap();
    let (left, _) = trial.house.parked(None, 10).await.unwrap();
    let programs: Vec<_> = left
        .iter()
        .map(|one| (one.position, &*one.program))
        .collect();
    assert_eq!(programs, [(1, ""), (3, "1")]);
    // Nobody would ever try it, so that is not said.
    let place_of_push = ParkedPlace {
        reader: "pushes".to_owned(),
        ..place(4)
    };
    let mut lost = parked(4);
    lost.name = "pushes".to_owned();
    store.apply(vec![lost.park()], Vec::new()).await.unwrap();
    let refused = trial.house.retry_parked(&place_of_push).await;
    assert!(matches!(
        refused,
        Err(HouseError::Admin(AdminError::Invalid(_)))
    ));
    let discarded = trial.house.discard_parked(&place_of_push).await.unwrap();
    assert_eq!(discarded, lost);
    for refused in [
        trial.house.discard_parked(&place(2)).await,
        trial.house.retry_parked(&place(9)).await,
    ] {
        assert!(matches!(
            refused,
            Err(HouseError::Admin(AdminError::Unknown(_)))
        ));
    }
}
