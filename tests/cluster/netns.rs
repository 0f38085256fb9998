//! Network namespaces with a wire between each two of them, which can be cut and healed.
//!
//! A wire is a bridge with two ends. When one of them is taken out of the bridge everything is lost silently while the carrier stays up, as in a network
//! that is broken somewhere in the middle. Each namespace has one address for all its wires, and one more wire to this program, which is never cut.
//!
//! What is made outside of the namespaces gets no address: when an address comes or goes, browsers on the machine take the network for changed and give up
//! whatever they were about to ask for, which fails tests that have nothing to do with these.

use std::{
    fs,
    net::Ipv4Addr,
    path::Path,
    process::{Child, Command, Stdio},
    sync::{
        LazyLock,
        atomic::{AtomicU32, Ordering},
    },
    time::{Duration, Instant},
};

/// Whatever is waited for happens within this time.
const PATIENCE: Duration = Duration::from_secs(120);

/// So many networks there are, each with room for a hundred namespaces and more.
const SUBNETS: u32 = 512;

/// So many namespaces are wired at most: their numbers are single digits in names of interfaces, which are short.
const PLACES_MAX: usize = 9;

static NEXT: AtomicU32 = AtomicU32::new(0);

/// This program's address, the same for all that are wired. It is made once and left to the next program, so that it neither comes nor goes meanwhile.
static OUTSIDE: LazyLock<Result<Ipv4Addr, String>> = LazyLock::new(|| {
    let process = std::process::id();
    let address = in_subnet(process % SUBNETS, 254);
    let label = format!("lo:ph{process}");
    match try_ip(&format!("address add {address}/32 dev lo label {label}")) {
        // Another program may have a number so like this one that it has the address, too.
        Err(error) if !error.contains("exists") && !error.contains("already") => Err(error),
        _ => Ok(address),
    }
});

/// Namespaces and their wires. Removed when dropped; what a killed program left is removed by the next one.
pub(super) struct Wires {
    /// What all names begin with: `ph`, the process and a letter.
    prefix: String,
    /// Chosen by the process, so that two programs can have such wires at once.
    subnet: u32,
    outside: Ipv4Addr,
    places: Vec<String>,
}

impl Wires {
    /// Makes namespaces and wires. Says why when it cannot be done here.
    pub(super) fn build(places: &[&str]) -> Result<Self, String> {
        assert!(places.len() <= PLACES_MAX, "too many places");
        sweep();
        let refused = |error: String| format!("no network namespaces can be made: {error}");
        let outside = (*OUTSIDE).clone().map_err(refused)?;
        let (process, number) = (
            std::process::id(),
            NEXT.fetch_add(1, Ordering::Relaxed) % 26,
        );
        let letter = char::from_digit(number + 10, 36).expect("a letter");
        let wires = Self {
            prefix: format!("ph{process}{letter}"),
            subnet: (process * 26 + number) % SUBNETS,
            outside,
            places: places.iter().map(|place| (*place).to_owned()).collect(),
        };
        for place in 0..places.len() {
            let made = try_ip(&format!("netns add {}", wires.namespace(place)));
            made.map_err(refused)?;
            wires.open(place);
        }
        for second in 0..places.len() {
            for first in 0..second {
                wires.join(first, second);
            }
        }
        Ok(wires)
    }

    /// The address of a place, from wherever it is reached.
    pub(super) fn address(&self, place: &str) -> Ipv4Addr {
        self.address_of(self.number(place))
    }

    /// What runs a program in a place: the beginning of its command line.
    pub(super) fn runner(&self, place: &str) -> Vec<String> {
        let namespace = self.namespace(self.number(place));
        let words = ["ip", "netns", "exec", &namespace];
        words.map(ToOwned::to_owned).to_vec()
    }

    /// A program that runs in a place.
    pub(super) fn command(&self, place: &str, program: &str) -> Command {
        let runner = self.runner(place);
        let mut command = Command::new(&runner[0]);
        command.args(&runner[1..]).arg(program);
        command
    }

    /// From now on two places lose all that they send to each other.
    pub(super) fn cut(&self, one: &str, other: &str) {
        let end = self.end(self.number(one), self.number(other));
        ip(&format!("link set {end} nomaster"));
    }

    /// Two places reach each other again.
    pub(super) fn heal(&self, one: &str, other: &str) {
        let (one, other) = (self.number(one), self.number(other));
        let bridge = self.bridge(one, other);
        ip(&format!(
            "link set {} master {bridge}",
            self.end(one, other)
        ));
    }

    fn number(&self, place: &str) -> usize {
        let number = self.places.iter().position(|known| known == place);
        number.expect("there is such a place")
    }

    fn namespace(&self, place: usize) -> String {
        format!("{}-{}", self.prefix, self.places[place])
    }

    fn bridge(&self, one: usize, other: usize) -> String {
        format!("{}b{}{}", self.prefix, one.min(other), one.max(other))
    }

    /// The end outside of the wire from one to another.
    fn end(&self, of: usize, towards: usize) -> String {
        format!("{}e{of}{towards}", self.prefix)
    }

    fn address_of(&self, place: usize) -> Ipv4Addr {
        in_subnet(self.subnet, u8::try_from(place + 1).expect("few places"))
    }

    /// This program's address.
    pub(super) fn outside(&self) -> Ipv4Addr {
        self.outside
    }

    /// Gives a namespace its address and its wire to this program.
    fn open(&self, place: usize) {
        let (inside, address) = (self.namespace(place), self.address_of(place));
        let (end, outside) = (format!("{}h{place}", self.prefix), self.outside());
        ip(&format!("-n {inside} link set lo up"));
        ip(&format!("-n {inside} address add {address}/32 dev lo"));
        ip(&format!(
            "link add {end} type veth peer name home netns {inside}"
        ));
        quiet(&end);
        ip(&format!("link set {end} up"));
        ip(&format!("-n {inside} link set home up"));
        ip(&format!("route add {address}/32 dev {end} src {outside}"));
        ip(&format!(
            "-n {inside} route add {outside}/32 dev home src {address}"
        ));
    }

    fn join(&self, first: usize, second: usize) {
        let bridge = self.bridge(first, second);
        ip(&format!("link add {bridge} type bridge"));
        quiet(&bridge);
        ip(&format!("link set {bridge} up"));
        for (of, towards) in [(first, second), (second, first)] {
            let (end, inside) = (self.end(of, towards), self.namespace(of));
            let (own, other) = (self.address_of(of), self.address_of(towards));
            ip(&format!(
                "link add {end} type veth peer name to{towards} netns {inside}"
            ));
            quiet(&end);
            ip(&format!("link set {end} master {bridge} up"));
            ip(&format!("-n {inside} link set to{towards} up"));
            ip(&format!(
                "-n {inside} route add {other}/32 dev to{towards} src {own}"
            ));
        }
    }
}

impl Drop for Wires {
    fn drop(&mut self) {
        remove(|name| name.starts_with(&self.prefix));
    }
}

/// An address in the network that is kept free for tests (RFC 2544).
fn in_subnet(subnet: u32, host: u8) -> Ipv4Addr {
    let [_, _, second, third] = subnet.to_be_bytes();
    Ipv4Addr::new(198, 18 + second, third, host)
}

/// Keeps an interface from making an address for itself. Where there is no IPv6 it does not know how.
fn quiet(interface: &str) {
    let _ = try_ip(&format!("link set {interface} addrgenmode none"));
}

/// Removes what programs left that do not run any more.
fn sweep() {
    remove(|name| {
        let rest = name.strip_prefix("ph").unwrap_or_default();
        let (process, rest) = numbered(rest);
        rest.starts_with(|letter: char| letter.is_ascii_lowercase()) && has_ended(process)
    });
    let output = Command::new("ip")
        .args(["-oneline", "-4", "address", "show", "dev", "lo"])
        .output();
    let told = output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    for line in told.unwrap_or_default().lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        let label = words.iter().find_map(|word| word.strip_prefix("lo:ph"));
        let process = label.map(|label| numbered(label).0);
        if process.is_some_and(has_ended)
            && let Some(address) = words.iter().skip_while(|word| **word != "inet").nth(1)
        {
            let _ = try_ip(&format!("address delete {address} dev lo"));
        }
    }
}

/// The number with which a name begins, and what follows.
fn numbered(name: &str) -> (&str, &str) {
    let rest = name.trim_start_matches(|letter: char| letter.is_ascii_digit());
    name.split_at(name.len() - rest.len())
}

/// Whether there was a process of this number, and is none now.
fn has_ended(process: &str) -> bool {
    !process.is_empty() && !Path::new("/proc").join(process).exists()
}

/// Removes interfaces and namespaces by name. A wire goes with either of its ends.
fn remove(is_wanted: impl Fn(&str) -> bool) {
    for (folder, what) in [("/sys/class/net", "link"), ("/run/netns", "netns")] {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        let mut names: Vec<_> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.retain(|name| is_wanted(name));
        for name in names {
            // Another one may have been as fast.
            let _ = try_ip(&format!("{what} delete {name}"));
        }
    }
}

fn try_ip(arguments: &str) -> Result<(), String> {
    let output = Command::new("ip").args(arguments.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let error = String::from_utf8_lossy(&output.stderr);
    Err(format!("ip {arguments}: {}", error.trim()))
}

#[track_caller]
fn ip(arguments: &str) {
    if let Err(error) = try_ip(arguments) {
        panic!("{error}");
    }
}

/// A server in a place, killed when dropped.
struct Serving(Child);

impl Serving {
    fn start(wires: &Wires, place: &str, data: &Path) -> Self {
        let process = wires
            .command(place, env!("CARGO_BIN_EXE_playhouse"))
            .env("PLAYHOUSE_SERVER_NAME", "playhouse.test")
            .env("PLAYHOUSE_DATA_DIR", data)
            .env("PLAYHOUSE_LISTEN", "0.0.0.0:8008")
            .env("PLAYHOUSE_FEDERATION_NOTARIES", "")
            .env("PLAYHOUSE_LOG", "warn")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn();
        Self(process.expect("the server starts"))
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Whether a server answers somebody in a place, or outside of all places.
fn reaches(wires: &Wires, from: Option<&str>, to: &str) -> bool {
    let mut command = match from {
        Some(place) => wires.command(place, "curl"),
        None => Command::new("curl"),
    };
    let status = command
        .args([
            "--silent",
            "--fail",
            "--output",
            "/dev/null",
            "--max-time",
            "1",
        ])
        .arg(format!("http://{}:8008/health", wires.address(to)))
        .status();
    status.expect("there is curl").success()
}

#[track_caller]
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never came: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn places_lose_each_other_and_find_each_other_again() {
    let wires = match Wires::build(&["one", "two", "three"]) {
        Ok(wires) => wires,
        Err(reason) => {
            println!("skipped: {reason}");
            return;
        }
    };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let _serving = Serving::start(&wires, "one", folder.path());
    for from in [None, Some("two"), Some("three")] {
        until("an answer", || reaches(&wires, from, "one"));
    }
    assert!(!reaches(&wires, None, "two"), "there is no server");

    wires.cut("two", "one");
    assert!(!reaches(&wires, Some("two"), "one"), "the wire is cut");
    until("an answer by another wire, which is whole", || {
        reaches(&wires, Some("three"), "one")
    });
    until(
        "an answer to what runs outside, which is not cut off",
        || reaches(&wires, None, "one"),
    );
    wires.heal("two", "one");
    until("an answer by the healed wire", || {
        reaches(&wires, Some("two"), "one")
    });

    let prefix = wires.prefix.clone();
    drop(wires);
    let left = fs::read_dir("/sys/class/net")
        .expect("interfaces")
        .flatten();
    let left = left.filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix));
    assert_eq!(left.count(), 0, "wires are left");
}
