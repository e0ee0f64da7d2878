//! Control: what a test in another process can ask and set over HTTP.
//!
//! Everything under `/_`, beside the providers' own paths and never in the log.
//! Comes in: a method, a path with query, a body. Goes out: JSON. The README
//! lists the endpoints.

use std::time::Duration;

use bytes::Bytes;
use hyper::{Method, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::json::{Json, object};
use crate::rules::Matcher;
use crate::script::Script;
use crate::service::State;

/// How long `/_await` waits when the query doesn't say.
const AWAIT_DEFAULT: Duration = Duration::from_secs(10);

/// What `POST /_script` takes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleForm {
    #[serde(default, rename = "match")]
    matcher: Matcher,
    script: Box<RawValue>,
    times: Option<u64>,
}

/// Whether a path is one of ours.
pub(crate) fn owns(path: &str) -> bool {
    path.starts_with("/_")
}

/// Carries out one control request.
pub(crate) async fn answer(
    state: &State,
    method: &Method,
    path: &str,
    query: &str,
    body: &Bytes,
) -> (StatusCode, Json) {
    let done = |json| (StatusCode::OK, json);
    match (method.as_str(), path) {
        ("GET", "/_log") => {
            let since = number(query, "since").unwrap_or(0);
            let entries = state.log.entries();
            let new = entries.iter().filter(|entry| entry.request.seq > since);
            let counts = state.log.counts();
            done(object! {
                "received": counts.received, "ended": counts.ended,
                "entries": new.map(crate::entry::Entry::to_json).collect::<Vec<_>>(),
            })
        }
        ("GET", "/_await") => {
            let received = number(query, "requests").unwrap_or(0);
            let ended = number(query, "ended").unwrap_or(0);
            let limit = number(query, "timeout_ms").map_or(AWAIT_DEFAULT, Duration::from_millis);
            let wish = state
                .log
                .until(|counts| counts.received >= received && counts.ended >= ended);
            let is_met = tokio::time::timeout(limit, wish).await.is_ok();
            let counts = state.log.counts();
            done(object! {"met": is_met, "received": counts.received, "ended": counts.ended})
        }
        ("GET", "/_connections") => {
            let open: Vec<Json> = state
                .connections
                .list()
                .iter()
                .map(|one| one.to_json())
                .collect();
            done(object! {"accepted": state.connections.accepted(), "open": open})
        }
        ("POST", "/_script") => match add_rule(state, body) {
            Ok(id) => (StatusCode::CREATED, object! {"rule": id}),
            Err(error) => bad(&error),
        },
        ("DELETE", "/_script") => {
            match number(query, "rule") {
                Some(id) => state.replies.rules.remove(id),
                None => state.replies.rules.clear(),
            }
            done(object! {"removed": true})
        }
        ("POST", "/_reset") => {
            state.replies.clear();
            state.log.clear();
            done(object! {"reset": true})
        }
        ("POST", path) if path.starts_with("/_gate/") => {
            let Some(gate) = state.replies.gate(&path["/_gate/".len()..]) else {
                return bad("too many gates");
            };
            match number(query, "release").and_then(|count| usize::try_from(count).ok()) {
                Some(count) => gate.release(count),
                None => gate.open(),
            }
            done(object! {"released": true})
        }
        _ => (
            StatusCode::NOT_FOUND,
            object! {"error": "no such control endpoint"},
        ),
    }
}

fn add_rule(state: &State, body: &[u8]) -> Result<u64, String> {
    let form: RuleForm = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let script = Script::from_json(form.script.get()).map_err(|error| error.to_string())?;
    Ok(state.replies.rules.add(form.matcher, script, form.times))
}

fn bad(message: &str) -> (StatusCode, Json) {
    (StatusCode::BAD_REQUEST, object! {"error": message})
}

fn number(query: &str, name: &str) -> Option<u64> {
    let pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    pairs
        .into_iter()
        .find(|(key, _)| *key == name)?
        .1
        .parse()
        .ok()
}
