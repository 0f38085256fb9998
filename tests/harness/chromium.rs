//! Chromium without a window, driven by WebDriver: what a person sees and does on our pages.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, Instant},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{
    chromedriver::{address, wish},
    interfaces::{InterfacesStay, interfaces_stay},
};

/// Whatever a page should come to, it comes to within this.
pub(super) const DEADLINE: Duration = Duration::from_secs(180);

/// So often is a page loaded at most.
const LOADS_MAX: usize = 4;

/// So often is a browser started at most.
const STARTS_MAX: usize = 4;

/// What a browser complains of that is about its machine and not about our pages: that interfaces come and go, which has nothing to do with what it asked
/// for, and that it takes the machine for slow.
const OF_THE_MACHINE: [&str; 2] = ["net::ERR_NETWORK_CHANGED", "Slow network is detected"];

/// How a browser complains of an answer by which somebody is told to ask once more.
const BUSY: &str = "responded with a status of 503";

/// What WebDriver says when nothing was done, as the page was drawn anew meanwhile.
const MOVED: [&str; 4] = [
    "stale element reference",
    "no such element",
    "element click intercepted",
    "element not interactable",
];

/// What chromedriver says when a page is left under its hands.
const LEAVING: &str = "aborted by navigation";

/// Looks at the page and tells what somebody who cannot see it, or sees it on a telephone, would stumble over.
const INSPECT: &str = include_str!("inspect.js");

/// Finds the field with a label: there is no other way to a field than the label that a person reads.
const FIELD: &str = "const label = [...document.querySelectorAll('label')].find(label => label.textContent.trim() === arguments[0]); return label ? label.control : null";

/// The key under which WebDriver hides the number of an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// The widest a narrow screen is.
const NARROW: u64 = 360;

/// A running browser with an empty profile. It ends when dropped.
pub(crate) struct Chromium {
    driver: Child,
    http: reqwest::Client,
    session: String,
    language: &'static str,
    may_be_busy: AtomicBool,
    _profile: TempDir,
    _still: InterfacesStay,
}

impl Chromium {
    /// Starts one whose person reads a language, as soon as the machine's interfaces stay as they are; a test has one at a time. A busy machine may keep one
    /// from starting: then another one is started.
    #[expect(
        clippy::print_stdout,
        reason = "why it did not start belongs into the test's output"
    )]
    pub(crate) async fn start(language: &'static str) -> Self {
        for _ in 0..STARTS_MAX {
            match Self::try_start(language).await {
                Ok(browser) => return browser,
                Err(error) => println!("another browser is started: {error}"),
            }
        }
        panic!("no browser starts; what each has said stands above");
    }

    async fn try_start(language: &'static str) -> Result<Self, Value> {
        let still = interfaces_stay().await;
        let profile = tempfile::tempdir().expect("a temporary folder");
        let mut command = Command::new("chromedriver");
        // A process group of its own, so that nothing of it can be left over.
        command
            .arg("--port=0")
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut driver = command.spawn().unwrap_or_else(|error| {
            panic!("SKIPPED, AND THAT COUNTS AS FAILED: no chromedriver ({error}); `ops/ci/test` installs chromium and chromium-driver")
        });
        let address = address(&mut driver);
        let http = reqwest::Client::builder()
            .timeout(2 * DEADLINE)
            .build()
            .expect("a client can be built");
        let mut browser = Self {
            driver,
            http,
            session: format!("{address}/session"),
            language,
            may_be_busy: AtomicBool::new(false),
            _profile: profile,
            _still: still,
        };
        let wish = wish(language, browser._profile.path());
        let made = browser.try_ask(Method::POST, "", wish).await?;
        let id = made["sessionId"].as_str().expect("a session").to_owned();
        browser.session = format!("{address}/session/{id}");
        Ok(browser)
    }

    async fn ask(&self, method: Method, path: &str, body: Value) -> Value {
        match self.try_ask(method, path, body).await {
            Ok(value) => value,
            Err(error) => panic!("{path}: {error}"),
        }
    }

    async fn try_ask(&self, method: Method, path: &str, body: Value) -> Result<Value, Value> {
        let mut request = self
            .http
            .request(method.clone(), format!("{}{path}", self.session));
        if method == Method::POST {
            request = request.json(&body);
        }
        let unanswered = |error: reqwest::Error| json!(format!("no answer: {error}"));
        let response = request.send().await.map_err(unanswered)?;
        let is_fine = response.status().is_success();
        let mut answer: Value = response.json().await.map_err(unanswered)?;
        let value = answer["value"].take();
        if is_fine { Ok(value) } else { Err(value) }
    }

    /// Opens an address. Once more when the network of the machine has changed meanwhile.
    pub(crate) async fn open(&self, url: &str) {
        let wish = json!({"url": url});
        for _ in 1..LOADS_MAX {
            match self.try_ask(Method::POST, "/url", wish.clone()).await {
                Ok(_) => return,
                Err(error) if is_of_the_machine(&error) => {}
                Err(error) => panic!("{url}: {error}"),
            }
        }
        self.ask(Method::POST, "/url", wish).await;
    }

    /// Runs the body of a function on the page; on the next one when the page is being left.
    pub(crate) async fn run(&self, script: &str, arguments: Value) -> Value {
        let body = json!({"script": script, "args": arguments});
        let mut left = LOADS_MAX;
        loop {
            let told = self.try_ask(Method::POST, "/execute/sync", body.clone());
            match told.await {
                Ok(value) => return value,
                Err(error) if left > 0 && error.to_string().contains(LEAVING) => left -= 1,
                Err(error) => panic!("{script:.200}: {error}"),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// What is shown, as text.
    pub(crate) async fn text(&self) -> String {
        let script = "return document.body ? document.body.innerText : ''";
        let text = self.run(script, json!([])).await;
        text.as_str().unwrap_or_default().to_owned()
    }

    /// What there is to be seen, for whoever looks for the reason of a failure: where, the page as text, and what the browser complains of.
    pub(crate) async fn seen(&self) -> String {
        let script =
            json!({"script": "return [location.href, document.body?.innerText]", "args": []});
        let page = self.try_ask(Method::POST, "/execute/sync", script).await;
        let log = json!({"type": "browser"});
        let log = self.try_ask(Method::POST, "/se/log", log).await;
        let [page, log] = [page, log].map(|told| told.unwrap_or_else(|error| error));
        format!("seen: {page}; complaints: {log}")
    }

    /// The address that is shown.
    pub(crate) async fn url(&self) -> String {
        let url = self.ask(Method::GET, "/url", Value::Null).await;
        url.as_str().expect("an address").to_owned()
    }

    /// Waits until a text is shown.
    pub(crate) async fn wait_for(&self, text: &str) {
        let end = Instant::now() + DEADLINE;
        while !self.text().await.contains(text) {
            let late = Instant::now() > end;
            assert!(!late, "never shown: {text}; {}", self.seen().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until the address begins so, and gives it.
    pub(crate) async fn wait_until_at(&self, start: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let url = self.url().await;
            if url.starts_with(start) {
                return url;
            }
            let late = Instant::now() > end;
            assert!(!late, "never at {start}; {}", self.seen().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// The element that a script finds, once it does.
    async fn find(&self, script: &str, what: &str) -> String {
        let end = Instant::now() + DEADLINE;
        loop {
            let found = self.run(script, json!([what])).await;
            if let Some(element) = found[ELEMENT].as_str() {
                return element.to_owned();
            }
            let late = Instant::now() > end;
            assert!(!late, "never shown: {what}; {}", self.seen().await);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Does something with the element that a script finds. Where the page was drawn anew meanwhile nothing was done, and what stands there now is taken.
    async fn act(&self, (script, what): (&str, &str), (action, body): (&str, Value)) {
        let end = Instant::now() + DEADLINE;
        loop {
            let element = self.find(script, what).await;
            let path = format!("/element/{element}/{action}");
            match self.try_ask(Method::POST, &path, body.clone()).await {
                Ok(_) => return,
                Err(error) if has_moved(&error) && Instant::now() < end => {}
                Err(error) => panic!("{action} {what}: {error}; {}", self.seen().await),
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Types into the field with a label, in place of what stands there.
    pub(crate) async fn type_into(&self, label: &str, text: &str) {
        self.act((FIELD, label), ("clear", json!({}))).await;
        let body = json!({"text": text});
        self.act((FIELD, label), ("value", body)).await;
    }

    /// Ticks the box with a label.
    pub(crate) async fn tick(&self, label: &str) {
        self.act((FIELD, label), ("click", json!({}))).await;
    }

    /// Presses the button, or follows the link, with a text.
    pub(crate) async fn press(&self, text: &str) {
        let script = "return [...document.querySelectorAll('button, a')].find(shown => shown.textContent.trim() === arguments[0]) || null";
        self.act((script, text), ("click", json!({}))).await;
    }

    /// Looks closely at the page, which is of ours: it is good to read by ear, on narrow screens and at night, and nothing is wrong with it that a
    /// browser notices. Pictures of it are kept.
    pub(crate) async fn inspect(&self, name: &str) {
        for (kind, width, scheme) in [
            ("wide", 1024, "light"),
            ("narrow", NARROW, "light"),
            ("dark", NARROW, "dark"),
        ] {
            self.look(width, scheme).await;
            let wrong = self.run(INSPECT, json!([self.language])).await;
            let is_good = wrong == json!([]);
            assert!(is_good, "{name}, {kind}: {wrong}; {}", self.seen().await);
            self.picture(&format!("{name}-{kind}.png")).await;
        }
        self.devtools("Emulation.clearDeviceMetricsOverride", json!({}))
            .await;
        self.complaints().await;
    }

    /// Fails when the browser has complained of anything: refused by the policy, not found, a script that broke. Not of its machine, though.
    pub(crate) async fn complaints(&self) {
        let log = json!({"type": "browser"});
        let log = self.ask(Method::POST, "/se/log", log).await;
        let mut log = log.as_array().cloned().unwrap_or_default();
        let may_be_busy = self.may_be_busy.load(Ordering::Relaxed);
        log.retain(|entry| {
            let is_busy = entry["message"].to_string().contains(BUSY);
            !(is_of_the_machine(entry) || is_busy && may_be_busy)
        });
        assert!(log.is_empty(), "{}; {}", json!(log), self.seen().await);
    }

    /// From now on it is no complaint that a server was busy (503): it has to be while shards are on their way, and pages ask again.
    pub(crate) fn let_be_busy(&self) {
        self.may_be_busy.store(true, Ordering::Relaxed);
    }

    /// From now on requests to these addresses (with `*` for anything) go nowhere; nothing is kept back when there are none.
    pub(crate) async fn keep_back(&self, addresses: &[&str]) {
        self.devtools("Network.enable", json!({})).await;
        let wish = json!({"urls": addresses});
        self.devtools("Network.setBlockedURLs", wish).await;
    }

    /// Has a screen so wide, of somebody who wishes for a light or a dark page.
    pub(crate) async fn look(&self, width: u64, scheme: &str) {
        let metrics =
            json!({"width": width, "height": 760, "deviceScaleFactor": 1, "mobile": false});
        self.devtools("Emulation.setDeviceMetricsOverride", metrics)
            .await;
        let features = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        self.devtools("Emulation.setEmulatedMedia", features).await;
    }

    /// Waits until the body of a function finds that something is so.
    pub(crate) async fn wait_until(&self, script: &str, arguments: Value) {
        if !self.is_so_within(script, &arguments, DEADLINE).await {
            panic!("never so: {script} {arguments}; {}", self.seen().await);
        }
    }

    async fn is_so_within(&self, script: &str, arguments: &Value, within: Duration) -> bool {
        let end = Instant::now() + within;
        while self.run(script, arguments.clone()).await != json!(true) {
            if Instant::now() >= end {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        true
    }

    /// Opens a page that is made by scripts, which is begun when it has a heading. A machine that stalls may keep one of them from coming: then the page is
    /// loaded again, as anybody would do it.
    #[expect(
        clippy::print_stdout,
        reason = "why it did not begin belongs into the test's output"
    )]
    pub(crate) async fn open_made(&self, url: &str) {
        for _ in 0..LOADS_MAX {
            self.open(url).await;
            let begun = "return document.querySelector('h1') !== null";
            if self.is_so_within(begun, &json!([]), DEADLINE / 4).await {
                return;
            }
            let log = self.ask(Method::POST, "/se/log", json!({"type": "browser"}));
            println!("{url} is loaded again: {}", log.await);
        }
        panic!("{url} never begins");
    }

    /// Presses keys, one after the other, wherever the focus is.
    pub(crate) async fn keys(&self, text: &str) {
        let strokes: Vec<Value> = text
            .chars()
            .flat_map(|key| {
                ["keyDown", "keyUp"].map(|kind| json!({"type": kind, "value": key.to_string()}))
            })
            .collect();
        let body = json!({"actions": [{"type": "key", "id": "keyboard", "actions": strokes}]});
        self.ask(Method::POST, "/actions", body).await;
    }

    /// Forgets what the browser has complained of: it was to be expected.
    pub(crate) async fn forgive(&self) {
        self.ask(Method::POST, "/se/log", json!({"type": "browser"}))
            .await;
    }

    /// Has the page judged by axe-core: fails when it finds anything serious or critical. Tells what it has looked for, and what less it has found.
    #[expect(
        clippy::print_stdout,
        reason = "what was found belongs into the test's output"
    )]
    pub(crate) async fn accessible(&self, name: &str) {
        if self.run("return typeof axe", json!([])).await == "undefined" {
            self.run(&axe(), json!([])).await;
        }
        let begin = "window.judged = window.broken = null; axe.run(document, {resultTypes: ['violations']}).then((all) => { window.kept = all.passes; window.judged = all.violations; }).catch((error) => { window.broken = String(error); })";
        self.run(begin, json!([])).await;
        let is_over = "return window.judged !== null || window.broken !== null";
        self.wait_until(is_over, json!([])).await;
        let broken = self.run("return window.broken", json!([])).await;
        assert_eq!(broken, Value::Null, "{name}: axe gives up");
        let serious = "return window.judged.filter((one) => ['serious', 'critical'].includes(one.impact)).map((one) => `${one.id}: ${one.nodes.map((node) => node.html)}`)";
        let found = self.run(serious, json!([])).await;
        let less = "return window.judged.filter((one) => !['serious', 'critical'].includes(one.impact)).map((one) => `${one.id} (${one.impact})`)";
        let (less, passed) = (
            self.run(less, json!([])).await,
            self.run("return window.kept.length", json!([])).await,
        );
        println!(
            "axe: {name}: {passed} rules kept, {} serious or critical, lesser: {less}",
            found.as_array().map_or(0, Vec::len)
        );
        let is_good = found == json!([]);
        assert!(is_good, "{name}: {found}; {}", self.seen().await);
    }

    async fn devtools(&self, command: &str, parameters: Value) -> Value {
        let body = json!({"cmd": command, "params": parameters});
        self.ask(Method::POST, "/goog/cdp/execute", body).await
    }

    /// Keeps a picture of the page.
    pub(crate) async fn picture(&self, name: &str) {
        let wish = json!({"format": "png", "captureBeyondViewport": true});
        let taken = self.devtools("Page.captureScreenshot", wish).await;
        let bytes = STANDARD.decode(taken["data"].as_str().expect("a picture"));
        let folder: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/screenshots");
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join(name), bytes.expect("base64")).expect("the picture is kept");
    }
}

fn is_of_the_machine(told: &Value) -> bool {
    let told = told.to_string();
    OF_THE_MACHINE.iter().any(|known| told.contains(known))
}

fn has_moved(error: &Value) -> bool {
    MOVED.iter().any(|known| error["error"] == **known)
}

/// The script that judges pages.
fn axe() -> String {
    let place = "target/tools/node/node_modules/axe-core/axe.min.js";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(place);
    std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!(
            "SKIPPED, AND THAT COUNTS AS FAILED: {place}: {error}; `ops/ci/test` installs axe-core"
        )
    })
}

impl Drop for Chromium {
    fn drop(&mut self) {
        // In order first: the driver ends the browser. Nothing can be awaited here.
        let place = self
            .session
            .strip_prefix("http://")
            .and_then(|rest| rest.split_once('/'));
        if let Some((host, path)) = place
            && let Ok(mut stream) = TcpStream::connect(host)
        {
            let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
            let request =
                format!("DELETE /{path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
            let _ = stream.write_all(request.as_bytes());
            let _ = stream.read(&mut [0; 64]);
        }
        let group = format!("-{}", self.driver.id());
        let _ = Command::new("kill")
            .args(["-9", "--", &group])
            .stderr(Stdio::null())
            .status();
        let _ = self.driver.wait();
    }
}
