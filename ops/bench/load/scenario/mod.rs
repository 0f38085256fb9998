//! The scenarios, one file each: what is prepared, what is measured, what must be there afterwards.

mod cold_start;
mod create_rooms;
mod fanout;
mod idle_rooms;
mod initial_sync;
mod join_storm;
mod listener;
mod login;
mod media;
mod messages;
mod mixed;
mod register;
mod send;
mod send_one_room;
mod state;

use super::{
    knobs::{Knob, Knobs},
    meter::Part,
    target::Target,
    trouble::{Outcome, Trouble},
};

/// A scenario by name.
pub(crate) struct Entry {
    pub(crate) name: &'static str,
    pub(crate) about: &'static str,
    pub(crate) knobs: &'static [Knob],
    /// Not run unless it is asked for.
    pub(crate) is_special: bool,
}

const fn entry(name: &'static str, about: &'static str, knobs: &'static [Knob]) -> Entry {
    Entry {
        name,
        about,
        knobs,
        is_special: false,
    }
}

/// All scenarios, in the order in which they run.
pub(crate) const ENTRIES: [Entry; 14] = [
    entry("register", register::ABOUT, register::KNOBS),
    entry("login", login::ABOUT, login::KNOBS),
    entry("create-rooms", create_rooms::ABOUT, create_rooms::KNOBS),
    entry("send", send::ABOUT, send::KNOBS),
    entry("send-one-room", send_one_room::ABOUT, send_one_room::KNOBS),
    entry("fanout", fanout::ABOUT, fanout::KNOBS),
    entry("initial-sync", initial_sync::ABOUT, initial_sync::KNOBS),
    entry("messages", messages::ABOUT, messages::KNOBS),
    entry("join-storm", join_storm::ABOUT, join_storm::KNOBS),
    entry("state", state::ABOUT, state::KNOBS),
    entry("media", media::ABOUT, media::KNOBS),
    entry("mixed", mixed::ABOUT, mixed::KNOBS),
    entry("cold-start", cold_start::ABOUT, cold_start::KNOBS),
    Entry {
        is_special: true,
        ..entry("idle-rooms", idle_rooms::ABOUT, idle_rooms::KNOBS)
    },
];

/// A scenario with its knobs set.
pub(crate) struct Scenario {
    pub(crate) entry: &'static Entry,
    pub(crate) knobs: Knobs,
}

impl Scenario {
    /// Reads `NAME` or `NAME:KNOB=NUMBER,…`.
    pub(crate) fn parse(text: &str) -> Outcome<Self> {
        let (name, settings) = text.split_once(':').unwrap_or((text, ""));
        let entry = ENTRIES
            .iter()
            .find(|entry| entry.name == name)
            .ok_or_else(|| Trouble::Setup(format!("there is no scenario `{name}`: see --list")))?;
        let knobs = Knobs::set(entry.knobs, settings)?;
        Ok(Self { entry, knobs })
    }

    /// All but the special ones, as they are.
    pub(crate) fn usual() -> Outcome<Vec<Self>> {
        let usual = ENTRIES.iter().filter(|entry| !entry.is_special);
        usual.map(|entry| Self::parse(entry.name)).collect()
    }

    /// Runs it once.
    pub(crate) async fn run(&self, target: &Target) -> Outcome<Vec<Part>> {
        let knobs = &self.knobs;
        match self.entry.name {
            "register" => register::run(target, knobs).await,
            "login" => login::run(target, knobs).await,
            "create-rooms" => create_rooms::run(target, knobs).await,
            "send" => send::run(target, knobs).await,
            "send-one-room" => send_one_room::run(target, knobs).await,
            "fanout" => fanout::run(target, knobs).await,
            "initial-sync" => initial_sync::run(target, knobs).await,
            "messages" => messages::run(target, knobs).await,
            "join-storm" => join_storm::run(target, knobs).await,
            "state" => state::run(target, knobs).await,
            "media" => media::run(target, knobs).await,
            "mixed" => mixed::run(target, knobs).await,
            "cold-start" => cold_start::run(target, knobs).await,
            _ => idle_rooms::run(target, knobs).await,
        }
    }
}

/// So many rooms, users or joins are prepared at the same time.
const PREPARE_CLIENTS: usize = 8;
