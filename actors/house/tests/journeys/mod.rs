//! Our users in rooms of another server.

mod cut_short;
mod inviting;
mod joining;
mod town;

use super::*;
use crate::user::{UserAnswer, UserQuery};
use town::Town;

const FAR: &str = "far.example";

/// This server and another, on which Alice has a room.
struct Pair {
    town: Arc<Town>,
    near: Trial,
    far: Trial,
    alice: OwnedUserId,
    bob: OwnedUserId,
    end: End,
}

/// When a test is over, nobody answers any more.
struct End(Arc<Town>);

impl Drop for End {
    fn drop(&mut self) {
        self.0.close("near.example");
        self.0.close(FAR);
    }
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
        let end = End(town.clone());
        Self {
            town,
            near,
            far,
            alice,
            bob,
            end,
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
            end,
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
            end,
        }
    }

    /// Both servers end in order.
    async fn end(self) {
        drop(self.end);
        self.near.house.close(PATIENCE).await;
        self.far.house.close(PATIENCE).await;
    }

    /// Waits until a user of this server has a membership in its list of rooms.
    async fn listed(&self, user_id: &UserId, room_id: &RoomId, wanted: MembershipState) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let UserAnswer::Rooms(rooms) = self
                .near
                .house
                .user_query(user_id, UserQuery::Rooms)
                .await
                .unwrap()
            else {
                panic!("Rooms answers Rooms");
            };
            let found = rooms.iter().find(|(room, _)| room == room_id);
            if found.is_some_and(|(_, membership)| *membership == wanted) {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{rooms:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
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
        let event = SendEvent::new(
            user_id.to_owned(),
            TimelineEventType::RoomMessage,
            json!({ "msgtype": "m.text", "body": text }).to_string(),
        );
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
