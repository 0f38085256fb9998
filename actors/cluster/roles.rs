//! What nodes may be for. A node of any role asks the others for what it does not do itself.

use playhouse_schema::register::{NodeEntry, RegisterView};

/// Answers clients, other servers and administrators.
pub const EDGE: &str = "edge";

/// Drops media that nobody has used for long.
pub const MEDIA: &str = "media";

/// Notifies people's devices.
pub const PUSH: &str = "push";

/// Tells application services what concerns them.
pub const APPSERVICE: &str = "appservice";

/// Folds the directories of users and rooms.
pub const DIRECTORY: &str = "directory";

/// Does all else that one node at a time does.
pub const BACKGROUND: &str = "background";

/// All of them. Those with the name of a family hold its shards.
pub const ROLES: [&str; 9] = [
    EDGE, "rooms", "users", "servers", MEDIA, PUSH, APPSERVICE, DIRECTORY, BACKGROUND,
];

/// All roles, as a node says them that has them all.
pub fn all() -> Vec<String> {
    ROLES.map(str::to_owned).into()
}

/// Whether a role is among them.
pub fn has(roles: &[String], role: &str) -> bool {
    roles.iter().any(|own| own == role)
}

/// The roles that no living node has.
pub fn missing(view: &RegisterView) -> Vec<&'static str> {
    let has_it = |node: &NodeEntry, role: &str| node.is_alive() && has(&node.roles, role);
    let is_missing = |role: &&str| !view.nodes.iter().any(|node| has_it(node, role));
    ROLES.into_iter().filter(is_missing).collect()
}
