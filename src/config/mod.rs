//! The configuration: one file per section, one definition per option.
//!
//! Owns the only reading of environment variables. Order of precedence: environment, file, default. Unknown keys and variables are refused.

pub mod account_validity;
pub mod acme;
pub mod admin;
pub mod application_services;
pub mod blocking;
pub mod canary;
pub mod captcha;
pub(crate) mod check;
mod check_accounts;
mod check_cluster;
mod check_passwords;
mod check_push;
mod check_push_gateway;
pub(crate) mod check_watching;
pub mod cluster;
pub mod consent;
pub mod dashboard;
pub mod database;
pub mod delayed_events;
pub mod devices;
pub mod email;
pub mod example;
pub mod federation;
pub mod identity;
pub mod jwt;
pub mod limits;
pub mod listen;
mod load;
pub mod log;
pub mod media;
pub mod monthly_active_users;
pub mod oauth;
pub mod outbound;
pub mod passwords;
pub mod presence;
pub mod previews;
pub mod push;
pub mod push_gateway;
#[cfg(test)]
mod reference;
pub mod registration;
pub mod rendezvous;
pub mod retention;
pub mod rooms;
pub mod rtc;
pub mod search;
pub(crate) mod section;
pub mod server;
pub mod server_notices;
pub mod spam_check;
pub mod sso;
mod template;
#[cfg(test)]
mod tests;
pub mod tracing;
pub mod voip;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::{
    account_validity::AccountValidity,
    acme::Acme,
    admin::Admin,
    application_services::ApplicationServices,
    blocking::Blocking,
    canary::Canary,
    captcha::Captcha,
    cluster::Cluster,
    consent::{Consent, Policy, PolicyText},
    dashboard::Dashboard,
    database::Database,
    delayed_events::DelayedEvents,
    devices::Devices,
    email::Email,
    federation::Federation,
    identity::Identity,
    jwt::Jwt,
    limits::{Limits, Rate},
    listen::{Listen, Listener, Resource},
    load::ConfigError,
    log::Log,
    media::{Media, UploadLimit},
    monthly_active_users::MonthlyActiveUsers,
    oauth::{IntrospectionClient, Oauth},
    outbound::Outbound,
    passwords::{Ldap, Passwords},
    presence::Presence,
    previews::Previews,
    push::Push,
    push_gateway::{PushApp, PushGateway, PushKind},
    registration::Registration,
    rendezvous::Rendezvous,
    retention::Retention,
    rooms::Rooms,
    rtc::Rtc,
    search::Search,
    server::Server,
    server_notices::ServerNotices,
    spam_check::SpamCheck,
    sso::{Provider, ProviderKind, Sso},
    template::Template,
    tracing::Tracing,
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
    /// Certificates by ACME.
    pub acme: Acme,
    /// Where the log is kept.
    pub database: Database,
    /// Several nodes of one server.
    pub cluster: Cluster,
    /// Who may make an account.
    pub registration: Registration,
    /// Policies that people accept when they register.
    pub consent: Consent,
    /// Keeping machines out.
    pub captcha: Captcha,
    /// Logging in through the browser.
    pub oauth: Oauth,
    /// Logging in by a signed token of another system.
    pub jwt: Jwt,
    /// Logging in by an account at another system.
    pub sso: Sso,
    /// Where two devices meet for a login by QR code.
    pub rendezvous: Rendezvous,
    /// Who says whether a password is right.
    pub passwords: Passwords,
    /// A directory that knows passwords.
    pub ldap: Ldap,
    /// Mail from this server, and addresses of accounts.
    pub email: Email,
    /// Accounts that end unless they are renewed.
    pub account_validity: AccountValidity,
    /// Closing the server for a while.
    pub blocking: Blocking,
    /// What the server itself tells its users.
    pub server_notices: ServerNotices,
    /// How many people may use the server in a month.
    pub monthly_active_users: MonthlyActiveUsers,
    /// Bridges and bots.
    pub application_services: ApplicationServices,
    /// How long devices are kept.
    pub devices: Devices,
    /// Identity servers.
    pub identity: Identity,
    /// How rooms are made.
    pub rooms: Rooms,
    /// Who is told of whom.
    pub presence: Presence,
    /// What an endpoint of the operator's says is spam.
    pub spam_check: SpamCheck,
    /// How long events are kept.
    pub retention: Retention,
    /// Uploads and downloads.
    pub media: Media,
    /// Previews of links.
    pub previews: Previews,
    /// Notifications that leave the server.
    pub push: Push,
    /// Requests to places that strangers name.
    pub outbound: Outbound,
    /// Searching messages.
    pub search: Search,
    /// Relays for calls.
    pub voip: Voip,
    /// Calls of many.
    pub rtc: Rtc,
    /// Events that are sent later.
    pub delayed_events: DelayedEvents,
    /// Passing on notifications to Apple, Google and browsers.
    pub push_gateway: PushGateway,
    /// Other servers.
    pub federation: Federation,
    /// Sizes, times and rates.
    pub limits: Limits,
    /// The page for administrators.
    pub dashboard: Dashboard,
    /// What the server tells its operator.
    pub log: Log,
    /// Where requests spend their time.
    pub tracing: Tracing,
    /// A user of the server's own that sends itself messages.
    pub canary: Canary,
    /// Where `playhouse admin` finds a server that runs.
    pub admin: Admin,
}

/// All sections, in the order of the file.
pub(crate) const SECTIONS: &[section::SectionInfo] = &[
    Server::INFO,
    Listen::INFO,
    Acme::INFO,
    Database::INFO,
    Cluster::INFO,
    Registration::INFO,
    Consent::INFO,
    Captcha::INFO,
    Oauth::INFO,
    Jwt::INFO,
    Sso::INFO,
    Rendezvous::INFO,
    Passwords::INFO,
    Ldap::INFO,
    Email::INFO,
    AccountValidity::INFO,
    Blocking::INFO,
    ServerNotices::INFO,
    MonthlyActiveUsers::INFO,
    ApplicationServices::INFO,
    Devices::INFO,
    Identity::INFO,
    Rooms::INFO,
    Presence::INFO,
    SpamCheck::INFO,
    Retention::INFO,
    Media::INFO,
    Previews::INFO,
    Push::INFO,
    Outbound::INFO,
    Search::INFO,
    Voip::INFO,
    Rtc::INFO,
    DelayedEvents::INFO,
    PushGateway::INFO,
    Federation::INFO,
    Limits::INFO,
    Dashboard::INFO,
    Log::INFO,
    Tracing::INFO,
    Canary::INFO,
    Admin::INFO,
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
