//! A line that can break: it carries connections to a place that may change, and resets all of them at a word.

use std::sync::{Arc, Mutex};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// See the module's documentation. Ends with the runtime of its test.
#[derive(Clone)]
pub(super) struct Line {
    port: u16,
    /// `address:port`
    target: Arc<Mutex<String>>,
    cuts: watch::Sender<usize>,
}

impl Line {
    /// A line to a place.
    pub(super) async fn to(target: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let line = Self {
            port: listener.local_addr().expect("an address").port(),
            target: Arc::new(Mutex::new(target.to_owned())),
            cuts: watch::Sender::new(0),
        };
        let (target, cuts) = (line.target.clone(), line.cuts.clone());
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let target = target.lock().expect("a place").clone();
                tokio::spawn(carry(near, target, cuts.subscribe()));
            }
        });
        line
    }

    /// Its near end.
    pub(super) fn port(&self) -> u16 {
        self.port
    }

    /// New connections lead elsewhere from now on.
    pub(super) fn lead_to(&self, target: &str) {
        target.clone_into(&mut self.target.lock().expect("a place"));
    }

    /// All connections are reset.
    pub(super) fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }
}

async fn carry(mut near: TcpStream, target: String, mut cuts: watch::Receiver<usize>) {
    let Ok(mut far) = TcpStream::connect(target).await else {
        // Without it the other side would hear a polite end.
        let _ = near.set_zero_linger();
        return;
    };
    let is_cut = tokio::select! {
        _ = copy_bidirectional(&mut near, &mut far) => false,
        _ = cuts.changed() => true,
    };
    if is_cut {
        let _ = near.set_zero_linger();
        let _ = far.set_zero_linger();
    }
}
