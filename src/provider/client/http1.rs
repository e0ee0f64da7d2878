//! A connection of HTTP/1, and who drives it.
//!
//! Owns: [`Connection`], [`Held`] (it and the pool that wants it back) and [`AnswerBody`]. In: a request.
//! Out: its response. Must not know: how connections are made, or which to take.
//!
//! The task that wants the answer drives the connection itself: no other task has to be woken for a request, a head or a
//! chunk, chunks that are there together leave together, and a connection whose answer nobody wants is gone at once.
//! Only an upload that the client has not ended yet has a task of its own, since it must go on while its answer waits.

use super::{
    body::Pieces,
    pool::{self, Place, Pool, Transport},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::{
    body::Incoming,
    client::conn::{
        TrySendError,
        http1::{Connection as Driver, SendRequest},
    },
};
use std::{
    fmt,
    future::{Future as _, poll_fn},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker, ready},
};

/// One connection.
pub(super) struct Connection(Box<Ends>);

struct Ends {
    sender: SendRequest<Pieces>,
    /// None once it has ended: a request that it did not get to comes back when it is dropped.
    driver: Option<Driver<Transport, Pieces>>,
}

/// A connection that serves a request.
pub(super) struct Held {
    connection: Connection,
    pool: Arc<Pool>,
    place: Place,
}

/// The body of a provider's answer.
///
/// Dropping it before its end ends the request upstream at once.
pub struct AnswerBody {
    /// There until it is dropped.
    body: Option<Incoming>,
    /// The connection that it comes from, where no other task drives that.
    held: Option<Held>,
}

impl Connection {
    pub(super) fn new(sender: SendRequest<Pieces>, driver: Driver<Transport, Pieces>) -> Self {
        Self(Box::new(Ends {
            sender,
            driver: Some(driver),
        }))
    }

    /// Drives it; ready means that it has ended. How is told to whoever waits for something of it.
    fn drive(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(driver) = &mut self.0.driver {
            ready!(Pin::new(driver).poll(cx)).ok();
            self.0.driver = None;
        }
        Poll::Ready(())
    }

    /// Whether it is free for a request, as far as can be told without waiting.
    pub(super) fn is_alive(&mut self) -> bool {
        let mut cx = Context::from_waker(Waker::noop());
        self.drive(&mut cx).is_pending() && self.0.sender.is_ready()
    }

    /// Drives it until it is free; false: it has ended.
    async fn freed(&mut self) -> bool {
        poll_fn(|cx| {
            if self.drive(cx).is_ready() {
                return Poll::Ready(false);
            }
            self.0.sender.poll_ready(cx).map(|ready| ready.is_ok())
        })
        .await
    }
}

impl Held {
    pub(super) const fn new(connection: Connection, pool: Arc<Pool>, place: Place) -> Self {
        Self {
            connection,
            pool,
            place,
        }
    }

    /// Sends a request and waits for the response head.
    pub(super) async fn send(
        mut self,
        request: Request<Pieces>,
    ) -> Result<Response<AnswerBody>, TrySendError<Request<Pieces>>> {
        let whole = request.body().is_whole();
        let mut answer = std::pin::pin!(self.connection.0.sender.try_send_request(request));
        if !whole {
            pool::beside(self.free());
            let response = answer.await?;
            return Ok(response.map(AnswerBody::shared));
        }
        let response = poll_fn(|cx| {
            let _ended = self.connection.drive(cx);
            answer.as_mut().poll(cx)
        });
        let response = response.await?;
        Ok(response.map(|body| AnswerBody {
            body: Some(body),
            held: Some(self),
        }))
    }

    /// Gives the connection back once it is free.
    async fn free(mut self) {
        if self.connection.freed().await {
            self.pool.keep(self.place, self.connection);
        }
    }
}

impl AnswerBody {
    /// One whose connection is driven elsewhere.
    pub(super) const fn shared(body: Incoming) -> Self {
        Self {
            body: Some(body),
            held: None,
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let Self { body, held } = &mut *self;
        let Some(body) = body else {
            return Poll::Ready(None);
        };
        let frame = Pin::new(&mut *body).poll_frame(cx);
        let Some(serving) = held.as_mut().filter(|_| frame.is_pending()) else {
            return frame;
        };
        // It reads on only now that more was asked for.
        if serving.connection.drive(cx).is_ready() {
            *held = None;
        }
        Pin::new(body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        let Some(mut held) = self.held.take() else {
            return;
        };
        // Nobody takes anything more from it, and the connection has to see that.
        self.body = None;
        if held.connection.is_alive() {
            held.pool.keep(held.place, held.connection);
        }
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody")
            .field("body", &self.body)
            .finish_non_exhaustive()
    }
}
