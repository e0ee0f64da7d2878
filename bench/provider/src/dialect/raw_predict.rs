//! Claude on Vertex: `publishers/anthropic/models/{model}:rawPredict`.
//!
//! Bodies and streams are those of Anthropic messages, without `model`: that
//! stands in the path, except for the token counter, whose path names no model.

use super::route::decoded;
use super::{Dialect, Operation, Route, Target, anthropic};

/// What stands for a model in the path of the token counter.
const COUNTER: &str = "count-tokens";

pub(super) static DIALECT: Dialect = Dialect {
    name: "google_raw_predict",
    route,
    head: anthropic::head,
    conversation: anthropic::conversation,
    whole: |_, answer| anthropic::whole(answer),
    stream: anthropic::stream,
    stream_type: anthropic::STREAM_TYPE,
    side: |_, _, answer| anthropic::count(answer),
    failure: anthropic::failure,
    stream_failure: anthropic::stream_failure,
    request_id: Some("request-id"),
    headers: &[("x-vertex-ai-internal-prediction-backend", "scripted")],
    usage_headers: super::no_usage_headers,
    failure_headers: super::no_failure_headers,
};

fn route(target: &Target<'_>) -> Option<Route> {
    let (_, last) = target.path.split_once("/publishers/anthropic/models/")?;
    let last = decoded(last);
    let (model, verb) = last.rsplit_once(':')?;
    if !matches!(verb, "rawPredict" | "streamRawPredict") {
        return None;
    }
    let is_count = model == COUNTER;
    Some(Route {
        operation: if is_count {
            Operation::Count
        } else {
            Operation::Generate
        },
        model: (!is_count).then(|| model.to_owned()),
        // The body says whether it is a stream.
        framing: None,
    })
}
