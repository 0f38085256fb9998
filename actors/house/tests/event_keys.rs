//! Keys that hold for some events and not for others.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ruma::{
    RoomVersionId,
    serde::{Base64, base64::Standard},
    signatures::{PublicKeyMap, PublicKeySet},
};
use serde_json::value::RawValue;

use super::*;
use crate::{
    env::RetiredKey,
    network::{KeysWanted, Network, PeerError, PeerRequest},
};

/// Nobody but a server whose key holds until some time.
struct Expiring {
    key: Base64,
    until_ms: u64,
}

impl Network for Expiring {
    fn ask(&self, _request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        Box::pin(async { Err(PeerError::Off) })
    }

    fn keys(&self, wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        let known = wanted.into_iter().map(|(server, ids)| {
            let ids = ids.into_iter();
            let valid =
                ids.filter(|(key_id, at_ms)| key_id == "ed25519:1" && *at_ms <= self.until_ms);
            let keys: PublicKeySet = valid
                .map(|(key_id, _)| (key_id, self.key.clone()))
                .collect();
            (server.to_string(), keys)
        });
        let known: PublicKeyMap = known.collect();
        Box::pin(async { known })
    }
}

async fn events_of(house: &House, room_id: &RoomId) -> Vec<Box<RawValue>> {
    let query = RoomQuery::LiveAfter {
        sequence: 0,
        limit: 100,
    };
    let Ok(RoomAnswer::Live(events)) = house.room_query(room_id, query).await else {
        panic!("LiveAfter answers Live");
    };
    let raw = events.iter().map(|event| {
        let json = String::from_utf8(event.pdu.json().to_vec()).unwrap();
        RawValue::from_string(json).unwrap()
    });
    raw.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_of_a_wrong_time_does_not_cost_the_others_their_key() {
    let far = Trial::new().await;
    let anna = far.user("anna").await;
    let version = RoomVersionId::V11;
    let wanted = version.clone();
    let room = far.room(&anna, |wish| wish.version = Some(wanted));
    let room_id = room.await;
    let until_ms = far.house.env.now_ms() + 3_600_000;
    let message = SendEvent {
        origin_server_ts: Some(until_ms + 1),
        ..SendEvent::new(
            anna.clone(),
            TimelineEventType::RoomMessage,
            json!({"msgtype": "m.text", "body": "from tomorrow"}).to_string(),
        )
    };
    far.send(&room_id, message).await;
    let raw = events_of(&far.house, &room_id).await;
    assert!(raw.len() > 3);
    let signer = Signer::from_seed("1", &[7; 32]).unwrap();
    let expiring = Expiring {
        key: Base64::<Standard>::new(signer.public_key().to_vec()),
        until_ms,
    };
    let env = Env::system(Identity {
        server_name: server_name!("near.example").to_owned(),
        signer: Signer::from_seed("1", &[9; 32]).unwrap(),
    });
    let folder = tempfile::tempdir().unwrap();
    let env = env.with_network(Arc::new(expiring));
    let near = open_with(folder.path(), env).await;
    let (good, flaws) = near.checked_of(&room_id, &version, &raw).await.unwrap();
    assert_eq!(good.len(), raw.len() - 1, "{flaws:?}");
    assert!(
        good.iter()
            .all(|pdu| u64::from(pdu.origin_server_ts.0) <= until_ms)
    );
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
    let raw = events_of(&house, &room_id).await;
    assert!(!raw.is_empty());
    let now_ms = house.env.now_ms();
    house.close(PATIENCE).await;
    drop(house);
    let former = Signer::from_seed("1", &[7; 32]).unwrap();
    for (expired_ts, holds) in [(now_ms + 60_000, true), (1, false)] {
        let retired = RetiredKey {
            key_id: "ed25519:1".to_owned(),
            public_key: former.public_key().to_vec(),
            expired_ts,
        };
        let signer = Signer::from_seed("2", &[8; 32]).unwrap();
        let signer = signer.with_others(Vec::new(), vec![retired]);
        let env = Env::system(Identity {
            server_name: server_name!("example.org").to_owned(),
            signer,
        });
        let house = open_with(folder.path(), env).await;
        let checked = house.checked_of(&room_id, &version, &raw).await.unwrap();
        let good = if holds { raw.len() } else { 0 };
        assert_eq!(checked.0.len(), good, "{:?}", checked.1);
        house.close(PATIENCE).await;
        drop(house);
    }
}
