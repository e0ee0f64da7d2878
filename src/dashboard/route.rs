//! The pages' addresses, and who may ask for which.
//!
//! Owns: [`Route`], in both directions, and [`Query`]. In: raw path and query. Out: a route, or none.
//! Must not know: pages, the store.

use crate::record::{RequestId, SessionId};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use std::fmt::Write as _;

/// Bytes of a query that are read.
const QUERY_MAX: usize = 4_096;
/// What stays as it is in a path segment or a query value.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~')
    .remove(b'@');

/// Which of the two bodies of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// What the client sent.
    Request,
    /// What the provider answered.
    Response,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    Overview,
    Logs,
    Session(SessionId),
    Request(RequestId),
    Body(RequestId, Side),
    Tools,
    Adoption,
    Models,
    Person(String),
    /// The adoption table as CSV.
    People,
    /// A record and its capture as JSON.
    Json(RequestId),
    Connect,
    Access,
    Audit,
    Settings,
    /// What stands against a text, while it is typed.
    Check,
    AddProvider,
    AddGrant,
    MakeAdmin,
    History,
    Version(u64),
    /// Asks for a new login of the gateway's node.
    NodeLogin,
    /// Events for pages that are open.
    Live,
    Style,
    Script,
    Icon,
    /// The same address with its trailing slash.
    Slash(&'static str),
}

impl Route {
    /// Finds the route of a raw path.
    pub(super) fn parse(path: &str) -> Option<Self> {
        if path == "/favicon.ico" {
            return Some(Self::Icon);
        }
        if path == super::assets::style_path() {
            return Some(Self::Style);
        }
        if path == super::assets::script_path() {
            return Some(Self::Script);
        }
        let rest = path.strip_prefix("/ui")?;
        let parts: Vec<&str> = rest.split('/').collect();
        Some(match parts.as_slice() {
            [""] => Self::Slash("/ui/"),
            ["", "logs"] => Self::Slash("/ui/logs/"),
            ["", "tool-use"] => Self::Slash("/ui/tool-use/"),
            ["", "adoption"] => Self::Slash("/ui/adoption/"),
            ["", "models"] => Self::Slash("/ui/models/"),
            ["", "connect"] => Self::Slash("/ui/connect/"),
            ["", "access"] => Self::Slash("/ui/access/"),
            ["", "audit"] => Self::Slash("/ui/audit/"),
            ["", "settings"] => Self::Slash("/ui/settings/"),
            ["", "settings", "history"] => Self::Slash("/ui/settings/history/"),
            ["", ""] => Self::Overview,
            ["", "logs", ""] => Self::Logs,
            ["", "tool-use", ""] => Self::Tools,
            ["", "adoption", ""] => Self::Adoption,
            ["", "adoption", "people.csv"] => Self::People,
            ["", "models", ""] => Self::Models,
            ["", "connect", ""] => Self::Connect,
            ["", "access", ""] => Self::Access,
            ["", "audit", ""] => Self::Audit,
            ["", "live"] => Self::Live,
            ["", "settings", ""] => Self::Settings,
            ["", "settings", "check"] => Self::Check,
            ["", "settings", "provider"] => Self::AddProvider,
            ["", "settings", "grant"] => Self::AddGrant,
            ["", "settings", "admin"] => Self::MakeAdmin,
            ["", "settings", "history", ""] => Self::History,
            ["", "settings", "history", number] => Self::Version(number.parse().ok()?),
            ["", "node", "login"] => Self::NodeLogin,
            ["", "sessions", id] | ["", "sessions", id, ""] => Self::Session(id.parse().ok()?),
            ["", "requests", id] | ["", "requests", id, ""] => Self::Request(id.parse().ok()?),
            ["", "requests", id, "json"] => Self::Json(id.parse().ok()?),
            ["", "requests", id, "request-body"] => Self::Body(id.parse().ok()?, Side::Request),
            ["", "requests", id, "response-body"] => Self::Body(id.parse().ok()?, Side::Response),
            ["", "dashboard", login] | ["", "dashboard", login, ""] if !login.is_empty() => {
                let login = percent_decode_str(login).decode_utf8().ok()?;
                Self::Person(login.into_owned())
            }
            _ => return None,
        })
    }

    /// The address.
    pub(super) fn path(&self) -> String {
        match self {
            Self::Overview => "/ui/".into(),
            Self::Logs => "/ui/logs/".into(),
            Self::Session(id) => format!("/ui/sessions/{id}"),
            Self::Request(id) => format!("/ui/requests/{id}"),
            Self::Body(id, Side::Request) => format!("/ui/requests/{id}/request-body"),
            Self::Body(id, Side::Response) => format!("/ui/requests/{id}/response-body"),
            Self::Tools => "/ui/tool-use/".into(),
            Self::Adoption => "/ui/adoption/".into(),
            Self::Models => "/ui/models/".into(),
            Self::Person(login) => {
                format!("/ui/dashboard/{}", utf8_percent_encode(login, PLAIN))
            }
            Self::People => "/ui/adoption/people.csv".into(),
            Self::Json(id) => format!("/ui/requests/{id}/json"),
            Self::Connect => "/ui/connect/".into(),
            Self::Access => "/ui/access/".into(),
            Self::Audit => "/ui/audit/".into(),
            Self::Settings => "/ui/settings/".into(),
            Self::Check => "/ui/settings/check".into(),
            Self::AddProvider => "/ui/settings/provider".into(),
            Self::AddGrant => "/ui/settings/grant".into(),
            Self::MakeAdmin => "/ui/settings/admin".into(),
            Self::History => "/ui/settings/history/".into(),
            Self::Version(number) => format!("/ui/settings/history/{number}"),
            Self::NodeLogin => "/ui/node/login".into(),
            Self::Live => "/ui/live".into(),
            Self::Script => super::assets::script_path().into(),
            Self::Style => super::assets::style_path().into(),
            Self::Icon => "/favicon.ico".into(),
            Self::Slash(path) => (*path).into(),
        }
    }

    /// One of every kind, those with an id or a login of these: for tables and tests.
    pub(super) fn every(session: SessionId, request: RequestId, login: &str) -> Vec<Self> {
        vec![
            Self::Overview,
            Self::Logs,
            Self::Session(session),
            Self::Request(request),
            Self::Body(request, Side::Request),
            Self::Body(request, Side::Response),
            Self::Json(request),
            Self::Tools,
            Self::Adoption,
            Self::People,
            Self::Models,
            Self::Person(login.to_owned()),
            Self::Connect,
            Self::Access,
            Self::Audit,
            Self::Settings,
            Self::Check,
            Self::AddProvider,
            Self::AddGrant,
            Self::MakeAdmin,
            Self::History,
            Self::Version(77),
            Self::NodeLogin,
            Self::Live,
            Self::Style,
            Self::Script,
            Self::Icon,
            Self::Slash("/ui/"),
        ]
    }

    /// Whether only admins may ask.
    pub(super) const fn admins_only(&self) -> bool {
        let others = matches!(
            self,
            Self::Person(_) | Self::Access | Self::Audit | Self::NodeLogin
        );
        self.of_settings() || others
    }

    /// Whether it is one of the settings.
    pub(super) const fn of_settings(&self) -> bool {
        matches!(
            self,
            Self::Settings
                | Self::Check
                | Self::AddProvider
                | Self::AddGrant
                | Self::MakeAdmin
                | Self::History
                | Self::Version(_)
        )
    }

    /// The methods that it answers.
    pub(super) const fn methods(&self) -> &'static str {
        match self {
            Self::Check => "POST",
            Self::Settings
            | Self::AddProvider
            | Self::AddGrant
            | Self::Version(_)
            | Self::NodeLogin => "GET, HEAD, POST",
            _ => "GET, HEAD",
        }
    }
}

/// The decoded query of an address, in order. Empty values count as absent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a raw query; what is not UTF-8, or beyond the bound, is left out.
    pub(super) fn parse(raw: Option<&str>) -> Self {
        let raw = raw.filter(|raw| raw.len() <= QUERY_MAX).unwrap_or_default();
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
            Some(decoded.trim().to_owned())
        };
        let pairs = raw.split('&').filter_map(|pair| {
            let (name, value) = pair.split_once('=')?;
            Some((decode(name)?, decode(value)?))
        });
        Self(pairs.filter(|(_, value)| !value.is_empty()).collect())
    }

    /// The first value of that name.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut pairs = self.0.iter();
        pairs
            .find(|(n, _)| n == name)
            .map(|(_, value)| value.as_str())
    }
}

/// One segment of a path, whatever is in it.
pub(super) fn segment(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// An address with a query; empty values are left out.
pub(super) fn link(route: &Route, query: &[(&str, &str)]) -> String {
    let mut out = route.path();
    let mut mark = '?';
    for (name, value) in query.iter().filter(|(_, value)| !value.is_empty()) {
        let _ = write!(out, "{mark}{name}={}", utf8_percent_encode(value, PLAIN));
        mark = '&';
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Timestamp;
    use std::collections::BTreeSet;

    #[test]
    fn addresses_go_both_ways() {
        let id = RequestId::at(Timestamp(1_800_000_000_000));
        for route in [
            Route::Overview,
            Route::Logs,
            Route::Session(SessionId(7)),
            Route::Request(id),
            Route::Body(id, Side::Request),
            Route::Body(id, Side::Response),
            Route::Tools,
            Route::Adoption,
            Route::Models,
            Route::People,
            Route::Json(id),
            Route::Connect,
            Route::Access,
            Route::Audit,
            Route::Live,
            Route::Script,
            Route::Person("tag:api,tag:prod/é?".into()),
            Route::Settings,
            Route::Check,
            Route::AddProvider,
            Route::AddGrant,
            Route::MakeAdmin,
            Route::History,
            Route::Version(7),
            Route::NodeLogin,
            Route::Style,
            Route::Icon,
        ] {
            assert_eq!(Route::parse(&route.path()), Some(route));
        }
        assert_eq!(Route::parse("/ui"), Some(Route::Slash("/ui/")));
        assert_eq!(Route::parse("/ui/logs"), Some(Route::Slash("/ui/logs/")));
        for path in [
            "/uix",
            "/ui//",
            "/ui/nothing/",
            "/ui/sessions/../settings/",
            "/ui/requests/req_0/request-body",
            "/ui/dashboard/",
            "/ui/dashboard/%ff",
            "/ui/assets/style-000000000000.css",
        ] {
            assert_eq!(Route::parse(path), None, "{path}");
        }
    }

    /// The names of the kinds as they stand in this file: one that the list leaves out would be in no table.
    #[test]
    fn the_list_has_every_kind() {
        let source = include_str!("route.rs");
        let (_, body) = source.split_once("pub(super) enum Route {\n").unwrap();
        let (body, _) = body.split_once("\n}").unwrap();
        let kinds = body.lines().filter_map(|line| {
            let name = line.strip_prefix("    ")?.trim_end_matches(',');
            let name = name.split('(').next()?;
            name.starts_with(|c: char| c.is_ascii_uppercase())
                .then(|| name.to_owned())
        });
        let kinds: BTreeSet<String> = kinds.collect();
        assert!(
            kinds.contains("Overview") && kinds.contains("Slash"),
            "{kinds:?}"
        );
        let every = Route::every(SessionId(7), RequestId(7), "a");
        let listed = every.iter().map(|route| {
            let text = format!("{route:?}");
            text.split('(').next().unwrap_or_default().to_owned()
        });
        assert_eq!(listed.collect::<BTreeSet<_>>(), kinds);
    }

    #[test]
    fn queries_are_decoded_once_and_bounded() {
        let query = Query::parse(Some("q=two+words%26%2b&user=&model=a%252F&q=again&x=%ff"));
        assert_eq!(query.get("q"), Some("two words&+"));
        assert_eq!(query.get("user"), None);
        assert_eq!(query.get("model"), Some("a%2F"));
        assert_eq!(query.get("x"), None);
        let long = format!("q={}", "a".repeat(QUERY_MAX));
        assert_eq!(Query::parse(Some(&long)), Query::default());
        let link = link(
            &Route::Logs,
            &[("q", "a b&c"), ("user", ""), ("model", "x/y")],
        );
        assert_eq!(link, "/ui/logs/?q=a%20b%26c&model=x%2Fy");
        let (_, raw) = link.split_once('?').unwrap();
        assert_eq!(Query::parse(Some(raw)).get("q"), Some("a b&c"));
    }
}
