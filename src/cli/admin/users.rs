//! `playhouse admin user …`

use serde_json::{Value, json};

use super::{
    Names, Page, Switch,
    call::{Call, Doing},
    table::{Form, Table},
    work::Work,
};
use crate::cli::{output::Problem, user::password_or_new};

/// Users of this server. A name is a local part or a user ID.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List accounts
    List(Filter),
    /// Show an account
    Show { name: String },
    /// Make an account. The password is read from standard input, or made up and printed
    Create {
        name: String,
        /// The password; others on this machine may see it here
        #[arg(long)]
        password: Option<String>,
        /// The display name
        #[arg(long)]
        displayname: Option<String>,
        /// Make a server administrator
        #[arg(long)]
        admin: bool,
    },
    /// Change the display name; an empty one removes it
    Rename { name: String, displayname: String },
    /// Set a password. It is read from standard input, or made up and printed
    ResetPassword {
        name: String,
        /// The password; others on this machine may see it here
        #[arg(long)]
        password: Option<String>,
        /// Sessions go on
        #[arg(long)]
        keep_devices: bool,
    },
    /// Make a server administrator, or no more
    Admin { name: String, switch: Switch },
    /// Lock an account, or open it again
    Lock { name: String, switch: Switch },
    /// Suspend an account: it can read and leave, and nothing else
    Suspend { name: String, switch: Switch },
    /// Shadow-ban a user: what they say reaches nobody
    ShadowBan { name: String, switch: Switch },
    /// Close an account. What it held is gone for good
    Deactivate {
        name: String,
        /// Also forget what the user said where that is possible
        #[arg(long)]
        erase: bool,
    },
    /// Open a closed account again, empty. The password is read from standard input, or made up and printed
    Reopen {
        name: String,
        /// The password; others on this machine may see it here
        #[arg(long)]
        password: Option<String>,
        /// Without one, for who logs in elsewhere
        #[arg(long, conflicts_with = "password")]
        no_password: bool,
    },
    /// Show from where an account is used
    Whois { name: String },
    /// List devices
    Devices { name: String },
    /// Delete devices
    DeleteDevices {
        name: String,
        #[arg(required = true)]
        devices: Vec<String>,
    },
    /// Log in as a user, and print the access token
    LoginAs { name: String },
    /// List the rooms that a user is in
    Rooms { name: String },
    /// List the rooms to which a user has any relation
    Memberships { name: String },
    /// List who is notified of what a user has missed
    Pushers { name: String },
    /// List what a user has uploaded
    Media {
        name: String,
        #[command(flatten)]
        page: Page,
    },
    /// Show how fast a user may send, or change it
    Rate {
        name: String,
        /// So many messages a second; 0 for no bound
        #[arg(long)]
        per_second: Option<u64>,
        /// So many at once
        #[arg(long, requires = "per_second")]
        burst: Option<u64>,
        /// As for everybody
        #[arg(long, conflicts_with_all = ["per_second", "burst"])]
        clear: bool,
    },
    /// Redact everything that a user sent, and wait for it
    Redact {
        name: String,
        /// Only in this room; may be named several times
        #[arg(long = "room", value_name = "ROOM_ID")]
        rooms: Vec<String>,
        /// The reason given
        #[arg(long)]
        reason: Option<String>,
        /// At most so many events of each room, the newest
        #[arg(long)]
        limit: Option<u64>,
        /// The administrator redacts, and not the user
        #[arg(long)]
        as_admin: bool,
    },
    /// Find who has an address
    Find {
        /// email or msisdn
        medium: String,
        address: String,
    },
}

/// Which accounts are wanted.
#[derive(clap::Args)]
pub(super) struct Filter {
    /// With this in the local part or display name
    #[arg(long)]
    name: Option<String>,
    /// Only administrators
    #[arg(long)]
    admins: bool,
    /// Only closed accounts
    #[arg(long)]
    deactivated: bool,
    /// Also locked accounts
    #[arg(long)]
    locked: bool,
    /// name, displayname, creation_ts, last_seen_ts …
    #[arg(long, default_value = "name")]
    order_by: String,
    /// The other way round
    #[arg(long)]
    reverse: bool,
    #[command(flatten)]
    page: Page,
}

static USERS: Table = Table {
    rows: "/users",
    next: Some("next_token"),
    total: "/total",
    columns: &[
        ("USER", "/name", Form::Plain),
        ("NAME", "/displayname", Form::Plain),
        ("ADMIN", "/admin", Form::Plain),
        ("LOCKED", "/locked", Form::Plain),
        ("CLOSED", "/deactivated", Form::Plain),
        ("MADE", "/creation_ts", Form::Time),
        ("SEEN", "/last_seen_ts", Form::Time),
    ],
};

static DEVICES: Table = Table {
    rows: "/devices",
    next: None,
    total: "/total",
    columns: &[
        ("DEVICE", "/device_id", Form::Plain),
        ("NAME", "/display_name", Form::Plain),
        ("SEEN", "/last_seen_ts", Form::Time),
        ("FROM", "/last_seen_ip", Form::Plain),
    ],
};

static ROOMS: Table = Table {
    rows: "/joined_rooms",
    next: None,
    total: "/total",
    columns: &[("ROOM", "", Form::Plain)],
};

static MEMBERSHIPS: Table = Table {
    rows: "/memberships",
    next: None,
    total: "/total",
    columns: &[
        ("ROOM", "/name", Form::Plain),
        ("MEMBERSHIP", "/value", Form::Plain),
    ],
};

static PUSHERS: Table = Table {
    rows: "/pushers",
    next: None,
    total: "/total",
    columns: &[
        ("APPLICATION", "/app_id", Form::Plain),
        ("DEVICE", "/device_display_name", Form::Plain),
        ("KIND", "/kind", Form::Plain),
        ("ON", "/enabled", Form::Plain),
        ("FAILURES", "/failures", Form::Plain),
        ("SUCCESS", "/last_success_ts", Form::Time),
        ("REASON", "/reason", Form::Plain),
    ],
};

static MEDIA: Table = Table {
    rows: "/media",
    next: Some("next_token"),
    total: "/total",
    columns: &[
        ("MEDIA", "/media_id", Form::Plain),
        ("NAME", "/upload_name", Form::Plain),
        ("TYPE", "/media_type", Form::Plain),
        ("SIZE", "/media_length", Form::Bytes),
        ("CAME", "/created_ts", Form::Time),
        ("QUARANTINED BY", "/quarantined_by", Form::Plain),
    ],
};

static REDACTING: Work = Work {
    id: "/redact_id",
    status: "/_synapse/admin/v1/user/redact_status/{}",
    label: "redacting, seconds",
    count: "",
    undone: Some(("/failed_redactions", "events that could not be redacted")),
};

const V2: &str = "/_synapse/admin/v2/users/{}";

impl Command {
    pub(super) fn doing(self, names: &Names) -> Result<Doing, Problem> {
        Ok(match self {
            Command::List(filter) => filter.doing(),
            Command::Create { .. } | Command::ResetPassword { .. } | Command::Reopen { .. } => {
                self.with_password(names)?
            }
            Command::Find { medium, address } => {
                let find = Call::get("/_synapse/admin/v1/threepid/{}/users/{}");
                Doing::Show(find.of(medium).of(address))
            }
            Command::Show { .. }
            | Command::Whois { .. }
            | Command::Devices { .. }
            | Command::Rooms { .. }
            | Command::Memberships { .. }
            | Command::Pushers { .. }
            | Command::Media { .. } => self.looking(names)?,
            Command::DeleteDevices { .. }
            | Command::LoginAs { .. }
            | Command::Rate { .. }
            | Command::Redact { .. } => self.acting(names)?,
            other => other.changing(names)?,
        })
    }

    fn looking(self, names: &Names) -> Result<Doing, Problem> {
        let of = |template, name: &str| Call::get(template).of(names.user(name));
        Ok(match self {
            Command::Show { name } => Doing::Show(of(V2, &name)),
            Command::Whois { name } => Doing::Show(of("/_synapse/admin/v1/whois/{}", &name)),
            Command::Devices { name } => {
                let call = of("/_synapse/admin/v2/users/{}/devices", &name);
                Doing::List(call, &DEVICES, 0)
            }
            Command::Rooms { name } => {
                let call = of("/_synapse/admin/v1/users/{}/joined_rooms", &name);
                Doing::List(call, &ROOMS, 0)
            }
            Command::Memberships { name } => {
                let call = of("/_synapse/admin/v1/users/{}/memberships", &name);
                Doing::List(call, &MEMBERSHIPS, 0)
            }
            Command::Pushers { name } => {
                let call = of("/_synapse/admin/v1/users/{}/pushers", &name);
                Doing::List(call, &PUSHERS, 0)
            }
            Command::Media { name, page } => {
                let call = of("/_synapse/admin/v1/users/{}/media", &name);
                Doing::List(call, &MEDIA, page.limit)
            }
            _ => return Err(Problem::new("this is nothing to look at")),
        })
    }

    fn with_password(self, names: &Names) -> Result<Doing, Problem> {
        Ok(match self {
            Command::Create {
                name,
                password,
                displayname,
                admin,
            } => {
                let user_id = names.user(&name);
                let (password, made_up) = password_or_new(password)?;
                let mut body = json!({"password": password, "admin": admin});
                if let Some(displayname) = displayname {
                    body["displayname"] = Value::String(displayname);
                }
                let call = Call::put(V2).of(user_id.clone()).with(body);
                let told = made_up.then_some(password);
                Doing::Make(call, format!("Made: {user_id}"), told)
            }
            Command::ResetPassword {
                name,
                password,
                keep_devices,
            } => {
                let user_id = names.user(&name);
                let (password, made_up) = password_or_new(password)?;
                let body = json!({"new_password": password, "logout_devices": !keep_devices});
                let call = Call::post("/_synapse/admin/v1/reset_password/{}");
                let call = call.of(user_id.clone()).with(body);
                let told = made_up.then_some(password);
                Doing::SetPassword(call, format!("Password set: {user_id}"), told)
            }
            Command::Reopen {
                name,
                password,
                no_password,
            } => {
                let user_id = names.user(&name);
                let call = Call::post("/_playhouse/admin/v1/users/{}/reopen").of(user_id.clone());
                let said = format!("Open again: {user_id}");
                if no_password {
                    return Ok(Doing::Reopen(call.with(json!({})), said, None));
                }
                let (password, made_up) = password_or_new(password)?;
                let call = call.with(json!({"password": password}));
                Doing::Reopen(call, said, made_up.then_some(password))
            }
            _ => return Err(Problem::new("this has no password")),
        })
    }

    fn changing(self, names: &Names) -> Result<Doing, Problem> {
        let user = |name: &str| names.user(name);
        Ok(match self {
            Command::Rename { name, displayname } => {
                let call = Call::put(V2).of(user(&name));
                let call = call.with(json!({"displayname": displayname}));
                Doing::Do(call, format!("Renamed: {}", user(&name)))
            }
            Command::Admin { name, switch } => {
                let call = Call::put("/_synapse/admin/v1/users/{}/admin").of(user(&name));
                let call = call.with(json!({"admin": switch.is_on()}));
                Doing::Do(call, switch.said("Administrator", &user(&name)))
            }
            Command::Lock { name, switch } => {
                let call = Call::put(V2).of(user(&name));
                let call = call.with(json!({"locked": switch.is_on()}));
                Doing::Do(call, switch.said("Locked", &user(&name)))
            }
            Command::Suspend { name, switch } => {
                let call = Call::put("/_synapse/admin/v1/suspend/{}").of(user(&name));
                let call = call.with(json!({"suspend": switch.is_on()}));
                Doing::Do(call, switch.said("Suspended", &user(&name)))
            }
            Command::ShadowBan { name, switch } => {
                let path = "/_synapse/admin/v1/users/{}/shadow_ban";
                let call = match switch {
                    Switch::On => Call::post(path),
                    Switch::Off => Call::delete(path),
                };
                let said = switch.said("Shadow-banned", &user(&name));
                Doing::Do(call.of(user(&name)), said)
            }
            Command::Deactivate { name, erase } => {
                let call = Call::post("/_synapse/admin/v1/deactivate/{}").of(user(&name));
                let call = call.with(json!({"erase": erase}));
                Doing::Do(call, format!("Closed: {}", user(&name)))
            }
            _ => return Err(Problem::new("this changes nothing")),
        })
    }

    fn acting(self, names: &Names) -> Result<Doing, Problem> {
        let user = |name: &str| names.user(name);
        Ok(match self {
            Command::DeleteDevices { name, devices } => {
                let call = Call::post("/_synapse/admin/v2/users/{}/delete_devices");
                let said = format!("Deleted: {}", devices.join(", "));
                let call = call.of(user(&name)).with(json!({"devices": devices}));
                Doing::Do(call, said)
            }
            Command::LoginAs { name } => {
                let call = Call::post("/_synapse/admin/v1/users/{}/login");
                Doing::Show(call.of(user(&name)))
            }
            Command::Rate {
                name,
                per_second,
                burst,
                clear,
            } => rate(&user(&name), (per_second, burst), clear),
            Command::Redact {
                name,
                rooms,
                reason,
                limit,
                as_admin,
            } => {
                let body = json!({
                    "rooms": rooms, "reason": reason, "limit": limit, "use_admin": as_admin
                });
                let call = Call::post("/_synapse/admin/v1/user/{}/redact");
                Doing::Await(call.of(user(&name)).with(body), &REDACTING)
            }
            _ => return Err(Problem::new("this does nothing")),
        })
    }
}

fn rate(user_id: &str, bounds: (Option<u64>, Option<u64>), clear: bool) -> Doing {
    let path = "/_synapse/admin/v1/users/{}/override_ratelimit";
    match bounds {
        _ if clear => {
            let call = Call::delete(path).of(user_id);
            Doing::Do(call, format!("As for everybody: {user_id}"))
        }
        (None, None) => Doing::Show(Call::get(path).of(user_id)),
        (per_second, burst) => {
            let per_second = per_second.unwrap_or(0);
            let body = json!({
                "messages_per_second": per_second, "burst_count": burst.unwrap_or(per_second)
            });
            Doing::Show(Call::post(path).of(user_id).with(body))
        }
    }
}

impl Filter {
    fn doing(self) -> Doing {
        let dir = if self.reverse { "b" } else { "f" };
        let call = Call::get("/_synapse/admin/v3/users")
            .ask("deactivated", self.deactivated)
            .ask("locked", self.locked)
            .ask("order_by", self.order_by)
            .ask("dir", dir)
            .ask_if("name", self.name)
            .ask_if("admins", self.admins.then_some(true));
        Doing::List(call, &USERS, self.page.limit)
    }
}
