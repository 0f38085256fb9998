//! `playhouse admin login` and `logout`: an access token in a file that nobody else can read.

use std::{
    fs::OpenOptions,
    io::{BufRead as _, IsTerminal as _, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    call::Call,
    server::{Reach, Server, token},
};
use crate::{
    cli::output::{Problem, say, warn},
    config::Config,
};

/// Logs a user in by a password from standard input.
pub(super) async fn log_in(
    config: &Config,
    reach: &Reach,
    (user_id, to): (&str, Option<PathBuf>),
) -> Result<(), Problem> {
    let configured = config.admin.token_file.as_ref().map(PathBuf::from);
    let to = to.or_else(|| reach.token_file.clone()).or(configured);
    let to = to.ok_or_else(|| Problem::new("where to? --to FILE, or [admin] token_file"))?;
    let server = Server::of(config, reach, None)?;
    let body = json!({
        "type": "m.login.password",
        "identifier": {"type": "m.id.user", "user": user_id},
        "password": password()?,
        "initial_device_display_name": "playhouse admin",
    });
    let login = Call::post("/_matrix/client/v3/login").with(body);
    let session = server.ask(&login).await?;
    let token = session["access_token"].as_str();
    let token = token.ok_or_else(|| Problem::new("the server gave no access token"))?;
    let server = Server::of(config, reach, Some(token.to_owned()))?;
    let me = session["user_id"].as_str().unwrap_or(user_id);
    // Whoever is no administrator is told so here, and has no session for nothing.
    let role = Call::get("/_synapse/admin/v1/users/{}/admin").of(me);
    if let Err(problem) = server.ask(&role).await {
        let _ = server.ask(&Call::post(LOGOUT)).await;
        return Err(problem);
    }
    write(&to, token)?;
    say(format_args!("Logged in: {me}, token in {}", to.display()));
    Ok(())
}

const LOGOUT: &str = "/_matrix/client/v3/logout";

/// Ends the session of the token that is used, and empties its file.
pub(super) async fn log_out(config: &Config, reach: &Reach) -> Result<(), Problem> {
    let token = token(config, reach)?;
    let token = token.ok_or_else(|| Problem::new("no token is named"))?;
    let server = Server::of(config, reach, Some(token))?;
    server.ask(&Call::post(LOGOUT)).await?;
    let configured = config.admin.token_file.as_ref().map(PathBuf::from);
    if let Some(path) = reach.token_file.clone().or(configured) {
        write(&path, "")?;
    }
    say(format_args!("Logged out."));
    Ok(())
}

fn password() -> Result<String, Problem> {
    let input = std::io::stdin();
    if input.is_terminal() {
        warn(format_args!("Password (it is shown as you type it):"));
    }
    let mut line = String::new();
    input.lock().read_line(&mut line)?;
    let password = line.trim_end_matches(['\r', '\n']);
    if password.is_empty() {
        return Err(Problem::new("no password came from standard input"));
    }
    Ok(password.to_owned())
}

/// Whoever could read the file before it was written could not read what is written now.
fn write(path: &Path, token: &str) -> Result<(), Problem> {
    let fresh = path.with_extension("new");
    let _ = std::fs::remove_file(&fresh);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh);
    let mut file =
        file.map_err(|error| Problem::new(format!("cannot write {}: {error}", fresh.display())))?;
    writeln!(file, "{token}")?;
    file.sync_all()?;
    std::fs::rename(&fresh, path)?;
    Ok(())
}
