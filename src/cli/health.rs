//! `playhouse health`: asks the server of a configuration whether it is well, for containers and supervisors that have nothing else to ask with.

use std::time::Duration;

use super::{
    output::{Problem, say},
    secret,
};
use crate::config::Config;

/// A server on this machine that is well answers within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);

/// Asks where the server answers on this machine. Fails unless it says that it is well.
pub(super) async fn ask(config: &Config) -> Result<(), Problem> {
    let url = url(config);
    let http = reqwest::Client::builder()
        .timeout(ANSWER_WITHIN)
        .no_proxy()
        // Its certificate is for a name, and it is asked by its address. Nothing is told to it, and nothing but the status is believed.
        .tls_danger_accept_invalid_certs(true)
        .build()?;
    let answered = http.get(&url).send().await;
    let status = match answered {
        Ok(answer) => answer.status(),
        Err(error) if error.is_timeout() => {
            return Err(Problem::new(format!("{url} does not answer in time")));
        }
        Err(_) => return Err(Problem::new(format!("nothing answers at {url}"))),
    };
    if !status.is_success() {
        return Err(Problem::new(format!("{url} answers {status}")));
    }
    say(format_args!("OK"));
    Ok(())
}

/// The listener for metrics answers too, and without TLS.
fn url(config: &Config) -> String {
    match &config.listen.metrics {
        Some(address) => format!("http://{address}/health"),
        None => format!("{}/health", secret::base(config)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_asked_where_it_answers() {
        let mut config = Config::default();
        assert_eq!(url(&config), "http://127.0.0.1:8008/health");
        config.listen.client_tls_acme = true;
        assert_eq!(url(&config), "https://127.0.0.1:8008/health");
        config.listen.metrics = Some("127.0.0.1:9109".to_owned());
        assert_eq!(url(&config), "http://127.0.0.1:9109/health");
    }
}
