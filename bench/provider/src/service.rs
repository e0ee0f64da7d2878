//! One request, from its head to the body of its reply.
//!
//! Comes in: a hyper request on a connection. Goes out: a response whose body
//! carries the exchange with it, so that the log learns how it ends. The order:
//! read the body, write the request down, plan the reply, pace it.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, Limited, StreamBody};
use hyper::body::Body;
use hyper::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};
use hyper::{Request, Response};

use crate::connection::{Connection, Connections};
use crate::control;
use crate::delivery::{self, GARBLED_HEAD};
use crate::encode;
use crate::entry::End;
use crate::log::{Incoming, Log};
use crate::recognised::Recognised;
use crate::reply::{self, Replies};
use crate::script::{CutHow, Point};

/// The largest request body that is read.
const BODY_LIMIT: usize = 512 << 20;

/// The body of every response.
pub(crate) type ReplyBody = UnsyncBoxBody<Bytes, io::Error>;

/// What all connections share.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) replies: Replies,
    pub(crate) log: Arc<Log>,
    pub(crate) connections: Arc<Connections>,
}

/// Answers one request; an error ends the connection or the h2 stream.
pub(crate) async fn serve<B>(
    state: Arc<State>,
    connection: Arc<Connection>,
    request: Request<B>,
) -> io::Result<Response<ReplyBody>>
where
    B: Body<Data = Bytes> + Send,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let (parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let target = parts
        .uri
        .path_and_query()
        .map_or("/", |target| target.as_str())
        .to_owned();
    let query = parts.uri.query().unwrap_or_default();
    if control::owns(&path) {
        let body = collect(body).await.map_err(|(error, _)| error)?;
        let (status, json) = control::answer(&state, &parts.method, &path, query, &body).await;
        let body = Full::new(Bytes::from(json.into_string()));
        let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = status;
        let kind = HeaderValue::from_static("application/json");
        response.headers_mut().insert(CONTENT_TYPE, kind);
        return Ok(response);
    }

    connection.count_request();
    let seq = state.log.next_seq();
    let incoming = |body, dialect, model| Incoming {
        connection: connection.id,
        protocol: parts.version,
        method: parts.method.clone(),
        target: target.clone(),
        headers: parts.headers.clone(),
        body,
        dialect,
        model,
    };
    let body = match collect(body).await {
        Ok(body) => body,
        Err((error, so_far)) => {
            state
                .log
                .begin(seq, incoming(so_far, None, None))
                .end(End::UploadBroken);
            return Err(error);
        }
    };
    let encoding = parts
        .headers
        .get(CONTENT_ENCODING)
        .and_then(|value| value.to_str().ok());
    // What can't be decoded is passed on as it is, and answered as an unreadable body.
    let plain = encode::decode(encoding, &body).unwrap_or_else(|_| body.clone());
    let asked = reply::Request {
        seq,
        method: &parts.method,
        path: &path,
        query,
        target: &target,
        headers: &parts.headers,
        body: &body,
        plain: &plain,
    };
    let known = Recognised::new(&asked);
    let model = known.model().map(str::to_owned);
    let exchange = state
        .log
        .begin(seq, incoming(body.clone(), known.dialect(), model));

    let plan = state.replies.plan(&asked, known);
    exchange.decided(plan.status, &plan.headers, plan.usage, &plan.writes);

    if !plan.pacing.delay.is_zero() {
        tokio::time::sleep(plan.pacing.delay).await;
    }
    if plan.pacing.stall == Some(Point::BeforeHead) {
        plan.pacing.be_silent().await;
    }
    if plan.pacing.garbled_head {
        connection.write_raw(GARBLED_HEAD);
        exchange.end(End::Cut);
        connection.cut(CutHow::Fin);
        std::future::pending::<()>().await;
    }
    if plan.pacing.cut == Some(Point::BeforeHead) {
        exchange.end(End::Cut);
        if plan.pacing.cut_how == CutHow::Stream {
            return Err(io::Error::other("the script cut the stream"));
        }
        connection.cut(plan.pacing.cut_how);
        std::future::pending::<()>().await;
    }

    let (status, headers) = (plan.status, plan.headers.clone());
    let body = StreamBody::new(delivery::body(plan, exchange, connection));
    let mut response = Response::new(BodyExt::boxed_unsync(body));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    Ok(response)
}

/// The whole body, or what came of it before it broke.
async fn collect<B>(body: B) -> Result<Bytes, (io::Error, Bytes)>
where
    B: Body<Data = Bytes> + Send,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut body = Box::pin(Limited::new(body, BODY_LIMIT));
    let mut first = Bytes::new();
    let mut rest = Vec::new();
    while let Some(frame) = body.frame().await {
        match frame.map(hyper::body::Frame::into_data) {
            Ok(Ok(data)) if first.is_empty() => first = data,
            Ok(Ok(data)) => {
                if rest.is_empty() {
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data);
            }
            // Trailers say nothing here.
            Ok(Err(_trailers)) => {}
            Err(error) => {
                let so_far = if rest.is_empty() {
                    first
                } else {
                    Bytes::from(rest)
                };
                return Err((io::Error::other(error), so_far));
            }
        }
    }
    Ok(if rest.is_empty() {
        first
    } else {
        Bytes::from(rest)
    })
}
