//! An HTTP server that answers what a test wants.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::{TcpListener, TcpStream},
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// `GET /path?query`.
    pub(crate) what: String,
    /// The `Authorization` header.
    pub(crate) authorization: String,
    /// The body.
    pub(crate) body: String,
}

impl Asked {
    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or(Value::Null)
    }
}

type Answer = Arc<dyn Fn(&Asked) -> (u16, Value) + Send + Sync>;

/// A running HTTP server.
#[derive(Clone)]
pub(crate) struct Double {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<Asked>>>,
}

impl Double {
    /// Starts one on a free port. It answers status and JSON.
    pub(crate) async fn start(
        answer: impl Fn(&Asked) -> (u16, Value) + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let double = Self {
            address: listener.local_addr().expect("an address"),
            asked: Arc::default(),
        };
        let (asked, answer): (_, Answer) = (double.asked.clone(), Arc::new(answer));
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, asked.clone(), answer.clone()));
            }
        });
        double
    }

    /// `127.0.0.1:PORT`.
    pub(crate) fn host(&self) -> String {
        self.address.to_string()
    }

    /// `http://127.0.0.1:PORT`.
    pub(crate) fn base(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What was asked so far of what begins so.
    pub(crate) fn asked(&self, what: &str) -> Vec<Asked> {
        let asked = self.asked.lock();
        let fitting = asked.iter().filter(|asked| asked.what.starts_with(what));
        fitting.cloned().collect()
    }
}

async fn serve(stream: TcpStream, kept: Arc<Mutex<Vec<Asked>>>, answer: Answer) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            match stream.read_line(&mut line).await {
                Ok(0) | Err(_) => return,
                Ok(_) => {}
            }
            let line = line.trim_end().to_owned();
            if line.is_empty() {
                break;
            }
            head.push(line);
        }
        let header = |name: &str| {
            let fields = head.iter().filter_map(|line| line.split_once(':'));
            let mut named = fields.filter(|(known, _)| known.eq_ignore_ascii_case(name));
            named.next().map_or("", |(_, value)| value.trim())
        };
        let mut body = vec![0; header("content-length").parse().unwrap_or(0)];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        let first = head.first().cloned().unwrap_or_default();
        let asked = Asked {
            what: first.trim_end_matches(" HTTP/1.1").to_owned(),
            authorization: header("authorization").to_owned(),
            body: String::from_utf8_lossy(&body).into_owned(),
        };
        let (status, told) = answer(&asked);
        kept.lock().push(asked);
        let told = told.to_string();
        let response = format!(
            "HTTP/1.1 {status} x\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{told}",
            told.len()
        );
        if stream.write_all(response.as_bytes()).await.is_err() {
            return;
        }
    }
}
