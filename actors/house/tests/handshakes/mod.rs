//! Servers that bring their users into rooms and out again, against a network in memory.

mod restricted;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use ruma::{
    OwnedServerName,
    serde::{Base64, base64::Standard},
    signatures::PublicKeyMap,
};
use serde_json::Value as JsonValue;

use super::{
    wired::{Servers, Wired},
    *,
};
use crate::{
    house::{HandedPdu, HandshakeError, Template, TemplateAsked},
    network::{KeysWanted, Network, PeerError, PeerRequest},
    room::{
        RoomCommand,
        message::{ChangeMembership, MemberProfile, MembershipAction},
        peer::{Handed, Handshake},
        receive::sign::{SignedPdu, finish_template},
    },
};

const JOIN: Handshake = Handshake::Join {
    omit_members: false,
};

fn identity(server: &str) -> Identity {
    let seed = [server.len() as u8; 32];
    Identity {
        server_name: server.try_into().unwrap(),
        signer: Signer::from_seed("1", &seed).unwrap(),
    }
}

/// Servers that take what they are sent; their keys are known.
#[derive(Default)]
struct Wire {
    events: Mutex<BTreeMap<OwnedServerName, Vec<JsonValue>>>,
    deaf: Mutex<BTreeSet<OwnedServerName>>,
}

impl Wire {
    /// Who was sent the change of whose membership.
    fn told(&self, server: &str) -> Vec<(String, String)> {
        let server = OwnedServerName::try_from(server).unwrap();
        let events = self.events.lock().get(&server).cloned().unwrap_or_default();
        let member = events.iter().filter(|pdu| pdu["type"] == "m.room.member");
        member
            .map(|pdu| {
                let text = |value: &JsonValue| value.as_str().unwrap().to_owned();
                (text(&pdu["state_key"]), text(&pdu["content"]["membership"]))
            })
            .collect()
    }
}

struct Line(Arc<Wire>);

impl Network for Line {
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let wire = self.0.clone();
        Box::pin(async move {
            if wire.deaf.lock().contains(&request.destination) {
                return Err(PeerError::Unreachable("deaf".to_owned()));
            }
            let body: JsonValue = serde_json::from_slice(&request.body.unwrap()).unwrap();
            let mut events = wire.events.lock();
            let known = events.entry(request.destination).or_default();
            for pdu in body["pdus"].as_array().unwrap() {
                known.push(pdu.clone());
            }
            Ok(Bytes::from_static(b"{}"))
        })
    }

    fn keys(&self, wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        let known = wanted.into_keys().map(|server| {
            let signer = identity(server.as_str()).signer;
            let key = Base64::<Standard>::new(signer.public_key().to_vec());
            let keys = BTreeMap::from([(signer.key_id().to_string(), key)]);
            (server.to_string(), keys)
        });
        let known = known.collect();
        Box::pin(async { known })
    }
}

impl Servers for Wire {
    fn network(wire: Arc<Self>) -> Arc<dyn Network> {
        Arc::new(Line(wire))
    }
}

type Stage = Wired<Wire>;

impl Stage {
    fn house(&self) -> &House {
        &self.trial.house
    }

    async fn room(&self, version: RoomVersionId, join_rules: JsonValue) -> OwnedRoomId {
        let rules = StateContent {
            event_type: "m.room.join_rules".into(),
            state_key: String::new(),
            content: join_rules.to_string(),
        };
        let wish = |wish: &mut RoomWish| {
            wish.version = Some(version);
            wish.initial_state = vec![rules];
            wish.name = None;
        };
        self.trial.room(&self.alice, wish).await
    }

    async fn public_room(&self, version: RoomVersionId) -> OwnedRoomId {
        self.room(version, json!({"join_rule": "public"})).await
    }

    async fn change(&self, room_id: &RoomId, target: &UserId, action: MembershipAction) {
        let change = ChangeMembership {
            sender: self.alice.clone(),
            target: target.to_owned(),
            action,
            reason: None,
            profile: MemberProfile::default(),
            extra_content: None,
            restriction_met: false,
            guest: false,
        };
        let command = RoomCommand::ChangeMembership(Box::new(change));
        self.house().room_command(room_id, command).await.unwrap();
    }

    async fn template(
        &self,
        handshake: Handshake,
        (room_id, user_id): (&RoomId, &UserId),
    ) -> Result<Template, HandshakeError> {
        let asked = TemplateAsked {
            room_id: room_id.to_owned(),
            user_id: user_id.to_owned(),
            versions: None,
        };
        let origin = user_id.server_name();
        self.house()
            .template_for_peer(origin, handshake, asked)
            .await
    }

    /// The event as the user's server would finish it.
    async fn made(
        &self,
        handshake: Handshake,
        whose: (&RoomId, &UserId),
    ) -> Result<SignedPdu, HandshakeError> {
        let template = self.template(handshake, whose).await?;
        Ok(finished(&template, handshake, whose.1, whose.1))
    }

    async fn hand(
        &self,
        handshake: Handshake,
        (room_id, user_id): (&RoomId, &UserId),
        pdu: &SignedPdu,
    ) -> Result<Handed, HandshakeError> {
        let handed = HandedPdu {
            room_id,
            event_id: &pdu.event_id,
            json: pdu.json.get(),
        };
        let origin = user_id.server_name();
        self.house().take_handed(origin, handshake, handed).await
    }

    /// The whole handshake.
    async fn shake(
        &self,
        handshake: Handshake,
        whose: (&RoomId, &UserId),
    ) -> Result<Handed, HandshakeError> {
        let pdu = self.made(handshake, whose).await?;
        self.hand(handshake, whose, &pdu).await
    }

    async fn until_told(&self, server: &str, whose: &UserId, membership: &str) {
        let wanted = (whose.to_string(), membership.to_owned());
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !self.wire.told(server).contains(&wanted) {
            let told = self.wire.told(server);
            assert!(tokio::time::Instant::now() < deadline, "{server}: {told:?}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

fn finished(
    template: &Template,
    handshake: Handshake,
    user_id: &UserId,
    signing: &UserId,
) -> SignedPdu {
    let env = Env::system(identity(signing.server_name().as_str()));
    let membership = handshake.membership();
    let content = json!({"membership": membership.as_str(), "displayname": "Somebody"});
    let content = serde_json::from_value(content).unwrap();
    let rules = template.version.rules().unwrap();
    let text = std::str::from_utf8(&template.event).unwrap();
    finish_template(text, user_id.as_str(), content, (&rules, &env)).unwrap()
}

fn user(server: &str) -> OwnedUserId {
    UserId::parse(format!("@bob:{server}")).unwrap()
}

fn types(events: &[Bytes]) -> Vec<String> {
    let events = events.iter();
    let read = |event: &Bytes| serde_json::from_slice::<JsonValue>(event).unwrap();
    events
        .map(|event| read(event)["type"].as_str().unwrap().to_owned())
        .collect()
}

fn is_forbidden(outcome: &Result<Handed, HandshakeError>) -> bool {
    matches!(
        outcome,
        Err(HandshakeError::House(
            HouseError::Forbidden(_) | HouseError::Room(RoomError::Forbidden(_))
        ))
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_join_is_answered_with_the_state_before_it_as_often_as_it_comes() {
    let stage = Stage::new().await;
    let (near, far) = (user("near.example"), user("far-away.example"));
    for version in ["1", "2", "3", "6", "9", "10", "11", "12"] {
        let room_id = stage.public_room(version.try_into().unwrap()).await;
        stage.shake(JOIN, (&room_id, &near)).await.unwrap();
        let pdu = stage.made(JOIN, (&room_id, &far)).await.unwrap();
        let first = stage.hand(JOIN, (&room_id, &far), &pdu).await.unwrap();
        let membership = stage.trial.membership(&room_id, &far).await;
        assert_eq!(membership, Some(MembershipState::Join));
        let event: JsonValue = serde_json::from_slice(&first.event).unwrap();
        for server in ["example.org", "far-away.example"] {
            assert!(event["signatures"][server].is_object(), "{event}");
        }
        assert_eq!(event["content"]["displayname"], "Somebody");
        let members = types(&first.state);
        let members = members.iter().filter(|kind| *kind == "m.room.member");
        assert_eq!(members.count(), 2, "alice and near, but not far");
        assert!(types(&first.state).contains(&"m.room.create".to_owned()));
        assert!(types(&first.auth_chain).contains(&"m.room.create".to_owned()));
        assert_eq!(first.servers.len(), 2);
        stage
            .shake(Handshake::Leave, (&room_id, &near))
            .await
            .unwrap();
        let again = stage.hand(JOIN, (&room_id, &far), &pdu).await.unwrap();
        assert_eq!(
            (again.event, again.state, again.auth_chain),
            (first.event, first.state, first.auth_chain)
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn most_members_can_be_left_out() {
    let stage = Stage::new().await;
    let room_id = stage.public_room(RoomVersionId::V11).await;
    for number in 0..8 {
        let member = user(&format!("{number}.example"));
        stage.shake(JOIN, (&room_id, &member)).await.unwrap();
    }
    let far = user("far-away.example");
    let omit_members = true;
    let join = Handshake::Join { omit_members };
    let told = stage.shake(join, (&room_id, &far)).await.unwrap();
    assert!(told.members_omitted);
    assert_eq!(told.servers.len(), 9);
    // The five that a room without a name is named by.
    let members = types(&told.state);
    assert_eq!(members.iter().filter(|k| *k == "m.room.member").count(), 5);
    let state: BTreeSet<_> = told.state.iter().collect();
    assert!(told.auth_chain.iter().all(|event| !state.contains(event)));
    let name = SendEvent::new(
        stage.alice.clone(),
        TimelineEventType::RoomName,
        json!({"name": "A room"}).to_string(),
    )
    .with_state_key("");
    stage.trial.send(&room_id, name).await;
    let later = user("later.example");
    let told = stage.shake(join, (&room_id, &later)).await.unwrap();
    assert!(!types(&told.state).contains(&"m.room.member".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_good_join_is_refused() {
    let stage = Stage::new().await;
    let room_id = stage.public_room(RoomVersionId::V10).await;
    let (far, other) = (user("far-away.example"), user("other.example"));
    let whose: (&RoomId, &UserId) = (&room_id, &far);
    let template = stage.template(JOIN, whose).await.unwrap();
    let good = finished(&template, JOIN, &far, &far);
    let is_invalid =
        |outcome: Result<Handed, _>| matches!(outcome, Err(HandshakeError::Invalid(_)));
    // Signed by another server.
    let forged = finished(&template, JOIN, &far, &other);
    assert!(is_invalid(stage.hand(JOIN, whose, &forged).await));
    // Brought by another server.
    let brought = stage.hand(JOIN, (&room_id, &other), &good).await;
    assert!(is_invalid(brought));
    // Under another ID, as another membership, for another room.
    let elsewhere = stage.public_room(RoomVersionId::V10).await;
    let mut renamed = good.clone();
    renamed.event_id = "$another".try_into().unwrap();
    assert!(is_invalid(stage.hand(JOIN, whose, &renamed).await));
    assert!(is_invalid(stage.hand(Handshake::Leave, whose, &good).await));
    assert!(is_invalid(
        stage.hand(JOIN, (&elsewhere, &far), &good).await
    ));
    // With another content than was hashed: its ID stays, since redaction takes the name away.
    let mut changed = good.clone();
    let text = good.json.get().replace("Somebody", "Nobody");
    changed.json = serde_json::value::RawValue::from_string(text).unwrap();
    assert!(is_invalid(stage.hand(JOIN, whose, &changed).await));
    // Nothing of it was taken in.
    assert_eq!(stage.trial.membership(&room_id, &far).await, None);
    // Banned between the template and the event: for good, however often it comes.
    stage.change(&room_id, &far, MembershipAction::Ban).await;
    assert!(is_forbidden(&stage.hand(JOIN, whose, &good).await));
    assert!(is_forbidden(&stage.hand(JOIN, whose, &good).await));
    assert!(stage.template(JOIN, whose).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn knocks_and_leaves_are_taken_in_and_passed_on() {
    let mut stage = Stage::new().await;
    let rules = json!({"join_rule": "knock"});
    let room_id = stage.room(RoomVersionId::V11, rules).await;
    let (near, far) = (user("near.example"), user("far-away.example"));
    let invite = MembershipAction::Invite { is_direct: false };
    stage.change(&room_id, &near, invite).await;
    stage.shake(JOIN, (&room_id, &near)).await.unwrap();
    let told = stage.shake(Handshake::Knock, (&room_id, &far)).await;
    assert!(types(&told.unwrap().state).contains(&"m.room.create".to_owned()));
    stage.until_told("near.example", &far, "knock").await;
    // What is not sent yet when the process dies is sent in its next life, and what was missed is told later.
    let deaf: OwnedServerName = "near.example".try_into().unwrap();
    stage.wire.deaf.lock().insert(deaf.clone());
    let leave = stage.shake(Handshake::Leave, (&room_id, &far)).await;
    assert!(leave.unwrap().state.is_empty());
    stage = stage.crash().await;
    stage
        .shake(Handshake::Knock, (&room_id, &far))
        .await
        .unwrap();
    stage.wire.deaf.lock().clear();
    stage.until_told("near.example", &far, "leave").await;
    // The server that brings an event is not told of it.
    assert!(stage.wire.told("far-away.example").is_empty());
    let own = (near.to_string(), "join".to_owned());
    assert!(!stage.wire.told("near.example").contains(&own));
    // Who is not there cannot leave.
    let nobody = user("nobody.example");
    let outcome = stage.shake(Handshake::Leave, (&room_id, &nobody)).await;
    assert!(is_forbidden(&outcome));
}

#[tokio::test(flavor = "multi_thread")]
async fn doors_that_do_not_open() {
    let stage = Stage::new().await;
    let room_id = stage.public_room(RoomVersionId::V11).await;
    let far = user("far-away.example");
    let asked = |room_id: &RoomId, versions: &[RoomVersionId]| TemplateAsked {
        room_id: room_id.to_owned(),
        user_id: far.clone(),
        versions: Some(versions.to_vec()),
    };
    let house = stage.house();
    let far_server = far.server_name();
    let outcome = house
        .template_for_peer(far_server, JOIN, asked(&room_id, &[RoomVersionId::V10]))
        .await;
    assert_eq!(
        outcome.unwrap_err(),
        HandshakeError::IncompatibleVersion(RoomVersionId::V11)
    );
    let nowhere = RoomId::parse("!nowhere:example.org").unwrap();
    let outcome = house
        .template_for_peer(far_server, JOIN, asked(&nowhere, &[RoomVersionId::V11]))
        .await;
    assert_eq!(outcome.unwrap_err(), RoomError::UnknownRoom.into());
    let acl = SendEvent::new(
        stage.alice.clone(),
        TimelineEventType::RoomServerAcl,
        json!({"allow": ["*"], "deny": ["far-away.example"]}).to_string(),
    )
    .with_state_key("");
    let pdu = stage.made(JOIN, (&room_id, &far)).await.unwrap();
    stage.trial.send(&room_id, acl).await;
    let whose: (&RoomId, &UserId) = (&room_id, &far);
    assert!(is_forbidden(&stage.hand(JOIN, whose, &pdu).await));
    assert!(is_forbidden(&stage.shake(JOIN, whose).await));
    // Nobody of this server is in the room any more.
    stage
        .change(&room_id, &stage.alice, MembershipAction::Leave)
        .await;
    let other = user("other.example");
    let outcome = stage.template(JOIN, (&room_id, &other)).await;
    assert_eq!(outcome.unwrap_err(), RoomError::UnknownRoom.into());
}
