//! A scripted server in whose room a crowd is: it lets others join, and tells them the whole state, or first what they need and the members when it is asked.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};

use parking_lot::Mutex;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::{
    Client, Options, Peers, TestServer,
    graph::Graph,
    made::{Made, PlayedRoom, id_of, server_of},
    peer::ask_as,
    script::{Asked, Reply},
};

/// The room.
pub(crate) const ROOM: &str = "!crowd:crowd.test";

/// The server.
pub(crate) const CROWD: &str = "crowd.test";

/// Who made the room.
pub(crate) const CREATOR: &str = "@creator:crowd.test";

/// Counts transactions.
static TRANSACTION: AtomicUsize = AtomicUsize::new(1);

/// What who comes in is told of the members, having said that it can do without.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// Only those that authorise something.
    #[default]
    Lean,
    /// All.
    Whole,
    /// All, by a server that has never heard of anything else.
    Old,
}

/// How who asks for the state is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Telling {
    /// With the state.
    Whole,
    /// With the state, but not before the late are to be answered.
    Late,
    /// With this HTTP status.
    Refused(u16),
    /// With what is no JSON.
    Noise,
    /// With lists that are none.
    WrongTypes,
    /// With empty lists.
    Empty,
    /// With the state, signed by nobody.
    Unsigned,
}

/// The state is not told.
pub(crate) const HELD: &[Telling] = &[Telling::Refused(404)];

/// A user of the server.
pub(crate) fn member(number: usize) -> String {
    format!("@member{number}:{CROWD}")
}

/// A room with many members, and the servers that tell of it.
pub(crate) struct Crowd {
    /// The servers.
    pub(crate) peers: Peers,
    played: Arc<Played>,
}

/// What is told, and what was asked.
struct Played {
    graph: Mutex<Graph>,
    servers: Vec<String>,
    arrival: Mutex<Arrival>,
    is_silent: AtomicBool,
    /// By server; the last one stays.
    tellings: Mutex<BTreeMap<String, VecDeque<Telling>>>,
    is_late: watch::Sender<bool>,
    tells_missing: AtomicBool,
    key_requests: AtomicUsize,
    omissions: AtomicUsize,
    leaves: AtomicUsize,
    state_requests: AtomicUsize,
    states_told: AtomicUsize,
}

impl Crowd {
    /// Makes a room of a creator, so many members, and one guest on each of some other servers.
    pub(crate) async fn gather(members: usize, others: &[&str]) -> Self {
        let mut names = vec![CROWD];
        names.extend(others);
        let peers = Peers::start(&names).await;
        let mut users = vec![CREATOR.to_owned()];
        users.extend((0..members).map(member));
        users.extend(others.iter().map(|name| format!("@guest:{name}")));
        let graph = tokio::task::spawn_blocking(move || {
            let mut graph = Graph::of(&PlayedRoom::new("crowd", &users));
            let name =
                json!({"type": "m.room.name", "state_key": "", "content": {"name": "Crowd"}});
            let name = graph.made(CREATOR, &name);
            graph.keep(&name);
            graph
        });
        let tells = (CROWD.to_owned(), VecDeque::from([Telling::Whole]));
        let played = Arc::new(Played {
            graph: Mutex::new(graph.await.expect("a room")),
            servers: names.into_iter().map(ToOwned::to_owned).collect(),
            arrival: Mutex::default(),
            is_silent: AtomicBool::new(false),
            tellings: Mutex::new(BTreeMap::from([tells])),
            is_late: watch::Sender::new(false),
            tells_missing: AtomicBool::new(false),
            key_requests: AtomicUsize::new(0),
            omissions: AtomicUsize::new(0),
            leaves: AtomicUsize::new(0),
            state_requests: AtomicUsize::new(0),
            states_told: AtomicUsize::new(0),
        });
        let told = played.clone();
        peers.follow(move |asked| told.reply(asked));
        Self { peers, played }
    }

    /// Starts a server that finds the crowd's.
    pub(crate) async fn open(&self) -> TestServer {
        TestServer::start_with(Options {
            environment: self.peers.environment(),
            ..Options::default()
        })
        .await
    }

    /// From now on who comes in is answered so.
    pub(crate) fn let_in(&self, arrival: Arrival) {
        *self.played.arrival.lock() = arrival;
    }

    /// From now on who comes in is let in, but never told so, or told again.
    pub(crate) fn keep_silent(&self, is_silent: bool) {
        self.played.is_silent.store(is_silent, Ordering::Relaxed);
    }

    /// From now on one of the servers answers so to those who ask for the state: one after the other, and the last one again and again.
    pub(crate) fn tell_state(&self, name: &str, tellings: &[Telling]) {
        let tellings = tellings.iter().copied().collect();
        let mut all = self.played.tellings.lock();
        all.insert(name.to_owned(), tellings);
    }

    /// Whoever waits for a late answer gets it.
    pub(crate) fn answer_the_late(&self) {
        self.played.is_late.send_replace(true);
    }

    /// From now on who asks what comes before an event is told.
    pub(crate) fn tell_missing(&self) {
        self.played.tells_missing.store(true, Ordering::Relaxed);
    }

    /// How often its servers were asked for their keys.
    pub(crate) fn key_requests(&self) -> usize {
        self.played.key_requests.load(Ordering::Relaxed)
    }

    /// How often somebody came in who can do without the members.
    pub(crate) fn omissions(&self) -> usize {
        self.played.omissions.load(Ordering::Relaxed)
    }

    /// How often somebody left through its servers.
    pub(crate) fn leaves(&self) -> usize {
        self.played.leaves.load(Ordering::Relaxed)
    }

    /// How often its servers were asked for the state.
    pub(crate) fn state_requests(&self) -> usize {
        self.played.state_requests.load(Ordering::Relaxed)
    }

    /// How often they told it.
    pub(crate) fn states_told(&self) -> usize {
        self.played.states_told.load(Ordering::Relaxed)
    }

    /// Has a user's server send an event, and fails the test unless it is taken in; gives its ID.
    pub(crate) async fn send(&self, client: &Client, sender: &str, wish: Value) -> String {
        let made = {
            let mut graph = self.played.graph.lock();
            let made = graph.made(sender, &wish);
            graph.keep(&made);
            made
        };
        let told = Self::bring(client, sender, &made).await;
        assert_eq!(told, json!({}), "{}", made.json);
        made.id
    }

    /// Has a user's server send an event, but not the one right before it; gives the IDs of both, and what became of the one that was sent.
    pub(crate) async fn send_behind_gap(
        &self,
        client: &Client,
        sender: &str,
        wish: Value,
    ) -> ([String; 2], Value) {
        let [lost, made] = {
            let mut graph = self.played.graph.lock();
            [(); 2].map(|()| {
                let made = graph.made(sender, &wish);
                graph.keep(&made);
                made
            })
        };
        let told = Self::bring(client, sender, &made).await;
        ([lost.id, made.id], told)
    }

    /// Has a user's server send an event; what became of it.
    async fn bring(client: &Client, sender: &str, made: &Made) -> Value {
        let number = TRANSACTION.fetch_add(1, Ordering::Relaxed);
        let path = format!("/_matrix/federation/v1/send/crowd{number}");
        let body = json!({"pdus": [made.json]}).to_string();
        let request = (Method::PUT, path.as_str());
        let told = ask_as(server_of(sender), client, request, Some(&body)).await;
        told.ok()["pdus"][&made.id].clone()
    }
}

impl Played {
    fn reply(&self, asked: &Asked<'_>) -> Option<Reply> {
        if asked.path.starts_with("/_matrix/key/v2/server") {
            self.key_requests.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        let path = asked.path.strip_prefix("/_matrix/federation/")?;
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let what = path.split('/').nth(1)?;
        let about = decoded(path.rsplit('/').next()?);
        match what {
            "send" => {
                let mut graph = self.graph.lock();
                for event in asked.body["pdus"].as_array().into_iter().flatten() {
                    graph.keep(&made(event));
                }
                None
            }
            "make_join" | "make_leave" => {
                let template = self.graph.lock().template(&about, &what[5..]);
                Some(Reply::Json(200, template))
            }
            "send_leave" => {
                self.graph.lock().keep(&made(asked.body));
                self.leaves.fetch_add(1, Ordering::Relaxed);
                Some(Reply::Json(200, json!({})))
            }
            "send_join" => {
                let can_omit = query.split('&').any(|it| it == "omit_members=true");
                let answer = self.arrive(asked.body, can_omit);
                let is_silent = self.is_silent.load(Ordering::Relaxed);
                Some(if is_silent { Reply::Silence } else { answer })
            }
            "state" | "state_ids" => {
                let mut fields = query.split('&');
                let event_id = fields.find_map(|field| field.strip_prefix("event_id="));
                let event_id = decoded(event_id.unwrap_or_default());
                Some(self.state(asked.name, what, &event_id))
            }
            "get_missing_events" if self.tells_missing.load(Ordering::Relaxed) => {
                let latest = &asked.body["latest_events"];
                Some(told(self.graph.lock().missing_before(latest)))
            }
            "event_auth" => Some(found(self.graph.lock().event_auth(&about))),
            "event" => Some(found(self.graph.lock().event(&about))),
            _ => None,
        }
    }

    fn arrive(&self, join: &Value, can_omit: bool) -> Reply {
        self.omissions
            .fetch_add(usize::from(can_omit), Ordering::Relaxed);
        let arrival = *self.arrival.lock();
        let is_lean = can_omit && arrival == Arrival::Lean;
        let (state, auth_chain) = self.graph.lock().arrive(&made(join), is_lean);
        let further = match (is_lean, arrival) {
            (true, _) => {
                let servers = json!(self.servers);
                format!(r#""members_omitted":true,"servers_in_room":{servers},"#)
            }
            (false, Arrival::Old) => String::new(),
            (false, _) => r#""members_omitted":false,"#.to_owned(),
        };
        told(format!(
            r#"{{"state":{state},"auth_chain":{auth_chain},"event":{join},{further}"origin":"{CROWD}"}}"#
        ))
    }

    fn state(&self, name: &str, what: &str, event_id: &str) -> Reply {
        self.state_requests.fetch_add(1, Ordering::Relaxed);
        let telling = self.telling(name);
        match telling {
            Telling::Refused(status) => {
                let error = json!({"errcode": "M_UNKNOWN", "error": "not told"});
                Reply::Json(status, error)
            }
            Telling::Noise => told("{\"pdus\": [".to_owned()),
            Telling::WrongTypes => {
                let lists =
                    json!({"pdus": 5, "auth_chain": {}, "pdu_ids": "x", "auth_chain_ids": 1});
                Reply::Json(200, lists)
            }
            Telling::Empty => {
                let lists =
                    json!({"pdus": [], "auth_chain": [], "pdu_ids": [], "auth_chain_ids": []});
                Reply::Json(200, lists)
            }
            Telling::Whole | Telling::Late | Telling::Unsigned => {
                let graph = self.graph.lock();
                let state = if what == "state" {
                    graph.state_before(event_id)
                } else {
                    graph.state_ids_before(event_id)
                };
                let Some(state) = state else {
                    return found(None);
                };
                match telling {
                    Telling::Unsigned => told(unsigned(&state)),
                    Telling::Late => Reply::Late(self.is_late.subscribe(), state.into_bytes()),
                    _ => {
                        self.states_told.fetch_add(1, Ordering::Relaxed);
                        told(state)
                    }
                }
            }
        }
    }

    fn telling(&self, name: &str) -> Telling {
        let mut all = self.tellings.lock();
        let tellings = all.get_mut(name);
        let next = tellings.and_then(|tellings| match tellings.len() {
            0 | 1 => tellings.front().copied(),
            _ => tellings.pop_front(),
        });
        next.unwrap_or(Telling::Refused(404))
    }
}

fn made(event: &Value) -> Made {
    Made {
        id: id_of(event),
        json: event.clone(),
    }
}

fn told(text: String) -> Reply {
    Reply::Bytes("application/json", text.into_bytes())
}

fn found(text: Option<String>) -> Reply {
    let unknown = json!({"errcode": "M_NOT_FOUND", "error": "nobody knows it"});
    text.map_or(Reply::Json(404, unknown), told)
}

/// A state without its signatures.
fn unsigned(state: &str) -> String {
    let mut state: Value = serde_json::from_str(state).expect("JSON");
    for list in ["pdus", "auth_chain"] {
        let events = state[list].as_array_mut().into_iter().flatten();
        for event in events {
            event["signatures"] = json!({});
        }
    }
    state.to_string()
}

/// A part of a path or a query, as far as identifiers are percent-encoded.
fn decoded(text: &str) -> String {
    let text = text.replace("%24", "$").replace("%40", "@");
    text.replace("%21", "!").replace("%3A", ":")
}
