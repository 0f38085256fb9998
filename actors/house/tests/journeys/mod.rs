//! Our users in rooms of another server.

mod joining;
mod town;

use super::*;
use town::Town;

const FAR: &str = "far.example";

/// This server and another, on which Alice has a room.
struct Pair {
    town: Arc<Town>,
    near: Trial,
    far: Trial,
    alice: OwnedUserId,
    bob: OwnedUserId,
}

impl Pair {
    async fn new() -> Self {
        let town = Arc::<Town>::default();
        let open = async |name: &str| {
            let folder = tempfile::tempdir().unwrap();
            let house = town.house(name, folder.path()).await;
            Trial { folder, house }
        };
        let (near, far) = (open("near.example").await, open(FAR).await);
        let alice = far.user("alice").await;
        let bob = near.user("bob").await;
        Self {
            town,
            near,
            far,
            alice,
            bob,
        }
    }

    /// This server ends without a word and begins again.
    async fn crash(self) -> Self {
        let Self {
            town,
            near,
            far,
            alice,
            bob,
        } = self;
        let Trial { folder, house } = near;
        town.close("near.example");
        drop(house);
        let house = town.house("near.example", folder.path()).await;
        let near = Trial { folder, house };
        Self {
            town,
            near,
            far,
            alice,
            bob,
        }
    }

    async fn room(&self, preset: Preset, version: RoomVersionId) -> OwnedRoomId {
        let wish = |wish: &mut RoomWish| {
            wish.preset = Some(preset);
            wish.version = Some(version);
        };
        self.far.room(&self.alice, wish).await
    }

    async fn join(&self, room_id: &RoomId) -> Result<OwnedRoomId, HouseError> {
        self.join_as(&self.bob, room_id).await
    }

    async fn join_as(&self, user_id: &UserId, room_id: &RoomId) -> Result<OwnedRoomId, HouseError> {
        let wish = JoinWish {
            user_id: user_id.to_owned(),
            guest: false,
            room: room_id.to_owned().into(),
            via: vec![FAR.try_into().unwrap()],
            reason: None,
            extra_content: None,
        };
        self.near.house.join(wish).await
    }

    /// Says something on one of the servers.
    async fn say(&self, at: &Trial, (room_id, user_id): (&RoomId, &UserId), text: &str) {
        let event = SendEvent {
            sender: user_id.to_owned(),
            event_type: TimelineEventType::RoomMessage,
            state_key: None,
            content: json!({ "msgtype": "m.text", "body": text }).to_string(),
            redacts: None,
            transaction: None,
            origin_server_ts: None,
            guest: false,
        };
        at.send(room_id, event).await;
    }

    /// Waits until a server has so many live events by somebody in a room.
    async fn heard(&self, at: &Trial, room_id: &RoomId, text: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let live = RoomQuery::LiveAfter {
                sequence: 0,
                limit: 1_000,
            };
            if let Ok(RoomAnswer::Live(events)) = at.house.room_query(room_id, live).await
                && events
                    .iter()
                    .any(|event| String::from_utf8_lossy(event.pdu.json()).contains(text))
            {
                return;
            }
            assert!(
                tokio::time::Instant::now() < deadline,
                "{text} is not heard"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    fn wish(&self, room_id: &RoomId, target: &UserId) -> MemberWish {
        MemberWish {
            room_id: room_id.to_owned(),
            sender: self.bob.clone(),
            target: target.to_owned(),
            reason: None,
            extra_content: None,
            guest: false,
        }
    }
}
