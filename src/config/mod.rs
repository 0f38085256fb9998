//! The configuration: one file per section, one definition per option.
//!
//! Owns the only reading of environment variables. Order of precedence: environment, file, default. Unknown keys and variables are refused.

pub mod captcha;
pub(crate) mod check;
mod check_accounts;
pub mod consent;
pub mod database;
pub mod email;
pub mod example;
pub mod federation;
pub mod identity;
pub mod limits;
pub mod listen;
mod load;
pub mod log;
pub mod media;
pub mod registration;
pub mod rooms;
pub(crate) mod section;
pub mod server;
#[cfg(test)]
mod tests;
pub mod voip;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::{
    captcha::Captcha,
    consent::{Consent, Policy, PolicyText},
    database::Database,
    email::Email,
    federation::Federation,
    identity::Identity,
    limits::{Limits, Rate},
    listen::{Listen, Listener, Resource},
    load::ConfigError,
    log::Log,
    media::Media,
    registration::Registration,
    rooms::Rooms,
    server::Server,
    voip::Voip,
};

/// Everything an operator can set.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// Who this server is and where it keeps its files.
    pub server: Server,
    /// The addresses on which the server answers.
    pub listen: Listen,
    /// Where the log is kept.
    pub database: Database,
    /// Who may make an account.
    pub registration: Registration,
    /// Policies that people accept when they register.
    pub consent: Consent,
    /// Keeping machines out.
    pub captcha: Captcha,
    /// Mail from this server, and addresses of accounts.
    pub email: Email,
    /// Identity servers.
    pub identity: Identity,
    /// How rooms are made.
    pub rooms: Rooms,
    /// Uploads and downloads.
    pub media: Media,
    /// Relays for calls.
    pub voip: Voip,
    /// Other servers.
    pub federation: Federation,
    /// Sizes, times and rates.
    pub limits: Limits,
    /// What the server tells its operator.
    pub log: Log,
}

/// All sections, in the order of the file.
pub(crate) const SECTIONS: &[section::SectionInfo] = &[
    Server::INFO,
    Listen::INFO,
    Database::INFO,
    Registration::INFO,
    Consent::INFO,
    Captcha::INFO,
    Email::INFO,
    Identity::INFO,
    Rooms::INFO,
    Media::INFO,
    Voip::INFO,
    Federation::INFO,
    Limits::INFO,
    Log::INFO,
];

impl Config {
    /// A path of the configuration: relative ones start in the data folder.
    pub fn in_data_dir(&self, path: &str) -> PathBuf {
        PathBuf::from(&self.server.data_dir).join(path)
    }

    /// The file with the signing key.
    pub fn signing_key_path(&self) -> PathBuf {
        self.in_data_dir(&self.server.signing_key)
    }
}
