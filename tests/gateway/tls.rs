//! Https on the development listener: both versions of HTTP, certificates that change, expire or do not fit, and clients that
//! speak another protocol than their port.

use super::document;
use crate::support::{Gateway, gateway::Options, http as plain, message, process::PATIENCE};
use bytes::Bytes;
use http::{Request, Version};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use provider::{Gate, Matcher, Provider, Script};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use std::{path::Path, sync::Arc};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// An authority of the test's own, and the directory with the files that the gateway reads.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    dir: TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        Self {
            issuer: CertifiedIssuer::self_signed(params, key).unwrap(),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    /// Writes a certificate for localhost that is good until that year, each file whole or not at all.
    fn issue(&self, until: i32) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(until, 1, 1);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        for (file, text) in [
            ("key.pem", key.serialize_pem()),
            ("cert.pem", certificate.pem()),
        ] {
            let draft = self.dir.path().join("draft");
            std::fs::write(&draft, text).unwrap();
            std::fs::rename(draft, self.dir.path().join(file)).unwrap();
        }
    }

    fn options(&self) -> Options {
        let file = |name: &str| path(self.dir.path(), name);
        Options {
            arguments: [
                "--dev-tls-listen",
                "127.0.0.1:0",
                "--tls-cert",
                &file("cert.pem"),
                "--tls-key",
                &file("key.pem"),
            ]
            .map(str::to_owned)
            .into(),
            ..Options::default()
        }
    }

    /// Connects as a client that trusts this authority and calls by that name.
    async fn connect(
        &self,
        address: &str,
        name: &'static str,
        protocol: &[u8],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let crypto = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(crypto)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(ServerName::try_from(name).unwrap(), stream)
            .await
    }

    /// The certificate that is shown to new connections.
    async fn shown(&self, address: &str) -> CertificateDer<'static> {
        let stream = self.connect(address, "localhost", b"h2").await.unwrap();
        stream.get_ref().1.peer_certificates().unwrap()[0].clone()
    }

    fn on_disk(&self) -> CertificateDer<'static> {
        CertificateDer::from_pem_file(self.dir.path().join("cert.pem")).unwrap()
    }
}

fn path(dir: &Path, name: &str) -> String {
    dir.join(name).to_str().unwrap().to_owned()
}

/// A gateway with a certificate, and the address of its https port.
async fn start(authority: &Authority, provider: &Provider) -> (Gateway, String) {
    let gateway = Gateway::dev(&document(&provider.url(), ""), authority.options()).await;
    let address = gateway
        .process
        .stderr
        .find("where https is", |line| {
            let event: serde_json::Value = serde_json::from_str(line).ok()?;
            let fields = &event["fields"];
            (fields["message"] == "https").then(|| fields["address"].as_str().unwrap().to_owned())
        })
        .await;
    (gateway, address)
}

async fn doctor(gateway: &Gateway) -> String {
    let output = gateway.command(&["doctor"]).await;
    String::from_utf8_lossy(&output.stdout).into_owned()
}

async fn metrics(gateway: &Gateway) -> String {
    plain::get(&format!("{}/metrics", gateway.metrics_url))
        .await
        .text()
}

fn request(version: Version, stream: bool) -> Request<Full<Bytes>> {
    let builder = match version {
        Version::HTTP_2 => Request::post("https://localhost/v1/messages"),
        _ => Request::post("/v1/messages").header("host", "localhost"),
    };
    builder
        .header("content-type", "application/json")
        .body(Full::new(
            message("claude-haiku-4-5", "hello", stream).into(),
        ))
        .unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_served_and_recorded_as_on_the_other_port() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let authority = Authority::new();
    authority.issue(2050);
    let (gateway, address) = start(&authority, &provider).await;

    let stream = authority
        .connect(&address, "localhost", b"h2")
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut two, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
    tokio::spawn(connection);
    let answer = two
        .send_request(request(Version::HTTP_2, true))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();

    let stream = authority
        .connect(&address, "localhost", b"http/1.1")
        .await
        .unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
    let (mut one, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = one
        .send_request(request(Version::HTTP_11, false))
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body().collect().await.unwrap();

    // The rules for pages: our own origin over https, and no other.
    for (origin, status) in [("https://localhost", 200), ("https://evil.example", 403)] {
        let page = Request::get("/ui/")
            .header("host", "localhost")
            .header("origin", origin);
        one.ready().await.unwrap();
        let answer = one
            .send_request(page.body(Full::default()).unwrap())
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{origin}");
        answer.into_body().collect().await.unwrap();
    }
    for record in gateway.finished(2).await {
        assert_eq!(record.who.login, "dev@example.com");
        assert_eq!(record.status, Some(200));
    }
    let health = gateway.command(&["health"]).await;
    let health: serde_json::Value = serde_json::from_slice(&health.stdout).unwrap();
    assert_eq!(health["https"], "ok");
    let said = doctor(&gateway).await;
    assert!(
        said.contains("ok    https.certificate: certificate from"),
        "{said}"
    );
    assert!(
        metrics(&gateway)
            .await
            .contains(r#"aperture_tls_handshakes_total{result="ok"} 2"#)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_client_that_calls_by_another_name_is_remembered() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let authority = Authority::new();
    authority.issue(2050);
    let (gateway, address) = start(&authority, &provider).await;
    let refused = authority.connect(&address, "ai.example", b"h2").await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("not valid for name")
    );
    gateway
        .event("a client ended the handshake", |fields| {
            (fields["login"] == "dev@example.com").then_some(())
        })
        .await;
    let said = doctor(&gateway).await;
    assert!(
        said.contains("dev@example.com on localhost ended the handshake"),
        "{said}"
    );
    gateway.stop().await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_while_a_stream_runs() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gate = Gate::new();
    provider.script(Matcher::any(), Script::text("one two three").gated(&gate));
    let authority = Authority::new();
    authority.issue(2050);
    let (gateway, address) = start(&authority, &provider).await;
    let first = authority.shown(&address).await;
    assert_eq!(first, authority.on_disk());

    let stream = authority
        .connect(&address, "localhost", b"http/1.1")
        .await
        .unwrap();
    let (mut one, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    tokio::spawn(connection);
    let running = one
        .send_request(request(Version::HTTP_11, true))
        .await
        .unwrap();

    // A pair that does not fit: the last good one stays, and everybody is told.
    let good = std::fs::read(authority.dir.path().join("cert.pem")).unwrap();
    let other = Authority::new();
    other.issue(2050);
    std::fs::copy(
        other.dir.path().join("cert.pem"),
        authority.dir.path().join("cert.pem"),
    )
    .unwrap();
    gateway.process.signal("HUP").await;
    gateway
        .event("https: the last good certificate stays", |_| Some(()))
        .await;
    assert_eq!(authority.shown(&address).await, first);
    let said = doctor(&gateway).await;
    assert!(
        said.contains("warn  https.certificate: ") && said.contains("do not fit"),
        "{said}"
    );
    std::fs::write(authority.dir.path().join("cert.pem"), good).unwrap();

    authority.issue(2051);
    gateway.process.signal("HUP").await;
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while authority.shown(&address).await != authority.on_disk() {
        assert!(tokio::time::Instant::now() < deadline, "it was not taken");
    }
    gate.open();
    let text = running.into_body().collect().await.unwrap().to_bytes();
    assert!(String::from_utf8_lossy(&text).contains("message_stop"));
    gateway.stop().await;
}

#[tokio::test]
async fn an_expired_certificate_is_reported_and_an_unreadable_one_is_no_start() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let authority = Authority::new();
    authority.issue(2021);
    let (gateway, address) = start(&authority, &provider).await;
    gateway
        .event("https: the certificate has expired", |_| Some(()))
        .await;
    let refused = authority.connect(&address, "localhost", b"h2").await;
    assert!(refused.unwrap_err().to_string().contains("expired"));
    let said = doctor(&gateway).await;
    assert!(
        said.contains("FAIL  https.certificate: the certificate from")
            && said.contains("expired at 2021-01-01"),
        "{said}"
    );
    let health = gateway.command(&["health"]).await;
    let health: serde_json::Value = serde_json::from_slice(&health.stdout).unwrap();
    // Http goes on.
    assert_eq!(
        (&health["https"], &health["serving"]),
        (&"expired".into(), &true.into())
    );
    gateway.stop().await;

    std::fs::write(authority.dir.path().join("key.pem"), "no key").unwrap();
    let (mut process, _dir) =
        Gateway::starting(&document(&provider.url(), ""), authority.options());
    process
        .stderr
        .find("why it does not start", |line| {
            line.contains("private key in PEM").then_some(())
        })
        .await;
    assert_eq!(process.wait().await.code(), Some(1));
}

#[tokio::test]
async fn http_on_the_https_port_is_told_what_to_change() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let authority = Authority::new();
    authority.issue(2050);
    let (gateway, address) = start(&authority, &provider).await;
    // More than is read before the answer: the client must see it all the same.
    let body = message("claude-haiku-4-5", &"x".repeat(200_000), false);
    let answer = plain::post(&format!("http://{address}/v1/messages"), body).await;
    assert_eq!(answer.status, 400);
    let words = answer.json()["error"]["message"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(words.contains("this port speaks HTTPS"), "{words}");
    // It is no request: nothing is recorded, nothing went on.
    assert!(provider.log().is_empty() && gateway.records().await.is_empty());
    let said = doctor(&gateway).await;
    assert!(
        said.contains("dev@example.com on localhost spoke http on the port for https, 1 times"),
        "{said}"
    );
    assert!(
        metrics(&gateway)
            .await
            .contains(r#"aperture_wrong_protocol_total{kind="http_on_tls"} 1"#)
    );
    gateway.stop().await;
}

#[tokio::test]
async fn tls_on_the_http_port_gets_an_alert_and_doctor_knows_whose_it_was() {
    let provider = Provider::start(provider::Options::default()).await.unwrap();
    let gateway = super::start(&document(&provider.url(), "")).await;
    let address = gateway.url.trim_start_matches("http://").to_owned();
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&address).await.unwrap();
        // A greeting in two parts: its first byte says enough.
        stream.write_all(&[0x16]).await.unwrap();
        stream
            .write_all(&[0x03, 0x01, 0x00, 0x05, 1, 0, 0, 1, 0])
            .await
            .unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        // RFC 8446 section 6: a fatal alert, protocol_version.
        assert_eq!(answer, [21, 3, 1, 0, 2, 2, 70]);
    }
    // A real client says so in its own words.
    let refused = Authority::new().connect(&address, "localhost", b"h2").await;
    assert!(refused.unwrap_err().to_string().contains("ProtocolVersion"));
    let said = doctor(&gateway).await;
    for words in [
        "warn  client.https_on_http: dev@example.com on localhost asked for https on the port for http, 4 times",
        "set the client's address to http://localhost, or start the gateway with --tls",
    ] {
        assert!(said.contains(words), "{words}\n{said}");
    }
    assert!(
        metrics(&gateway)
            .await
            .contains(r#"aperture_wrong_protocol_total{kind="tls_on_http"} 4"#)
    );
    let told = gateway
        .process
        .stderr
        .all()
        .iter()
        .filter(|line| line.contains("a client asks for https"))
        .count();
    assert_eq!(told, 1);
    // Others are served all the while.
    let answer = plain::post(
        &format!("{}/v1/messages", gateway.url),
        message("claude-haiku-4-5", "x", false),
    )
    .await;
    assert_eq!(answer.status, 200);
    gateway.stop().await;
}
