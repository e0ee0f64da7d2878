//! One request to a model, from its head to its record.
//!
//! Owns: [`Proxy::handle`], the straight line through all stages, and `exchange` (what is kept while a request runs),
//! `body` (the response as it passes) and `error` (the only mapping from failures to HTTP). In: a caller and a request.
//! Out: a response whose bytes are the provider's, and one record.
//! Must not know: tables, pages, the tailnet.

pub mod body;
pub mod error;
pub mod exchange;
mod intake;
mod owned;
mod reading;
mod stored;

pub use owned::Owned;
pub use reading::Reading;

use crate::{
    config::{Config, Live},
    endpoint::{Dialect, Endpoint, Route, model_in_path},
    identity::Caller,
    metrics::Metrics,
    otlp::Exporter,
    policy::{self, Permit},
    provider::{
        client::{AnswerBody, Client, Pieces, SendError, Upload, UploadError},
        credential::{Credentials, MintError},
        edit::{self, Wanted},
        headers, target,
    },
    record::{RequestId, Timestamp},
    session::{self, Asking, Sessions},
    shutdown::Tasks,
    store::Writer,
    tap::{IncludeUsage, REFERENCES, RequestFacts, ResponseTap, StoredIds, UsageChunkFilter},
};
use body::{Body, Relay};
use bytes::Bytes;
use error::Failure;
use exchange::{Exchange, InFlight};
use http::{HeaderValue, Request, Response, header, request::Parts};
use http_body_util::Full;
use hyper::body::Incoming;
use intake::Larger;
use percent_encoding::percent_decode_str;
use std::{sync::Arc, time::Duration};

/// How long a body may take before its request is recorded as started without its model.
const EARLY_START: Duration = Duration::from_millis(50);

/// Handles requests to models. Shared by reference count: a clone of its parts for each request would cost more locks than
/// the rest of the request.
#[derive(Debug)]
pub struct Proxy {
    /// The configuration in force.
    pub live: Live,
    /// Connections to providers.
    pub client: Client,
    /// What providers are paid with.
    pub credentials: Credentials,
    /// Which conversation a request belongs to.
    pub sessions: Sessions,
    /// Where records go.
    pub writer: Writer,
    /// Counters.
    pub metrics: Metrics,
    /// Where spans go.
    pub otlp: Exporter,
    /// Whose the objects are that providers store.
    pub owned: Owned,
    /// What is read of bodies.
    pub reading: Reading,
    /// What is under way.
    pub in_flight: InFlight,
    /// Whether the gateway is stopping.
    pub tasks: Tasks,
}

impl Proxy {
    /// Answers one request; never fails: every failure is a response and a record.
    pub async fn handle(
        self: &Arc<Self>,
        caller: Arc<Caller>,
        route: Route,
        request: Request<Incoming>,
    ) -> Response<Body> {
        let endpoint = match route {
            Route::Model(endpoint)
            | Route::Stored(endpoint)
            | Route::WrongMethod(endpoint)
            | Route::WebSocket(endpoint) => endpoint,
            Route::Models | Route::NotOffered(_) | Route::Other => {
                let failure = Failure::NoEndpoint(request.uri().path().to_owned());
                return refuse(&failure, None, RequestId::new());
            }
        };
        let (parts, body) = request.into_parts();
        let mut exchange = Exchange::begin(self, &caller, endpoint, &parts);
        let outcome = match route {
            Route::Model(_) => {
                self.forward(&caller, endpoint, &parts, body, &mut exchange)
                    .await
            }
            Route::Stored(_) => {
                self.forward_stored(&caller, endpoint, &parts, body, &mut exchange)
                    .await
            }
            Route::WebSocket(_) => Err(Failure::WebSocket),
            Route::WrongMethod(_) | Route::Models | Route::NotOffered(_) | Route::Other => {
                Err(Failure::WrongMethod)
            }
        };
        match outcome {
            Ok((head, incoming, tap, filter)) => {
                let idle = exchange.config().gateway.timeouts.chunk_idle;
                head.map(|()| {
                    Body::Relay(Box::new(Relay::new(incoming, exchange, tap, filter, idle)))
                })
            }
            Err(failure) => {
                let id = exchange.id();
                exchange.refuse(&failure);
                refuse(&failure, Some(endpoint.dialect()), id)
            }
        }
    }

    /// The stages, in the order in which they must happen.
    async fn forward(
        &self,
        caller: &Arc<Caller>,
        endpoint: Endpoint,
        parts: &Parts,
        body: Incoming,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        if self.tasks.draining.is_cancelled() {
            return Err(Failure::Draining);
        }
        let config = Arc::clone(exchange.config());

        // A role first: whoever has none learns nothing, not even whether a body would be valid.
        if policy::role(&config, caller).is_none() {
            return Err(Failure::Denied(policy::Denied::NoRole));
        }

        // What the body says decides where it goes and to which session it belongs, so it comes whole before anything goes
        // out. Only a body that is too large for that, and whose model stands in the path, passes without having been read.
        let named = model_in_path(endpoint, parts.uri.path());
        let larger = match named {
            Some(_) => Larger::Passed,
            None => Larger::Refused,
        };
        let (body, rest) = self
            .read_body(&config, parts, body, exchange, larger)
            .await?;
        let named = named.map(|model| percent_decode_str(model).decode_utf8());
        let named = named
            .transpose()
            .map_err(|_| Failure::BadRequest("the model in the path is not UTF-8".into()))?;
        let facts = match (&named, &rest) {
            (Some(model), Some(_)) => RequestFacts::of_path(model, endpoint),
            (named, _) => {
                let facts = self
                    .reading
                    .facts(named.as_deref(), endpoint, &parts.headers, &body);
                facts
                    .await
                    .map_err(|bad| Failure::BadRequest(bad.to_string()))?
            }
        };
        let facts = Arc::new(facts);
        exchange.asked(&facts, &body);

        let permit =
            policy::decide(&config, caller, &facts.model, endpoint).map_err(Failure::Denied)?;
        for other in &facts.other_models {
            may_also_use(&config, caller, &permit, other)?;
        }
        self.may_build_on(&permit, &facts).await?;
        let assigned = self.sessions.assign(&Asking {
            user: &caller.user,
            node: caller.node.as_str(),
            client: &exchange.client(),
            endpoint,
            headers: &parts.headers,
            facts: &facts,
            configured: &config.gateway.session_headers,
            now: Timestamp::now(),
        });
        exchange.permitted(&permit, assigned, Arc::clone(&facts), &parts.headers, &body);

        let mut outgoing = edit_body(&config, &permit, &facts, &body)?;
        if let Some(rest) = rest {
            let idle = config.gateway.timeouts.body_idle;
            let upload = outgoing.upload.clone();
            outgoing.body = outgoing.body.followed_by(rest, upload, idle);
        }
        self.deliver(&config, &permit, parts, outgoing, exchange)
            .await
    }

    /// Every stored object that the request builds on must be the caller's own.
    async fn may_build_on(&self, permit: &Permit, facts: &RequestFacts) -> Result<(), Failure> {
        if facts.references.len() > REFERENCES {
            return Err(Failure::BadRequest(format!(
                "the body names more than {REFERENCES} stored objects"
            )));
        }
        let user = &permit.caller().user;
        self.owned
            .check(&permit.provider().id, &facts.references, user)
            .await
    }

    /// Sends what may be sent, and turns the provider's head into the client's.
    async fn deliver(
        &self,
        config: &Config,
        permit: &Permit,
        parts: &Parts,
        outgoing: Outgoing,
        exchange: &mut Exchange,
    ) -> Result<Forwarded, Failure> {
        let Outgoing {
            body,
            usage_added,
            upload,
            stores,
        } = outgoing;
        if !body.is_whole() {
            exchange.uploads(upload.clone());
        }
        let mut request = upstream_request(permit, parts, body, usage_added)?;
        // Last, because a signature covers all that goes out.
        self.pay(config, permit, parts, &mut request).await?;

        exchange.sent();
        let sent = self.send(config, permit, request).await;
        let response = match (sent, upload.error()) {
            (Ok(response), _) => response,
            (Err(_), Some(UploadError::Gone)) => return Err(Failure::BodyBroken),
            (Err(_), Some(UploadError::Stalled)) => return Err(Failure::BodyStalled),
            (Err(failure), None) => return Err(failure),
        };

        let (mut head, incoming) = response.into_parts();
        exchange.answered(&head);
        let endpoint = permit.endpoint();
        if stores && head.status.is_success() {
            exchange.stores(StoredIds::new(endpoint, &head.headers));
        }
        let tap = ResponseTap::new(endpoint, head.status.as_u16(), &head.headers);
        // A reply that comes encoded although identity was asked for is left alone.
        let filter = (usage_added
            && head.status.is_success()
            && !head.headers.contains_key(header::CONTENT_ENCODING))
        .then(UsageChunkFilter::default);
        headers::to_client(&mut head.headers);
        headers::lead_upload_here(&mut head.headers, &parts.headers);
        if filter.is_some() {
            head.headers.remove(header::CONTENT_LENGTH);
        }
        exchange.stamp(&mut head.headers);

        let mut client_head = Response::new(());
        *client_head.status_mut() = head.status;
        *client_head.headers_mut() = head.headers;
        Ok((client_head, incoming, tap, filter))
    }

    /// Takes the body, within the limits of size and time.
    async fn read_body(
        &self,
        config: &Config,
        parts: &Parts,
        body: Incoming,
        exchange: &mut Exchange,
        larger: Larger,
    ) -> Result<(Bytes, Option<Incoming>), Failure> {
        let limit = config.gateway.limits.request_body_bytes;
        let mut intake = intake::Intake::new(&parts.headers, body, limit, larger)?;
        let idle = config.gateway.timeouts.body_idle;
        // Slow uploads show up while they run; the others are written once their model is known.
        if let Ok(done) = tokio::time::timeout(EARLY_START, intake.run(idle)).await {
            done?;
        } else {
            exchange.start();
            intake.run(idle).await?;
        }
        Ok(intake.finish())
    }

    /// Adds the credential, which may have to be minted first.
    async fn pay(
        &self,
        config: &Config,
        permit: &Permit,
        parts: &Parts,
        request: &mut Request<Pieces>,
    ) -> Result<(), Failure> {
        let provider = permit.provider();
        let paid = self.credentials.add(provider, &parts.headers, request);
        paid.await.map_err(|error| match error {
            MintError::NotWhole => Failure::BodyTooLarge(config.gateway.limits.request_body_bytes),
            error => Failure::NotPaid {
                provider: provider.id.to_string(),
                cause: error.to_string(),
                detail: error.in_full(),
                passing: error.is_passing(),
            },
        })
    }

    /// Sends the request and waits for the response head.
    async fn send(
        &self,
        config: &Config,
        permit: &Permit,
        request: Request<Pieces>,
    ) -> Result<Response<AnswerBody>, Failure> {
        let provider = permit.provider();
        let limit = config.gateway.timeouts.first_byte;
        let id = || provider.id.to_string();
        match tokio::time::timeout(limit, self.client.send(provider, request)).await {
            Ok(Ok(response)) => Ok(response),
            Ok(Err(SendError::Connect(detail, _) | SendError::Certificates(detail))) => {
                Err(Failure::Unreachable {
                    provider: id(),
                    detail,
                })
            }
            Ok(Err(SendError::Broken(detail))) => Err(Failure::Broken {
                provider: id(),
                detail,
            }),
            Err(_) => Err(Failure::Timeout {
                provider: id(),
                seconds: limit.as_secs(),
            }),
        }
    }
}

/// What `forward` hands to the relay.
type Forwarded = (
    Response<()>,
    AnswerBody,
    ResponseTap,
    Option<UsageChunkFilter>,
);

/// The body as it goes upstream, and what that means for the answer.
#[derive(Debug, Default)]
struct Outgoing {
    body: Pieces,
    usage_added: bool,
    /// How far the client has come with what was not there yet.
    upload: Upload,
    /// The answer may name something that is stored now.
    stores: bool,
}

/// The few edits that `provider::edit` lists, each by splicing the original text.
fn edit_body(
    config: &Config,
    permit: &Permit,
    facts: &RequestFacts,
    body: &Bytes,
) -> Result<Outgoing, Failure> {
    let include_usage = match &facts.include_usage {
        IncludeUsage::Missing(splice) if config.gateway.inject_include_usage => Some(splice),
        IncludeUsage::Missing(_) | IncludeUsage::Asked | IncludeUsage::NotApplicable => None,
    };
    let wanted = Wanted {
        bare_model: permit.prefixed().then(|| permit.model().as_ref()),
        include_usage,
    };
    let pieces = edit::edit_request(body, facts, wanted).ok_or_else(|| {
        Failure::BadRequest(format!(
            "the model's provider prefix can't be removed from an encoded body: ask for {:?}, or send the body plain",
            permit.model()
        ))
    })?;
    Ok(Outgoing {
        body: Pieces::new(pieces),
        usage_added: include_usage.is_some(),
        upload: Upload::default(),
        stores: facts.stores,
    })
}

/// A model that the provider may choose by itself needs the caller's grant as much as the first one, at the same provider.
fn may_also_use(
    config: &Config,
    caller: &Arc<Caller>,
    permit: &Permit,
    model: &str,
) -> Result<(), Failure> {
    let other =
        policy::decide(config, caller, model, permit.endpoint()).map_err(Failure::Denied)?;
    if other.provider().id == permit.provider().id && !other.prefixed() {
        return Ok(());
    }
    Err(Failure::BadRequest(format!(
        "\"models\" names {model:?}, which is not a model of the provider that serves {:?}",
        permit.model()
    )))
}

/// The request as the provider gets it.
fn upstream_request(
    permit: &Permit,
    parts: &Parts,
    body: Pieces,
    usage_added: bool,
) -> Result<Request<Pieces>, Failure> {
    let provider = permit.provider();
    if let Some(missing) = &provider.missing_secret {
        return Err(Failure::NoCredential {
            provider: provider.id.to_string(),
            missing: missing.clone(),
        });
    }
    let dialect = permit.endpoint().dialect();
    let uri = target::upstream_uri(provider, dialect, &parts.uri)
        .map_err(|error| Failure::BadRequest(error.to_string()))?;
    let mut head = headers::to_provider(&parts.headers, dialect, provider, permit.add_headers());
    if usage_added {
        head.insert(
            header::ACCEPT_ENCODING,
            HeaderValue::from_static("identity"),
        );
    }
    let mut request = Request::new(body);
    *request.method_mut() = parts.method.clone();
    *request.uri_mut() = uri;
    *request.headers_mut() = head;
    Ok(request)
}

/// A failure as a response.
pub fn refuse(failure: &Failure, dialect: Option<Dialect>, id: RequestId) -> Response<Body> {
    let mut response = failure.response(dialect, id);
    exchange::stamp_id(response.headers_mut(), id);
    response.map(|bytes| Body::Whole(Full::new(bytes)))
}

/// The client program, by its headers.
pub fn client_of(parts: &Parts) -> crate::record::Client {
    session::client_of(&parts.headers)
}
