//! A small HTTP client whose replies may be broken, and readers of replies.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::{HeaderMap, Request, Response, StatusCode, Version};
use hyper_util::rt::{TokioExecutor, TokioIo};
use provider::{Matcher, Options, Provider, Script};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// One connection to a provider.
pub(crate) struct Client {
    sender: Sender,
    /// Drives the connection; it ends with the client.
    _driver: JoinSet<()>,
}

enum Sender {
    H1(http1::SendRequest<Full<Bytes>>),
    H2(http2::SendRequest<Full<Bytes>>),
}

/// A reply as far as it came.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) version: Version,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// Whether the body broke before its end.
    pub(crate) is_broken: bool,
}

impl Client {
    pub(crate) async fn h1(address: SocketAddr) -> Self {
        Self::over_h1(TcpStream::connect(address).await.unwrap()).await
    }

    /// HTTP/2 without TLS and without asking first.
    pub(crate) async fn h2(address: SocketAddr) -> Self {
        Self::over_h2(TcpStream::connect(address).await.unwrap()).await
    }

    /// TLS, with the one protocol that the client offers.
    pub(crate) async fn tls(address: SocketAddr, trusted: &str, protocol: &str) -> Self {
        let mut roots = rustls::RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(trusted.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(
            stream.get_ref().1.alpn_protocol(),
            Some(protocol.as_bytes())
        );
        match protocol {
            "h2" => Self::over_h2(stream).await,
            _ => Self::over_h1(stream).await,
        }
    }

    async fn over_h1(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // A broken connection shows in the replies.
            let _ = connection.await;
        });
        Self {
            sender: Sender::H1(sender),
            _driver: driver,
        }
    }

    async fn over_h2(stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        let mut driver = JoinSet::new();
        driver.spawn(async {
            // A broken connection shows in the replies.
            let _ = connection.await;
        });
        Self {
            sender: Sender::H2(sender),
            _driver: driver,
        }
    }

    pub(crate) async fn send(
        &mut self,
        request: Request<Full<Bytes>>,
    ) -> hyper::Result<Response<Incoming>> {
        match &mut self.sender {
            Sender::H1(sender) => sender.send_request(request).await,
            Sender::H2(sender) => sender.send_request(request).await,
        }
    }

    /// Posts a body and reads the reply as far as it comes; none without a head.
    pub(crate) async fn post(
        &mut self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> hyper::Result<Reply> {
        let request = post(path, headers, body);
        Ok(read(self.send(request).await?).await)
    }

    pub(crate) async fn get(&mut self, path: &str, headers: &[(&str, &str)]) -> Reply {
        self.ask(hyper::Method::GET, path, headers).await
    }

    /// A request of any method, without a body.
    pub(crate) async fn ask(
        &mut self,
        method: hyper::Method,
        path: &str,
        headers: &[(&str, &str)],
    ) -> Reply {
        let mut request = post(path, headers, Bytes::new());
        *request.method_mut() = method;
        read(self.send(request).await.unwrap()).await
    }
}

/// A request to a provider that nobody has to resolve.
pub(crate) fn post(
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut request = Request::post(format!("http://localhost{path}")).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(Full::new(body.into())).unwrap()
}

async fn read(response: Response<Incoming>) -> Reply {
    let (parts, mut incoming) = response.into_parts();
    let mut body = Vec::new();
    let mut is_broken = false;
    while let Some(frame) = incoming.frame().await {
        let Ok(frame) = frame else {
            is_broken = true;
            break;
        };
        body.extend_from_slice(&frame.into_data().unwrap_or_default());
    }
    let (status, version, headers) = (parts.status, parts.version, parts.headers);
    Reply {
        status,
        version,
        headers,
        body,
        is_broken,
    }
}

impl Reply {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    /// The events of a stream.
    pub(crate) fn events(&self) -> Vec<Event> {
        events(self.text())
    }
}

/// A server-sent event: its name, and its data unless that is `[DONE]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Event {
    pub(crate) name: Option<String>,
    pub(crate) data: Value,
}

/// The events of a stream; every line must be one that SSE knows.
pub(crate) fn events(text: &str) -> Vec<Event> {
    let blocks = text.split("\n\n").filter(|block| !block.is_empty());
    let event = |block: &str| {
        let mut event = Event {
            name: None,
            data: Value::Null,
        };
        for line in block.lines() {
            match line.split_once(": ") {
                Some(("event", name)) => event.name = Some(name.to_owned()),
                Some(("data", "[DONE]")) => event.data = json!("[DONE]"),
                Some(("data", data)) => event.data = serde_json::from_str(data).unwrap(),
                _ => panic!("no line of an event: {line}"),
            }
        }
        event
    };
    blocks.map(event).collect()
}

/// A provider that answers everything by the script, and a client of it.
pub(crate) async fn provider_with(script: &str) -> (Provider, Client) {
    let provider = Provider::start(Options::default()).await.unwrap();
    provider.script(Matcher::any(), Script::from_json(script).unwrap());
    let client = Client::h1(provider.addr()).await;
    (provider, client)
}

/// A request body of the Anthropic dialect.
pub(crate) fn anthropic(prompt: &str, stream: bool) -> Vec<u8> {
    let messages = json!([{"role": "user", "content": prompt}]);
    let body = json!({"model": "m", "max_tokens": 1000, "stream": stream, "messages": messages});
    body.to_string().into_bytes()
}

/// A request body of the chat dialect.
pub(crate) fn chat(prompt: &str, stream: bool) -> Value {
    let messages = json!([{"role": "user", "content": prompt}]);
    json!({"model": "m", "stream": stream, "messages": messages})
}

/// A request body of the responses dialect.
pub(crate) fn responses(prompt: &str, stream: bool) -> Value {
    json!({"model": "m", "stream": stream, "input": prompt})
}
