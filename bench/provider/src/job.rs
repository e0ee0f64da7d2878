//! One reply to make: a script, a dialect and an answer become a plan.
//!
//! Comes in: what `reply` decided about a request. Goes out: a [`Plan`] with
//! status, headers and wire bytes. Knows neither rules nor connections.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};

use crate::answer::Answer;
use crate::conversation::{Conversation, Head};
use crate::delivery::Plan;
use crate::dialect::{Dialect, Failure, Framing, Operation};
use crate::gate::Gate;
use crate::script::Script;

/// One reply to make.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    pub(crate) script: &'a Script,
    pub(crate) dialect: &'static Dialect,
    pub(crate) operation: Operation,
    pub(crate) head: &'a Head,
    seq: u64,
}

impl<'a> Job<'a> {
    pub(crate) fn new(
        script: &'a Script,
        dialect: &'static Dialect,
        operation: Operation,
        head: &'a Head,
        seq: u64,
    ) -> Self {
        Self {
            script,
            dialect,
            operation,
            head,
            seq,
        }
    }

    /// What is said, to a request with a body of that many bytes.
    pub(crate) fn answer(&self, conversation: &Conversation, body_bytes: usize) -> Answer {
        let answer = Answer::new(self.seq, self.script, self.head, conversation, body_bytes);
        if self.operation.has_output() {
            answer
        } else {
            answer.without_output(self.script)
        }
    }

    fn is_stream(&self) -> bool {
        self.operation == Operation::Generate && self.head.stream
    }

    /// The wire bytes of an answer.
    pub(crate) fn render(&self, answer: &Answer) -> Arc<[Bytes]> {
        let body = match self.operation {
            Operation::Generate if self.head.stream => {
                return (self.dialect.stream)(self.head, answer).into();
            }
            Operation::Generate => (self.dialect.whole)(self.head, answer),
            other => (self.dialect.side)(other, self.head, answer),
        };
        Arc::from([Bytes::from(body.into_string())])
    }

    /// The plan; the answer is rendered only if the script lets it be sent.
    pub(crate) fn plan(
        &self,
        gate: Option<Gate>,
        answer: &Answer,
        writes: impl FnOnce() -> Arc<[Bytes]>,
    ) -> io::Result<Plan> {
        let script = self.script;
        let status = status_of(script)?;
        let mut headers = reply_headers(self.dialect, self.seq);
        let dialect = (self.dialect, self.head.framing);
        if let Some(plan) = verbatim(script, gate.clone(), dialect, self.seq)? {
            return Ok(plan);
        }
        let mut writes = writes();
        if self.is_stream() {
            let framed = self.head.framing.content_type();
            let kind = framed.unwrap_or(self.dialect.stream_type);
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            writes = self.break_off(writes);
        } else {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            if self.operation == Operation::Generate {
                for (name, value) in (self.dialect.usage_headers)(&answer.usage) {
                    headers.insert(name, HeaderValue::from(value));
                }
            }
        }
        let mut plan = Plan::new(script, gate, status, headers, writes, self.is_stream())?;
        plan.usage = self.operation.is_charged().then_some(answer.usage);
        Ok(plan)
    }

    /// The events up to where the script has the stream report an error.
    fn break_off(&self, events: Arc<[Bytes]>) -> Arc<[Bytes]> {
        let Some(point) = self.script.error_at else {
            return events;
        };
        let error = &self.script.error;
        let message = error.message.as_deref();
        let after = point.after(events.len()).unwrap_or(0);
        let failure = Failure {
            status: 529,
            kind: error.kind.as_deref(),
            message: message.unwrap_or("the script broke the stream off"),
            code: error.code.as_deref(),
            request_id: &request_id(self.seq),
            framing: self.head.framing,
        };
        let event = (self.dialect.stream_failure)(&failure, after);
        events[..after].iter().cloned().chain([event]).collect()
    }
}

fn status_of(script: &Script) -> io::Result<StatusCode> {
    StatusCode::from_u16(script.status.unwrap_or(200)).map_err(io::Error::other)
}

/// The plan of a script that needs no answer: raw bytes, or an error by its status.
pub(crate) fn verbatim(
    script: &Script,
    gate: Option<Gate>,
    dialect: (&Dialect, Framing),
    seq: u64,
) -> io::Result<Option<Plan>> {
    let status = status_of(script)?;
    if let Some(raw) = &script.raw {
        let kind = script.content_type.as_deref();
        let kind = kind.unwrap_or("application/octet-stream");
        let mut headers = reply_headers(dialect.0, seq);
        let value = HeaderValue::from_str(kind).map_err(io::Error::other)?;
        headers.insert(CONTENT_TYPE, value);
        let is_stream = kind.starts_with("text/event-stream") || script.chunked;
        let writes = raw.clone().into();
        return Plan::new(script, gate, status, headers, writes, is_stream).map(Some);
    }
    if !script.is_error() {
        return Ok(None);
    }
    let message = script.error.message.as_deref();
    let message = message.unwrap_or("the script asked for this");
    failure(script, gate, dialect, seq, status, message).map(Some)
}

/// An error's reply, worded by the dialect.
pub(crate) fn failure(
    script: &Script,
    gate: Option<Gate>,
    (dialect, framing): (&Dialect, Framing),
    seq: u64,
    status: StatusCode,
    message: &str,
) -> io::Result<Plan> {
    let failure = Failure {
        status: status.as_u16(),
        kind: script.error.kind.as_deref(),
        message,
        code: script.error.code.as_deref(),
        request_id: &request_id(seq),
        framing,
    };
    let body = (dialect.failure)(&failure);
    let mut headers = reply_headers(dialect, seq);
    for (name, value) in (dialect.failure_headers)(&failure) {
        let value = HeaderValue::from_str(&value).map_err(io::Error::other)?;
        headers.insert(name, value);
    }
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let writes = Arc::from([Bytes::from(body.into_string())]);
    Plan::new(script, gate, status, headers, writes, false)
}

fn request_id(seq: u64) -> String {
    format!("req_scripted_{seq}")
}

/// The headers that every reply of the dialect carries.
pub(crate) fn reply_headers(dialect: &Dialect, seq: u64) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(dialect.headers.len() + 4);
    if let Some(name) = dialect.request_id {
        let id = HeaderValue::from_str(&request_id(seq)).expect("letters and digits");
        headers.insert(HeaderName::from_static(name), id);
    }
    for (name, value) in dialect.headers {
        headers.insert(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        );
    }
    headers
}
