//! Certificates that an authority gives by ACME (RFC 8555), and gives anew when two thirds of their time are over.
//!
//! `rustls-acme` speaks the protocol. What it leaves open is here: files that only their owner reads, what is served until there is a certificate, pauses that
//! keep within the limits of authorities, and an end to orders that hang.

mod files;
mod served;

use std::{future::Future, io, sync::Arc, time::Duration};

use futures_util::StreamExt as _;
use playhouse_actors::env::Env;
use rustls::{ClientConfig, ServerConfig};
use rustls_acme::{
    AcmeConfig, AcmeState, Event, EventError, EventOk, OrderError, acme::ACME_TLS_ALPN_NAME,
};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use self::{files::Files, served::Served};
use super::StartError;
use crate::{config::Config, outbound::Trust};

/// An order that takes longer hangs: nothing of it has a limit of its own. Authorities may take long to decide, and names may be many.
const ORDER_WITHIN: Duration = Duration::from_secs(60 * 60);

/// The pause after an authority did not reach us. Let's Encrypt tries a name five times in an hour.
const UNPROVEN_PAUSE: Duration = Duration::from_secs(12 * 60);

/// The pause after a certificate came, in case that it counts as old already, because a clock is wrong, or that it cannot be used.
const ORDERED_PAUSE: Duration = Duration::from_secs(60 * 60);

/// The pause after certificates that cannot be used doubles so often, to more than a day: each one counts against the authority's limits.
const USELESS_DOUBLINGS_MAX: u32 = 5;

/// Doublings of the pause after failures, as `rustls-acme` has them.
const DOUBLINGS_MAX: u32 = 16;

/// What an authority says of a failure is logged up to so many characters.
const ERROR_CHARS_MAX: usize = 1_000;

/// One certificate, for all listeners that want it from an authority.
pub(super) struct Acme {
    domains: Vec<String>,
    contacts: Vec<String>,
    directory: String,
    tls: Arc<ClientConfig>,
    env: Env,
    files: Files,
    served: Arc<Served>,
}

/// What comes after something that happened.
enum Next {
    /// The order goes on, or is repeated, after this time.
    After(Duration),
    /// What came is of no use: it is ordered as if for the first time.
    Anew,
}

impl Acme {
    /// Nothing when no listener wants it. The certificate of last time is served from the first connection on.
    ///
    /// Until there was one, a self-signed certificate is served that nobody believes: who connects then sees in plain words what is missing, whereas a
    /// refused handshake looks like a broken server, and a server that does not start could never be reached by the authority.
    pub(super) fn open(
        config: &Config,
        env: &Env,
        trust: &Arc<Trust>,
    ) -> Result<Option<Self>, StartError> {
        if !config.listen.has_acme() {
            return Ok(None);
        }
        let acme = &config.acme;
        let trust = match acme.ca_file.as_deref() {
            Some(path) => Trust::open(Some(path)).map_err(StartError::Outside)?,
            None => trust.clone(),
        };
        let mut tls = trust.tls();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (domains, directory) = (acme.names(), acme.directory_url().to_owned());
        let contacts = acme.contacts.iter();
        let contacts: Vec<_> = contacts
            .map(|address| format!("mailto:{address}"))
            .collect();
        let served = Arc::new(Served::without_authority(&domains)?);
        let files = Files::open(config.in_data_dir("acme"), served.clone())?;
        files.serve_last(&domains, &directory)?;
        files.probe_account(&contacts, &directory)?;
        tracing::info!(
            ?domains,
            %directory,
            "the certificate comes by ACME: the authority connects to port 443 of each name"
        );
        Ok(Some(Self {
            domains,
            contacts,
            directory,
            tls: Arc::new(tls),
            env: env.clone(),
            files,
            served,
        }))
    }

    /// What a listener with this certificate is configured with. The authority's question for a proof is answered too.
    pub(super) fn server_config(&self) -> ServerConfig {
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_cert_resolver(self.served.clone());
        // HTTP's protocols are added before it.
        config.alpn_protocols.push(ACME_TLS_ALPN_NAME.to_vec());
        config
    }

    /// Orders in time, for ever.
    pub(super) fn start(self) -> tokio::task::JoinHandle<()> {
        let acme = Arc::new(self);
        let order = move || {
            let acme = acme.clone();
            async move { acme.order().await }
        };
        tokio::spawn(again_and_again(order, ORDERED_PAUSE))
    }

    /// Returns when it must begin anew.
    async fn order(&self) {
        let mut state = self.state();
        self.served.prove_by(state.resolver());
        let mut failures = 0;
        loop {
            let within = self.idle(failures).saturating_add(ORDER_WITHIN);
            let Ok(Some(event)) = timeout(within, state.next()).await else {
                metrics::counter!("playhouse_acme_failures_total").increment(1);
                tracing::error!("the order of a certificate hangs and is given up for now");
                return;
            };
            match judge(event, &mut failures) {
                Next::After(pause) => sleep(pause).await,
                Next::Anew => return,
            }
        }
    }

    fn state(&self) -> AcmeState<io::Error> {
        AcmeConfig::new_with_client_config(&self.domains, self.tls.clone())
            .contact(&self.contacts)
            .directory(&self.directory)
            .cache(self.files.clone())
            .state()
    }

    /// So long `rustls-acme` waits by itself before it orders.
    fn idle(&self, failures: u32) -> Duration {
        match failures.checked_sub(1) {
            Some(before) => Duration::from_secs(1 << before.min(DOUBLINGS_MAX)),
            None => self.served.due_in(self.env.now_ms()),
        }
    }
}

/// Begins anew whenever something ends, and when it panics too: nobody would notice that certificates are no longer renewed.
async fn again_and_again<F>(something: impl Fn() -> F, pause: Duration)
where
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        // When this is dropped, what runs in it ends.
        let mut running = JoinSet::new();
        running.spawn(something());
        if let Some(Err(_)) = running.join_next().await {
            metrics::counter!("playhouse_acme_failures_total").increment(1);
            tracing::error!("the order of a certificate panicked and is given up for now");
        }
        sleep(pause).await;
    }
}

fn judge(event: Event<io::Error, io::Error>, failures: &mut u32) -> Next {
    let error = match event {
        Ok(done) => return welcome(&done, failures),
        Err(error) => error,
    };
    metrics::counter!("playhouse_acme_failures_total").increment(1);
    let reason: String = error.to_string().chars().take(ERROR_CHARS_MAX).collect();
    tracing::error!(error = %reason, "trouble with the certificate by ACME");
    match error {
        EventError::Order(reason) => {
            *failures = failures.saturating_add(1);
            Next::After(pause_after(&reason))
        }
        EventError::CertCacheStore(error) if error.kind() == io::ErrorKind::InvalidData => {
            Next::Anew
        }
        // It is served all the same.
        EventError::CertCacheStore(_) => Next::After(ORDERED_PAUSE),
        // It is neither served nor kept, and without a pause the next one would be ordered at once.
        EventError::NewCertParse(_) => {
            let doublings = (*failures).min(USELESS_DOUBLINGS_MAX);
            *failures = failures.saturating_add(1);
            Next::After(ORDERED_PAUSE * (1 << doublings))
        }
        EventError::CertCacheLoad(_)
        | EventError::AccountCacheLoad(_)
        | EventError::AccountCacheStore(_)
        | EventError::CachedCertParse(_) => Next::After(Duration::ZERO),
    }
}

fn welcome(done: &EventOk, failures: &mut u32) -> Next {
    match done {
        EventOk::DeployedNewCert => {
            *failures = 0;
            tracing::info!("the authority gave a certificate");
            Next::After(Duration::ZERO)
        }
        EventOk::CertCacheStore => Next::After(ORDERED_PAUSE),
        EventOk::DeployedCachedCert | EventOk::AccountCacheStore => Next::After(Duration::ZERO),
    }
}

/// What `rustls-acme` waits, a second first and twice as long each time, runs within this.
fn pause_after(reason: &OrderError) -> Duration {
    match reason {
        OrderError::BadAuth(_) | OrderError::BadOrder(_) | OrderError::TooManyAttemptsAuth(_) => {
            UNPROVEN_PAUSE
        }
        OrderError::Acme(_) | OrderError::Rcgen(_) | OrderError::ProcessingTimeout(_) => {
            Duration::ZERO
        }
    }
}

#[cfg(test)]
mod tests {
    use rustls_acme::CertParseError;
    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn authorities_are_not_pressed() {
        let mut failures = 0;
        let unproven = OrderError::TooManyAttemptsAuth("a.example".to_owned());
        let next = judge(Err(EventError::Order(unproven)), &mut failures);
        assert!(matches!(next, Next::After(pause) if pause == UNPROVEN_PAUSE));
        assert_eq!(failures, 1);
        let next = judge(Ok(EventOk::CertCacheStore), &mut failures);
        assert!(matches!(next, Next::After(pause) if pause == ORDERED_PAUSE));
        judge(Ok(EventOk::DeployedNewCert), &mut failures);
        assert_eq!(failures, 0);
        let full = EventError::CertCacheStore(io::ErrorKind::StorageFull.into());
        let next = judge(Err(full), &mut failures);
        assert!(matches!(next, Next::After(pause) if pause == ORDERED_PAUSE));
        for hours in [1, 2, 4, 8, 16, 32, 32] {
            let unread = EventError::NewCertParse(CertParseError::TooFewPem(1));
            let next = judge(Err(unread), &mut failures);
            assert!(matches!(next, Next::After(pause) if pause == ORDERED_PAUSE * hours));
        }
        assert_eq!(failures, 7);
        let useless = EventError::CertCacheStore(io::ErrorKind::InvalidData.into());
        assert!(matches!(judge(Err(useless), &mut failures), Next::Anew));
    }

    #[tokio::test]
    async fn a_panic_is_not_the_end() {
        let (told, mut began) = mpsc::channel(1);
        let order = move || {
            let told = told.clone();
            async move {
                assert!(told.send(()).await.is_err(), "as a bug would");
            }
        };
        let task = tokio::spawn(again_and_again(order, Duration::from_millis(1)));
        for _ in 0..3 {
            assert_eq!(began.recv().await, Some(()));
        }
        task.abort();
    }

    #[tokio::test]
    async fn who_ends_the_task_ends_the_order() {
        let (told, mut began) = mpsc::channel(1);
        let order = move || {
            let told = told.clone();
            async move {
                told.send(()).await.expect("somebody listens");
                std::future::pending::<()>().await;
                drop(told);
            }
        };
        let task = tokio::spawn(again_and_again(order, Duration::from_millis(1)));
        assert_eq!(began.recv().await, Some(()));
        task.abort();
        // Nobody is left who could tell anything.
        assert_eq!(began.recv().await, None);
    }
}
