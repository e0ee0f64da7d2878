//! From a request to the plan of its reply.
//!
//! Comes in: the request's head and body, the rules. Goes out: a [`Plan`]. The
//! script is looked for in this order: a rule, the `x-script` header, the
//! prompt; what it leaves open is improvised. Knows no connections.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, UPGRADE};
use hyper::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;

use crate::conversation::{Conversation, Head};
use crate::delivery::Plan;
use crate::dialect::{self, Dialect, Family, Route, Target};
use crate::gate::Gate;
use crate::job::{Job, failure, reply_headers};
use crate::models;
use crate::rules::{Facts, ReplyKey, Rule, Rules};
use crate::script::{BadScript, Script};

/// The header that carries a script.
const SCRIPT_HEADER: &str = "x-script";

/// Gates that may be named at a time.
const GATE_LIMIT: usize = 4096;

/// A request, as far as its reply depends on it.
#[derive(Debug)]
pub(crate) struct Request<'a> {
    pub(crate) seq: u64,
    pub(crate) method: &'a Method,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// Both of them, as they came.
    pub(crate) target: &'a str,
    pub(crate) headers: &'a HeaderMap,
    /// The body as it came.
    pub(crate) body: &'a Bytes,
    /// The body without its content encoding.
    pub(crate) plain: &'a Bytes,
}

impl Request<'_> {
    fn target(&self) -> Target<'_> {
        Target {
            path: self.path,
            query: self.query,
        }
    }
}

/// What replies are made from.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) rules: Rules,
    models: Vec<String>,
    /// The key that clients must bring, if one is demanded.
    key: Option<String>,
    gates: Mutex<BTreeMap<String, Gate>>,
}

/// Why a request got an error that no script asked for.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("no key, or not the one demanded")]
    Key,
    #[error("the path or method is not served here")]
    Path,
    #[error("upgrades are not served here")]
    Upgrade,
    #[error("the body can't be read: {0}")]
    Body(#[from] serde_json::Error),
    #[error(transparent)]
    Script(#[from] BadScript),
    #[error("the script can't be carried out: {0}")]
    Impossible(#[from] io::Error),
}

impl Refusal {
    fn status(&self) -> StatusCode {
        match self {
            Self::Key => StatusCode::UNAUTHORIZED,
            Self::Path => StatusCode::NOT_FOUND,
            Self::Upgrade => StatusCode::UPGRADE_REQUIRED,
            Self::Body(_) => StatusCode::BAD_REQUEST,
            Self::Script(_) | Self::Impossible(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }
}

/// What a path and body say at first sight.
#[derive(Debug)]
pub(crate) struct Recognised {
    pub(crate) dialect: &'static Dialect,
    route: Route,
    head: Result<Head, serde_json::Error>,
}

impl Recognised {
    /// None if the path and method belong to no dialect.
    pub(crate) fn new(method: &Method, target: &Target<'_>, body: &[u8]) -> Option<Self> {
        let (dialect, route) = dialect::of(method, target)?;
        Some(Self {
            dialect,
            head: (dialect.head)(&route, body),
            route,
        })
    }

    /// The model that is asked for, if the path or a readable body says it.
    pub(crate) fn model(&self) -> Option<&str> {
        let in_body = self.head.as_ref().ok().map(|head| head.model.as_str());
        in_body.or(self.route.model.as_deref())
    }
}

impl Replies {
    pub(crate) fn new(models: Vec<String>, key: Option<String>) -> Self {
        Self {
            models,
            key,
            ..Self::default()
        }
    }

    /// The gate of that name, made on first use; none when there are too many.
    pub(crate) fn gate(&self, name: &str) -> Option<Gate> {
        let mut gates = self.gates.lock();
        if gates.len() >= GATE_LIMIT && !gates.contains_key(name) {
            return None;
        }
        Some(gates.entry(name.to_owned()).or_default().clone())
    }

    pub(crate) fn clear(&self) {
        self.rules.clear();
        // Whoever waits at a gate would wait for ever once its name is gone.
        std::mem::take(&mut *self.gates.lock())
            .values()
            .for_each(Gate::open);
    }

    /// The plan for a request; a request that can't be answered gets an error's.
    pub(crate) fn plan(&self, request: &Request<'_>, known: Option<Recognised>) -> Plan {
        self.try_plan(request, known).unwrap_or_else(|refusal| {
            let dialect = dialect::for_errors(&request.target(), request.headers);
            let message = format!("scripted provider: {refusal}");
            let status = refusal.status();
            failure(
                &Script::default(),
                None,
                dialect,
                request.seq,
                status,
                &message,
            )
            .expect("an empty script can always be carried out")
        })
    }

    fn try_plan(&self, request: &Request<'_>, known: Option<Recognised>) -> Result<Plan, Refusal> {
        if self
            .key
            .as_ref()
            .is_some_and(|key| !brings_key(request.headers, key))
        {
            return Err(Refusal::Key);
        }
        let Some(known) = known else {
            return self.other(request);
        };
        let facts = Facts {
            target: request.target,
            model: known.model(),
            headers: request.headers,
            body: request.plain,
        };
        let rule = self.rules.take(&facts);
        if let Some(rule) = rule.as_ref().filter(|rule| rule.script.is_complete()) {
            // Errors and raw bytes need no readable request.
            let head = if rule.script.is_verbatim() {
                known.head.unwrap_or_default()
            } else {
                known.head?
            };
            let job = Job::new(
                &rule.script,
                known.dialect,
                known.route.operation,
                &head,
                request.seq,
            );
            return self.complete(&job, rule, request);
        }
        let head = known.head?;
        let conversation = (known.dialect.conversation)(request.plain)?;
        let script = match &rule {
            Some(rule) => rule.script.clone(),
            None => found(request.headers, &conversation)?,
        };
        let operation = known.route.operation;
        let job = Job::new(&script, known.dialect, operation, &head, request.seq);
        let answer = job.answer(&conversation, request.body.len());
        Ok(job.plan(self.gate_of(&script), &answer, || job.render(&answer))?)
    }

    /// A reply that needs no conversation, rendered once for all its requests.
    fn complete(&self, job: &Job<'_>, rule: &Rule, request: &Request<'_>) -> Result<Plan, Refusal> {
        let none = Conversation::default();
        let answer = job.answer(&none, request.body.len());
        let key = ReplyKey {
            dialect: job.dialect.name,
            operation: job.operation,
            model: answer.model.clone(),
            head: Head {
                max_tokens: None,
                ..job.head.clone()
            },
        };
        Ok(job.plan(self.gate_of(job.script), &answer, || {
            rule.prepared(key, || job.render(&answer))
        })?)
    }

    fn gate_of(&self, script: &Script) -> Option<Gate> {
        let named = || script.gate.as_ref().and_then(|name| self.gate(name));
        script.gated.clone().or_else(named)
    }

    /// Requests that no dialect's operation takes: lists of models, and mistakes.
    fn other(&self, request: &Request<'_>) -> Result<Plan, Refusal> {
        if request.headers.contains_key(UPGRADE) {
            return Err(Refusal::Upgrade);
        }
        let family = Family::of(request.path, request.headers);
        let body = (*request.method == Method::GET)
            .then(|| models::reply(&self.models, request.path, request.query, family))
            .flatten()
            .ok_or(Refusal::Path)?;
        let (dialect, _) = dialect::for_errors(&request.target(), request.headers);
        let mut headers = reply_headers(dialect, request.seq);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let writes = Arc::from([Bytes::from(body.into_string())]);
        Ok(Plan::new(
            &Script::default(),
            None,
            StatusCode::OK,
            headers,
            writes,
            false,
        )?)
    }
}

/// The script that the request itself carries.
fn found(headers: &HeaderMap, conversation: &Conversation) -> Result<Script, BadScript> {
    if let Some(script) = headers
        .get(SCRIPT_HEADER)
        .and_then(|value| value.to_str().ok())
    {
        return Script::from_json(script);
    }
    // A side call repeats the prompt, but the directive was not meant for it.
    if conversation.is_side_call() {
        return Ok(Script::default());
    }
    Script::in_prompt(conversation.prompt()).unwrap_or_else(|| Ok(Script::default()))
}

fn brings_key(headers: &HeaderMap, key: &str) -> bool {
    let is_key = |name: &str, prefix: &str| {
        let value = headers.get(name).and_then(|value| value.to_str().ok());
        value.and_then(|value| value.strip_prefix(prefix)) == Some(key)
    };
    let names = ["x-api-key", "x-goog-api-key", "api-key"];
    names.into_iter().any(|name| is_key(name, "")) || is_key("authorization", "Bearer ")
}
