//! Which web pages may call: the rules for Origin and Host.
//!
//! Identity is ambient on a tailnet: any page that a user visits could act as that user. Browsers send no `Sec-Fetch-*`
//! to plain-http names, so the rules rest on Origin and Host. Owns: [`Names`] and [`judge`].
//! Must not know: callers.

use crate::{
    config::{AuthMode, Config},
    proxy::body::Body,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use parking_lot::RwLock;
use std::{net::IpAddr, sync::Arc};

/// The gateway's own names and addresses, as the control plane gives them.
#[derive(Clone, Debug, Default)]
pub struct Names(Arc<RwLock<Vec<String>>>);

impl Names {
    /// Replaces them: host names (short and full) and addresses.
    pub fn set(&self, names: impl IntoIterator<Item = String>) {
        *self.0.write() = names
            .into_iter()
            .map(|name| name.trim_end_matches('.').to_ascii_lowercase())
            .collect();
    }

    /// The fullest of them.
    pub(super) fn first(&self) -> Option<String> {
        self.0.read().first().cloned()
    }

    /// Whether a host (with or without port) is the gateway, or a loopback name that forwards to it.
    fn contains(&self, host: &str) -> bool {
        let name = without_port(host)
            .trim_end_matches('.')
            .to_ascii_lowercase();
        if name == "localhost" || name.ends_with(".localhost") {
            return true;
        }
        if name
            .trim_matches(['[', ']'])
            .parse::<IpAddr>()
            .is_ok_and(|ip| ip.is_loopback())
        {
            return true;
        }
        self.0
            .read()
            .iter()
            .any(|own| *own == name.trim_matches(['[', ']']))
    }
}

/// Why a request is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    /// A page of another origin.
    #[error("the page's origin may not call")]
    Origin,
    /// A name that is not ours (DNS rebinding).
    #[error("the host is not a name of this gateway")]
    Host,
}

/// Judges Origin and Host. Returns the origin to answer with CORS lines, when there is one that may call.
pub(super) fn judge<B>(
    request: &Request<B>,
    names: &Names,
    cors_origins: &[String],
    model_endpoint: bool,
) -> Result<Option<HeaderValue>, Refusal> {
    let host = request
        .uri()
        .authority()
        .map(http::uri::Authority::as_str)
        .or_else(|| {
            request
                .headers()
                .get(header::HOST)
                .and_then(|value| value.to_str().ok())
        })
        .unwrap_or("");
    let host_is_ours = names.contains(host);
    if !model_endpoint && !host_is_ours {
        return Err(Refusal::Host);
    }
    let mut origins = request.headers().get_all(header::ORIGIN).iter();
    let Some(origin) = origins.next() else {
        // A page whose name was rebound to us reads from what it takes for its own origin, and then browsers send none.
        return if host_is_ours || !from_a_browser(request.headers()) {
            Ok(None)
        } else {
            Err(Refusal::Host)
        };
    };
    if origins.next().is_some() {
        return Err(Refusal::Origin);
    }
    let text = origin.to_str().map_err(|_| Refusal::Origin)?;
    if host_is_ours && is_origin_of(text, host) {
        return Ok(None);
    }
    if model_endpoint
        && cors_origins
            .iter()
            .any(|allowed| allowed.eq_ignore_ascii_case(text))
    {
        return Ok(Some(origin.clone()));
    }
    Err(Refusal::Origin)
}

/// Whether a request brings what looks like a real key although the gateway drops it: no provider takes clients' own.
pub(super) fn brings_key(headers: &HeaderMap, config: &Config) -> bool {
    /// How keys of services begin, and how long they are at least.
    const BEGINNINGS: [&str; 6] = ["sk-", "sk_", "AIza", "gsk_", "xai-", "hf_"];
    const SHORTEST: usize = 20;
    let is_key = |value: &HeaderValue| {
        let text = value.to_str().unwrap_or_default();
        let text = text.strip_prefix("Bearer ").unwrap_or(text).trim();
        text.len() >= SHORTEST
            && BEGINNINGS
                .iter()
                .any(|beginning| text.starts_with(beginning))
    };
    ["authorization", "x-api-key", "x-goog-api-key"]
        .iter()
        .any(|name| headers.get(*name).is_some_and(is_key))
        && !config
            .providers
            .values()
            .any(|provider| provider.auth_mode == AuthMode::Passthrough)
}

/// Whether a browser asks. No page can make its browser say otherwise.
fn from_a_browser(headers: &HeaderMap) -> bool {
    let agent = headers.get(header::USER_AGENT);
    agent.is_some_and(|agent| agent.as_bytes().starts_with(b"Mozilla/"))
}

/// Whether an origin is the page of a host, where a scheme's own port may be written or left out.
fn is_origin_of(origin: &str, host: &str) -> bool {
    [("http://", ":80"), ("https://", ":443")]
        .into_iter()
        .any(|(scheme, port)| {
            let bare =
                |authority: &str| authority.strip_suffix(port).unwrap_or(authority).to_owned();
            origin
                .strip_prefix(scheme)
                .is_some_and(|authority| bare(authority).eq_ignore_ascii_case(&bare(host)))
        })
}

/// Tells a browser that a page may read the response.
pub(super) fn allow(head: &mut HeaderMap, origin: &HeaderValue) {
    head.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    head.append(header::VARY, HeaderValue::from_static("origin"));
}

/// Answers the question that a browser asks before it sends.
pub(super) fn preflight(origin: &HeaderValue) -> Response<Body> {
    let mut response = Response::new(Body::Whole(Full::new(Bytes::new())));
    *response.status_mut() = StatusCode::NO_CONTENT;
    let head = response.headers_mut();
    allow(head, origin);
    head.insert(
        header::ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("POST"),
    );
    head.insert(
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("*, authorization"),
    );
    head.insert(
        header::ACCESS_CONTROL_MAX_AGE,
        HeaderValue::from_static("600"),
    );
    response
}

/// The host without its port; brackets of an IPv6 address stay.
fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !name.ends_with(':') => {
            if name.contains(':') && !name.starts_with('[') {
                host
            } else {
                name
            }
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(host: &str, origin: Option<&str>, model: bool) -> Result<bool, Refusal> {
        let names = Names::default();
        names.set([
            "ai".into(),
            "ai.tail-scale.ts.net.".into(),
            "100.64.0.7".into(),
            "fd7a:115c:a1e0::7".into(),
        ]);
        let mut request = Request::builder().uri("/x").header("host", host);
        if let Some(origin) = origin {
            request = request.header("origin", origin);
        }
        judge(
            &request.body(()).unwrap(),
            &names,
            &["http://app.example".into()],
            model,
        )
        .map(|cors| cors.is_some())
    }

    #[test]
    fn pages_answer_to_our_names_only() {
        for host in [
            "ai",
            "AI",
            "ai:80",
            "ai.tail-scale.ts.net",
            "ai.tail-scale.ts.net.",
            "100.64.0.7",
            "[fd7a:115c:a1e0::7]:80",
            "127.0.0.1:4711",
            "localhost:1",
            "[::1]",
        ] {
            assert_eq!(judged(host, None, false), Ok(false), "{host}");
        }
        for host in [
            "evil.example",
            "ai.evil.example",
            "",
            "100.64.0.8",
            "127.0.0.1.evil.example",
            "xlocalhost",
        ] {
            assert_eq!(judged(host, None, false), Err(Refusal::Host), "{host}");
        }
    }

    #[test]
    fn a_schemes_own_port_may_be_written_or_left_out() {
        let full = "ai.tail-scale.ts.net";
        for (host, origin) in [
            (full.to_owned(), format!("https://{full}")),
            (format!("{full}:443"), format!("https://{full}")),
            (full.to_owned(), format!("https://{full}:443")),
            (format!("{full}:80"), format!("http://{full}")),
            ("127.0.0.1:8443".into(), "https://127.0.0.1:8443".into()),
            (
                "[fd7a:115c:a1e0::7]:443".into(),
                "https://[fd7a:115c:a1e0::7]".into(),
            ),
        ] {
            assert_eq!(
                judged(&host, Some(&origin), false),
                Ok(false),
                "{host} {origin}"
            );
        }
        for (host, origin) in [
            (full.to_owned(), format!("https://{full}:8443")),
            (format!("{full}:8443"), format!("https://{full}")),
            (format!("{full}:443"), format!("http://{full}")),
            (full.to_owned(), "https://ai".to_owned()),
            (full.to_owned(), format!("ftp://{full}")),
            ("evil.example:443".into(), "https://evil.example".into()),
        ] {
            assert_eq!(
                judged(&host, Some(&origin), true),
                Err(Refusal::Origin),
                "{host} {origin}"
            );
        }
    }

    #[test]
    fn a_browser_reads_under_our_names_only() {
        let names = Names::default();
        names.set(["ai".into()]);
        for (host, agent, taken) in [
            ("ai", "Mozilla/5.0 (X11; Linux x86_64)", true),
            ("alias.example", "claude-cli/2.1", true),
            ("rebound.example", "Mozilla/5.0 (X11; Linux x86_64)", false),
        ] {
            let request = Request::builder().uri("/v1/models");
            let request = request.header("host", host).header("user-agent", agent);
            let judged = judge(&request.body(()).unwrap(), &names, &[], true);
            assert_eq!(judged.is_ok(), taken, "{host} {agent}");
        }
    }

    #[test]
    fn models_answer_to_any_host_but_not_to_pages_of_others() {
        assert_eq!(judged("whatever.example", None, true), Ok(false));
        assert_eq!(judged("ai", Some("http://ai"), true), Ok(false));
        assert_eq!(
            judged("127.0.0.1:99", Some("http://127.0.0.1:99"), false),
            Ok(false)
        );
        assert_eq!(judged("ai", Some("http://app.example"), true), Ok(true));
        for origin in [
            "null",
            "http://evil.example",
            "http://ai:81",
            "http://ai.evil.example",
            "ai",
        ] {
            assert_eq!(
                judged("ai", Some(origin), true),
                Err(Refusal::Origin),
                "{origin}"
            );
        }
        // A rebinding page has its own name as Host: being its own origin does not help it.
        assert_eq!(
            judged("evil.example", Some("http://evil.example"), true),
            Err(Refusal::Origin)
        );
        assert_eq!(
            judged("ai", Some("http://app.example"), false),
            Err(Refusal::Origin)
        );
    }
}
