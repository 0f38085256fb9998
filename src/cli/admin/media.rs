//! `playhouse admin media …`

use super::{
    Names, Page, Switch, before,
    call::{Call, Doing},
    table::{Form, Table},
};
use crate::cli::output::Problem;

/// Media. A piece is named as in its address: SERVER/MEDIA_ID, with mxc:// in front or not.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// Show a piece
    Show { piece: String },
    /// Put a piece away, so that nobody gets it, or give it out again
    Quarantine { piece: String, switch: Switch },
    /// Put away all that a room shows
    QuarantineRoom { room_id: String },
    /// Put away all that a user has uploaded
    QuarantineUser { user: String },
    /// See to it that a piece of this server's cannot be put away, or can again
    Protect { piece: String, switch: Switch },
    /// Delete a piece of this server's
    Delete { piece: String },
    /// Delete all pieces of this server's that a room shows, one after the other
    DeleteRoom { room_id: String },
    /// Delete what a user has uploaded: at most a thousand pieces at once
    DeleteUser { user: String },
    /// Delete pieces of this server's that nobody has used for long
    DeleteUnused {
        /// For so many days
        #[arg(long)]
        days: u64,
        /// Only larger ones, bytes
        #[arg(long, default_value_t = 0)]
        larger_bytes: u64,
        /// Avatars, too
        #[arg(long)]
        profiles: bool,
    },
    /// Forget copies of other servers' media that nobody has used for long
    PurgeCache {
        /// For so many days
        #[arg(long)]
        days: u64,
    },
    /// List who has uploaded how much, most first
    Usage {
        /// Only users with this in ID or display name
        #[arg(long)]
        search: Option<String>,
        #[command(flatten)]
        page: Page,
    },
}

static USAGE: Table = Table {
    rows: "/users",
    next: Some("next_token"),
    total: "/total",
    columns: &[
        ("USER", "/user_id", Form::Plain),
        ("NAME", "/displayname", Form::Plain),
        ("PIECES", "/media_count", Form::Plain),
        ("SIZE", "/media_length", Form::Bytes),
    ],
};

impl Command {
    pub(super) fn doing(self, names: &Names) -> Result<Doing, Problem> {
        Ok(match self {
            Command::Show { piece } => {
                let (server_name, media_id) = parted(&piece, names)?;
                let call = Call::get("/_synapse/admin/v1/media/{}/{}");
                Doing::Show(call.of(server_name).of(media_id))
            }
            Command::Quarantine { piece, switch } => {
                let (server_name, media_id) = parted(&piece, names)?;
                let call = match switch {
                    Switch::On => Call::post("/_synapse/admin/v1/media/quarantine/{}/{}"),
                    Switch::Off => Call::post("/_synapse/admin/v1/media/unquarantine/{}/{}"),
                };
                let said = switch.said("Put away", &piece);
                Doing::Do(call.of(server_name).of(media_id), said)
            }
            Command::Protect { piece, switch } => {
                let (_, media_id) = parted(&piece, names)?;
                let call = match switch {
                    Switch::On => Call::post("/_synapse/admin/v1/media/protect/{}"),
                    Switch::Off => Call::post("/_synapse/admin/v1/media/unprotect/{}"),
                };
                Doing::Do(call.of(media_id), switch.said("Protected", &piece))
            }
            Command::Delete { piece } => {
                let (server_name, media_id) = parted(&piece, names)?;
                let call = Call::delete("/_synapse/admin/v1/media/{}/{}");
                Doing::Show(call.of(server_name).of(media_id))
            }
            Command::QuarantineRoom { room_id } => {
                let call = Call::post("/_synapse/admin/v1/room/{}/media/quarantine");
                Doing::Show(call.of(room_id))
            }
            Command::QuarantineUser { user } => {
                let call = Call::post("/_synapse/admin/v1/user/{}/media/quarantine");
                Doing::Show(call.of(names.user(&user)))
            }
            Command::DeleteRoom { room_id } => Doing::DeleteMediaOfRoom(room_id),
            Command::DeleteUser { user } => {
                let call = Call::delete("/_synapse/admin/v1/users/{}/media");
                Doing::Show(call.of(names.user(&user)).ask("limit", 1_000))
            }
            Command::DeleteUnused {
                days,
                larger_bytes,
                profiles,
            } => {
                let call = Call::post("/_synapse/admin/v1/media/delete");
                let call = call.ask("before_ts", before(days));
                let call = call.ask("size_gt", larger_bytes);
                Doing::Show(call.ask("keep_profiles", !profiles))
            }
            Command::PurgeCache { days } => {
                let call = Call::post("/_synapse/admin/v1/purge_media_cache");
                Doing::Show(call.ask("before_ts", before(days)))
            }
            Command::Usage { search, page } => {
                let call = Call::get("/_synapse/admin/v1/statistics/users/media");
                let call = call.ask("order_by", "media_length").ask("dir", "b");
                Doing::List(call.ask_if("search_term", search), &USAGE, page.limit)
            }
        })
    }
}

/// The server's name and the media ID; without a server's name it is this server.
fn parted(piece: &str, names: &Names) -> Result<(String, String), Problem> {
    let named = piece.strip_prefix("mxc://").unwrap_or(piece);
    let (server_name, media_id) = named
        .split_once('/')
        .unwrap_or((names.server_name.as_str(), named));
    if media_id.contains('/') {
        return Err(Problem::new(format!("`{piece}` is no address of media")));
    }
    Ok((server_name.to_owned(), media_id.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_named_in_short_and_whole() {
        let names = Names {
            server_name: "a.example".to_owned(),
        };
        let parted = |piece| parted(piece, &names).ok();
        let named = |server: &str, id: &str| Some((server.to_owned(), id.to_owned()));
        assert_eq!(parted("mxc://b.example/x"), named("b.example", "x"));
        assert_eq!(parted("b.example/x"), named("b.example", "x"));
        assert_eq!(parted("x"), named("a.example", "x"));
        assert_eq!(parted("mxc://b.example/x/y"), None);
    }
}
