//! Debian's Chromium, driven by its own driver: what a page says, shows and complains of.
//!
//! Owns: [`Chromium`] (the driver) and [`Tab`] (one browser with one tab). Names are led to ports of this test by the
//! browser's own resolver rules, so that the address bar and the `Host` line are what a person types; every other name is led
//! to a port that the test watches. Must not know: the gateway.

use super::driver::{Driver, Key};
use crate::support::process::{PATIENCE, Process};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};

/// What a window of a desk shows, and what one of a phone does.
pub const WIDE: (u32, u32) = (1280, 900);
pub const NARROW: (u32, u32) = (390, 844);

/// The browser speaks to nobody by itself, and never tries https for names that have none.
const FLAGS: &[&str] = &[
    "--headless=new",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-extensions",
    "--disable-quic",
    "--disable-sync",
    "--disable-features=HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,MediaRouter,OptimizationHints,Translate,AutofillServerCommunication,NetworkTimeServiceQuerying",
    "--no-default-browser-check",
    "--no-first-run",
];

/// One browser at a time: two of them, beside everything else that is tested, would make each other late.
pub static ONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

/// The driver.
#[derive(Debug)]
pub struct Chromium {
    process: Process,
    url: String,
    profiles: TempDir,
}

/// One browser, as one person has it.
#[derive(Debug)]
pub struct Tab {
    driver: Driver,
    /// Whose it is; the first part of its pictures' names.
    pub who: &'static str,
}

impl Chromium {
    /// Starts the driver. Without Debian's packages that is a failure, and says what to install.
    pub async fn start() -> Self {
        for program in ["chromium", "chromedriver"] {
            let known = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default())
                .any(|dir| dir.join(program).exists());
            assert!(
                known,
                "{program} is missing: install Debian's chromium and chromium-driver (scripts/setup test does)"
            );
        }
        let mut command = Command::new("chromedriver");
        let profiles = tempfile::tempdir().unwrap();
        command
            .arg("--port=0")
            .env("HOME", profiles.path())
            .process_group(0);
        let process = Process::start(command);
        let port: u16 = process
            .stdout
            .find("where the driver listens", |line| {
                let (_, port) = line.split_once("started successfully on port ")?;
                port.trim_end_matches('.').parse().ok()
            })
            .await;
        Self {
            process,
            url: format!("http://127.0.0.1:{port}"),
            profiles,
        }
    }

    /// Opens a browser for which names lead where `names` says (`("ai", "127.0.0.1:99")`), and all others to `elsewhere`.
    pub async fn open(&self, who: &'static str, names: &[(&str, &str)], elsewhere: &str) -> Tab {
        let mut rules: Vec<String> = names
            .iter()
            .map(|(name, address)| format!("MAP {name} {address}"))
            .collect();
        rules.push("EXCLUDE 127.0.0.1".into());
        rules.push(format!("MAP * {elsewhere}"));
        let mut flags: Vec<String> = FLAGS.iter().map(|flag| (*flag).to_owned()).collect();
        flags.push(format!("--host-resolver-rules={}", rules.join(", ")));
        let profile = self.profiles.path().join(who);
        flags.push(format!("--user-data-dir={}", profile.display()));
        // The sandbox refuses root, which tests in containers and namespaces are.
        if rustix::process::geteuid().is_root() {
            flags.push("--no-sandbox".into());
        }
        let capabilities = json!({
            "browserName": "chrome",
            "goog:chromeOptions": {"args": flags},
            "goog:loggingPrefs": {"browser": "ALL"},
            // A dialog that a page opens is a failure of the test, not something to close quietly.
            "unhandledPromptBehavior": "ignore",
        });
        let driver = Driver::start(&self.url, &capabilities).await;
        let tab = Tab { driver, who };
        tab.size(WIDE).await;
        tab.scheme("light").await;
        tab
    }
}

impl Drop for Chromium {
    /// Browsers outlive a driver that is killed, and a test that fails does not close them.
    fn drop(&mut self) {
        let group = i32::try_from(self.process.pid())
            .ok()
            .and_then(Pid::from_raw);
        if let Some(group) = group {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

// === impl Tab ===

impl Tab {
    /// Goes to an address and waits until the page is loaded.
    pub async fn goto(&self, url: &str) {
        self.driver
            .goto(url)
            .await
            .unwrap_or_else(|error| panic!("{} at {url}: {error}", self.who));
    }

    /// The value of an expression in the page.
    pub async fn eval<T: DeserializeOwned>(&self, expression: &str) -> T {
        self.run(&format!("return ({expression});"), &[]).await
    }

    /// What a script in the page returns.
    pub async fn run<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        self.value(script, arguments, false).await
    }

    /// What a script in the page gives to its last argument, a function, in its own time.
    pub async fn run_async<T: DeserializeOwned>(&self, script: &str, arguments: &[Value]) -> T {
        self.value(script, arguments, true).await
    }

    async fn value<T: DeserializeOwned>(
        &self,
        script: &str,
        arguments: &[Value],
        asynchronous: bool,
    ) -> T {
        let value = self.driver.run(script, arguments, asynchronous).await;
        let value = value.unwrap_or_else(|error| panic!("{}: {script:.200}: {error}", self.who));
        serde_json::from_value(value.clone())
            .unwrap_or_else(|error| panic!("{script:.200} gives {value}: {error}"))
    }

    /// Waits until an expression is true. The page itself looks, a few times for each question; one that is left meanwhile
    /// has not answered.
    pub async fn until(&self, what: &str, expression: &str) {
        let script = format!(
            "const done = arguments[arguments.length - 1], end = performance.now() + 250;
             const look = () => {{ if ({expression}) done(true); else if (performance.now() > end) done(false); else setTimeout(look, 15); }};
             look();"
        );
        let deadline = Instant::now() + PATIENCE;
        loop {
            let looked = self.driver.run(&script, &[], true).await;
            if looked == Ok(Value::Bool(true)) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{}: never {what}: {expression}; the page says: {:.2000}",
                self.who,
                self.eval::<String>("document.body.innerText").await
            );
        }
    }

    /// Runs something that leads to another page, and waits for that page.
    pub async fn leads_on(&self, doing: impl Future<Output = ()>) {
        let () = self.run("window.before = true;", &[]).await;
        doing.await;
        self.until(
            "on another page",
            "!window.before && document.readyState === 'complete'",
        )
        .await;
    }

    /// Clicks what a selector finds first.
    pub async fn click(&self, selector: &str) {
        let clicked = self.driver.click(selector).await;
        clicked.unwrap_or_else(|error| panic!("{} {selector}: {error}", self.who));
    }

    /// Types into what a selector finds first.
    pub async fn type_into(&self, selector: &str, text: &str) {
        let typed = self.driver.type_into(selector, text).await;
        typed.unwrap_or_else(|error| panic!("{} {selector}: {error}", self.who));
    }

    /// Presses keys together, wherever the focus is.
    pub async fn press(&self, keys: &[Key]) {
        self.driver.press(keys).await.unwrap();
    }

    /// One command of the browser's own protocol.
    pub async fn tell(&self, command: &str, parameters: &Value) -> Value {
        let told = self.driver.tell(command, parameters).await;
        told.unwrap_or_else(|error| panic!("{command}: {error}"))
    }

    /// The size of the window's inside.
    pub async fn size(&self, (width, height): (u32, u32)) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600});
        self.tell("Emulation.setDeviceMetricsOverride", &metrics)
            .await;
    }

    /// What the person prefers.
    pub async fn scheme(&self, scheme: &str) {
        // Nothing moves, so that what is clicked is where it was seen.
        let features = json!({"features": [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]});
        self.tell("Emulation.setEmulatedMedia", &features).await;
    }

    /// What the browser complained of since this was last asked: errors, and violations of the page's policy.
    pub async fn complaints(&self) -> Vec<String> {
        let entries = self.driver.log().await.unwrap();
        // Of its own pages, the empty one of a new tab, it may say what it likes.
        let ours = |entry: &&Value| {
            let text = entry["message"].as_str().unwrap_or_default();
            !text.starts_with("chrome://")
        };
        entries
            .iter()
            .filter(ours)
            .map(|entry| format!("{}: {}", entry["level"], entry["message"]))
            .collect()
    }

    /// What is wider than the window, the first few of it.
    pub async fn overflow(&self) -> Vec<String> {
        self.eval(
            "(() => { const root = document.documentElement, width = root.clientWidth;
               if (root.scrollWidth <= width && document.body.scrollWidth <= width) return [];
               const inside = (e) => { for (let p = e.parentElement; p; p = p.parentElement)
                 if (getComputedStyle(p).overflowX !== 'visible') return true; return false; };
               return [...document.querySelectorAll('body *')]
                 .filter((e) => e.getBoundingClientRect().right > width + 1 && !inside(e))
                 .slice(0, 5).map((e) => e.tagName + '.' + e.className + ': ' + e.textContent.slice(0, 60))
                 .concat('scrollWidth ' + root.scrollWidth + ' of ' + width); })()",
        )
        .await
    }

    /// Findings of axe-core that it calls serious or critical; of these rules, or of all when none is named.
    pub async fn inaccessible(&self, axe: &str, rules: &[&str]) -> Vec<String> {
        if !self.eval::<bool>("Boolean(window.axe)").await {
            let () = self.run(axe, &[]).await;
        }
        self.run_async(
            "const [rules, done] = arguments, options = { resultTypes: ['violations'], iframes: false };
             if (rules.length) options.runOnly = { type: 'rule', values: rules };
             window.axe.run(document, options).then((result) => done(result.violations
               .filter((it) => it.impact === 'serious' || it.impact === 'critical')
               .map((it) => it.id + ': ' + it.nodes.slice(0, 4).map((node) =>
                 node.html.slice(0, 160) + ' ' + (node.any[0]?.message ?? '')).join(' | '))),
               (error) => done(['axe failed: ' + error]));",
            &[json!(rules)],
        )
        .await
    }

    /// Keeps a picture of the window below target/browser: to look at, not to compare.
    pub async fn picture(&self, name: &str) {
        let dir = pictures();
        std::fs::create_dir_all(&dir).unwrap();
        let png = STANDARD.decode(self.driver.screenshot().await.unwrap());
        let png = png.unwrap();
        std::fs::write(dir.join(format!("{}-{name}.png", self.who)), png).unwrap();
    }

    /// Ends the browser.
    pub async fn close(self) {
        self.driver.quit().await.unwrap();
    }
}

/// Where pictures are kept: beside the binary under test, so under the target directory.
fn pictures() -> PathBuf {
    let binary = Path::new(env!("CARGO_BIN_EXE_aperture"));
    binary.with_file_name("browser-pictures")
}
