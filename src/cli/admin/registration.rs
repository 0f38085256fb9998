//! `playhouse admin registration-token …`

use serde_json::{Value, json};

use super::{
    call::{Call, Doing},
    in_days,
    table::{Form, Table},
};

/// Tokens with which people may register.
#[derive(clap::Subcommand)]
pub(super) enum Command {
    /// List tokens
    List {
        /// Only those that are good, or only others
        #[arg(long)]
        valid: Option<bool>,
    },
    /// Show a token
    Show { token: String },
    /// Make a token
    New {
        /// The token; without it one is made up
        token: Option<String>,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Change the bounds of a token; those that are not named stay
    Set {
        token: String,
        #[command(flatten)]
        bounds: Bounds,
    },
    /// Delete a token
    Delete { token: String },
}

// How far a token goes.
#[derive(clap::Args)]
pub(super) struct Bounds {
    /// So many accounts may be made with it
    #[arg(long)]
    uses: Option<u64>,
    /// It ends after so many days
    #[arg(long)]
    days: Option<u64>,
}

static TOKENS: Table = Table {
    rows: "/registration_tokens",
    next: None,
    total: "",
    columns: &[
        ("TOKEN", "/token", Form::Plain),
        ("USED", "/completed", Form::Plain),
        ("PENDING", "/pending", Form::Plain),
        ("ALLOWED", "/uses_allowed", Form::Plain),
        ("ENDS", "/expiry_time", Form::Time),
    ],
};

const ONE: &str = "/_synapse/admin/v1/registration_tokens/{}";

impl Command {
    pub(super) fn doing(self) -> Doing {
        match self {
            Command::List { valid } => {
                let call = Call::get("/_synapse/admin/v1/registration_tokens");
                Doing::List(call.ask_if("valid", valid), &TOKENS, 0)
            }
            Command::Show { token } => Doing::Show(Call::get(ONE).of(token)),
            Command::New { token, bounds } => {
                let mut body = bounds.body();
                if let Some(token) = token {
                    body["token"] = Value::String(token);
                }
                let call = Call::post("/_synapse/admin/v1/registration_tokens/new");
                Doing::Show(call.with(body))
            }
            Command::Set { token, bounds } => {
                Doing::Show(Call::put(ONE).of(token).with(bounds.body()))
            }
            Command::Delete { token } => {
                let said = format!("Deleted: {token}");
                Doing::Do(Call::delete(ONE).of(token), said)
            }
        }
    }
}

impl Bounds {
    fn body(&self) -> Value {
        let mut body = json!({});
        if let Some(uses) = self.uses {
            body["uses_allowed"] = json!(uses);
        }
        if let Some(days) = self.days {
            body["expiry_time"] = json!(in_days(days));
        }
        body
    }
}
