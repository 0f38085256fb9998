//! `[server]`: who we are and where our files are.

use super::section::section;

section! {
    /// Who this server is and where it keeps its files.
    "server" Server {
        /// The name of this server: the part of user IDs after the colon. It cannot be changed once users exist.
        name: String = "localhost".to_owned(), variable "PLAYHOUSE_SERVER_NAME";
        /// The folder for the database, media and keys.
        data_dir: String = "./data".to_owned(), variable "PLAYHOUSE_DATA_DIR";
        /// The file with the signing key; relative paths start in the data folder. It is made at the first start.
        signing_key: String = "signing.key".to_owned();
        /// Administrators may have backups made in this folder by the admin API, each in a folder of its own; relative paths start in the data folder. Without
        /// it they may not; `playhouse backup` makes them wherever it is told.
        backup_dir: Option<String> = None, sample "backups";
        /// The URL under which clients reach this server. Without it a server named `localhost` tells its client listener's address, any other nothing.
        client_url: Option<String> = None, sample "https://matrix.example.org";
        /// An identity server to tell clients of in `/.well-known/matrix/client`.
        identity_server_url: Option<String> = None, sample "https://identity.example.org";
        /// A JSON file answered at `/.well-known/matrix/support` (contacts of the administrators).
        support_file: Option<String> = None, sample "/etc/playhouse/support.json";
        /// The public key (Ed25519, base64) of the policy server under this server's name, told at `/.well-known/matrix/policy_server`.
        policy_server_key: Option<String> = None, sample "6yhHGKhCiXTSEN2ksjV7kX/N6rBQZ3Xb+M7LlC6NS+s";
    }
}
