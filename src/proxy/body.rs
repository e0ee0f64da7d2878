//! The response as it passes.
//!
//! Owns: [`Relay`]: hands the provider's frames on as they come, shows a copy to the tap, and reports the end exactly
//! once. In: the provider's body. Out: the same bytes (but for the one chunk that the client did not ask for).
//! Must not know: what the bytes mean. Nothing that the tap does can fail or delay a frame.

use super::exchange::Exchange;
use crate::{
    provider::{client::AnswerBody, headers},
    record::End,
    tap::{ResponseTap, UsageChunkFilter},
};
use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};
use http_body_util::Full;
use std::{
    collections::VecDeque,
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// How long a cut waits for what was handed over before: hyper forgets what it has not written yet when a body fails.
const FLUSH: Duration = Duration::from_millis(10);

/// Chunks that may leave together when they come together: each takes some microseconds, which the first of them waits.
const TOGETHER: u32 = 16;

/// A response body of the gateway.
#[derive(Debug)]
pub enum Body {
    /// All of it is known.
    Whole(Full<Bytes>),
    /// A provider's, as it comes.
    Relay(Box<Relay>),
    /// News for a page that is open.
    Events(Events),
}

/// Pieces that come from time to time.
pub struct Events(Pin<Box<dyn Stream<Item = Bytes> + Send>>);

impl Events {
    /// A body of these pieces.
    pub fn new(pieces: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Box::pin(pieces))
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events").finish_non_exhaustive()
    }
}

/// Why a body ends early: the connection to the client is cut, so that a truncated answer never looks whole.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The provider broke off.
    #[error("the provider broke off: {0}")]
    Upstream(#[from] hyper::Error),
    /// The provider fell silent.
    #[error("the provider sent nothing for {0} s")]
    Idle(u64),
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match self.get_mut() {
            Self::Whole(body) => Pin::new(body)
                .poll_frame(cx)
                .map(|frame| frame.map(|frame| frame.map_err(|never| match never {}))),
            Self::Relay(relay) => relay.poll(cx),
            Self::Events(events) => events
                .0
                .as_mut()
                .poll_next(cx)
                .map(|piece| piece.map(|piece| Ok(Frame::data(piece)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Whole(body) => body.is_end_stream(),
            Self::Relay(relay) => relay.ended(),
            Self::Events(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Whole(body) => body.size_hint(),
            Self::Relay(relay) if relay.filter.is_none() => relay.inner.size_hint(),
            Self::Relay(_) | Self::Events(_) => SizeHint::default(),
        }
    }
}

/// A provider's response body under way.
#[derive(Debug)]
pub struct Relay {
    inner: AnswerBody,
    exchange: Exchange,
    tap: Option<ResponseTap>,
    filter: Option<UsageChunkFilter>,
    ready: VecDeque<Bytes>,
    /// Chunks that may follow before those that were handed over leave.
    together: u32,
    /// What follows the last byte.
    trailers: Option<HeaderMap>,
    /// The provider has sent its last byte.
    drained: bool,
    /// Why the client will be cut off, once it has what came before.
    failing: Option<BodyError>,
    idle_limit: Duration,
    idle: Pin<Box<Sleep>>,
}

impl Relay {
    pub(super) fn new(
        inner: AnswerBody,
        exchange: Exchange,
        tap: ResponseTap,
        filter: Option<UsageChunkFilter>,
        idle_limit: Duration,
    ) -> Self {
        Self {
            inner,
            exchange,
            tap: Some(tap),
            filter,
            ready: VecDeque::new(),
            // The first one waits for nothing: it is what people see.
            together: 1,
            trailers: None,
            drained: false,
            failing: None,
            idle_limit,
            idle: Box::pin(sleep(idle_limit)),
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        use http_body::Body as _;
        loop {
            if !self.ready.is_empty() && self.together == 0 {
                // What was handed over is written as soon as nothing more follows at once.
                self.together = TOGETHER;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            if let Some(chunk) = self.ready.pop_front() {
                self.together -= 1;
                self.exchange.delivered(chunk.len());
                return Poll::Ready(Some(Ok(Frame::data(chunk))));
            }
            if let Some(trailers) = self.trailers.take() {
                // Nothing can follow them, and nobody asks again.
                self.drained = true;
                return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
            }
            if self.failing.is_some() {
                ready!(self.idle.as_mut().poll(cx));
                return Poll::Ready(self.failing.take().map(Err));
            }
            if self.drained {
                self.end(End::Complete);
                return Poll::Ready(None);
            }
            let Poll::Ready(frame) = Pin::new(&mut self.inner).poll_frame(cx) else {
                self.together = TOGETHER;
                // Polled last: a provider that has something to say is never called silent.
                ready!(self.idle.as_mut().poll(cx));
                self.fail(End::Timeout, BodyError::Idle(self.idle_limit.as_secs()));
                continue;
            };
            match frame {
                None => {
                    self.drained = true;
                    self.release();
                }
                Some(Err(error)) => {
                    self.fail(End::UpstreamError, error.into());
                }
                Some(Ok(frame)) => {
                    self.idle.as_mut().reset(Instant::now() + self.idle_limit);
                    match frame.into_data() {
                        Ok(data) => self.data(data),
                        Err(other) => {
                            self.release();
                            self.trailers = other.into_trailers().ok();
                            self.trailers.iter_mut().for_each(headers::to_client);
                        }
                    }
                }
            }
        }
    }

    /// Shows a chunk to the tap and lines it up for the client.
    fn data(&mut self, data: Bytes) {
        if let Some(tap) = &mut self.tap {
            use http_body::Body as _;
            tap.feed(&data);
            let last = self.inner.is_end_stream();
            self.exchange.progress(tap, &data, last);
        }
        match &mut self.filter {
            Some(filter) => self.ready.extend(filter.push(&data)),
            None => self.ready.push_back(data),
        }
    }

    /// Whether the client has been given everything.
    fn ended(&self) -> bool {
        use http_body::Body as _;
        self.ready.is_empty()
            && self.trailers.is_none()
            && self.failing.is_none()
            && (self.drained || self.filter.is_none() && self.inner.is_end_stream())
    }

    /// Whether the client has been given the last words of a reply, though not the end of the body: programs leave then.
    fn concluded(&self) -> bool {
        self.ready.is_empty() && self.tap.as_ref().is_some_and(ResponseTap::concluded)
    }

    /// The rest will not come: the client gets what was handed over, then it is cut off.
    fn fail(&mut self, end: End, error: BodyError) {
        self.end(end);
        self.failing = Some(error);
        self.drained = true;
        self.idle.as_mut().reset(Instant::now() + FLUSH);
    }

    /// Lines up what the filter still holds: no more of it comes.
    fn release(&mut self) {
        self.ready
            .extend(self.filter.take().and_then(|mut filter| filter.finish()));
    }

    /// Reports the end, once.
    fn end(&mut self, end: End) {
        if let Some(tap) = self.tap.take() {
            self.exchange.finish(tap, end);
        }
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        // A body of known length is dropped without a last poll once it has all been handed over.
        let end = if self.ended() || self.concluded() {
            End::Complete
        } else {
            End::ClientGone
        };
        self.end(end);
    }
}
