//! Which header lines pass, in both directions.
//!
//! Owns: the closed list of edits to heads ([`HEAD_EDITS`], printed into the docs and imported by the property tests) and
//! the functions that carry it out. In: a client's or a provider's head. Out: the head for the other side.
//! Must not know: bodies, records.

use crate::{
    config::{AuthMode, AuthScheme, Provider},
    endpoint::Dialect,
    record::HeadLines,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};
use std::sync::LazyLock;

/// One row of the closed list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadEdit {
    /// Which head.
    pub side: Side,
    /// A header name, lower case; a trailing `*` stands for any rest.
    pub name: &'static str,
    /// What happens to it.
    pub edit: Edit,
    /// Why.
    pub why: &'static str,
}

/// Which head a row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the provider.
    Request,
    /// From the provider to the client.
    Response,
}

/// What happens to a header line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edit {
    /// It does not pass.
    Drop,
    /// It is set by the gateway.
    Set,
    /// It is added when absent.
    Default,
    /// A line is added beside those that pass.
    Append,
}

const fn row(side: Side, name: &'static str, edit: Edit, why: &'static str) -> HeadEdit {
    HeadEdit {
        side,
        name,
        edit,
        why,
    }
}

/// Every edit that the gateway makes to heads. What is not listed passes as it came.
pub const HEAD_EDITS: &[HeadEdit] = &[
    row(
        Side::Request,
        "authorization",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "x-api-key",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "api-key",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "x-goog-api-key",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "cf-aig-authorization",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "proxy-authorization",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "cookie",
        Edit::Drop,
        "the client's credential never leaves the tailnet",
    ),
    row(
        Side::Request,
        "sec-websocket-*",
        Edit::Drop,
        "no WebSocket is opened, and pages of a browser send their key in it",
    ),
    row(
        Side::Request,
        "x-amz-date",
        Edit::Drop,
        "part of a signature that does not survive a proxy",
    ),
    row(
        Side::Request,
        "x-amz-content-sha256",
        Edit::Drop,
        "part of a signature that does not survive a proxy",
    ),
    row(
        Side::Request,
        "x-amz-security-token",
        Edit::Drop,
        "part of a signature that does not survive a proxy",
    ),
    row(
        Side::Request,
        "amz-sdk-invocation-id",
        Edit::Drop,
        "part of a signature that does not survive a proxy",
    ),
    row(
        Side::Request,
        "amz-sdk-request",
        Edit::Drop,
        "part of a signature that does not survive a proxy",
    ),
    row(
        Side::Request,
        "x-forwarded-*",
        Edit::Drop,
        "says where the caller is",
    ),
    row(
        Side::Request,
        "forwarded",
        Edit::Drop,
        "says where the caller is",
    ),
    row(
        Side::Request,
        "x-real-ip",
        Edit::Drop,
        "says where the caller is",
    ),
    row(
        Side::Request,
        "tailscale-*",
        Edit::Drop,
        "identity comes from the tailnet, never from a header",
    ),
    row(
        Side::Request,
        "openai-organization",
        Edit::Drop,
        "the account is the provider entry's, not the client's",
    ),
    row(
        Side::Request,
        "openai-project",
        Edit::Drop,
        "the account is the provider entry's, not the client's",
    ),
    row(
        Side::Request,
        "chatgpt-account-id",
        Edit::Drop,
        "the account is the provider entry's, not the client's",
    ),
    row(
        Side::Request,
        "anthropic-workspace-id",
        Edit::Drop,
        "the account is the provider entry's, not the client's",
    ),
    row(
        Side::Request,
        "x-goog-user-project",
        Edit::Drop,
        "the account is the provider entry's, not the client's",
    ),
    row(
        Side::Request,
        "origin",
        Edit::Drop,
        "checked here; providers answer browsers differently",
    ),
    row(
        Side::Request,
        "referer",
        Edit::Drop,
        "names pages of the tailnet",
    ),
    row(Side::Request, "expect", Edit::Drop, "answered here"),
    row(
        Side::Request,
        "trailer",
        Edit::Drop,
        "the body is sent whole, without trailers",
    ),
    row(Side::Request, "host", Edit::Set, "names the provider"),
    row(
        Side::Request,
        "content-length",
        Edit::Set,
        "the body is sent whole",
    ),
    row(
        Side::Request,
        "anthropic-version",
        Edit::Default,
        "the provider demands one; curl users send none",
    ),
    row(
        Side::Request,
        "accept-encoding",
        Edit::Set,
        "identity, only when usage was asked for on the client's behalf",
    ),
    row(
        Side::Response,
        "set-cookie",
        Edit::Drop,
        "the provider's cookie would be shared by all callers",
    ),
    row(
        Side::Response,
        "anthropic-organization-id",
        Edit::Drop,
        "names the account",
    ),
    row(
        Side::Response,
        "openai-organization",
        Edit::Drop,
        "names the account",
    ),
    row(
        Side::Response,
        "openai-project",
        Edit::Drop,
        "names the account",
    ),
    row(
        Side::Response,
        "cf-ray",
        Edit::Drop,
        "belongs to the provider's edge",
    ),
    row(
        Side::Response,
        "via",
        Edit::Drop,
        "belongs to the provider's edge",
    ),
    row(
        Side::Response,
        "server",
        Edit::Drop,
        "belongs to the provider's edge",
    ),
    row(
        Side::Response,
        "alt-svc",
        Edit::Drop,
        "would lead clients past the gateway",
    ),
    row(
        Side::Response,
        "strict-transport-security",
        Edit::Drop,
        "the gateway speaks plain HTTP inside WireGuard",
    ),
    row(
        Side::Response,
        "access-control-*",
        Edit::Drop,
        "the gateway decides which origins may call",
    ),
    row(
        Side::Response,
        "x-goog-upload-url",
        Edit::Set,
        "an upload goes on at the gateway, under the name that the client uses for it",
    ),
    row(
        Side::Response,
        "server-timing",
        Edit::Append,
        "says where the time went",
    ),
    row(
        Side::Response,
        "aperture-request-id",
        Edit::Set,
        "finds the request on the pages",
    ),
];

/// Lines that belong to one connection (RFC 9110, 7.6.1), besides those that `connection` names.
const HOP_BY_HOP: &[&str] = &[
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "transfer-encoding",
    "upgrade",
    "http2-settings",
];

/// What an Anthropic client that sends no version gets.
const ANTHROPIC_VERSION: HeaderValue = HeaderValue::from_static("2023-06-01");

/// The head that goes to the provider, without its credential and without `host`.
///
/// `grant_headers` come first, then the provider's own, then what the client sent.
pub fn to_provider(
    client: &HeaderMap,
    dialect: Dialect,
    provider: &Provider,
    grant_headers: &[(HeaderName, HeaderValue)],
) -> HeaderMap {
    let mut head = HeaderMap::with_capacity(client.len() + 8);
    let named = connection_names(client);
    for (name, value) in client {
        if passes(Side::Request, name, &named) {
            head.append(name.clone(), value.clone());
        }
    }
    if dialect == Dialect::AnthropicMessages && !head.contains_key("anthropic-version") {
        head.insert("anthropic-version", ANTHROPIC_VERSION);
    }
    // An administrator's line replaces the client's lines of the same name.
    let added = || grant_headers.iter().chain(&provider.add_headers);
    for (name, _) in added() {
        head.remove(name);
    }
    for (name, value) in added() {
        head.append(name.clone(), value.clone());
    }
    head
}

/// Adds the client's own credential or the provider's key, as its `auth_mode` says; whether anything was added comes back.
pub fn add_credential(
    head: &mut HeaderMap,
    client: &HeaderMap,
    provider: &Provider,
) -> Result<bool, BadCredential> {
    if provider.auth_mode == AuthMode::None {
        return Ok(false);
    }
    if provider.auth_mode == AuthMode::Passthrough && pass_through(head, client) {
        return Ok(true);
    }
    let Some(credential) = &provider.credential else {
        return Ok(false);
    };
    let key = credential.secret.expose();
    let (name, text) = match credential.scheme {
        AuthScheme::Bearer => (header::AUTHORIZATION, format!("Bearer {key}")),
        AuthScheme::Hec => (header::AUTHORIZATION, format!("Splunk {key}")),
        AuthScheme::XApiKey => (HeaderName::from_static("x-api-key"), key.to_owned()),
        AuthScheme::XGoogApiKey => (HeaderName::from_static("x-goog-api-key"), key.to_owned()),
        AuthScheme::CfAig => (
            HeaderName::from_static("cf-aig-authorization"),
            format!("Bearer {key}"),
        ),
    };
    let value = HeaderValue::try_from(text).map_err(|_| BadCredential)?;
    head.insert(name, sensitive(value));
    Ok(true)
}

/// Sends the client's own credential on; whether it has one comes back.
fn pass_through(head: &mut HeaderMap, client: &HeaderMap) -> bool {
    // A signature covers the head that the client sent to this gateway: no provider could verify it.
    let signature = |value: &HeaderValue| value.as_bytes().starts_with(b"AWS4-");
    let token = client
        .get(header::AUTHORIZATION)
        .filter(|value| !signature(value));
    let key = client.get("x-api-key");
    if let Some(value) = token {
        head.insert(header::AUTHORIZATION, sensitive(value.clone()));
        // A ChatGPT subscription's token counts for the account that stands beside it.
        if let Some(account) = client.get("chatgpt-account-id") {
            head.insert("chatgpt-account-id", account.clone());
        }
    }
    if let Some(value) = key {
        head.insert("x-api-key", sensitive(value.clone()));
    }
    token.is_some() || key.is_some()
}

/// The key has characters that no header can carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the provider's key has characters that a header can't carry")]
pub struct BadCredential;

/// Removes what must not reach the client from a provider's response head.
pub fn to_client(head: &mut HeaderMap) {
    let named = connection_names(head);
    let drop: Vec<HeaderName> = head
        .keys()
        .filter(|name| !passes(Side::Response, name, &named))
        .cloned()
        .collect();
    for name in drop {
        head.remove(name);
    }
}

/// Where an upload goes on is named by its address at the provider: the client is led to the gateway instead.
pub fn lead_upload_here(head: &mut HeaderMap, client: &HeaderMap) {
    const UPLOAD_URL: HeaderName = HeaderName::from_static("x-goog-upload-url");
    let Some(url) = head.get(UPLOAD_URL) else {
        return;
    };
    let here = client.get(header::HOST).and_then(|host| {
        let url: http::Uri = url.to_str().ok()?.parse().ok()?;
        let path = url.path_and_query()?.as_str();
        HeaderValue::try_from(format!("http://{}{path}", host.to_str().ok()?)).ok()
    });
    match here {
        Some(here) => head.insert(UPLOAD_URL, here),
        None => head.remove(UPLOAD_URL),
    };
}

/// Whether a line passes.
fn passes(side: Side, name: &HeaderName, named: &[HeaderName]) -> bool {
    static REQUEST: LazyLock<Dropped> = LazyLock::new(|| Dropped::of(Side::Request));
    static RESPONSE: LazyLock<Dropped> = LazyLock::new(|| Dropped::of(Side::Response));
    let dropped = match side {
        Side::Request => &REQUEST,
        Side::Response => &RESPONSE,
    };
    !named.contains(name) && !dropped.covers(name.as_str())
}

/// The names of one side that do not pass, arranged to be searched: every line of every head asks.
struct Dropped {
    /// Sorted.
    names: Vec<&'static str>,
    prefixes: Vec<&'static str>,
}

impl Dropped {
    fn of(side: Side) -> Self {
        let rows = HEAD_EDITS.iter().filter(|row| {
            let replaced = side == Side::Request && matches!(row.name, "host" | "content-length");
            row.side == side && (row.edit == Edit::Drop || replaced)
        });
        let (mut names, mut prefixes) = (HOP_BY_HOP.to_vec(), Vec::new());
        for row in rows {
            match row.name.strip_suffix('*') {
                Some(prefix) => prefixes.push(prefix),
                None => names.push(row.name),
            }
        }
        names.sort_unstable();
        Self { names, prefixes }
    }

    fn covers(&self, name: &str) -> bool {
        self.names.binary_search(&name).is_ok()
            || self.prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// The names that `connection` lists.
fn connection_names(head: &HeaderMap) -> Vec<HeaderName> {
    head.get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().to_ascii_lowercase().parse().ok())
        .collect()
}

fn sensitive(mut value: HeaderValue) -> HeaderValue {
    value.set_sensitive(true);
    value
}

/// Request header lines for a capture: credentials shown as a placeholder.
pub fn redacted(head: &HeaderMap) -> HeadLines {
    let bytes = head
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len());
    let mut lines = HeadLines::with_capacity(head.len(), bytes.sum());
    for (name, value) in head {
        let text = if is_secret(name) {
            "(redacted)".into()
        } else {
            String::from_utf8_lossy(value.as_bytes())
        };
        lines.push(name.as_str(), &text);
    }
    lines
}

/// Names whose values are credentials, or look like it.
fn is_secret(name: &HeaderName) -> bool {
    const PARTS: [&str; 6] = [
        "authorization",
        "cookie",
        "api-key",
        "apikey",
        "secret",
        "password",
    ];
    // Every line of every head asks, and hardly any name has a part that begins like one of these.
    let begins = |four: &[u8]| {
        matches!(
            four,
            b"auth" | b"cook" | b"api-" | b"apik" | b"secr" | b"pass"
        )
    };
    let name = name.as_str();
    matches!(
        name,
        "api-key" | "x-amz-security-token" | "sec-websocket-protocol"
    ) || name.ends_with("-token")
        || name.ends_with("-key")
        || name.as_bytes().windows(4).any(begins) && PARTS.iter().any(|part| name.contains(part))
}

#[cfg(test)]
mod tests;
