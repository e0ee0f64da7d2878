//! Requests about objects that a provider stores: responses, conversations, files, cached contents.
//!
//! Owns: the stages of such a request: role → providers that are open to the caller → the object is the caller's own (or
//! is about to be) → forward. In and out: as for the other requests. No model is named, so what is needed is a grant for
//! some model of the provider; where the body names one (cached contents), a grant for that. Uploads pass as they come.

use super::{Forwarded, Outgoing, Proxy, error::Failure, exchange::Exchange, intake::Larger};
use crate::{
    config::Config,
    endpoint::{self, Action, Endpoint},
    identity::Caller,
    policy::{self, Permit},
    provider::client::{Pieces, Upload},
    tap,
};
use http::request::Parts;
use hyper::body::Incoming;
use std::sync::Arc;

impl Proxy {
    /// The stages, in the order in which they must happen.
    pub(super) async fn forward_stored(
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
        let path = parts.uri.path();
        let permits = policy::stores(&config, caller, endpoint).map_err(Failure::Denied)?;
        let not_offered = || Failure::NotOffered(path.to_owned());
        let stored = endpoint::stored(endpoint, &parts.method, path).ok_or_else(not_offered)?;
        let idle = config.gateway.timeouts.body_idle;
        let upload = Upload::default();
        let passed = |body| Pieces::default().followed_by(body, upload.clone(), idle);
        let (permit, body) = match stored.id {
            Some(id) => (self.permit_for(&permits, id, caller).await?, passed(body)),
            None if path.ends_with("/cachedContents") => {
                self.cached_content(&config, caller, parts, body, exchange)
                    .await?
            }
            None => (
                permits.into_iter().next().ok_or_else(not_offered)?,
                passed(body),
            ),
        };
        exchange.permitted_store(&permit);
        let outgoing = Outgoing {
            body,
            upload,
            stores: stored.action == Action::Create,
            ..Outgoing::default()
        };
        self.deliver(&config, &permit, parts, outgoing, exchange)
            .await
    }

    /// The permit for the provider at which the object is the caller's own.
    async fn permit_for(
        &self,
        permits: &[Permit],
        id: &str,
        caller: &Caller,
    ) -> Result<Permit, Failure> {
        for permit in permits {
            if self
                .owned
                .is_own(&permit.provider().id, id, &caller.user)
                .await
            {
                return Ok(permit.clone());
            }
        }
        Err(Failure::NotYours(id.to_owned()))
    }

    /// What is cached is read by a model, and may build on files: both need the caller's right.
    async fn cached_content(
        &self,
        config: &Config,
        caller: &Arc<Caller>,
        parts: &Parts,
        body: Incoming,
        exchange: &mut Exchange,
    ) -> Result<(Permit, Pieces), Failure> {
        let (body, _) = self
            .read_body(config, parts, body, exchange, Larger::Refused)
            .await?;
        let facts = tap::read_request(Endpoint::GeminiStored, &parts.headers, &body)
            .map_err(|bad| Failure::BadRequest(bad.to_string()))?;
        let model = facts.model.strip_prefix("models/").unwrap_or(&facts.model);
        let permit = policy::decide(config, caller, model, Endpoint::GeminiStored)
            .map_err(Failure::Denied)?;
        if permit.prefixed() {
            return Err(Failure::BadRequest(
                "a provider prefix can't be removed from the model of cached contents".into(),
            ));
        }
        self.owned
            .check(&permit.provider().id, &facts.references, &caller.user)
            .await?;
        Ok((permit, Pieces::new([body])))
    }
}
