//! What a request is for: a model, a cloud, a stored thing, or none of them.
//!
//! Comes in: a request. Goes out: [`Recognised`], which also gives the log its
//! names of dialect and model.

use hyper::Method;
use hyper::header::UPGRADE;

use crate::cloud::Service;
use crate::conversation::Head;
use crate::dialect::{self, Dialect, Family, Route};
use crate::reply::Request;
use crate::stored::Place;

/// What a request is for, at first sight.
#[derive(Debug)]
pub(crate) enum Recognised<'a> {
    /// An operation of a model.
    Model(Asked),
    /// Credentials.
    Cloud(Service),
    /// A thing that was stored, or a collection of them.
    Stored(Place<'a>),
    /// A list of models, an upgrade, or a mistake.
    Other,
}

/// An operation of a model, as far as path and body say it.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) dialect: &'static Dialect,
    pub(crate) route: Route,
    pub(crate) head: Result<Head, serde_json::Error>,
}

impl<'a> Recognised<'a> {
    pub(crate) fn new(request: &Request<'a>) -> Self {
        if let Some((dialect, route)) = dialect::of(request.method, &request.target()) {
            let head = (dialect.head)(&route, request.plain);
            return Self::Model(Asked {
                dialect,
                route,
                head,
            });
        }
        if request.headers.contains_key(UPGRADE) && *request.method == Method::GET {
            return Self::Other;
        }
        if let Some(service) = Service::of(request) {
            return Self::Cloud(service);
        }
        let family = Family::of(request.path, request.headers);
        Place::of(request.path, family).map_or(Self::Other, Self::Stored)
    }

    /// The dialect, as the log names it.
    pub(crate) fn dialect(&self) -> Option<&'static str> {
        match self {
            Self::Model(asked) => Some(asked.dialect.name),
            Self::Cloud(service) => Some(service.name()),
            Self::Stored(place) => Some(place.dialect()),
            Self::Other => None,
        }
    }

    /// The model that is asked for, if the path or a readable body says it.
    pub(crate) fn model(&self) -> Option<&str> {
        match self {
            Self::Model(asked) => asked.model(),
            Self::Cloud(_) | Self::Stored(_) | Self::Other => None,
        }
    }
}

impl Asked {
    /// The model that is asked for, if the path or a readable body says it.
    pub(crate) fn model(&self) -> Option<&str> {
        let in_body = self.head.as_ref().ok().map(|head| head.model.as_str());
        in_body.or(self.route.model.as_deref())
    }
}
