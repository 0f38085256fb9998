//! One process of a server.

use std::{
    fs::{self, OpenOptions},
    io::{BufRead, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc::{self, Receiver},
    time::Duration,
};

/// A server says where it listens within this time. A node that was killed waits until its old lease has run out.
const LISTENS_WITHIN: Duration = Duration::from_secs(180);

/// A process that listens. Killed when dropped.
pub(super) struct Process {
    child: Child,
    base: String,
}

/// A process that was started a moment ago.
pub(super) struct Starting {
    child: Child,
    listens: Receiver<String>,
}

impl Starting {
    /// Starts it. What it complains about goes into a file, if there is one.
    pub(super) fn spawn(mut command: Command, log: Option<&Path>) -> Self {
        let complaints = match log {
            Some(path) => {
                let file = OpenOptions::new().create(true).append(true).open(path);
                Stdio::from(file.expect("the log can be opened"))
            }
            None => Stdio::inherit(),
        };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(complaints)
            .spawn()
            .expect("the server starts");
        let output = child.stdout.take().expect("standard output is piped");
        let (sender, listens) = mpsc::channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if let Some(base) = base_url(&line) {
                    let _ = sender.send(base);
                }
            }
        });
        Self { child, listens }
    }

    /// Waits until it says where it listens.
    pub(super) fn listening(mut self) -> Process {
        match self.listens.recv_timeout(LISTENS_WITHIN) {
            Ok(base) => Process {
                child: self.child,
                base,
            },
            Err(error) => {
                let ended = self.child.try_wait();
                let _ = self.child.kill();
                panic!("the server never said where it listens: {error}; {ended:?}")
            }
        }
    }
}

impl Process {
    /// Where it listens: `http://127.0.0.1:PORT`.
    pub(super) fn base(&self) -> &str {
        &self.base
    }

    /// Its number.
    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// SIGKILL: nothing is flushed, nobody is told. Does not wait for its end.
    pub(super) fn strike(&mut self) {
        let _ = self.child.kill();
    }

    /// Any signal, by its name with a dash.
    pub(super) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args([signal, &id]).status();
        assert!(status.expect("kill runs").success());
    }

    /// Waits until it has ended in order, as it was told.
    pub(super) fn ended(mut self) {
        let status = self.child.wait().expect("the process ends");
        assert!(status.success(), "the server ended with {status}");
    }

    /// What it has read so far from files and sockets, cached or not, by the kernel's count.
    pub(super) fn bytes_read(&self) -> u64 {
        let counts = self.told("io");
        let read = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
        read.and_then(|bytes| bytes.parse().ok())
            .expect("a number of bytes")
    }

    /// A count of its memory.
    pub(super) fn memory_bytes(&self, count: &str) -> u64 {
        let status = self.told("status");
        let held = status
            .lines()
            .find_map(|line| line.strip_prefix(count)?.trim().strip_suffix(" kB"));
        held.and_then(|kilobytes| kilobytes.parse::<u64>().ok())
            .expect("a number of kilobytes")
            * 1024
    }

    /// The time that it has computed.
    pub(super) fn cpu_time(&self) -> Duration {
        let stat = self.told("stat");
        // Behind the name, which may have anything in it; in hundredths of seconds.
        let (_, fields) = stat.rsplit_once(')').expect("a name");
        let fields = fields.split_whitespace().skip(11).take(2);
        let ticks = fields.map(|field| field.parse::<u64>().expect("a number"));
        Duration::from_millis(ticks.sum::<u64>() * 10)
    }

    fn told(&self, file: &str) -> String {
        let told = fs::read_to_string(format!("/proc/{}/{file}", self.id()));
        told.expect("the kernel counts")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.strike();
        let _ = self.child.wait();
    }
}

/// Kills processes and removes folders when this test program has ended, however it ended.
pub(super) fn end_with_program(processes: &[u32], folders: &[&Path]) -> Child {
    let processes: Vec<_> = processes.iter().map(ToString::to_string).collect();
    Command::new("sh")
        .args(["-c", "read -r _; kill -9 $1; shift; rm -rf \"$@\"", "sh"])
        .arg(processes.join(" "))
        .args(folders)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the guard starts")
}

fn base_url(line: &str) -> Option<String> {
    // The line of the clients' address, which comes first. Others name servers, too, that do not run here.
    let start = line.find("http://1")?;
    let rest = &line[start..];
    let end = rest
        .find(|character: char| character.is_whitespace())
        .unwrap_or(rest.len());
    Some(rest[..end].trim_end_matches('/').to_owned())
}
