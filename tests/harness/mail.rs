//! A mail server that keeps what it is given.

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
    sync::Notify,
};

/// A mail as it came.
#[derive(Clone, Debug)]
pub(crate) struct Mail {
    /// The recipient.
    pub(crate) to: String,
    /// Head and body, with soft line breaks undone.
    pub(crate) text: String,
    /// When it came: before its sender heard that it was taken.
    pub(crate) at: Instant,
}

impl Mail {
    /// The path and query of the first link.
    pub(crate) fn link(&self) -> String {
        let start = self.text.find("http").expect("a link");
        let url = self.text[start..].split_whitespace().next();
        let url = url.expect("a link");
        let (_, rest) = url.split_once("://").expect("a scheme");
        rest[rest.find('/').expect("a path")..].to_owned()
    }

    /// A parameter of the first link.
    pub(crate) fn parameter(&self, name: &str) -> String {
        let link = self.link();
        let (_, query) = link.split_once('?').expect("a query");
        let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(known, _)| *known == name);
        found.expect("the parameter").1.to_owned()
    }
}

#[derive(Default)]
struct Kept {
    mails: Mutex<Vec<Mail>>,
    came: Notify,
}

/// A running mail server.
#[derive(Clone)]
pub(crate) struct MailSink {
    address: SocketAddr,
    kept: Arc<Kept>,
}

impl MailSink {
    /// Starts one on a free port.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let kept = Arc::new(Kept::default());
        let sink = Self {
            address,
            kept: kept.clone(),
        };
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, kept.clone()));
            }
        });
        sink
    }

    /// The environment of a server that mails here.
    pub(crate) fn environment(&self) -> Vec<(String, String)> {
        [
            ("PLAYHOUSE_EMAIL_HOST", "127.0.0.1".to_owned()),
            ("PLAYHOUSE_EMAIL_PORT", self.address.port().to_string()),
            ("PLAYHOUSE_EMAIL_TLS", "none".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    /// How many mails came to an address.
    pub(crate) fn count(&self, to: &str) -> usize {
        let mails = self.kept.mails.lock();
        mails.iter().filter(|mail| mail.to == to).count()
    }

    /// Forgets what has come.
    pub(crate) fn forget(&self) {
        self.kept.mails.lock().clear();
    }

    /// The newest mail to an address, once there are so many.
    pub(crate) async fn mail(&self, to: &str, count: usize) -> Mail {
        let wait = async {
            loop {
                let came = self.kept.came.notified();
                let found: Vec<Mail> = {
                    let mails = self.kept.mails.lock();
                    mails.iter().filter(|mail| mail.to == to).cloned().collect()
                };
                if found.len() >= count
                    && let Some(last) = found.last()
                {
                    return last.clone();
                }
                came.await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), wait)
            .await
            .expect("a mail comes")
    }
}

async fn serve(stream: TcpStream, kept: Arc<Kept>) {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let _ = writer.write_all(b"220 sink\r\n").await;
    let (mut to, mut text, mut is_data) = (String::new(), String::new(), false);
    while let Ok(Some(line)) = lines.next_line().await {
        if is_data && line != "." {
            text.push_str(&line);
            text.push_str("\r\n");
            continue;
        }
        let answer = if is_data {
            is_data = false;
            let mail = Mail {
                to: std::mem::take(&mut to),
                text: plain(&std::mem::take(&mut text)),
                at: Instant::now(),
            };
            kept.mails.lock().push(mail);
            kept.came.notify_waiters();
            "250 kept"
        } else if let Some(recipient) = line.strip_prefix("RCPT TO:") {
            let recipient = recipient.trim_start_matches('<');
            to = recipient.split('>').next().unwrap_or_default().to_owned();
            if to.starts_with("refused") {
                "550 no such person"
            } else {
                "250 ok"
            }
        } else if line == "DATA" {
            is_data = true;
            "354 go on"
        } else if line == "QUIT" {
            "221 bye"
        } else {
            "250 ok"
        };
        let _ = writer.write_all(format!("{answer}\r\n").as_bytes()).await;
    }
}

/// Undoes what quoted-printable does to links and letters.
fn plain(text: &str) -> String {
    let joined = text.replace("=\r\n", "");
    let mut bytes = Vec::new();
    let mut rest = joined.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'=')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|code| std::str::from_utf8(code).ok())
            .and_then(|code| u8::from_str_radix(code, 16).ok());
        match code {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
