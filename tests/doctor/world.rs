//! A world in which everything is as it should be, and the parts of those that are not.

use super::Fault;
use crate::support::{
    cloud::{Said, StandIn, said},
    gateway::{self, Options},
};
use provider::{Provider, Tls};
use rcgen::{CertificateParams, IsCa, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt as _, path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::{io::AsyncWriteExt as _, net::TcpListener};

/// Keys of the healthy document: doctor repeats none.
pub(crate) const SECRETS: [&str; 2] = ["sk-ant-upstream-key", "sk-openai-upstream-key"];

/// A TLS server, and what its clients must trust.
pub(crate) struct Secured {
    _provider: Provider,
    pub(crate) url: String,
    pub(crate) pem: String,
}

/// Providers of every kind, good and bad.
pub(crate) struct World {
    pub(crate) provider: Provider,
    pub(crate) expired: Secured,
    pub(crate) misnamed: Secured,
    pub(crate) refusing: StandIn,
    pub(crate) google: StandIn,
    pub(crate) ailing: StandIn,
    pub(crate) slow_clock: StandIn,
    pub(crate) garbler: String,
    /// Certificates as files.
    pub(crate) files: TempDir,
}

impl World {
    pub(crate) async fn new() -> Self {
        let mut options = provider::Options::default();
        options.models.push("house-model".into());
        let expired = certificate(&["localhost"], 2021);
        let files = tempfile::tempdir().unwrap();
        std::fs::write(files.path().join("expired.pem"), &expired.0).unwrap();
        std::fs::write(files.path().join("expired.key"), &expired.1).unwrap();
        let models =
            r#"{"data": [{"id": "claude-haiku-4-5"}, {"id": "gpt-5"}, {"id": "house-model"}]}"#;
        Self {
            provider: Provider::start(options).await.unwrap(),
            expired: tls_provider(expired).await,
            misnamed: tls_provider(certificate(&["other.example"], 4096)).await,
            refusing: StandIn::saying(401, r#"{"error": {"message": "Incorrect API key provided: sk-openai-upstream-key."}}"#).await,
            google: StandIn::saying(400, r#"{"error": {"code": 400, "message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}}"#).await,
            ailing: StandIn::saying(503, r#"{"error": "maintenance"}"#).await,
            slow_clock: StandIn::start(move |_, _| Said {
                headers: vec![("content-type", "application/json"), ("date", "Sat, 28 Nov 2020 17:43:36 GMT")],
                ..said(200, models)
            })
            .await,
            garbler: garbler().await,
            files,
        }
    }

    /// The healthy document.
    pub(crate) fn document(&self) -> Value {
        let url = self.provider.url();
        json!({
            "providers": {
                "anthropic": {
                    "baseurl": url, "models": ["claude-haiku-4-5"], "compatibility": {"anthropic_messages": true},
                    "authorization": {"type": "x-api-key", "value": SECRETS[0]},
                },
                "openai": {
                    "baseurl": url, "models": ["gpt-5", "house-model"],
                    "compatibility": {"openai_chat": true, "openai_responses": true},
                    "authorization": {"type": "Bearer", "value": SECRETS[1]},
                },
            },
            "temp_grants": [
                {"src": ["dev@example.com"], "grants": [{"role": "admin"}]},
                {"src": ["*"], "grants": [{"role": "user"}, {"providers": [{"provider": "*", "model": "*"}]}]},
            ],
        })
    }
}

/// What doctor says.
pub(crate) struct Found {
    pub(crate) json: Value,
    pub(crate) code: Option<i32>,
}

/// These options, in a directory that nobody else can look into.
pub(crate) fn private(mut options: Options) -> Options {
    options.dir.get_or_insert_with(|| {
        let dir = tempfile::tempdir().unwrap();
        let own = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(dir.path(), own).unwrap();
        Arc::new(dir)
    });
    options
}

/// Asks doctor about the gateway of a directory.
pub(crate) async fn report(dir: &Path, arguments: &[&str]) -> Found {
    let config = dir.join("aperture.hujson");
    let usual = [
        "doctor",
        "--json",
        "--allow-local-upstreams",
        "--config",
        config.to_str().unwrap(),
    ];
    let output = gateway::run(&dir.join("state"), &[&usual, arguments].concat()).await;
    let text = String::from_utf8(output.stdout).unwrap();
    let json = serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr))
    });
    Found {
        json,
        code: output.status.code(),
    }
}

impl Found {
    /// What fails or warns.
    pub(crate) fn faults(&self) -> Vec<Value> {
        let checks = self.json["checks"].as_array().unwrap().iter();
        checks
            .filter(|check| check["outcome"] == "failure" || check["outcome"] == "warning")
            .cloned()
            .collect()
    }

    pub(crate) fn has(&self, id: &str, outcome: &str) -> bool {
        let mut checks = self.json["checks"].as_array().unwrap().iter();
        checks.any(|check| check["id"] == id && check["outcome"] == outcome)
    }

    /// How this is not what the fault should look like; none when it is.
    pub(crate) fn differs_from(&self, fault: &Fault) -> Option<String> {
        let mut faults = self.faults();
        if self.json["running"] == false && fault.id != "gateway.running" {
            // That none runs is how that world is made.
            faults.retain(|check| check["id"] != "gateway.running");
        }
        let wrong = |why: String| Some(format!("{}: {why}: {faults:#?}", fault.id));
        let [found] = faults.as_slice() else {
            return wrong(format!("{} findings", faults.len()));
        };
        let said = format!("{} {}", found["detail"], found["remedy"]).replace("\\\"", "\"");
        if found["id"] != fault.id || found["outcome"] != fault.outcome {
            return wrong(format!("not {}", fault.outcome));
        }
        if let Some(word) = fault.words.iter().find(|word| !said.contains(**word)) {
            return wrong(format!("no {word:?}"));
        }
        let everything = self.json.to_string();
        if SECRETS.iter().any(|secret| everything.contains(secret)) {
            return wrong("a secret is told".into());
        }
        let fails = fault.outcome == "failure" || self.json["running"] == false;
        let code = i32::from(fails);
        if self.code != Some(code) || self.json["healthy"] == fails {
            return wrong(format!("exit code {:?}", self.code));
        }
        None
    }
}

/// A certificate of its own authority, until the beginning of that year, and its key.
pub(crate) fn certificate(names: &[&str], until: i32) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).unwrap();
    params.is_ca = IsCa::ExplicitNoCa;
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

/// A provider behind that certificate, by the name `localhost`.
pub(crate) async fn tls_provider((pem, key): (String, String)) -> Secured {
    let any = "127.0.0.1:0".parse().unwrap();
    let tls = Tls::Pem {
        certificate: pem.clone(),
        key,
    };
    let options = provider::Options {
        tls: Some((any, tls)),
        ..provider::Options::default()
    };
    let provider = Provider::start(options).await.unwrap();
    let url = format!("https://localhost:{}", provider.tls_addr().unwrap().port());
    Secured {
        _provider: provider,
        url,
        pem,
    }
}

/// A server that does not speak HTTP.
pub(crate) async fn garbler() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"220 mail.example ESMTP\r\n").await;
        }
    });
    url
}

/// A port that nobody listens on.
pub(crate) fn closed_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}
