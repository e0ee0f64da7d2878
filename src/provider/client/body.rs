//! The body of a request to a provider.
//!
//! Owns: [`Pieces`]: what is in memory, in pieces that nothing is copied to join; and after it, for what is too large to be
//! held, the rest as the client goes on sending it. In: bytes, and a client's body. Out: frames. How the client's part
//! ended is told through [`Upload`], since by then the request is the connection's.
//! Must not know: what the bytes mean.

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::time::{Instant, Sleep, sleep};

/// A request body.
#[derive(Debug, Default)]
pub struct Pieces {
    held: VecDeque<Bytes>,
    left: u64,
    rest: Option<Rest>,
}

/// What a client is still sending.
#[derive(Debug)]
struct Rest {
    body: Incoming,
    upload: Upload,
    idle: Pin<Box<Sleep>>,
    limit: Duration,
}

/// How far the client's part has come.
#[derive(Clone, Debug, Default)]
pub struct Upload(Arc<Progress>);

#[derive(Debug, Default)]
struct Progress {
    bytes: AtomicU64,
    gone: AtomicBool,
    stalled: AtomicBool,
}

/// Why the client's part ended early.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UploadError {
    /// The client left.
    #[error("the client stopped sending its body")]
    Gone,
    /// The client fell silent.
    #[error("the client sent nothing of its body for too long")]
    Stalled,
}

impl Upload {
    /// Bytes that came after those that were in memory.
    pub fn bytes(&self) -> u64 {
        self.0.bytes.load(Relaxed)
    }

    /// Why it ended early.
    pub fn error(&self) -> Option<UploadError> {
        if self.0.stalled.load(Relaxed) {
            Some(UploadError::Stalled)
        } else {
            self.0.gone.load(Relaxed).then_some(UploadError::Gone)
        }
    }
}

impl Pieces {
    /// The pieces, in order.
    pub fn new(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces
            .into_iter()
            .filter(|piece| !piece.is_empty())
            .collect();
        Self {
            left: pieces.iter().map(|piece| piece.len() as u64).sum(),
            held: pieces,
            rest: None,
        }
    }

    /// The same, followed by what the client still sends; `limit` is the time that it may be silent.
    #[must_use]
    pub fn followed_by(mut self, body: Incoming, upload: Upload, limit: Duration) -> Self {
        self.rest = Some(Rest {
            body,
            upload,
            idle: Box::pin(sleep(limit)),
            limit,
        });
        self
    }

    /// Whether all of it is in memory.
    pub const fn is_whole(&self) -> bool {
        self.rest.is_none()
    }

    /// What is in memory, in order.
    pub fn in_memory(&self) -> impl Iterator<Item = &Bytes> {
        self.held.iter()
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = UploadError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        if let Some(piece) = self.held.pop_front() {
            self.left -= piece.len() as u64;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &mut self.rest {
            Some(rest) => rest.poll(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held.is_empty()
            && self
                .rest
                .as_ref()
                .is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.as_ref().map(|rest| rest.body.size_hint());
        match rest {
            None => SizeHint::with_exact(self.left),
            Some(rest) => match rest.exact() {
                Some(rest) => SizeHint::with_exact(self.left + rest),
                None => SizeHint::default(),
            },
        }
    }
}

impl Rest {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, UploadError>>> {
        loop {
            let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
                ready!(self.idle.as_mut().poll(cx));
                self.upload.0.stalled.store(true, Relaxed);
                return Poll::Ready(Some(Err(UploadError::Stalled)));
            };
            self.idle.as_mut().reset(Instant::now() + self.limit);
            return Poll::Ready(match frame {
                None => None,
                Some(Err(_)) => {
                    self.upload.0.gone.store(true, Relaxed);
                    Some(Err(UploadError::Gone))
                }
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => {
                        self.upload.0.bytes.fetch_add(data.len() as u64, Relaxed);
                        Some(Ok(Frame::data(data)))
                    }
                    // Trailers are not passed on.
                    Err(_) => continue,
                },
            });
        }
    }
}
