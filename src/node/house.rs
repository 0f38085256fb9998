//! The store and the actors over it.

use std::sync::Arc;

use playhouse_actors::{
    delays::DelaySettings,
    env::{Env, Identity},
    house::{
        AutoAccept, AutoAcceptKind, AutoJoin, House, HouseConfig, NoticeSettings, RemoteRooms,
        StaleDeviceSettings,
    },
    kernel::DirectoryLimits,
    pushers::PushSettings,
    room::retention::RetentionSettings,
};
use playhouse_schema::{
    address::Layout,
    drivers::{self, DatabaseConfig, PostgresConfig},
    port::LogStore,
};
use ruma::{OwnedMxcUri, OwnedServerName, RoomAliasId, RoomId, RoomVersionId, ServerName, UserId};

use super::{
    StartError,
    cluster::Joining,
    identity,
    key_files::open_signer,
    shared_key::{refuse_beside_nodes, share_idle},
};
use crate::{config::Config, federation::Federation, outbound::Trust};

/// Opens the store and all actors over it. The command line does this too while no server runs.
pub(crate) async fn open_house(config: &Config) -> Result<Arc<House>, StartError> {
    open_house_trusting(config, &open_trust(config)?, (None, None)).await
}

/// Whose certificates this server believes.
pub(super) fn open_trust(config: &Config) -> Result<Arc<Trust>, StartError> {
    Trust::open(config.federation.extra_ca.as_deref()).map_err(StartError::Outside)
}

/// The same, believing certificates as the rest of the node does, among other nodes if there shall be any, and pushing if that is wanted.
pub(super) async fn open_house_trusting(
    config: &Config,
    trust: &Arc<Trust>,
    (joining, pushes): (Option<&Joining>, Option<PushSettings>),
) -> Result<Arc<House>, StartError> {
    let store = open_store(config).await?;
    let key = config.signing_key_path();
    match joining {
        Some(joining) => joining.share_key(&*store, &key).await?,
        None => {
            refuse_beside_nodes(&*store).await?;
            share_idle(config, &*store).await?;
        }
    }
    let env = Env::system(Identity {
        server_name: server_name(config),
        signer: open_signer(&key)?,
    });
    if !config.federation.enabled {
        return open_house_in(config, env, (store, joining), pushes).await;
    }
    let federation = Arc::new(Federation::new(config, &env, trust));
    let env = env.with_network(federation.clone());
    let house = open_house_in(config, env, (store, joining), pushes).await?;
    federation.remember_in(&house);
    Ok(house)
}

async fn open_house_in(
    config: &Config,
    env: Env,
    (store, joining): (Arc<dyn LogStore>, Option<&Joining>),
    pushes: Option<PushSettings>,
) -> Result<Arc<House>, StartError> {
    let limits = DirectoryLimits {
        residents_max: config.limits.actors_max as usize,
        weight_bytes_max: config.limits.actor_bytes_max as usize,
        ..DirectoryLimits::default()
    };
    let mut house = HouseConfig::new(env);
    house.default_room_version = room_version(config);
    house.rooms = limits;
    house.users = limits;
    house.retention = retention(config);
    house.erasures_per_second = config.retention.erasures_per_second;
    house.stale_devices = StaleDeviceSettings {
        after_ms: config.devices.stale_after_ms(),
        sweep_every_ms: config.devices.sweep_every_ms,
    };
    let contact = config.blocking.admin_contact.as_deref();
    house.active_users = config.monthly_active_users.settings(contact);
    house.delays = DelaySettings {
        delay_max_ms: config.delayed_events.delay_max_ms,
        per_user_max: config.delayed_events.per_user_max as usize,
    };
    house.gateway = super::gateway::settings(config);
    let validity = &config.account_validity;
    house.user_limits.account_period_ms = validity.enabled.then_some(validity.period_ms);
    house.outbox.device_names = config.federation.tell_device_names;
    house.outbox.retry_wait_ms = config.federation.retry_wait_ms;
    house.outbox.retry_wait_max_ms = config.federation.retry_wait_max_ms;
    house.outbox.refused_for_ms = config.federation.refused_for_ms;
    let silent = config.rooms.exclude_from_sync.iter();
    let silent = silent.filter_map(|room_id| RoomId::parse(room_id).ok());
    house.user_limits.silent_rooms = Arc::new(silent.collect());
    house.auto_join = auto_join(config);
    house.auto_accept = AutoAccept {
        kind: match config.rooms.accept_invites.as_str() {
            "direct" => AutoAcceptKind::Direct,
            "all" => AutoAcceptKind::All,
            _ => AutoAcceptKind::Off,
        },
        local_only: config.rooms.accept_invites_of == "local",
    };
    let rooms = &config.rooms;
    house.remote_rooms = RemoteRooms {
        state_events_max: Some(rooms.remote_state_events_max).filter(|most| *most > 0),
        message: rooms.remote_too_large.clone(),
        any_for_administrators: rooms.remote_any_size_for_admins,
    };
    let observers = config.presence.observers.iter();
    house.presence_observers = observers
        .filter_map(|user_id| UserId::parse(user_id).ok())
        .collect();
    house.forget_on_leave = config.rooms.forget_on_leave;
    let period_ms = rooms.forgotten_room_retention_period_ms;
    house.forgotten_rooms_ms = Some(period_ms).filter(|period_ms| *period_ms > 0);
    house.notices = notices(config);
    house.search = config.search.enabled;
    house.pushes = pushes;
    house.user_limits.pushers_max = config.push.pushers_max as usize;
    house.called = identity::process_name();
    house.cluster = joining.map(Joining::settings);
    Ok(House::open(store, house).await?)
}

/// What new users join.
fn auto_join(config: &Config) -> AutoJoin {
    let rooms = config.registration.auto_join_rooms.iter();
    AutoJoin {
        rooms: rooms
            .filter_map(|alias| RoomAliasId::parse(alias).ok())
            .collect(),
        create: config.registration.auto_join_create,
    }
}

/// How long events are kept.
fn retention(config: &Config) -> RetentionSettings {
    let retention = &config.retention;
    RetentionSettings {
        enabled: retention.enabled,
        default_ms: retention.default_ms(),
        min_ms: retention.min_ms(),
        max_ms: retention.max_ms(),
        sweep_every_ms: retention.sweep_every_ms,
    }
}

/// How the server tells its users something.
fn notices(config: &Config) -> Option<NoticeSettings> {
    let notices = &config.server_notices;
    let localpart = notices.localpart.as_ref()?;
    Some(NoticeSettings {
        user_id: UserId::parse(format!("@{localpart}:{}", config.server.name)).ok()?,
        displayname: notices.displayname.clone(),
        avatar_url: notices.avatar_url.as_deref().map(OwnedMxcUri::from),
        room_name: notices.room_name.clone(),
        room_topic: notices.room_topic.clone(),
        auto_join: notices.auto_join,
    })
}

/// Opens the store alone.
pub(crate) async fn open_store(config: &Config) -> Result<Arc<dyn LogStore>, StartError> {
    let layout = Layout {
        shards: config.database.shards as u16,
        era: 0,
    };
    Ok(drivers::open_with_layout(database(config), layout).await?)
}

/// Opens the store to read its log, whether or not a server uses it.
pub(crate) async fn open_store_beside(config: &Config) -> Result<Arc<dyn LogStore>, StartError> {
    Ok(drivers::open_beside(database(config)).await?)
}

/// The database of the configuration.
pub(crate) fn database(config: &Config) -> DatabaseConfig {
    let writers = config.database.writers as usize;
    match config.database.addresses() {
        [] => DatabaseConfig::Sqlite {
            folder: config.server.data_dir.clone().into(),
            writers,
        },
        addresses => DatabaseConfig::Postgres(PostgresConfig {
            dsns: addresses.to_vec(),
            writers,
            owner: identity::owner_name(),
            bounds: config.database.bounds(),
        }),
    }
}

pub(super) fn server_name(config: &Config) -> OwnedServerName {
    ServerName::parse(&config.server.name).expect("the configuration was checked")
}

fn room_version(config: &Config) -> RoomVersionId {
    RoomVersionId::try_from(config.rooms.default_version.as_str())
        .expect("the configuration was checked")
}
