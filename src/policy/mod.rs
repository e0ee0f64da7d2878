//! What a caller may do: one pure function decides, and its answer names the deciding grant.
//!
//! Owns: route (model → provider), access evaluation and [`Permit`]. In: a caller, a configuration, a model, an endpoint.
//! Out: a [`Permit`], or [`Denied`]. The proxy, `doctor` and every page call the same function.
//! Grants only add: there is no rule that takes away, and nothing is allowed that no grant allows.
//! Must not know: HTTP, the store, time.

mod authorize;
mod explain;
mod held;
mod nearest;
mod route;

pub use authorize::{
    VisibleModel, decide, may_read_metrics, may_read_pricing, role, stores, visible_models,
};
pub use explain::{Line, explain, open_to};
pub(crate) use nearest::nearest;

use crate::{
    config::{Provider, grant::Role},
    endpoint::Endpoint,
    identity::Caller,
    record::CaptureMode,
};
use std::sync::Arc;

/// Proof that this caller may send this request to this provider.
#[derive(Clone, Debug)]
pub struct Permit {
    caller: Arc<Caller>,
    provider: Arc<Provider>,
    model: Arc<str>,
    prefixed: bool,
    endpoint: Endpoint,
    role: Role,
    grant: String,
    capture: CaptureMode,
    add_headers: Vec<(http::HeaderName, http::HeaderValue)>,
}

impl Permit {
    /// The caller.
    pub fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }
    /// The provider that takes the request.
    pub fn provider(&self) -> &Arc<Provider> {
        &self.provider
    }
    /// The model as the provider knows it.
    pub fn model(&self) -> &Arc<str> {
        &self.model
    }
    /// Whether the client wrote `provider/model`, so that the prefix must be removed.
    pub const fn prefixed(&self) -> bool {
        self.prefixed
    }
    /// The route.
    pub const fn endpoint(&self) -> Endpoint {
        self.endpoint
    }
    /// The caller's role.
    pub const fn role(&self) -> Role {
        self.role
    }
    /// The grant that opened the model, for people.
    pub fn grant(&self) -> &str {
        &self.grant
    }
    /// The strictest capture mode of provider, gateway and grants.
    pub const fn capture(&self) -> CaptureMode {
        self.capture
    }
    /// Header lines that grants add, before the provider's.
    pub fn add_headers(&self) -> &[(http::HeaderName, http::HeaderValue)] {
        &self.add_headers
    }
}

/// Why a request may not be sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Denied {
    /// No grant gives the caller a role.
    #[error("access denied: no role granted")]
    NoRole,
    /// No provider serves the model, or no grant opens it: the same answer on purpose.
    #[error("model not found: {model}")]
    NoModel {
        /// As asked for.
        model: String,
        /// Names that the caller may use and that look alike.
        nearest: Vec<String>,
    },
    /// The model is there, but not over this route.
    #[error("model {model} is not served in the {endpoint} format")]
    WrongEndpoint {
        /// As asked for.
        model: String,
        /// The route's name.
        endpoint: &'static str,
        /// Paths that serve it.
        instead: Vec<&'static str>,
    },
}
