//! `playhouse cluster`: several nodes of one server. What is asked and said here goes to the register in the database, so that it works whoever is down.

use std::{net::SocketAddr, path::PathBuf, sync::Arc, time::Duration};

use clap::Subcommand;
use playhouse_schema::{
    address::{Entity, Layout, Shard},
    register::Register,
};
use tokio::{
    signal::unix::{SignalKind, signal},
    time::{Instant, sleep},
};

use super::{
    cluster_status::described,
    output::{Problem, say},
};
use crate::{
    cluster::{
        balance::{Balancer, Settings},
        orders::Order,
        status::{NodeStatus, Status, shard_of},
    },
    config::{Config, Log},
    node::{self, LogHandle},
};

/// A node has so long to give its shards away.
const DRAINED_WITHIN: Duration = Duration::from_secs(60);

/// How often is looked whether it has.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What can be done.
#[derive(Subcommand)]
pub(super) enum Command {
    /// Show the nodes, and which of them holds which shard
    Status {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Move a shard to a node; it may move on as loads change
    Move {
        /// For example rooms/3
        shard: String,
        /// The node's name
        node: String,
    },
    /// Let a node give its shards away, and wait for that; it gets none until it joins again
    Drain {
        /// The node's name
        node: String,
    },
    /// Let a node take shards again
    Join {
        /// The node's name
        node: String,
    },
    /// Drain a node that runs, so that it can be stopped for good, or forget one that has ended
    Leave {
        /// The node's name
        node: String,
        /// It is dead although its lease still runs
        #[arg(long)]
        dead: bool,
    },
    /// Keep a shard on a node, whatever the load
    Pin {
        /// A shard, for example rooms/3, or a room or user: the shard that it lies in
        what: String,
        /// The node's name
        node: String,
        /// The node gives away whatever is not pinned to it: a hot room has it to itself
        #[arg(long)]
        alone: bool,
    },
    /// Let a shard be anywhere again
    Unpin {
        /// A shard, a room or a user
        what: String,
    },
    /// Spread requests over nodes: for trials on one machine
    #[command(hide = true)]
    Balance {
        /// A file with the address of a node in each line, read again when it has changed
        #[arg(long, value_name = "FILE")]
        nodes: PathBuf,
        /// Where to listen
        #[arg(long, value_name = "ADDRESS")]
        listen: SocketAddr,
        /// Pick nodes at random instead of in turn
        #[arg(long)]
        random: bool,
    },
}

impl Command {
    /// Whether the server's configuration is needed.
    pub(super) fn needs_config(&self) -> bool {
        !matches!(self, Command::Balance { .. })
    }
}

/// Does it.
pub(super) async fn execute(command: Command, config: Config) -> Result<(), Problem> {
    if let Command::Balance {
        nodes,
        listen,
        random,
    } = command
    {
        return balance(Settings {
            nodes,
            listen,
            random,
        })
        .await;
    }
    let desk = Desk::open(&config).await?;
    match command {
        Command::Status { json } => desk.show(json).await,
        Command::Move { shard, node } => {
            let shard = desk.shard(&shard)?;
            desk.give(Order::Move(shard, node.clone())).await?;
            say(format_args!("{shard} goes to {node}."));
            Ok(())
        }
        Command::Pin { what, node, alone } => {
            let shard = desk.shard(&what)?;
            desk.give(Order::Pin(shard, node.clone(), alone)).await?;
            let rest = if alone {
                ", and all else leaves it"
            } else {
                ""
            };
            say(format_args!("{shard} is pinned to {node}{rest}."));
            Ok(())
        }
        Command::Unpin { what } => {
            let shard = desk.shard(&what)?;
            desk.give(Order::Unpin(shard)).await?;
            say(format_args!("{shard} may be anywhere."));
            Ok(())
        }
        Command::Drain { node } => desk.drain(&node).await,
        Command::Join { node } => {
            desk.give(Order::Join(node.clone())).await?;
            say(format_args!("{node} takes shards."));
            Ok(())
        }
        Command::Leave { node, dead } => desk.let_leave(&node, dead).await,
        Command::Balance { .. } => Ok(()),
    }
}

/// Where orders are given.
struct Desk {
    register: Arc<dyn Register>,
    layout: Layout,
}

impl Desk {
    async fn open(config: &Config) -> Result<Self, Problem> {
        if !config.database.is_postgres() {
            let why = "this server keeps its data in SQLite and is one node: run `playhouse migrate` to bring it to PostgreSQL";
            return Err(Problem::new(why));
        }
        let store = node::open_store(config).await?;
        let register = store.register();
        let register = register.ok_or_else(|| Problem::new("this database is for one node"))?;
        Ok(Self {
            register,
            layout: store.layout(),
        })
    }

    async fn status(&self) -> Result<Status, Problem> {
        Ok(Status::of(&self.register.view().await?))
    }

    async fn give(&self, order: Order) -> Result<(), Problem> {
        Ok(order.give(&*self.register).await?)
    }

    fn shard(&self, text: &str) -> Result<Shard, Problem> {
        read_shard(self.layout, text).ok_or_else(|| {
            Problem::new(format!(
                "`{text}` is no shard, room or user of this server: a shard is rooms/3"
            ))
        })
    }

    async fn show(&self, json: bool) -> Result<(), Problem> {
        let status = self.status().await?;
        if json {
            say(format_args!("{}", serde_json::to_string(&status)?));
            return Ok(());
        }
        for line in described(&status) {
            say(format_args!("{line}"));
        }
        Ok(())
    }

    async fn drain(&self, name: &str) -> Result<(), Problem> {
        self.give(Order::Drain(name.to_owned())).await?;
        let deadline = Instant::now() + DRAINED_WITHIN;
        loop {
            let status = self.status().await?;
            let node = status.nodes.iter().find(|node| node.name == name);
            let left = node.map_or(0, |node| node.shards);
            if left == 0 {
                say(format_args!("{name} holds no shards."));
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Problem::new(format!(
                    "{name} still holds {left} shards: is there another node with its roles?"
                )));
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn let_leave(&self, name: &str, dead: bool) -> Result<(), Problem> {
        let status = self.status().await?;
        let node = status.nodes.iter().find(|node| node.name == name);
        if node.is_some_and(NodeStatus::is_alive) && !dead {
            self.drain(name).await?;
            say(format_args!(
                "It can be stopped. Forget it then: playhouse cluster leave {name}"
            ));
            return Ok(());
        }
        self.give(Order::Forget(name.to_owned(), dead)).await?;
        say(format_args!("{name} is forgotten."));
        Ok(())
    }
}

/// A shard by its name, or the one that a room or user lies in.
fn read_shard(layout: Layout, text: &str) -> Option<Shard> {
    match text.as_bytes().first()? {
        b'!' => Some(layout.shard_of(&Entity::room(text))),
        b'@' => Some(layout.shard_of(&Entity::user(text))),
        _ => {
            let (family, number) = text.split_once('/')?;
            shard_of(layout, family, number.parse().ok()?)
        }
    }
}

async fn balance(settings: Settings) -> Result<(), Problem> {
    let log = Log {
        level: "warn".to_owned(),
        ..Log::default()
    };
    // None when something logs already, which then goes on.
    let _ = LogHandle::install(&log);
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let balancer = Balancer::start(settings).await?;
    say(format_args!("Balances at http://{}", balancer.address()));
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use playhouse_schema::address::Family;

    use super::*;

    #[test]
    fn shards_are_read() {
        let layout = Layout { shards: 16, era: 0 };
        let shard = read_shard(layout, "rooms/3").unwrap();
        assert_eq!((shard.family, shard.number), (Family::Rooms, 3));
        let room = read_shard(layout, "!a:b").unwrap();
        assert_eq!(room, layout.shard_of(&Entity::room("!a:b")));
        let user = read_shard(layout, "@a:b").unwrap();
        assert_eq!(user.family, Family::Users);
        for nonsense in ["", "rooms", "rooms/16", "rooms/x", "cooks/1"] {
            assert_eq!(read_shard(layout, nonsense), None, "{nonsense}");
        }
    }
}
