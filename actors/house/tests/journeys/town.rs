//! Two servers that ask each other in memory. What one asks of the other is answered by a script on the other's actors.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use bytes::Bytes;
use futures_util::{FutureExt as _, future::BoxFuture};
use parking_lot::Mutex;
use ruma::{
    CanonicalJsonObject, OwnedServerName, ServerName, serde::Base64, signatures::PublicKeyMap,
};
use serde_json::{Value as JsonValue, value::RawValue};

use super::super::*;
use crate::{
    env::Clock,
    house::{AutoAccept, COMPLEXITY_UNIT, IncomingInvite, RemoteRooms},
    network::{KeysWanted, Network, PeerError, PeerRequest},
    room::{
        message::TemplateWish,
        peer::{MissingEvents, PeerAnswer, PeerQuestion},
        receive::sign::co_sign,
    },
};

/// All servers.
#[derive(Default)]
pub(super) struct Town {
    houses: Mutex<BTreeMap<OwnedServerName, Arc<House>>>,
    /// Paths that were asked for: server and path without query.
    pub(super) asked: Mutex<Vec<(OwnedServerName, String)>>,
    /// Servers that cannot be reached.
    pub(super) gone: Mutex<BTreeSet<OwnedServerName>>,
    /// Version 2 of these words is not known.
    pub(super) old: Mutex<BTreeSet<&'static str>>,
    /// Rooms that servers which are opened from now on join.
    pub(super) joins: Mutex<RemoteRooms>,
    /// Invites that servers which are opened from now on accept for their users.
    pub(super) accepts: Mutex<AutoAccept>,
    /// What is asked with these words does not arrive.
    pub(super) deaf: Mutex<BTreeSet<&'static str>>,
    /// Answers to these words are lost.
    pub(super) lost: Mutex<BTreeSet<&'static str>>,
    /// Answers to these words come when they stand here no more.
    pub(super) held: Mutex<BTreeSet<&'static str>>,
    /// Servers that tell of a version of rooms that nobody knows.
    pub(super) odd: Mutex<BTreeSet<OwnedServerName>>,
    /// Servers that are in no room, and say that they are.
    pub(super) outsiders: Mutex<BTreeSet<OwnedServerName>>,
    /// The join that one of these has got.
    pretended: Mutex<String>,
    /// All clocks are so much ahead, milliseconds.
    pub(super) ahead_ms: AtomicU64,
    /// What is put into answers of `send_join`.
    pub(super) spoil: Mutex<Option<fn(&mut JsonValue)>>,
}

/// The clock of one server.
struct TownClock(Arc<dyn Clock>, Arc<Town>);

impl Clock for TownClock {
    fn now_ms(&self) -> u64 {
        self.0.now_ms() + self.1.ahead_ms.load(Ordering::Relaxed)
    }
}

/// The network of one server.
struct Street(Arc<Town>, OwnedServerName);

impl Network for Street {
    fn ask(&self, request: PeerRequest) -> BoxFuture<'static, Result<Bytes, PeerError>> {
        let (town, origin) = (self.0.clone(), self.1.clone());
        async move {
            let path = request.path.split('?').next().unwrap().to_owned();
            let place = (request.destination.clone(), path);
            town.asked.lock().push(place);
            let word = request.path.split('/').nth(4).unwrap();
            if word == "make_join" && town.odd.lock().contains(&request.destination) {
                let made = json!({ "room_version": "odd.example.1", "event": {} });
                return Ok(Bytes::from(made.to_string()));
            }
            if town.outsiders.lock().contains(&request.destination) {
                return town.pretend(&origin, &request).await;
            }
            let there = town.houses.lock().get(&request.destination).cloned();
            let is_gone = town.gone.lock().contains(&request.destination);
            let Some(house) = there.filter(|_| !is_gone) else {
                return Err(PeerError::Unreachable("gone".to_owned()));
            };
            if town.deaf.lock().contains(word) {
                return Err(PeerError::TooSlow);
            }
            let answer = town.answer(&house, &origin, &request).await?;
            drop(house);
            while town.held.lock().contains(word) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            if town.lost.lock().contains(word) {
                return Err(PeerError::TooSlow);
            }
            Ok(Bytes::from(answer.to_string()))
        }
        .boxed()
    }

    fn keys(&self, wanted: KeysWanted) -> BoxFuture<'static, PublicKeyMap> {
        let mut keys = PublicKeyMap::new();
        for server in wanted.into_keys() {
            let signer = signer(&server);
            let key = Base64::new(signer.public_key().to_vec());
            let set = BTreeMap::from([(signer.key_id().to_string(), key)]);
            keys.insert(server.to_string(), set);
        }
        async { keys }.boxed()
    }
}

pub(super) fn signer(server: &ServerName) -> Signer {
    let seed = server.as_str().len() as u8 * 7 + server.as_bytes()[0];
    Signer::from_seed("1", &[seed; 32]).unwrap()
}

fn refused(status: u16, errcode: &str) -> PeerError {
    PeerError::Refused {
        status,
        errcode: errcode.to_owned(),
        error: "no".to_owned(),
    }
}

fn refusal(error: HouseError) -> PeerError {
    match error {
        HouseError::Room(RoomError::Forbidden(_)) => refused(403, "M_FORBIDDEN"),
        HouseError::Room(RoomError::UnknownRoom) => refused(404, "M_NOT_FOUND"),
        error => refused(400, &error.to_string()),
    }
}

fn plain(segment: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = segment.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digits = [rest.next().unwrap(), rest.next().unwrap()];
            let digits = std::str::from_utf8(&digits).unwrap();
            bytes.push(u8::from_str_radix(digits, 16).unwrap());
        } else {
            bytes.push(byte);
        }
    }
    String::from_utf8(bytes).unwrap()
}

fn values(events: &[Bytes]) -> JsonValue {
    let parsed = events
        .iter()
        .map(|event| serde_json::from_slice(event).unwrap());
    parsed.collect::<Vec<JsonValue>>().into()
}

async fn missing(
    house: &Arc<House>,
    origin: &ServerName,
    (room_id, body): (&str, &JsonValue),
) -> Result<JsonValue, PeerError> {
    let room_id = RoomId::parse(room_id).unwrap();
    let ids = |name: &str| serde_json::from_value(body[name].clone()).unwrap();
    let question = PeerQuestion::MissingEvents(MissingEvents {
        earliest: ids("earliest_events"),
        latest: ids("latest_events"),
        limit: 10,
        min_depth: 0,
    });
    let found = house.room_for_peer(origin, &room_id, question).await;
    let PeerAnswer::Events(events) = found.map_err(refusal)? else {
        panic!("something else than events");
    };
    Ok(json!({ "events": values(&events) }))
}

impl Town {
    pub(super) async fn house(self: &Arc<Self>, name: &str, folder: &Path) -> Arc<House> {
        let name = OwnedServerName::try_from(name).unwrap();
        let mut env = Env::system(Identity {
            server_name: name.clone(),
            signer: signer(&name),
        });
        env.clock = Arc::new(TownClock(env.clock.clone(), self.clone()));
        let env = env.with_network(Arc::new(Street(self.clone(), name.clone())));
        let mut config = config(env);
        config.outbox.retry_wait_ms = 20;
        config.outbox.retry_wait_max_ms = 100;
        config.auto_accept = *self.accepts.lock();
        config.remote_rooms = self.joins.lock().clone();
        let house = House::open(store(folder).await, config).await.unwrap();
        self.houses.lock().insert(name, house.clone());
        house
    }

    pub(super) fn close(&self, name: &str) {
        let name = OwnedServerName::try_from(name).unwrap();
        self.houses.lock().remove(&name);
    }

    /// What a server says that is in no room: its templates are those of another one, it keeps a join for itself, and it takes every leave.
    async fn pretend(
        &self,
        origin: &ServerName,
        request: &PeerRequest,
    ) -> Result<Bytes, PeerError> {
        let path = request.path.split('?').next().unwrap();
        let parts: Vec<_> = path.split('/').map(plain).collect();
        let answer = match parts[4].as_str() {
            "make_join" => {
                let far = OwnedServerName::try_from(super::FAR).unwrap();
                let far = self.houses.lock().get(&far).cloned().unwrap();
                self.answer(&far, origin, request).await?
            }
            "send_join" => {
                *self.pretended.lock() = parts[6].clone();
                return Err(PeerError::TooSlow);
            }
            "make_leave" => json!({ "room_version": "11", "event": {
                "auth_events": [self.pretended.lock().clone()], "prev_events": [], "depth": 1, "room_id": parts[5], "sender": parts[6],
                "state_key": parts[6], "type": "m.room.member", "content": { "membership": "leave" },
            } }),
            "send_leave" => json!({}),
            _ => return Err(PeerError::TooSlow),
        };
        Ok(Bytes::from(answer.to_string()))
    }

    async fn answer(
        &self,
        house: &Arc<House>,
        origin: &ServerName,
        request: &PeerRequest,
    ) -> Result<JsonValue, PeerError> {
        let path = request.path.split('?').next().unwrap();
        let parts: Vec<_> = path.split('/').map(plain).collect();
        let (version, word) = (parts[3].as_str(), parts[4].as_str());
        let body: JsonValue = match &request.body {
            Some(body) => serde_json::from_slice(body).unwrap(),
            None => JsonValue::Null,
        };
        if version == "v2" && self.old.lock().contains(word) {
            return Err(refused(404, "M_UNRECOGNIZED"));
        }
        match word {
            "send" => {
                let pdus: Vec<Box<RawValue>> =
                    serde_json::from_value(body["pdus"].clone()).unwrap();
                house.receive_pdus(origin, pdus).await.map_err(refusal)?;
                Ok(json!({ "pdus": {} }))
            }
            "make_join" | "make_knock" | "make_leave" => {
                let membership = MembershipState::from(&word[5..]);
                template(house, &parts[5], (&parts[6], membership)).await
            }
            "send_join" | "send_knock" | "send_leave" => {
                let answer = self
                    .take(house, origin, (&parts[5], &parts[6], body))
                    .await?;
                let is_pair = version == "v1" && word != "send_knock";
                Ok(if is_pair {
                    json!([200, answer])
                } else {
                    answer
                })
            }
            "invite" => {
                let state = &body["invite_room_state"];
                let (event, state, version) = if version == "v1" {
                    let state = body["unsigned"]["invite_room_state"].clone();
                    (body.clone(), state, json!("1"))
                } else {
                    let version = body["room_version"].clone();
                    (body["event"].clone(), state.clone(), version)
                };
                let invite = IncomingInvite {
                    room_id: RoomId::parse(&parts[5]).unwrap(),
                    event_id: OwnedEventId::try_from(parts[6].as_str()).unwrap(),
                    version: serde_json::from_value(version).unwrap(),
                    event: serde_json::value::to_raw_value(&event).unwrap(),
                    state: serde_json::from_value(state).unwrap(),
                };
                let signed = house.receive_invite(origin, invite).await;
                let answer = json!({ "event": signed.map_err(refusal)? });
                let is_pair = request.path.contains("/v1/");
                Ok(if is_pair {
                    json!([200, answer])
                } else {
                    answer
                })
            }
            "query" => {
                let alias = request.path.split("room_alias=").nth(1).map(plain).unwrap();
                let alias = ruma::RoomAliasId::parse(alias).unwrap();
                let found = house.resolve_alias(&alias).await.map_err(refusal)?;
                Ok(json!({ "room_id": found.room_id, "servers": found.servers }))
            }
            "rooms" => self.size(house, origin, &parts[5]).await,
            "get_missing_events" => missing(house, origin, (&parts[5], &body)).await,
            word => panic!("nobody answers {word}"),
        }
    }

    async fn size(
        &self,
        house: &Arc<House>,
        origin: &ServerName,
        room_id: &str,
    ) -> Result<JsonValue, PeerError> {
        if self.old.lock().contains("complexity") {
            return Err(refused(404, "M_UNRECOGNIZED"));
        }
        let room_id = RoomId::parse(room_id).unwrap();
        let seen = house.room_seen_by_peer(origin, &room_id).await;
        let (_, standing) = seen.map_err(refusal)?;
        Ok(json!({ "v1": standing.state_events as f64 / COMPLEXITY_UNIT }))
    }

    async fn take(
        &self,
        house: &Arc<House>,
        origin: &ServerName,
        (room_id, event_id, body): (&str, &str, JsonValue),
    ) -> Result<JsonValue, PeerError> {
        let room_id = RoomId::parse(room_id).unwrap();
        let gate = house.room_gate(&room_id, origin).await.map_err(refusal)?;
        let rules = gate.version.rules().unwrap();
        let object: CanonicalJsonObject = serde_json::from_value(body).unwrap();
        let signed = co_sign(object, &rules, house.env()).unwrap();
        assert_eq!(signed.event_id, event_id);
        let event: JsonValue = serde_json::from_str(signed.json.get()).unwrap();
        let pdus = vec![signed.json];
        let outcomes = house.receive_pdus(origin, pdus).await.map_err(refusal)?;
        outcomes[&signed.event_id]
            .clone()
            .map_err(|_| refused(403, "M_FORBIDDEN"))?;
        if event["content"]["membership"] != "join" {
            let stripped = json!([{
                "type": "m.room.name", "state_key": "", "sender": "@alice:far.example", "content": { "name": "Far" },
            }]);
            return Ok(json!({ "knock_room_state": stripped }));
        }
        let question = PeerQuestion::State {
            event_id: signed.event_id,
        };
        let told = house.room_for_peer(origin, &room_id, question).await;
        let PeerAnswer::State { pdus, auth_chain } = told.map_err(refusal)? else {
            panic!("State answers State");
        };
        let mut answer = json!({
            "origin": house.env().server_name(), "members_omitted": false, "event": event,
            "state": values(&pdus), "auth_chain": values(&auth_chain),
        });
        if let Some(spoil) = *self.spoil.lock() {
            spoil(&mut answer);
        }
        Ok(answer)
    }
}

async fn template(
    house: &House,
    room_id: &str,
    (user_id, membership): (&str, MembershipState),
) -> Result<JsonValue, PeerError> {
    let room_id = RoomId::parse(room_id).unwrap();
    let user_id = UserId::parse(user_id).unwrap();
    let gate = house.room_gate(&room_id, user_id.server_name()).await;
    let gate = gate.map_err(refusal)?;
    let wish = TemplateWish {
        user_id,
        membership,
        restriction_met: true,
        vouching: house.env().server_name().to_owned(),
    };
    let query = RoomQuery::Template(Box::new(wish));
    match house.room_query(&room_id, query).await {
        Ok(RoomAnswer::Event(event)) => {
            let event: JsonValue = serde_json::from_slice(&event).unwrap();
            Ok(json!({ "room_version": gate.version, "event": event }))
        }
        Ok(_) => panic!("Template answers Event"),
        Err(error) => Err(refusal(error.into())),
    }
}
