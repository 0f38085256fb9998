//! What this server signed with a former key comes back from others.

use ruma::RoomVersionId;
use serde_json::value::RawValue;

use super::*;
use crate::env::RetiredKey;

async fn open_with(folder: &Path, signer: Signer) -> Arc<House> {
    let env = Env::system(Identity {
        server_name: server_name!("example.org").to_owned(),
        signer,
    });
    let mut config = HouseConfig::new(env);
    config.passwords.memory_kib = 8;
    config.passwords.passes = 1;
    House::open(store(folder).await, config).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn events_signed_with_a_former_key_hold() {
    let Trial { folder, house } = Trial::new().await;
    let new = NewAccount {
        username: Some("anna".to_owned()),
        password: Some("secret".to_owned()),
        ..NewAccount::default()
    };
    let anna = house.register(new).await.unwrap().user_id;
    let version = RoomVersionId::V11;
    let mut wish = wish_of(&anna);
    wish.version = Some(version.clone());
    let room_id = house.create_room(wish).await.unwrap().room_id;
    let query = RoomQuery::LiveAfter {
        sequence: 0,
        limit: 3,
    };
    let Ok(RoomAnswer::Live(events)) = house.room_query(&room_id, query).await else {
        panic!("LiveAfter answers Live");
    };
    let raw = events.iter().map(|event| {
        let json = String::from_utf8(event.pdu.json().to_vec()).unwrap();
        RawValue::from_string(json).unwrap()
    });
    let raw: Vec<_> = raw.collect();
    assert!(!raw.is_empty());
    let now_ms = house.env.now_ms();
    house.close(PATIENCE).await;
    drop((house, events));
    let former = Signer::from_seed("1", &[7; 32]).unwrap();
    for (expired_ts, holds) in [(now_ms + 60_000, true), (1, false)] {
        let retired = RetiredKey {
            key_id: "ed25519:1".to_owned(),
            public_key: former.public_key().to_vec(),
            expired_ts,
        };
        let signer = Signer::from_seed("2", &[8; 32]).unwrap();
        let signer = signer.with_others(Vec::new(), vec![retired]);
        let house = open_with(folder.path(), signer).await;
        let checked = house.checked_of(&room_id, &version, &raw).await.unwrap();
        let good = if holds { raw.len() } else { 0 };
        assert_eq!(checked.0.len(), good, "{:?}", checked.1);
        house.close(PATIENCE).await;
        drop(house);
    }
}
