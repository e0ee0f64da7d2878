//! What is read of a request's body: small ones where the request runs, large ones where they keep nobody waiting.
//!
//! Owns: [`Reading`]. In: the body, whole. Out: [`RequestFacts`]. Must not know: what is done with them.

use crate::{
    endpoint::Endpoint,
    tap::{BadRequest, RequestFacts, read_request, read_request_to},
};
use bytes::Bytes;
use http::HeaderMap;
use std::{panic, sync::Arc, thread};
use tokio::{sync::Semaphore, task};

/// Bytes from which a body is large: it takes a millisecond, in which other requests on the same thread would wait.
const LARGE: usize = 512 << 10;

/// Reads bodies, as many large ones at once as there are processors: they are a calculation.
#[derive(Debug)]
pub struct Reading(Arc<Semaphore>);

impl Default for Reading {
    fn default() -> Self {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(processors)))
    }
}

impl Reading {
    /// The facts of a body, and of a path that names the model if it does.
    pub(super) async fn facts(
        &self,
        model: Option<&str>,
        endpoint: Endpoint,
        headers: &HeaderMap,
        body: &Bytes,
    ) -> Result<RequestFacts, BadRequest> {
        if body.len() < LARGE {
            return read(model, endpoint, headers, body);
        }
        // It is never closed.
        let turn = Arc::clone(&self.0).acquire_owned().await;
        let (model, headers, body) = (model.map(str::to_owned), headers.clone(), body.clone());
        let facts = task::spawn_blocking(move || {
            let facts = read(model.as_deref(), endpoint, &headers, &body);
            drop(turn);
            facts
        });
        match facts.await {
            Ok(facts) => facts,
            Err(ended) => panic::resume_unwind(ended.into_panic()),
        }
    }
}

fn read(
    model: Option<&str>,
    endpoint: Endpoint,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<RequestFacts, BadRequest> {
    match model {
        Some(model) => Ok(read_request_to(model, endpoint, headers, body)),
        None => read_request(endpoint, headers, body),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_large_body_is_read_as_a_small_one() {
        let reading = Reading::default();
        let headers = HeaderMap::new();
        let ask = async |size: usize, model: Option<&str>| {
            let text = "go on ".repeat(size / 6);
            let message = serde_json::json!({"role": "user", "content": text});
            let body = serde_json::json!({"model": "m", "stream": true, "messages": [message]});
            let body = Bytes::from(body.to_string());
            let endpoint = Endpoint::AnthropicMessages;
            let facts = reading.facts(model, endpoint, &headers, &body).await;
            (facts.unwrap(), body)
        };
        for model in [None, Some("named")] {
            let (large, body) = ask(LARGE, model).await;
            assert!(body.len() > LARGE);
            assert!(large.message_borders.last().is_some_and(|at| *at > LARGE));
            let (small, body) = ask(600, model).await;
            assert!(body.len() < LARGE);
            assert_eq!((large.stream, small.stream), (true, true));
            assert_eq!(large.model, model.unwrap_or("m"));
            assert_eq!((large.model, large.title), (small.model, small.title));
        }
        let broken = Bytes::from(vec![b'{'; LARGE]);
        let facts = reading.facts(None, Endpoint::AnthropicMessages, &headers, &broken);
        assert!(matches!(facts.await, Err(BadRequest::NotJson(_))));
    }
}
