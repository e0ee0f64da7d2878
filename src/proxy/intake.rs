//! The request body, collected within its limits.
//!
//! Owns: [`Intake`]. In: the client's body. Out: its bytes, and what is still to come of a body that is too large to hold
//! and may be passed on unread; or the failure to answer with. Cancel safe: `run` may be dropped and called again.

use super::error::Failure;
use bytes::{Bytes, BytesMut};
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use std::{io, time::Duration};

/// Reserved at most before the bytes are there: a length is only a claim.
const RESERVE: u64 = 1 << 20;

/// A body on its way in.
pub(super) struct Intake {
    body: Incoming,
    limit: u64,
    expected: u64,
    first: Option<Bytes>,
    rest: BytesMut,
    size: u64,
    larger: Larger,
    spilled: bool,
}

/// What becomes of a body that is larger than the limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Larger {
    /// It is refused: nobody could say where it goes.
    Refused,
    /// It is passed on as it comes: where it goes does not depend on it.
    Passed,
}

impl Intake {
    /// Refuses at once what says that it is too large.
    pub(super) fn new(
        head: &HeaderMap,
        body: Incoming,
        limit: u64,
        larger: Larger,
    ) -> Result<Self, Failure> {
        let expected = head
            .get(header::CONTENT_LENGTH)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.parse::<u64>().ok())
            .unwrap_or(0);
        if expected > limit && larger == Larger::Refused {
            return Err(Failure::BodyTooLarge(limit));
        }
        Ok(Self {
            body,
            limit,
            expected,
            first: None,
            rest: BytesMut::new(),
            size: 0,
            larger,
            spilled: false,
        })
    }

    /// Reads to the end, or to the limit of what may be passed on; `idle` is the time that the client may be silent.
    pub(super) async fn run(&mut self, idle: Duration) -> Result<(), Failure> {
        while !self.spilled {
            let frame = tokio::time::timeout(idle, self.body.frame())
                .await
                .map_err(|_| Failure::BodyStalled)?;
            let Some(frame) = frame else { return Ok(()) };
            let frame = frame.map_err(|error| broken(&error))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            self.size += data.len() as u64;
            self.spilled = self.size > self.limit;
            if self.spilled && self.larger == Larger::Refused {
                return Err(Failure::BodyTooLarge(self.limit));
            }
            self.push(data);
        }
        Ok(())
    }

    /// One frame is kept as it is; several are joined.
    fn push(&mut self, data: Bytes) {
        if self.first.is_none() && self.rest.is_empty() {
            self.first = Some(data);
            return;
        }
        if let Some(first) = self.first.take() {
            let capacity = self.expected.min(RESERVE).max(self.size);
            self.rest.reserve(usize::try_from(capacity).unwrap_or(0));
            self.rest.extend_from_slice(&first);
        }
        self.rest.extend_from_slice(&data);
    }

    /// What has come, and the body that the rest of it will come from.
    pub(super) fn finish(self) -> (Bytes, Option<Incoming>) {
        let come = self.first.unwrap_or_else(|| self.rest.freeze());
        (come, self.spilled.then_some(self.body))
    }
}

/// Why a body can't be read on: its framing is wrong, or nobody sends it any more.
fn broken(error: &hyper::Error) -> Failure {
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        if let Some(io) = inner.downcast_ref::<io::Error>()
            && matches!(
                io.kind(),
                io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
            )
        {
            return Failure::BadRequest("the request body is not in valid chunks".into());
        }
        cause = inner.source();
    }
    Failure::BodyBroken
}
