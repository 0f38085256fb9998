//! Other servers are sent everything, whichever node it falls to.

use std::collections::BTreeMap;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use ruma::{OwnedServerName, UserId, signatures::PublicKeyMap};

use super::*;
use crate::{
    network::{KeysWanted, Network, PeerError, PeerRequest},
    room::{
        RoomCommand,
        message::{ChangeMembership, MemberProfile, MembershipAction},
    },
};

/// The bodies of transactions that a server has taken in, by ID, and the order in which they came.
#[derive(Default)]
struct Taken {
    order: Vec<String>,
    bodies: BTreeMap<String, Bytes>,
}

/// Other servers in memory.
#[derive(Clone, Default)]
struct Others(Arc<Mutex<BTreeMap<OwnedServerName, Taken>>>);

impl Others {
    /// Texts of the messages that a server has, in order, each once.
    fn messages(&self, name: &OwnedServerName) -> Vec<String> {
        let servers = self.0.lock();
        let Some(taken) = servers.get(name) else {
            return Vec::new();
        };
        let mut seen = BTreeSet::new();
        let mut messages = Vec::new();
        for id in &taken.order {
            let body: Value = serde_json::from_slice(&taken.bodies[id]).unwrap();
            for pdu in body["pdus"].as_array().into_iter().flatten() {
                if pdu["type"] == "m.room.message" && seen.insert(pdu["hashes"].to_string()) {
                    messages.push(pdu["content"]["body"].as_str().unwrap().to_owned());
                }
            }
        }
        messages
    }
}

impl Network for Others {
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let servers = self.0.clone();
        Box::pin(async move {
            tokio::task::yield_now().await;
            let (true, Some(body)) = (request.path.contains("/send/"), request.body) else {
                return Err(PeerError::Unreachable("only takes transactions".to_owned()));
            };
            let id = request.path.rsplit('/').next().unwrap().to_owned();
            let mut servers = servers.lock();
            let taken = servers.entry(request.destination).or_default();
            match taken.bodies.get(&id) {
                Some(known) => assert_eq!(*known, body, "the same body under the same ID"),
                None => {
                    taken.order.push(id.clone());
                    taken.bodies.insert(id, body);
                }
            }
            Ok(Bytes::from_static(b"{}"))
        })
    }

    fn keys(&self, _wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        Box::pin(async { PublicKeyMap::new() })
    }
}

async fn let_in(house: &House, room_id: &OwnedRoomId, user_id: &OwnedUserId) {
    let join = ChangeMembership {
        sender: user_id.clone(),
        target: user_id.clone(),
        action: MembershipAction::Join,
        reason: None,
        profile: MemberProfile::default(),
        extra_content: None,
        restriction_met: false,
        guest: false,
    };
    let command = RoomCommand::ChangeMembership(Box::new(join));
    house.room_command(room_id, command).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_server_is_sent_everything_while_nodes_come_and_go() {
    let others = Others::default();
    let town = Town::among_others(Arc::new(others.clone())).await;
    let one = town.node("one").await;
    town.settled(&[&one]).await;
    let alice = Client::register(&one.house, "alice").await;
    let room_id = make_room(&one.house, &alice.user_id).await;
    let mut servers = Vec::new();
    for number in 0..8 {
        let server = OwnedServerName::try_from(format!("peer{number}.example")).unwrap();
        let bob = UserId::parse(format!("@bob:{server}")).unwrap();
        let_in(&one.house, &room_id, &bob).await;
        servers.push(server);
    }
    let mut said = Vec::new();
    let mut go_on = async |house: &House| {
        for _ in 0..10 {
            let text = format!("message {}", said.len());
            say(house, &alice.user_id, &room_id, &text).await.unwrap();
            said.push(text);
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    go_on(&one.house).await;
    let two = town.node("two").await;
    go_on(&one.house).await;
    town.settled(&[&one, &two]).await;
    go_on(&two.house).await;
    one.leave().await;
    go_on(&two.house).await;
    let three = town.node("three").await;
    town.settled(&[&two, &three]).await;
    go_on(&three.house).await;
    two.kill().await;
    town.settled(&[&three]).await;
    go_on(&three.house).await;
    for server in &servers {
        let has_all = || others.messages(server).len() >= said.len();
        until(&format!("{server} has everything"), has_all).await;
        assert_eq!(others.messages(server), said);
    }
}
