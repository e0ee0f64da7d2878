//! The control socket: how other commands on the same host talk to a running gateway.
//!
//! Owns: `control.sock` in the state directory (mode 0600): the server side inside the gateway and the client side for
//! `health`, `doctor`, `login`, `export`, `reprice`, `backup` and `erase`. Whoever can open it owns the state directory anyway; nothing here is on the network.
//! In: small HTTP requests. Out: JSON, or an export as a stream.
//! Must not know: how the answers are made.

use crate::{
    app::App,
    backup, doctor, erase,
    record::Timestamp,
    reprice,
    shutdown::Tasks,
    store::{AuditAction, AuditEntry, ExportOptions, Snapshot},
};
use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use serde::{Serialize, de::DeserializeOwned};
use std::{
    convert::Infallible,
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tokio::net::{UnixListener, UnixStream};

type Body = UnsyncBoxBody<Bytes, io::Error>;

/// How long an export waits for records that are queued: a disk that hangs must not hold back what is stored.
const EXPORT_WAITS: Duration = Duration::from_secs(5);

/// The socket's path in a state directory.
pub fn socket(state_dir: &Path) -> PathBuf {
    state_dir.join("control.sock")
}

/// Binds the socket, replacing one that a killed process left (the caller holds the state directory's lock).
pub fn bind(state_dir: &Path) -> io::Result<UnixListener> {
    let path = socket(state_dir);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves until the gateway has ended.
pub async fn serve(app: Arc<App>, listener: UnixListener, tasks: Tasks) {
    loop {
        let accepted = tokio::select! {
            () = tasks.ended.cancelled() => return,
            accepted = listener.accept() => accepted,
        };
        let Ok((stream, _)) = accepted else { return };
        let app = Arc::clone(&app);
        let ended = tasks.ended.clone();
        tasks.spawn(async move {
            let service = service_fn(move |request| {
                let app = Arc::clone(&app);
                async move { Ok::<_, Infallible>(answer(&app, &request).await) }
            });
            let connection = hyper::server::conn::http1::Builder::new()
                .keep_alive(false)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                result = connection => {
                    if let Err(error) = result {
                        tracing::debug!(%error, "control connection ended");
                    }
                }
                () = ended.cancelled() => {}
            }
        });
    }
}

async fn answer(app: &Arc<App>, request: &Request<Incoming>) -> Response<Body> {
    let query = |name: &str| parameter(request.uri().query().unwrap_or(""), name);
    match (request.method(), request.uri().path()) {
        (&Method::GET, "/health") => {
            let health = app.health();
            let status = if health.serving {
                StatusCode::OK
            } else {
                StatusCode::SERVICE_UNAVAILABLE
            };
            json(status, &health)
        }
        (&Method::GET, "/doctor") => {
            let question = doctor::Question {
                user: query("as"),
                model: query("model"),
                peer: query("peer"),
            };
            json(StatusCode::OK, &doctor::examine(app, &question).await)
        }
        (&Method::POST, "/login") => match app.node.log_in().await {
            Ok(address) => json(StatusCode::OK, &address),
            Err(error) => text(StatusCode::BAD_GATEWAY, error),
        },
        (&Method::GET, "/export") => {
            match serde_json::from_str::<ExportOptions>(&query("options").unwrap_or_default()) {
                Ok(options) => export(app, options).await,
                Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
            }
        }
        (&Method::POST, "/reprice") => {
            match serde_json::from_str(&query("options").unwrap_or_default()) {
                Ok(options) => {
                    let config = app.live.current();
                    match reprice::run(options, config, &app.store, &app.writer).await {
                        Ok(report) => json(StatusCode::OK, &report),
                        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
                    }
                }
                Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
            }
        }
        (&Method::GET, "/backup") => {
            let captures = query("captures").as_deref() != Some("no");
            app.writer.audit(AuditEntry {
                at: Timestamp::now(),
                who: "host".to_owned(),
                login: String::new(),
                action: AuditAction::Exported,
                subject: "backup".to_owned(),
                detail: if captures {
                    "with bodies"
                } else {
                    "without bodies"
                }
                .to_owned(),
            });
            match app.writer.snapshot(captures).await {
                Ok(snapshot) => rows(app, snapshot),
                Err(error) => text(StatusCode::SERVICE_UNAVAILABLE, error.to_string()),
            }
        }
        (&Method::POST, "/erase") => {
            match serde_json::from_str(&query("options").unwrap_or_default()) {
                Ok(options) => match erase::run(options, &app.store, &app.writer).await {
                    Ok(report) => json(StatusCode::OK, &report),
                    Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
                },
                Err(error) => text(StatusCode::BAD_REQUEST, error.to_string()),
            }
        }
        _ => text(StatusCode::NOT_FOUND, "unknown control request".into()),
    }
}

/// Streams an export. What was answered before it is in it, unless the disk is too slow for that.
async fn export(app: &Arc<App>, options: ExportOptions) -> Response<Body> {
    // Either way the export begins: what the disk does not take is counted elsewhere.
    let _ = tokio::time::timeout(EXPORT_WAITS, app.writer.flush_records()).await;
    let store = app.store.clone();
    streamed(move |out| {
        crate::store::export(&store, &options, out).map_err(io::Error::other)?;
        Ok(())
    })
}

/// Streams every row for a backup.
fn rows(app: &Arc<App>, snapshot: Snapshot) -> Response<Body> {
    let path = app.live.path();
    // The command may run in another directory.
    let head = backup::Head::new(Some(
        std::path::absolute(path).unwrap_or_else(|_| path.into()),
    ));
    streamed(move |out| {
        out.write_all(&head.to_line())?;
        snapshot.write(out).map_err(io::Error::other)
    })
}

/// Sends what a function writes; the reader decides the pace.
fn streamed(
    write: impl FnOnce(&mut dyn io::Write) -> io::Result<()> + Send + 'static,
) -> Response<Body> {
    let (sender, receiver) = tokio::sync::mpsc::channel::<io::Result<Bytes>>(8);
    // Bounded by the channel: a reader that stops stops the writing.
    drop(tokio::task::spawn_blocking(move || {
        let mut out = io::BufWriter::with_capacity(64 << 10, ChannelWriter(sender.clone()));
        let result = write(&mut out).and_then(|()| io::Write::flush(&mut out));
        if let Err(error) = result {
            let _ = sender.blocking_send(Err(error));
        }
    }));
    let frames = stream::unfold(receiver, async |mut receiver| {
        receiver
            .recv()
            .await
            .map(|chunk| (chunk.map(Frame::data), receiver))
    });
    Response::new(UnsyncBoxBody::new(StreamBody::new(frames)))
}

/// Sends what is written as chunks.
struct ChannelWriter(tokio::sync::mpsc::Sender<io::Result<Bytes>>);

impl io::Write for ChannelWriter {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.0
            .blocking_send(Ok(Bytes::copy_from_slice(data)))
            .map_err(|_| io::ErrorKind::BrokenPipe)?;
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn json(status: StatusCode, value: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(value).unwrap_or_else(|error| error.to_string().into_bytes());
    let mut response = Response::new(full(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        http::HeaderValue::from_static("application/json"),
    );
    response
}

fn text(status: StatusCode, text: String) -> Response<Body> {
    let mut response = Response::new(full(text.into_bytes()));
    *response.status_mut() = status;
    response
}

fn full(bytes: Vec<u8>) -> Body {
    UnsyncBoxBody::new(Full::new(Bytes::from(bytes)).map_err(|never| match never {}))
}

/// One parameter of a query, percent-decoded.
fn parameter(query: &str, name: &str) -> Option<String> {
    query.split('&').find_map(|pair| {
        let (key, value) = pair.split_once('=')?;
        (key == name).then(|| {
            percent_encoding::percent_decode_str(value)
                .decode_utf8_lossy()
                .into_owned()
        })
    })
}

/// Why a running gateway gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No gateway runs on this state directory.
    #[error("no gateway is running on {}", .0.display())]
    NotRunning(PathBuf),
    /// It runs but did not answer.
    #[error("the running gateway did not answer: {0}")]
    Failed(String),
}

/// Asks a running gateway.
#[derive(Clone, Debug)]
pub struct ControlClient {
    state_dir: PathBuf,
}

impl ControlClient {
    /// Asks the gateway that runs on this state directory.
    pub fn new(state_dir: &Path) -> Self {
        Self {
            state_dir: state_dir.to_owned(),
        }
    }

    /// A JSON answer, and whether its status was a success.
    pub async fn json<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<(bool, T), ControlError> {
        let response = self.get(path, query).await?;
        let ok = response.status().is_success();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| ControlError::Failed(error.to_string()))?
            .to_bytes();
        let value = serde_json::from_slice(&body)
            .map_err(|error| ControlError::Failed(error.to_string()))?;
        Ok((ok, value))
    }

    /// Asks for something to be done; the JSON answer, or what was said instead.
    pub async fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ControlError> {
        let response = self.ask(Method::POST, path, query).await?;
        let ok = response.status().is_success();
        let body = response
            .into_body()
            .collect()
            .await
            .map_err(|error| ControlError::Failed(error.to_string()))?
            .to_bytes();
        if !ok {
            let said = String::from_utf8_lossy(&body).into_owned();
            return Err(ControlError::Failed(said));
        }
        serde_json::from_slice(&body).map_err(|error| ControlError::Failed(error.to_string()))
    }

    /// An answer copied to a writer.
    pub async fn copy(
        &self,
        path: &str,
        query: &[(&str, &str)],
        out: &mut dyn io::Write,
    ) -> Result<(), ControlError> {
        let failed = |error: &dyn std::fmt::Display| ControlError::Failed(error.to_string());
        let response = self.get(path, query).await?;
        let ok = response.status().is_success();
        let mut body = response.into_body();
        let mut refusal = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(|error| failed(&error))?.into_data() else {
                continue;
            };
            if ok {
                out.write_all(&data).map_err(|error| failed(&error))?;
            } else {
                refusal.extend_from_slice(&data);
            }
        }
        if ok {
            Ok(())
        } else {
            Err(failed(&String::from_utf8_lossy(&refusal)))
        }
    }

    async fn get(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response<Incoming>, ControlError> {
        self.ask(Method::GET, path, query).await
    }

    async fn ask(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response<Incoming>, ControlError> {
        let failed = |error: &dyn std::fmt::Display| ControlError::Failed(error.to_string());
        let stream = UnixStream::connect(socket(&self.state_dir))
            .await
            .map_err(|_| ControlError::NotRunning(self.state_dir.clone()))?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| failed(&error))?;
        let query: Vec<_> = query
            .iter()
            .map(|(key, value)| {
                format!(
                    "{key}={}",
                    percent_encoding::utf8_percent_encode(
                        value,
                        percent_encoding::NON_ALPHANUMERIC
                    )
                )
            })
            .collect();
        let request = Request::builder()
            .method(method)
            .uri(format!("{path}?{}", query.join("&")))
            .header(header::HOST, "control")
            .body(Empty::<Bytes>::new())
            .map_err(|error| failed(&error))?;
        #[expect(
            clippy::disallowed_methods,
            reason = "a short-lived command: it ends with its answer"
        )]
        drop(tokio::spawn(connection));
        sender
            .send_request(request)
            .await
            .map_err(|error| failed(&error))
    }
}
