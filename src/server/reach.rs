//! Every route of the gateway: what the table of access (docs/access-table.md) has a row for.
//!
//! Owns: the list, put together from the tables and closed sets that route requests, so that a route that is added is in it.
//! In: ids to put into paths. Out: ports, methods, paths. Must not know: who reaches what.

use super::{Port, discovery::Ask};
use crate::{
    api, dashboard,
    endpoint::{self, Endpoint, STORED, Work},
    record::{RequestId, SessionId},
};
use http::Method;

/// One route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The part of the gateway that answers, as a heading.
    pub part: &'static str,
    /// Where it is served.
    pub port: Port,
    /// How it is asked.
    pub method: Method,
    /// Its path; `{…}` for what varies, but for the ids of a page.
    pub path: String,
}

/// All of them; pages and the API's with these ids and this login.
pub fn every_route(session: SessionId, request: RequestId, login: &str) -> Vec<Place> {
    let gateway = |part, method: &Method, path: String| Place {
        part,
        port: Port::Gateway,
        method: method.clone(),
        path,
    };
    let mut all = Vec::new();
    for path in dashboard::addresses(session, request, login) {
        for method in [&Method::GET, &Method::POST] {
            all.push(gateway("Pages", method, path.clone()));
        }
    }
    for (method, path) in api::operations() {
        let path = path
            .replace("{session}", &session.to_string())
            .replace("{request}", &request.to_string());
        all.push(gateway("API", method, path));
    }
    for (method, path) in Ask::every() {
        all.push(gateway("Lists and probes", &method, path.to_owned()));
    }
    let models = Endpoint::ALL
        .into_iter()
        .filter(|it| it.work() != Work::Store);
    for endpoint in models {
        let path = endpoint.path().to_owned();
        all.push(gateway("Models", &Method::POST, path));
    }
    for (method, path) in STORED {
        all.push(gateway("Stored objects", method, path.to_owned()));
    }
    for (path, _) in endpoint::not_offered() {
        all.push(gateway("Not offered", &Method::POST, format!("/v1{path}")));
    }
    for path in [
        "/nothing",
        "/api/nothing",
        "/aperture/nothing",
        "/ui/nothing/",
        "/metrics",
    ] {
        all.push(gateway("Nothing", &Method::GET, path.to_owned()));
    }
    for path in ["/metrics", "/", "/ui/", "/v1/models"] {
        all.push(Place {
            part: "Metrics port",
            port: Port::Metrics,
            method: Method::GET,
            path: path.to_owned(),
        });
    }
    all
}
