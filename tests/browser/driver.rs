//! The `WebDriver` protocol, as far as these tests need it: JSON over HTTP to Debian's chromedriver.
//!
//! Owns: [`Driver`], one session, and [`Key`]. The ready-made client (thirtyfour) makes `serde_json` keep the order of keys,
//! for everything that is built with it: the gateway under test would not be the one that is shipped.
//! Must not know: pages.

use crate::support::http;
use ::http::Method;
use serde_json::{Value, json};

/// Keys by their numbers in the standard.
#[derive(Clone, Copy, Debug)]
pub enum Key {
    Tab,
    Enter,
    Escape,
    Shift,
    Control,
    Character(char),
}

/// One session: one browser.
#[derive(Debug)]
pub struct Driver {
    base: String,
}

impl Key {
    fn code(self) -> String {
        match self {
            Self::Tab => '\u{e004}',
            Self::Enter => '\u{e007}',
            Self::Escape => '\u{e00c}',
            Self::Shift => '\u{e008}',
            Self::Control => '\u{e009}',
            Self::Character(c) => c,
        }
        .to_string()
    }
}

/// Asks the driver; its refusals come back in its words.
async fn ask(method: Method, url: &str, body: &Value) -> Result<Value, String> {
    let json = [("content-type", "application/json")];
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let mut answer = http::send(method, url, &json, body).await.json();
    let value = answer["value"].take();
    match value["error"].as_str() {
        Some(error) => Err(format!(
            "{error}: {}",
            value["message"].as_str().unwrap_or("")
        )),
        None => Ok(value),
    }
}

// === impl Driver ===

impl Driver {
    /// Starts a browser with these capabilities.
    pub async fn start(url: &str, capabilities: &Value) -> Self {
        let body = json!({"capabilities": {"alwaysMatch": capabilities}});
        let value = ask(Method::POST, &format!("{url}/session"), &body).await;
        let value = value.unwrap_or_else(|error| panic!("Chromium does not start: {error}"));
        let session = value["sessionId"].as_str().unwrap();
        let driver = Self {
            base: format!("{url}/session/{session}"),
        };
        let limits = json!({"pageLoad": 30_000, "script": 30_000, "implicit": 0});
        driver.post("timeouts", &limits).await.unwrap();
        driver
    }

    /// One command with a body.
    pub async fn post(&self, command: &str, body: &Value) -> Result<Value, String> {
        ask(Method::POST, &format!("{}/{command}", self.base), body).await
    }

    pub async fn goto(&self, url: &str) -> Result<(), String> {
        self.post("url", &json!({"url": url})).await.map(drop)
    }

    /// What a script in the page returns, at once or (`asynchronous`) through the function that is its last argument.
    pub async fn run(
        &self,
        script: &str,
        arguments: &[Value],
        asynchronous: bool,
    ) -> Result<Value, String> {
        let kind = if asynchronous { "async" } else { "sync" };
        let body = json!({"script": script, "args": arguments});
        self.post(&format!("execute/{kind}"), &body).await
    }

    /// The name of the first element that a selector finds, for commands.
    async fn find(&self, selector: &str) -> Result<String, String> {
        let body = json!({"using": "css selector", "value": selector});
        let found = self.post("element", &body).await?;
        let mut names = found.as_object().into_iter().flat_map(|it| it.values());
        let name = names.next().and_then(Value::as_str);
        Ok(name.expect("an element has a name").to_owned())
    }

    /// A click as with a mouse: what lies over the element would get it, and that is refused.
    pub async fn click(&self, selector: &str) -> Result<(), String> {
        let element = self.find(selector).await?;
        let command = format!("element/{element}/click");
        self.post(&command, &json!({})).await.map(drop)
    }

    pub async fn type_into(&self, selector: &str, text: &str) -> Result<(), String> {
        let element = self.find(selector).await?;
        let command = format!("element/{element}/value");
        self.post(&command, &json!({"text": text})).await.map(drop)
    }

    /// Presses keys together, wherever the focus is.
    pub async fn press(&self, keys: &[Key]) -> Result<(), String> {
        let down = keys
            .iter()
            .map(|key| json!({"type": "keyDown", "value": key.code()}));
        let up = keys
            .iter()
            .rev()
            .map(|key| json!({"type": "keyUp", "value": key.code()}));
        let actions: Vec<Value> = down.chain(up).collect();
        let body = json!({"actions": [{"type": "key", "id": "keys", "actions": actions}]});
        self.post("actions", &body).await.map(drop)
    }

    /// One command of the browser's own protocol.
    pub async fn tell(&self, command: &str, parameters: &Value) -> Result<Value, String> {
        let body = json!({"cmd": command, "params": parameters});
        self.post("goog/cdp/execute", &body).await
    }

    /// What the browser noted since this was last asked.
    pub async fn log(&self) -> Result<Vec<Value>, String> {
        let entries = self.post("se/log", &json!({"type": "browser"})).await?;
        Ok(entries.as_array().cloned().unwrap_or_default())
    }

    /// The window as it is, as PNG in base64.
    pub async fn screenshot(&self) -> Result<String, String> {
        let url = format!("{}/screenshot", self.base);
        let value = ask(Method::GET, &url, &Value::Null).await?;
        Ok(value.as_str().unwrap_or_default().to_owned())
    }

    /// Ends the browser.
    pub async fn quit(&self) -> Result<(), String> {
        ask(Method::DELETE, &self.base, &Value::Null)
            .await
            .map(drop)
    }
}
