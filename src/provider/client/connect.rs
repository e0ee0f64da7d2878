//! One connection to a provider.
//!
//! Owns: the connector below TLS (plain TCP, outbound proxy, tailnet) and the TLS configuration.
//! Must not know: requests.

use super::{
    Network, Options,
    names::{Names, Resolver},
};
use crate::tailnet::Io;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::{
        legacy::connect::{Connected, Connection, HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use rustls::{ClientConfig, RootCertStore};
use std::{
    future::Future,
    io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};
use tokio::net::TcpStream;
use tower_service::Service;

/// A connection being made through the node.
pub type DialFuture = Pin<Box<dyn Future<Output = io::Result<Io>> + Send>>;

/// Connects to a host and port on the tailnet.
pub type Dial = Arc<dyn Fn(String, u16, Duration) -> DialFuture + Send + Sync>;

/// Makes the connection below TLS.
#[derive(Clone)]
pub(super) struct Connector {
    way: Way,
    timeout: Duration,
}

#[derive(Clone)]
enum Way {
    Host {
        direct: HttpConnector<Resolver>,
        proxies: Option<Arc<Matcher>>,
    },
    Tailnet(Option<Dial>),
}

impl Connector {
    pub(super) fn new(network: Network, options: &Options, names: &Names) -> Self {
        let way = if network == Network::Tailnet {
            Way::Tailnet(options.dial.clone())
        } else {
            let own_link = network == Network::OwnLink;
            let mut direct = HttpConnector::new_with_resolver(Resolver {
                allow_local: own_link || options.allow_local,
                names: names.clone(),
                // A name that takes longer leaves no time to connect, and the failure is the name's.
                limit: options.connect_timeout / 10 * 9,
            });
            direct.enforce_http(false);
            direct.set_nodelay(true);
            direct.set_keepalive(Some(Duration::from_mins(1)));
            Way::Host {
                direct,
                // A proxy's own link is not this host's: its metadata server would answer for another machine.
                proxies: (!own_link).then(|| Arc::new(Matcher::from_env())),
            }
        };
        Self {
            way,
            timeout: options.connect_timeout,
        }
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

impl Service<http::Uri> for Connector {
    type Response = Stream;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Stream, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: http::Uri) -> Self::Future {
        let (way, timeout) = (self.way.clone(), self.timeout);
        Box::pin(async move {
            tokio::time::timeout(timeout, connect(way, uri, timeout))
                .await
                .map_err(|_| format!("timed out after {} s", timeout.as_secs()))?
        })
    }
}

async fn connect(way: Way, uri: http::Uri, timeout: Duration) -> Result<Stream, BoxError> {
    match way {
        Way::Host {
            mut direct,
            proxies,
        } => {
            let stream = match proxies.and_then(|proxies| proxies.intercept(&uri)) {
                Some(proxy) => {
                    let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
                    if let Some(auth) = proxy.basic_auth() {
                        tunnel = tunnel.with_auth(auth.clone());
                    }
                    tunnel.call(uri).await?
                }
                None => direct.call(uri).await?,
            };
            Ok(Stream::Tcp(stream))
        }
        Way::Tailnet(None) => Err("this gateway is not on a tailnet".into()),
        Way::Tailnet(Some(dial)) => {
            let host = uri
                .host()
                .ok_or("no host")?
                .trim_matches(['[', ']'])
                .to_owned();
            let tls = uri.scheme() == Some(&http::uri::Scheme::HTTPS);
            let port = uri.port_u16().unwrap_or(if tls { 443 } else { 80 });
            Ok(Stream::Tailnet(TokioIo::new(
                dial(host, port, timeout).await?,
            )))
        }
    }
}

/// The system's roots (or `SSL_CERT_FILE`), and a provider's own authorities.
pub(super) fn tls(extra_ca: Option<&[u8]>) -> Result<ClientConfig, String> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let (_, _) = roots.add_parsable_certificates(found.certs);
    if let Some(pem) = extra_ca {
        use rustls::pki_types::{CertificateDer, pem::PemObject as _};
        for cert in CertificateDer::pem_slice_iter(pem) {
            let cert = cert.map_err(|error| format!("extra_ca: {error}"))?;
            roots
                .add(cert)
                .map_err(|error| format!("extra_ca: {error}"))?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth())
}

/// A connection of either way.
pub(super) enum Stream {
    Tcp(TokioIo<TcpStream>),
    Tailnet(TokioIo<Io>),
}

impl Connection for Stream {
    fn connected(&self) -> Connected {
        match self {
            Self::Tcp(stream) => stream.connected(),
            Self::Tailnet(_) => Connected::new(),
        }
    }
}

impl Read for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tailnet(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl Write for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Tailnet(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tailnet(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tailnet(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Tcp(stream) => stream.is_write_vectored(),
            Self::Tailnet(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Self::Tailnet(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }
}
