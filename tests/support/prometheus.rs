//! Debian's Prometheus, scraping the gateway over the tailnet.

use super::{
    http,
    process::{PATIENCE, Process},
};
use serde_json::Value;
use tempfile::TempDir;
use tokio::{process::Command, time::Instant};

/// A running Prometheus; it ends with this value.
#[derive(Debug)]
pub struct Prometheus {
    _process: Process,
    url: String,
    _dir: TempDir,
}

/// Scrapes `ai:9090` every second through a node's HTTP proxy.
pub fn scrape(proxy: &str) -> String {
    let proxy = proxy.trim_start_matches("http://");
    format!(
        "scrape_configs:\n- job_name: aperture\n  scrape_interval: 1s\n  scrape_timeout: 1s\n  proxy_url: http://{proxy}\n  \
         static_configs:\n  - targets: ['ai:9090']\n"
    )
}

impl Prometheus {
    /// With this configuration, once it is ready.
    pub async fn start(config: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("prometheus.yml");
        std::fs::write(&file, config).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let mut command = Command::new("prometheus");
        command
            .arg(format!("--config.file={}", file.display()))
            .arg(format!("--storage.tsdb.path={}", dir.path().display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process = Process::start(command);
        process
            .stderr
            .find("that Prometheus is ready", |line| {
                line.contains("Server is ready to receive web requests")
                    .then_some(())
            })
            .await;
        Self {
            _process: process,
            url: format!("http://127.0.0.1:{port}"),
            _dir: dir,
        }
    }

    /// One call of its API.
    pub async fn api(&self, path: &str) -> Value {
        http::get(&format!("{}/api/v1/{path}", self.url))
            .await
            .json()
    }

    /// What an expression gives now: series, or the mistake in it.
    pub async fn series(&self, expression: &str) -> Result<Vec<Value>, String> {
        let text =
            percent_encoding::utf8_percent_encode(expression, percent_encoding::NON_ALPHANUMERIC);
        let answer = self.api(&format!("query?query={text}")).await;
        match answer["data"]["result"].as_array() {
            Some(series) => Ok(series.clone()),
            None => Err(answer["error"].to_string()),
        }
    }

    /// The value of an expression once it has one.
    pub async fn query(&self, expression: &str) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let series = self.series(expression).await.unwrap();
            if let Some(value) = series
                .first()
                .and_then(|series| series["value"][1].as_str())
            {
                return value.to_owned();
            }
            assert!(
                Instant::now() < deadline,
                "{expression} gives nothing; targets: {}",
                self.api("targets").await
            );
        }
    }
}
