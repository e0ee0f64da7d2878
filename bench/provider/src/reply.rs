//! From a request to the plan of its reply.
//!
//! Comes in: the request's head and body, the rules. Goes out: a [`Plan`]. The
//! script is looked for in this order: a rule, the `x-script` header, the
//! prompt; what it leaves open is improvised. Knows no connections.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::UPGRADE;
use hyper::{HeaderMap, Method, StatusCode};
use parking_lot::Mutex;

use crate::answer::Answer;
use crate::cloud;
use crate::conversation::{Conversation, Head};
use crate::delivery::Plan;
use crate::dialect::{self, Family, Operation, Target};
use crate::gate::Gate;
use crate::job::{Job, failure, reply_headers, verbatim};
use crate::models;
use crate::plain::Plain;
use crate::recognised::{Asked, Recognised};
use crate::rules::{Facts, Matching, ReplyKey, Rule, Rules};
use crate::script::{BadScript, ErrorScript, Script};
use crate::stored::{self, Kind, Stored};

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

impl<'a> Request<'a> {
    pub(crate) fn target(&self) -> Target<'a> {
        Target {
            path: self.path,
            query: self.query,
        }
    }

    /// What rules look at.
    fn facts<'b>(&'b self, model: Option<&'b str>) -> Facts<'b> {
        Facts {
            target: self.target,
            model,
            headers: self.headers,
            body: self.plain,
        }
    }
}

/// What the options say about replies.
#[derive(Debug, Default)]
pub(crate) struct Setup {
    pub(crate) models: Vec<String>,
    /// The key that clients must bring, if one is demanded.
    pub(crate) key: Option<String>,
    /// The key by which assertions for Google are checked, if they are.
    pub(crate) google_key: Option<cloud::Key>,
}

/// What replies are made from.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    pub(crate) rules: Rules,
    stored: Stored,
    setup: Setup,
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
    #[error(transparent)]
    Stored(#[from] stored::Refused),
    #[error("Previous response with id '{0}' not found.")]
    Previous(String),
    #[error("Conversation with id '{0}' not found.")]
    Conversation(String),
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
            Self::Path | Self::Stored(stored::Refused::Thing) | Self::Conversation(_) => {
                StatusCode::NOT_FOUND
            }
            Self::Upgrade => StatusCode::UPGRADE_REQUIRED,
            Self::Body(_) | Self::Stored(stored::Refused::Form) | Self::Previous(_) => {
                StatusCode::BAD_REQUEST
            }
            Self::Script(_) | Self::Impossible(_) => StatusCode::UNPROCESSABLE_ENTITY,
        }
    }

    /// The error's code, where the status doesn't decide it.
    fn code(&self) -> Option<&'static str> {
        match self {
            Self::Previous(_) => Some("previous_response_not_found"),
            Self::Stored(stored::Refused::Thing) | Self::Conversation(_) => Some("not_found"),
            Self::Key
            | Self::Path
            | Self::Upgrade
            | Self::Body(_)
            | Self::Stored(stored::Refused::Form)
            | Self::Script(_)
            | Self::Impossible(_) => None,
        }
    }
}

impl Replies {
    pub(crate) fn new(setup: Setup) -> Self {
        Self {
            setup,
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
        self.stored.clear();
        // Whoever waits at a gate would wait for ever once its name is gone.
        std::mem::take(&mut *self.gates.lock())
            .values()
            .for_each(Gate::open);
    }

    /// The plan for a request; a request that can't be answered gets an error's.
    pub(crate) fn plan(&self, request: &Request<'_>, known: Recognised<'_>) -> Plan {
        self.try_plan(request, known).unwrap_or_else(|refusal| {
            let dialect = dialect::for_errors(&request.target(), request.headers);
            let message = format!("scripted provider: {refusal}");
            let status = refusal.status();
            let script = Script {
                error: ErrorScript {
                    code: refusal.code().map(str::to_owned),
                    ..ErrorScript::default()
                },
                ..Script::default()
            };
            failure(&script, None, dialect, request.seq, status, &message)
                .expect("a script without headers can always be carried out")
        })
    }

    fn try_plan(&self, request: &Request<'_>, known: Recognised<'_>) -> Result<Plan, Refusal> {
        // Clouds hand out what the others demand.
        let is_open = matches!(known, Recognised::Cloud(_));
        let is_missing = |key: &String| !brings_key(request.headers, key);
        if !is_open && self.setup.key.as_ref().is_some_and(is_missing) {
            return Err(Refusal::Key);
        }
        match known {
            Recognised::Model(asked) => self.of_model(request, asked),
            Recognised::Cloud(_) | Recognised::Stored(_) | Recognised::Other => {
                self.aside(request, &known)
            }
        }
    }

    fn of_model(&self, request: &Request<'_>, known: Asked) -> Result<Plan, Refusal> {
        let facts = request.facts(known.model());
        let rule = self.rules.take(&facts, Matching::Any);
        let operation = known.route.operation;
        if let Some(rule) = rule.as_ref().filter(|rule| rule.script.is_complete()) {
            // Errors and raw bytes need no readable request.
            let head = if rule.script.is_verbatim() {
                known.head.unwrap_or_default()
            } else {
                known.head?
            };
            let job = Job::new(&rule.script, known.dialect, operation, &head, request.seq);
            return self.complete(&job, rule, request);
        }
        let head = known.head?;
        self.check_references(&head)?;
        let conversation = (known.dialect.conversation)(request.plain)?;
        let script = match &rule {
            Some(rule) => rule.script.clone(),
            None => found(request.headers, &conversation)?,
        };
        let job = Job::new(&script, known.dialect, operation, &head, request.seq);
        let answer = job.answer(&conversation, request.body.len());
        Ok(job.plan(self.gate_of(&script), &answer, || {
            self.keep(&job, &answer, request);
            job.render(&answer)
        })?)
    }

    /// Whether the stored things are there that a request goes on from.
    fn check_references(&self, head: &Head) -> Result<(), Refusal> {
        let missing = |kind, id: &Option<String>| {
            id.as_ref().filter(|id| !self.stored.has(kind, id)).cloned()
        };
        if let Some(id) = missing(Kind::Response, &head.previous) {
            return Err(Refusal::Previous(id));
        }
        match missing(Kind::Conversation, &head.conversation) {
            Some(id) => Err(Refusal::Conversation(id)),
            None => Ok(()),
        }
    }

    /// Keeps what the provider shall store of an answer.
    fn keep(&self, job: &Job<'_>, answer: &Answer, request: &Request<'_>) {
        if job.head.is_stored && job.operation == Operation::Generate {
            let response = (job.dialect.whole)(job.head, answer);
            let id = dialect::response_id(answer.id);
            self.stored.keep_response(id, response, request.plain);
        }
    }

    /// A reply that needs no conversation, rendered once for all its requests.
    fn complete(&self, job: &Job<'_>, rule: &Rule, request: &Request<'_>) -> Result<Plan, Refusal> {
        if !job.script.is_verbatim() {
            self.check_references(job.head)?;
        }
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
            rule.prepared(key, || {
                self.keep(job, &answer, request);
                job.render(&answer)
            })
        })?)
    }

    fn gate_of(&self, script: &Script) -> Option<Gate> {
        let named = || script.gate.as_ref().and_then(|name| self.gate(name));
        script.gated.clone().or_else(named)
    }

    /// Requests that are not for a model; only rules that name their path are for them.
    fn aside(&self, request: &Request<'_>, known: &Recognised<'_>) -> Result<Plan, Refusal> {
        if request.headers.contains_key(UPGRADE) {
            return Err(Refusal::Upgrade);
        }
        let rule = self.rules.take(&request.facts(None), Matching::Named);
        let script = match &rule {
            Some(rule) => rule.script.clone(),
            None => found(request.headers, &Conversation::default())?,
        };
        let gate = self.gate_of(&script);
        let dialect = dialect::for_errors(&request.target(), request.headers);
        // Clouds have words of their own for errors.
        let is_cloud = matches!(known, Recognised::Cloud(_));
        if (!is_cloud || script.raw.is_some())
            && let Some(plan) = verbatim(&script, gate.clone(), dialect, request.seq)?
        {
            return Ok(plan);
        }
        let plain = match known {
            Recognised::Cloud(service) => {
                service.reply(request, &script, self.setup.google_key.as_ref())
            }
            Recognised::Stored(place) => self.stored.reply(request, place)?,
            Recognised::Model(_) | Recognised::Other => {
                let family = Family::of(request.path, request.headers);
                let list = (*request.method == Method::GET)
                    .then(|| models::reply(&self.setup.models, request.path, request.query, family))
                    .flatten();
                Plain::json(list.ok_or(Refusal::Path)?)
            }
        };
        let mut headers = match known {
            Recognised::Cloud(_) => HeaderMap::new(),
            _ => reply_headers(dialect.0, request.seq),
        };
        headers.extend(plain.headers);
        let writes = Arc::from([plain.body]);
        Ok(Plan::new(
            &script,
            gate,
            plain.status,
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
