//! What the register promises of shards that one node gives to another.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::{
    Ground,
    registering::{LONG_MS, beat, held_by, name, opened, shards},
    run,
};
use crate::address::Family;

#[test]
fn what_is_handed_over_is_free_for_nobody_else() {
    let ground = Ground::postgres(1);
    run(async {
        let (store, register) = opened(&ground).await;
        let all = shards(store.layout(), Family::Rooms);
        register.join(&beat("a", 1, LONG_MS)).await.unwrap();
        register.join(&beat("b", 2, LONG_MS)).await.unwrap();
        let (one, two, to) = (Uuid::from_u128(1), Uuid::from_u128(2), name("b"));
        let claims = register.claim(one, &all).await.unwrap();
        let (claim, shard) = (claims[0], claims[0].shard);
        let claim_again = || register.claim(one, std::slice::from_ref(&shard));
        // It shall not go there: it is given back, and no more.
        assert_eq!(register.hand_over(one, claim, &to).await.unwrap(), None);
        let view = register.view().await.unwrap();
        assert!(
            view.shards
                .iter()
                .all(|entry| entry.shard != shard || entry.holder.is_none())
        );
        let claim = claim_again().await.unwrap()[0];
        register.want(&[(shard, Some(to.clone()))]).await.unwrap();
        // Under an earlier claim, and by another node: nothing is done.
        assert_eq!(register.hand_over(one, claims[0], &to).await.unwrap(), None);
        assert_eq!(register.hand_over(two, claim, &to).await.unwrap(), None);
        let handed = register.hand_over(one, claim, &to).await.unwrap();
        let handed = handed.expect("it is given");
        assert_eq!((handed.life, handed.shard), (two, shard));
        assert_eq!(handed.term, claim.term() + 1);
        assert!(claim_again().await.unwrap().is_empty());
        assert_eq!(held_by(&register.view().await.unwrap(), 2), [shard].into());
        assert_eq!(register.hand_over(one, claim, &to).await.unwrap(), None);
        // One that rests, and one that is dead, get nothing.
        let (claim, shard) = (claims[1], claims[1].shard);
        register.want(&[(shard, Some(to.clone()))]).await.unwrap();
        register.rest(&to, true).await.unwrap();
        register.beat(&beat("b", 2, LONG_MS)).await.unwrap();
        assert_eq!(register.hand_over(one, claim, &to).await.unwrap(), None);
        let claims = register.claim(one, &[shard]).await.unwrap();
        register.rest(&to, false).await.unwrap();
        register.beat(&beat("b", 2, LONG_MS)).await.unwrap();
        register.leave(two).await.unwrap();
        assert_eq!(register.hand_over(one, claims[0], &to).await.unwrap(), None);
        assert_eq!(held_by(&register.view().await.unwrap(), 2), BTreeSet::new());
    });
}
