//! `playhouse admin login` and `logout`: an access token in a file that nobody else can read.

use std::{
    fs::{File, OpenOptions},
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
    let role = Call::get("/_synapse/admin/v1/users/{}/admin").of(me);
    let kept = match server.ask(&role).await {
        Ok(_) => write(&to, token),
        Err(problem) => Err(problem),
    };
    // Whoever is no administrator, or has no place for the token, has no session for nothing.
    if let Err(problem) = kept {
        let _ = server.ask(&Call::post(LOGOUT)).await;
        return Err(problem);
    }
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
    let refused =
        |error: std::io::Error| Problem::new(format!("cannot write {}: {error}", path.display()));
    // A terminal or a pipe would be replaced by a file.
    if std::fs::metadata(path).is_ok_and(|known| !known.is_file()) {
        return Err(Problem::new(format!("{} is no file", path.display())));
    }
    let mut fresh = path.as_os_str().to_owned();
    fresh.push(format!(".{}", std::process::id()));
    let fresh = PathBuf::from(fresh);
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&fresh);
    let file = file.map_err(refused)?;
    let written = fill(file, token).and_then(|()| std::fs::rename(&fresh, path));
    written.map_err(|error| {
        let _ = std::fs::remove_file(&fresh);
        refused(error)
    })
}

fn fill(mut file: File, token: &str) -> std::io::Result<()> {
    writeln!(file, "{token}")?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = std::fs::read_dir(folder).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    #[test]
    fn a_token_is_written_for_its_owner_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let (token, other) = (folder.path().join("a.token"), folder.path().join("a.new"));
        std::fs::write(&other, "mine").unwrap();
        std::fs::write(&token, "old").unwrap();
        std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(write(&token, "secret").is_ok());
        assert_eq!(std::fs::read_to_string(&token).unwrap(), "secret\n");
        let mode = std::fs::metadata(&token).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&other).unwrap(), "mine");
        assert!(write(folder.path(), "secret").is_err());
        assert!(write(&folder.path().join("none/a"), "secret").is_err());
        assert!(write(Path::new("/dev/null"), "secret").is_err());
        assert_eq!(names(folder.path()), ["a.new", "a.token"]);
    }
}
