//! A storm: providers answer with 429, 5xx, late, never, or the line breaks, while gateway and homeserver are killed again and again. Nothing of high priority
//! is lost, nothing arrives twice but what nobody could know had arrived, and devices show the right count.
//!
//! `PLAYHOUSE_TEST_PUSH_KILLS` says how often something is killed, `PLAYHOUSE_TEST_PUSH_SEED` by which dice.

mod people;
mod verdict;

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::json;

use self::{
    people::{DEAD, Dice, People, Place},
    verdict::{Break, Verdict},
};
use super::{
    gateway::{TestGateway, apns_app},
    line::Line,
    provider::{Provider, Said, Seen},
};
use crate::harness::{Database, Options, PushGateway, TestServer, wish};

/// After a storm everything has arrived within this time: the longest wait between attempts of the gateway that can come up here, and more.
const CALM_WITHIN: Duration = Duration::from_secs(300);

/// What was on the line when it was cut may be seen at its other end so much later.
const ECHO: Duration = Duration::from_secs(3);

/// Whoever refuses the same push more often than this makes the test long, and shows nothing new.
const REFUSALS_MAX: u32 = 2;

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_loses_and_doubles_nothing_on_sqlite() {
    weather(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_storm_loses_and_doubles_nothing_on_postgres() {
    weather(true).await;
}

async fn weather(on_postgres: bool) {
    let kills = wish("PLAYHOUSE_TEST_PUSH_KILLS").unwrap_or(4);
    let seed = wish("PLAYHOUSE_TEST_PUSH_SEED").unwrap_or(1);
    let begun = Instant::now();
    let mut world = World::begin(on_postgres, seed).await;
    for round in 0..kills {
        if round % 5 == 4 {
            world.rest().await;
        } else {
            world.storm().await;
        }
    }
    let verdict = world.calm().await;
    world.dead_ones_are_gone().await;
    world.tell(&verdict, seed, begun.elapsed());
}

/// What is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Victim {
    Gateway,
    Homeserver,
    Both,
}

/// How often what was killed.
#[derive(Debug, Default)]
struct Kills {
    gateway: usize,
    homeserver: usize,
    /// Of them, when nothing was on its way.
    at_rest: usize,
}

struct World {
    server: TestServer,
    gateway: TestGateway,
    provider: Provider,
    to_gateway: Line,
    to_provider: Line,
    people: People,
    /// Where the homeserver listens now.
    place: Place,
    is_rough: Arc<AtomicBool>,
    breaks: Arc<Mutex<Vec<Break>>>,
    kills: Kills,
    recounts: usize,
    dice: Dice,
}

impl World {
    async fn begin(on_postgres: bool, seed: u64) -> Self {
        let database = || on_postgres.then(Database::create);
        let mut dice = Dice::new(seed);
        let provider = Provider::start().await;
        let to_provider = Line::to(provider.url().trim_start_matches("https://")).await;
        let near = format!("https://127.0.0.1:{}", to_provider.port());
        let app = apns_app(&provider, ", hex_tokens = true").replace(&provider.url(), &near);
        let more = "answer_within_ms = 300";
        let gateway = TestGateway::start_on(database(), &provider, &[app], more);
        let to_gateway = Line::to(gateway.place()).await;
        let mut environment = PushGateway::ENVIRONMENT.to_vec();
        environment.push(("PLAYHOUSE_PUSH_ANSWER_TIMEOUT_MS", "5000"));
        let environment = environment.into_iter();
        let server = TestServer::start_exactly(Options {
            database: database(),
            environment: environment
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .collect(),
            ..Options::default()
        });
        let people = People::gather(&server, to_gateway.port()).await;
        let (is_rough, breaks) = (
            Arc::<AtomicBool>::default(),
            Arc::<Mutex<Vec<Break>>>::default(),
        );
        provider.will_judge(manner(
            (is_rough.clone(), breaks.clone()),
            to_provider.clone(),
            dice.fork(),
        ));
        Self {
            place: Arc::new(Mutex::new(server.base().to_owned())),
            server,
            gateway,
            provider,
            to_gateway,
            to_provider,
            people,
            is_rough,
            breaks,
            kills: Kills::default(),
            recounts: 0,
            dice,
        }
    }

    /// All speak and read; something is killed meanwhile, and comes back.
    async fn storm(&mut self) {
        self.is_rough.store(true, Ordering::SeqCst);
        let talk = self.people.talk(&mut self.dice, &self.place);
        let wanted = self.provider.count() + 1 + self.dice.below(12) as usize;
        // Some rounds wait for what is tried again later; the next one goes on then.
        let patience = Instant::now() + Duration::from_secs(3);
        while self.provider.count() < wanted && Instant::now() < patience {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        let victim = match self.dice.below(5) {
            0 | 1 => Victim::Gateway,
            2 | 3 => Victim::Homeserver,
            _ => Victim::Both,
        };
        self.strike(victim, false);
        self.people.fall_silent(talk).await;
    }

    /// When nothing is on its way both are killed: that excuses nothing.
    async fn rest(&mut self) {
        self.calm().await;
        self.strike(Victim::Both, true);
    }

    fn strike(&mut self, victim: Victim, is_at_rest: bool) {
        let from = Instant::now();
        let (gateway, homeserver) = (victim != Victim::Homeserver, victim != Victim::Gateway);
        if gateway {
            self.gateway.kill();
        }
        if homeserver {
            self.server.kill();
            self.server.start_again();
            let base = self.server.base().to_owned();
            *self.place.lock().expect("a place") = base;
        }
        if gateway {
            self.gateway.start_again();
            self.to_gateway.lead_to(self.gateway.place());
        }
        self.kills.gateway += usize::from(gateway);
        self.kills.homeserver += usize::from(homeserver);
        self.kills.at_rest += usize::from(is_at_rest);
        if gateway && !is_at_rest {
            let until = Instant::now();
            self.breaks
                .lock()
                .expect("breaks")
                .push(Break { from, until });
        }
    }

    /// The provider takes everything; waits until all is as it should be.
    async fn calm(&mut self) -> Verdict {
        self.is_rough.store(false, Ordering::SeqCst);
        // Who still waits for an answer that never comes would wait for long.
        cut(&self.to_provider, &self.breaks);
        // That excuses nothing of what follows.
        tokio::time::sleep(ECHO).await;
        // What is said now comes behind everything else: once it has ended, all has.
        self.people.speak_once(&mut self.dice, &self.place).await;
        let deadline = Instant::now() + CALM_WITHIN;
        loop {
            let verdict = self.judge().await;
            let (_, figures) = self.gateway.client().text("/metrics").await;
            let is_idle = figures
                .lines()
                .any(|line| line == "playhouse_push_waiting 0");
            if verdict.is_good() && is_idle {
                self.recounts += verdict.badges.len();
                verdict.assert_nothing_came_twice();
                return verdict;
            }
            assert!(Instant::now() < deadline, "idle: {is_idle}, {verdict:#?}");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    async fn judge(&self) -> Verdict {
        let mut recounted = Vec::new();
        for hearer in self.people.hearers() {
            recounted.push((hearer.pushkey.clone(), hearer.recount(&self.place).await));
        }
        let breaks = self.breaks.lock().expect("breaks").clone();
        Verdict::of((&self.people, recounted), &self.provider.seen(), &breaks)
    }

    /// Of each hearer the key that the provider calls dead has no pusher any more, and the other has.
    async fn dead_ones_are_gone(&mut self) {
        for hearer in self.people.hearers().to_vec() {
            let deadline = Instant::now() + CALM_WITHIN;
            loop {
                let keys = hearer.keys(&self.place).await;
                if keys == [hearer.pushkey.clone()] {
                    break;
                }
                assert!(keys.contains(&hearer.pushkey), "a good one was rejected");
                assert!(Instant::now() < deadline, "{keys:?}");
                // What the provider said too late for an answer is told with the next request.
                self.people.speak_once(&mut self.dice, &self.place).await;
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
        }
    }

    #[expect(
        clippy::print_stdout,
        reason = "the figures belong into the test's output"
    )]
    fn tell(&self, verdict: &Verdict, seed: u64, took: Duration) {
        let cuts = self.breaks.lock().expect("breaks").len();
        println!("{:?}, seed {seed}, {took:?}", self.kills);
        let Kills {
            gateway,
            homeserver,
            at_rest,
        } = self.kills;
        println!(
            "{} kills of processes while it stormed, {} while all was quiet; the line to the provider was reset {} times",
            gateway + homeserver - 2 * at_rest,
            2 * at_rest,
            cuts - (gateway - at_rest)
        );
        println!("{cuts} times an answer of the provider could be lost (kills and broken lines)");
        println!("{}", verdict.figures(&self.provider.seen()));
        println!("{} recounts of badges, all equal", self.recounts);
    }
}

/// Breaks the line, and says so.
fn cut(line: &Line, breaks: &Mutex<Vec<Break>>) {
    let from = Instant::now();
    let until = from + ECHO;
    breaks.lock().expect("breaks").push(Break { from, until });
    line.cut();
}

/// How the provider answers.
fn manner(
    (is_rough, breaks): (Arc<AtomicBool>, Arc<Mutex<Vec<Break>>>),
    line: Line,
    mut dice: Dice,
) -> impl FnMut(&Seen) -> Said + Send + 'static {
    let mut refused: HashMap<String, u32> = HashMap::new();
    let no = |status: u16, reason: &str| Said::new(status, json!({ "reason": reason }));
    move |seen: &Seen| {
        if seen.path.contains(DEAD) {
            return no(410, "Unregistered");
        }
        let refused = refused
            .entry(seen.header("apns-id").to_owned())
            .or_default();
        if !is_rough.load(Ordering::SeqCst) || *refused >= REFUSALS_MAX {
            return Said::ok();
        }
        let late = Duration::from_millis(dice.below(400));
        let said = match dice.below(100) {
            0..45 => return Said::ok(),
            45..60 => return Said::ok().after(late),
            60..72 => no(503, "ServiceUnavailable"),
            72..82 => no(429, "TooManyRequests").with("retry-after", "1"),
            82..88 => no(500, "InternalServerError").after(late),
            88..92 => {
                cut(&line, &breaks);
                Said::ok().after(Duration::from_millis(50))
            }
            _ => Said::nothing(),
        };
        *refused += 1;
        said
    }
}
