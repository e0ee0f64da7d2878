//! Delivery: how the bytes of a reply reach the client, or fail to.
//!
//! Comes in: a script and the writes that a dialect made. Goes out: a [`Plan`]
//! with garbled, compressed or cut writes, and a body that hands them out one by
//! one: each is a write of its own, held back by delays, gates and stalls, until
//! the end or the cut. Every chunk is written down before it leaves.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use futures_util::stream::unfold;
use hyper::body::Frame;
use hyper::header::{CONTENT_ENCODING, CONTENT_LENGTH, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use crate::connection::Connection;
use crate::encode;
use crate::entry::End;
use crate::gate::Gate;
use crate::log::Exchange;
use crate::script::{CutHow, Garbage, Point, Script};
use crate::tokens::Usage;

/// By how much a wrong content length exceeds the body.
const MISSING_BYTES: usize = 10;

/// The largest filler header; servers and clients bound a single one sooner than all.
const FILLER_SIZE: usize = 4096;

/// What takes the place of a garbled body: no text, no JSON, no events.
const GARBLED: &[u8] = b"event: \xff\xfe{\"broken\": [1, 2\n\ndata: {{{\x00 not json\n\n";

/// What takes the place of a garbled head.
pub(crate) const GARBLED_HEAD: &[u8] = b"\x16\x03 this is not HTTP \xff\r\n\r\n";

/// A reply with its bytes decided.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) writes: Arc<[Bytes]>,
    pub(crate) usage: Option<Usage>,
    pub(crate) pacing: Pacing,
}

/// When a plan's writes happen, and where they stop.
#[derive(Debug, Default)]
pub(crate) struct Pacing {
    pub(crate) delay: Duration,
    between: Duration,
    gate: Option<Gate>,
    pub(crate) stall: Option<Point>,
    stall_for: Option<Duration>,
    pub(crate) cut: Option<Point>,
    pub(crate) cut_how: CutHow,
    pub(crate) garbled_head: bool,
}

impl Plan {
    /// A plan for those writes, shaped as the script says.
    pub(crate) fn new(
        script: &Script,
        gate: Option<Gate>,
        status: StatusCode,
        mut headers: HeaderMap,
        writes: Arc<[Bytes]>,
        is_stream: bool,
    ) -> io::Result<Self> {
        let mut writes = writes;
        if script.garbage == Some(Garbage::Body) {
            writes = Arc::from([Bytes::from_static(GARBLED)]);
        }
        if let Some(encoding) = script.encoding {
            headers.insert(
                CONTENT_ENCODING,
                HeaderValue::from_static(encode::name(encoding)),
            );
            writes = encode::encode(encoding, &writes)?.into();
        }
        writes = split(script, writes, is_stream);
        if !is_stream && !script.chunked {
            let length = writes.iter().map(Bytes::len).sum::<usize>();
            let declared = if script.wrong_length {
                length + MISSING_BYTES
            } else {
                length
            };
            headers.insert(CONTENT_LENGTH, HeaderValue::from(declared));
        }
        extra_headers(script, &mut headers)?;
        let pacing = Pacing {
            delay: Duration::from_millis(script.delay_ms),
            between: Duration::from_millis(script.chunk_delay_ms),
            gate,
            stall: script.stall,
            stall_for: script.stall_ms.map(Duration::from_millis),
            cut: script.cut,
            cut_how: script.cut_how,
            garbled_head: script.garbage == Some(Garbage::Head),
        };
        Ok(Self {
            status,
            headers,
            writes,
            usage: None,
            pacing,
        })
    }
}

/// The same bytes in other writes, as far as the script cares where they end.
fn split(script: &Script, writes: Arc<[Bytes]>, is_stream: bool) -> Arc<[Bytes]> {
    let is_interrupted = script.stall.is_some() || script.cut.is_some();
    let size = match (script.split, script.chunks) {
        (Some(size), _) => size.max(1),
        // A plain body has no events to count; it is cut into equal parts.
        (None, Some(count)) if !is_stream => writes.concat().len().div_ceil(count.max(1)).max(1),
        // A half must exist for something to happen after it.
        (None, _) if writes.len() == 1 && is_interrupted => writes[0].len().div_ceil(2).max(1),
        (None, _) => return writes,
    };
    let whole = Bytes::from(writes.concat());
    let parts = (0..whole.len()).step_by(size);
    parts
        .map(|start| whole.slice(start..whole.len().min(start + size)))
        .collect()
}

fn extra_headers(script: &Script, headers: &mut HeaderMap) -> io::Result<()> {
    let invalid = |error: hyper::http::Error| io::Error::new(io::ErrorKind::InvalidInput, error);
    if let Some(after) = &script.retry_after {
        let value = HeaderValue::from_str(after).map_err(|error| invalid(error.into()))?;
        headers.insert(hyper::header::RETRY_AFTER, value);
    }
    for (name, value) in &script.headers {
        let name = name
            .parse::<HeaderName>()
            .map_err(|error| invalid(error.into()))?;
        let value = HeaderValue::from_str(value).map_err(|error| invalid(error.into()))?;
        headers.insert(name, value);
    }
    let mut left = script.huge_headers;
    while left > 0 {
        let size = left.min(FILLER_SIZE);
        let filler = HeaderValue::from_str(&"x".repeat(size)).expect("letters are a header value");
        headers.append("x-filler", filler);
        left -= size;
    }
    Ok(())
}

impl Pacing {
    /// Keeps silent for as long as the script says.
    pub(crate) async fn be_silent(&self) {
        match self.stall_for {
            Some(time) => tokio::time::sleep(time).await,
            None => std::future::pending().await,
        }
    }
}

/// The body of a plan, with all that can happen to it on the way.
pub(crate) fn body(
    plan: Plan,
    exchange: Exchange,
    connection: Arc<Connection>,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> {
    // With a declared length the last write is the end: nothing can happen after it.
    let ends_at_last = plan.headers.contains_key(CONTENT_LENGTH) && !plan.writes.is_empty();
    let last = plan.writes.len() - usize::from(ends_at_last);
    let place = |point: Option<Point>| Some(point?.after(plan.writes.len())?.min(last));
    let (stall_at, cut_at) = (place(plan.pacing.stall), place(plan.pacing.cut));
    let delivery = Delivery {
        writes: plan.writes,
        pacing: plan.pacing,
        stall_at,
        cut_at,
        sent: 0,
        exchange,
        connection,
    };
    unfold(delivery, async |mut delivery: Delivery| {
        let frame = delivery.next().await?;
        Some((frame.map(Frame::data), delivery))
    })
}

struct Delivery {
    writes: Arc<[Bytes]>,
    pacing: Pacing,
    stall_at: Option<usize>,
    cut_at: Option<usize>,
    sent: usize,
    exchange: Exchange,
    connection: Arc<Connection>,
}

impl Delivery {
    /// The next write, none at the end; an error resets an h2 stream.
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        // Whatever was handed out before goes to the socket while this waits.
        tokio::task::yield_now().await;
        if self.stall_at.take_if(|at| *at == self.sent).is_some() {
            self.exchange.stalled();
            self.pacing.be_silent().await;
        }
        if self.cut_at == Some(self.sent) {
            return Some(self.cut().await);
        }
        let bytes = self.writes.get(self.sent)?.clone();
        if self.sent > 0 && !self.pacing.between.is_zero() {
            tokio::time::sleep(self.pacing.between).await;
        }
        if let Some(gate) = &self.pacing.gate {
            gate.pass().await;
        }
        self.sent += 1;
        self.exchange.sent(bytes.len());
        // hyper may never ask for more: once the declared length is reached the body is dropped.
        let is_last = self.sent == self.writes.len();
        if is_last && self.stall_at.is_none() && self.cut_at.is_none() {
            self.exchange.end(End::Complete);
        }
        Some(Ok(bytes))
    }

    async fn cut(&self) -> io::Result<Bytes> {
        self.exchange.end(End::Cut);
        if self.pacing.cut_how == CutHow::Stream {
            return Err(io::Error::other("the script cut the stream"));
        }
        self.connection.cut(self.pacing.cut_how);
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bytes::Bytes;

    use super::split;
    use crate::script::Script;

    #[test]
    fn writes_are_split_without_changing_a_byte() {
        let writes: Arc<[Bytes]> = ["event: a\n\n", "event: bc\n\n"]
            .map(Bytes::from)
            .into_iter()
            .collect();
        let sizes = |json, is_stream| {
            let script = Script::from_json(json).unwrap();
            let parts = split(&script, Arc::clone(&writes), is_stream);
            assert_eq!(parts.concat(), writes.concat());
            parts.iter().map(Bytes::len).collect::<Vec<_>>()
        };
        assert_eq!(sizes("{}", true), [10, 11]);
        assert_eq!(sizes(r#"{"split":8}"#, true), [8, 8, 5]);
        assert_eq!(sizes(r#"{"chunks":3}"#, true), [10, 11]);
        assert_eq!(sizes(r#"{"chunks":3}"#, false), [7, 7, 7]);
    }
}
