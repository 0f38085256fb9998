//! Sends mail.

use std::time::{Duration, UNIX_EPOCH};

use lettre::{
    AsyncSmtpTransport, AsyncTransport as _, Message, Tokio1Executor,
    message::{
        Mailbox, MultiPart,
        header::{Header, HeaderName, HeaderValue},
    },
    transport::smtp::{authentication::Credentials, extension::ClientId},
};
use playhouse_actors::env::Env;

use crate::{
    config::Config,
    edge::Failure,
    pages::{Letter, Written},
};

/// The way to the mail server.
pub(crate) struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
    host: String,
}

impl Mailer {
    /// As configured; none without a host.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, String> {
        type Transport = AsyncSmtpTransport<Tokio1Executor>;
        let email = &config.email;
        let Some(server) = &email.host else {
            return Ok(None);
        };
        let builder = match email.tls.as_str() {
            "tls" => Transport::relay(server),
            "none" => Ok(Transport::builder_dangerous(server)),
            _ => Transport::starttls_relay(server),
        };
        let host = host_of(&config.server.name);
        let mut builder = builder
            .map_err(|error| format!("[email] {error}"))?
            .port(email.port as u16)
            .hello_name(ClientId::Domain(host.clone()))
            .timeout(Some(Duration::from_millis(email.timeout_ms)));
        if let (Some(user), Some(password)) = (&email.user, &email.password) {
            builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
        }
        let from = match &email.from {
            Some(from) => from.clone(),
            None => format!("no-reply@{host}"),
        };
        Ok(Some(Self {
            transport: builder.build(),
            from: from
                .parse()
                .map_err(|_| format!("[email] from: `{from}` is no mail address"))?,
            host,
        }))
    }

    /// Sends a letter; `Ok` means that the mail server has taken it.
    pub(crate) async fn send(&self, env: &Env, to: &str, letter: &Letter) -> Result<(), Failure> {
        let (plain, html) = letter.bodies();
        let written = Written {
            subject: letter.subject.clone(),
            plain,
            html,
            unsubscribe: None,
        };
        self.send_written(env, to, written).await
    }

    /// The same of a mail that is written already.
    pub(crate) async fn send_written(
        &self,
        env: &Env,
        to: &str,
        written: Written,
    ) -> Result<(), Failure> {
        let to: Mailbox = to
            .parse()
            .map_err(|_| Failure::invalid_param("this is no mail address"))?;
        let mut builder = Message::builder()
            .from(self.from.clone())
            .to(to)
            .subject(written.subject)
            .date(UNIX_EPOCH + Duration::from_millis(env.now_ms()))
            .message_id(Some(format!("<{}@{}>", env.random_string(24), self.host)));
        if let Some(url) = written.unsubscribe {
            builder = builder
                .header(Unsubscribe(format!("<{url}>")))
                .header(OneClick("List-Unsubscribe=One-Click".to_owned()));
        }
        let message = builder
            .multipart(MultiPart::alternative_plain_html(
                written.plain,
                written.html,
            ))
            .map_err(Failure::internal)?;
        match self.transport.send(message).await {
            Ok(_) => Ok(()),
            Err(error) => {
                // What the mail server says may name the recipient: the log gets its code only.
                let status = error.status().map(|status| status.to_string());
                tracing::warn!(
                    status,
                    is_permanent = error.is_permanent(),
                    is_timeout = error.is_timeout(),
                    "mail was not taken"
                );
                Err(Failure::internal("mail was not taken"))
            }
        }
    }
}

/// A header of mails from lists, by its name.
macro_rules! list_header {
    ($type:ident, $name:literal) => {
        #[derive(Clone)]
        struct $type(String);

        impl Header for $type {
            fn name() -> HeaderName {
                HeaderName::new_from_ascii_str($name)
            }

            fn parse(text: &str) -> Result<Self, Box<dyn std::error::Error + Send + Sync>> {
                Ok(Self(text.to_owned()))
            }

            fn display(&self) -> HeaderValue {
                // A URL stays in one piece, however long it is.
                let text = self.0.clone();
                HeaderValue::dangerous_new_pre_encoded(Self::name(), text.clone(), text)
            }
        }
    };
}

list_header!(Unsubscribe, "List-Unsubscribe");
list_header!(OneClick, "List-Unsubscribe-Post");

/// The host of a server name, as a mail server wants to hear it.
fn host_of(server_name: &str) -> String {
    ruma::ServerName::parse(server_name)
        .map_or_else(|_| "localhost".to_owned(), |name| name.host().to_owned())
}
